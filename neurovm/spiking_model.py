# SPDX-License-Identifier: Apache-2.0
"""SpikingModel: a network of spiking neurons ready to run; what `load` gives for one."""

from __future__ import annotations

import re
from array import array
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec import UNSET

from neurovm.backends.spiking import SpikingProgram
from neurovm.errors import BackendError, BundleError
from neurovm.model import Model
from neurovm.spiking_session import SpikingSession

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from neurovm import bundle
    from neurovm.populations import SpikingInfo


class SpikingModel(Model):
    """One network on the CPU kernel; immutable, shared by any number of sessions and threads."""

    timed = True

    def __init__(self, content: bundle.Bundle, backend: str = "cpu") -> None:
        if backend != "cpu":
            raise BackendError(f"backend {backend!r} runs no spiking networks; available: cpu")
        if content.manifest.spiking is UNSET:
            raise BundleError(f"{content.manifest.name}: not a spiking network")
        self._spiking: SpikingInfo = content.manifest.spiking
        self._network: SpikingProgram | None = SpikingProgram(content, self._spiking)
        self._threads = 1
        self._take(content, backend, "cpu")

    def with_threads(self, threads: int) -> Model:
        if threads != 1:
            raise BackendError(f"threads {threads}: a spiking network runs on one")
        return self

    def _with(self, content: bundle.Bundle) -> Model:
        return SpikingModel(content, self._backend)

    def close(self) -> None:
        self._network = None
        super().close()

    @property
    def spiking(self) -> SpikingInfo:
        """Populations, projections, ticks."""
        return self._spiking

    @property
    def dt_us(self) -> float:
        """Microseconds of a tick."""
        return self._spiking.dt_us

    @property
    def n_in(self) -> int:
        """Neurons of all inputs."""
        return self._spiking.n_in

    @property
    def n_out(self) -> int:
        """Neurons of all outputs."""
        return self._spiking.n_out

    @property
    def readouts(self) -> tuple[bool, ...]:
        """Of each output, whether it never fires: its potentials are the answer."""
        return tuple(not p.fires for p in self._spiking.populations if p.output)

    @property
    def potential_scales(self) -> tuple[tuple[float, float], ...]:
        """Scale and offset of each output: real potential = scale · v + offset."""
        return tuple((p.scale, p.offset) for p in self._spiking.populations if p.output)

    @property
    def stateful(self) -> bool:
        """Always: a tick depends on those before."""
        return True

    def session(  # type: ignore[override] # a session of another kind, which knows no ways
        self, *, counters: Buffer | None = None
    ) -> SpikingSession:
        """A new stream. `counters`: a writable buffer of five uint64 to count into."""
        if self._network is None:
            raise ValueError("the model is closed")
        program = self._network.program
        return SpikingSession(program.session(counters), self._spiking, program.most_out)

    def predict(self, x: Any) -> Any:
        """Whole trains: x (n, T, *shape) or (T, *shape) counts; several inputs: a dict by name.

        Rows are independent, each from tick 0. Gives the same leading axes: int8 counts of an
        output that fires, float32 potentials of a readout; a dict by name of several outputs.
        Imports numpy.
        """
        from neurovm.spiking_rows import predict

        return predict(self, x)

    def to_codes(self, x: Any) -> NoReturn:
        """Refused: spikes are no codes of values; `neurovm.encoders` make spikes of values."""
        del x
        self._no_values()

    def from_codes(self, codes: Any) -> NoReturn:
        """Refused, as `to_codes`."""
        del codes
        self._no_values()

    def quantize(self, port: int, values: Any, *, count: int | None = None) -> NoReturn:
        """Refused, as `to_codes`."""
        del port, values, count
        self._no_values()

    def _no_values(self) -> NoReturn:
        raise BackendError(
            f"{self.name} is a spiking network: it takes and gives spikes, not codes of values; "
            f"session().run, .step and .advance are its way"
        )


def replay_trains(model: SpikingModel, content: bundle.Bundle, where: str) -> None:
    """Run the golden spike trains in ticks and by time stamps; BundleError where a bit differs."""
    info = model.spiking
    for train, wanted, _ in content.golden():
        session, timed = model.session(), model.session()
        spikes, v = session.run(train, potentials=True, ticks=info.golden_ticks)
        ticks, addresses = _events(train, info.n_in)
        found = timed.advance_ticks(ticks, addresses, info.golden_ticks)
        same = spikes.tobytes() + v.tobytes() == wanted.tobytes()
        if not same or found != _events(spikes, info.n_out):
            raise BundleError(
                f"{where}: the golden spike trains give other spikes on backend "
                f"{model.backend!r} than the oracle's; the file or this build of neurovm is damaged"
            )


def _events(counts: Buffer, n: int) -> tuple[array[int], array[int]]:
    """Ticks and addresses of the spikes of trains of n neurons."""
    ticks, addresses = array("q"), array("I")
    raw = memoryview(counts).cast("B")
    for found in re.finditer(rb"[^\0]", raw):
        for _ in range(raw[found.start()]):
            ticks.append(found.start() // n)
            addresses.append(found.start() % n)
    return ticks, addresses
