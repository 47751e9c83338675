# SPDX-License-Identifier: Apache-2.0
"""Model: a program ready to run, and the way of values into codes and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from msgspec import UNSET, structs

from neurovm import bundle, codec
from neurovm.backends import find
from neurovm.backends.rate import RateProgram
from neurovm.costs import BUDGET_S, costs_of
from neurovm.errors import BundleError, ShapeError
from neurovm.session import WAYS, Session
from neurovm.windows import Window, WindowPlan, WindowSession, plan, sliding

if TYPE_CHECKING:
    import os
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Buffer, Self

    from neurovm.backends.base import Executable, Memory
    from neurovm.codec import Values
    from neurovm.costs import Calibrated, LayerCost
    from neurovm.description import LayerInfo, Manifest, TensorInfo, Way
    from neurovm.rows import Rows


class Model:
    """One program on one backend; immutable and shared by any number of sessions and threads.

    Made by `neurovm.load` or `neurovm.convert_tflite`. Use it as a context manager, or `close` it.
    """

    timed = False
    """Whether it is a network of spiking neurons, whose sessions run in ticks or by time."""

    def __init__(self, content: bundle.Bundle, backend: str = "cpu", *, threads: int = 1) -> None:
        found = find(backend)
        self._threads = threads
        self._program: Executable | None = _ready(found.load(content, threads=threads), content)
        self._take(content, found.name, found.kind)

    def _take(self, content: bundle.Bundle, backend: str, kind: str) -> None:
        self._bundle: bundle.Bundle | None = content
        self._manifest = content.manifest
        self._rows: Rows | None = None
        self._kind = kind
        self._backend = backend
        self._sha256 = content.manifest.identity()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the program. Sessions made before keep it, and stay usable."""
        self._bundle = None
        self._program = None

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    @property
    def content(self) -> bundle.Bundle:
        """The bundle itself; ValueError once the model is closed."""
        if self._bundle is None:
            raise ValueError("the model is closed")
        return self._bundle

    @property
    def name(self) -> str:
        return self._manifest.name

    @property
    def sha256(self) -> str:
        """Identity of the bundle: sha256 of its manifest without certificate and deployment."""
        return self._sha256

    @property
    def profile(self) -> str:
        return self._manifest.profile

    @property
    def coding(self) -> str:
        return self._manifest.coding

    @property
    def neuron(self) -> str:
        return self._manifest.neuron

    @property
    def approximate(self) -> bool:
        """Whether its answers only approach those of the source (coding `rate`)."""
        return self._manifest.rate is not UNSET

    @property
    def stateful(self) -> bool:
        """Whether a step depends on earlier ones beside the inputs that are held (variables, LSTM).

        Then every `step` and `update` of a session is one step of time, also with equal inputs.
        """
        return self._manifest.state_bytes > 0

    @property
    def backend(self) -> str:
        return self._backend

    @property
    def kind(self) -> str:
        """What it runs on: cpu, simulator, virtual or hardware."""
        return self._kind

    @property
    def threads(self) -> int:
        """How many share long phases of a step, where there are as many processors."""
        return self._threads

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        return self._manifest.inputs

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        return self._manifest.outputs

    def explain(self) -> tuple[LayerInfo, ...]:
        """The layers in the order they run; `manifest.operators` tells it operator by operator."""
        return self._manifest.layers

    def calibrate(self, budget_s: float = BUDGET_S) -> bool:
        """Measure what every layer's ways take on this machine; sessions to come choose by it.

        Takes at most about `budget_s` seconds; `load` does it unless told otherwise. The answers
        do not depend on it. False where the backend has nothing to choose.
        """
        program = self._calibrated()
        if program is not None:
            program.calibrate(budget_s)
        return program is not None

    def prepare(self, *, calibrate: bool, write: bool = True) -> None:
        """Make it ready for sessions by what `neurovm.prepared` keeps; `load` does it.

        What is missing there is written, unless `write` is false. The answers do not depend on it.
        Nothing to do where the backend keeps nothing.
        """
        make_ready = getattr(self._executable(), "prepare", None)
        if make_ready is not None:
            make_ready(self.content, calibrate=calibrate, write=write)

    def costs(self) -> tuple[LayerCost, ...]:
        """What the choice of every layer goes by, as `explain` numbers them; () where none is."""
        program = self._calibrated()
        return () if program is None else costs_of(program)

    def memory(self) -> Memory | None:
        """Bytes that it takes on this machine; None where the backend does not say.

        `manifest.limits` are those of plain C, the same everywhere.
        """
        return getattr(self._executable(), "memory", None)

    def _calibrated(self) -> Calibrated | None:
        return getattr(self._executable(), "costs", None)

    @overload
    def session(self, *, way: Way = "auto", counters: Buffer | None = None) -> Session: ...
    @overload
    def session(self, *, window: Window, counters: Buffer | None = None) -> WindowSession: ...
    def session(
        self, *, way: Way = "auto", counters: Buffer | None = None, window: Window | None = None
    ) -> Session | WindowSession:
        """A new stream. `way` forces events or dense runs; the bits are the same.

        One of "dense" is smaller: it keeps no sums for events (`memory` says how many bytes).
        `counters`: a writable buffer of five uint64 that the kernel counts straight into. With a
        `window` frames are pushed into it, and a hop costs what is new (`plan` says how much);
        ShapeError or BackendError where the model has no such window.
        """
        if window is not None:
            program = sliding(self._executable(), self.name)
            return WindowSession(program, plan(program, self._manifest, window), counters)
        if way not in WAYS:
            raise ValueError(f"way {way!r} is not known; accepted: {', '.join(WAYS)}")
        state = self._executable().session(counters, way)
        return Session(state, first=self.outputs[0].size)

    def step_sessions(
        self, sessions: Sequence[Session], codes: Buffer, out: Buffer | None = None
    ) -> Buffer:
        """One step of several of its sessions with one call: many streams at the same time.

        `codes`: a row of all inputs' codes each, in the order of `sessions`. Returns a row of all
        outputs' codes each: `out` (writable, of that size), or a new memoryview. ShapeError where
        the sizes do not fit, a session is of another model or is named twice; RuntimeError where
        one is in use by another thread. Nothing has changed then.
        """
        return self._executable().step_sessions([s.state for s in sessions], codes, out)

    def plan(self, window: Window) -> WindowPlan:
        """What sliding this window costs and keeps, layer by layer; errors as for `session`."""
        return plan(sliding(self._executable(), self.name), self._manifest, window)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the bundle atomically (.nvm) and return its path."""
        content = self.content
        return bundle.write(path, bundle.serialize(content.manifest, content.tensors))

    def with_steps(self, steps: int) -> Model:
        """The same rate-coded network with another number of time steps an answer (1 to 1024).

        For measuring only: it has no golden vectors and no early exits. ValueError for other
        codings.
        """
        if self._bundle is None or self._manifest.rate is UNSET:
            raise ValueError("only an open, rate-coded model runs in steps")
        rate = structs.replace(self._manifest.rate, steps=steps, exits=UNSET)
        changed = structs.replace(self._manifest, rate=rate, golden=())
        tensors = {name: self._bundle.tensors[name] for name in ("layers", "arena")}
        shorter = bundle.Bundle(manifest=changed, tensors=tensors)
        return self._with(shorter)

    def with_threads(self, threads: int) -> Model:
        """The same model, whose long phases are shared by so many threads (1 to 64) from now on.

        At most as many as there are processors. The bits are those of one thread. Workers sleep
        where nothing is to be done, and are left alone where they lose more than they gain; see
        `nvm_threads_open` in core_c/include/nvm.h. ValueError beyond the range, BackendError for
        spiking networks, which run on one.
        """
        return Model(self.content, self._backend, threads=threads)

    def with_deploy(self, deploy: Mapping[str, Any]) -> Model:
        """The same model with the manifest it is deployed by; its identity does not change."""
        changed = structs.replace(self._manifest, deploy=dict(deploy))
        return self._with(bundle.Bundle(manifest=changed, tensors=self.content.tensors))

    def with_certificate(self, certificate: Mapping[str, Any]) -> Model:
        """The same model with the record of its verification; its identity does not change."""
        changed = structs.replace(self._manifest, certificate=dict(certificate))
        return self._with(bundle.Bundle(manifest=changed, tensors=self.content.tensors))

    def _with(self, content: bundle.Bundle) -> Model:
        return Model(content, self._backend, threads=self._threads)

    def to_codes(self, x: Values | Mapping[str, Values]) -> bytes:
        """Codes of all inputs, concatenated in C order: bytes, two (little-endian) an int16 code.

        x: one buffer of the source's dtype (any shape with the right number of elements, C order),
        or numbers; for several inputs a mapping by name. float32 is quantized by the profile, uint8
        becomes q − 128. ShapeError names what does not fit; NaN is refused.
        """
        if len(self.inputs) == 1 and not isinstance(x, Mapping):
            return self.quantize(0, x)
        if not isinstance(x, Mapping):
            names = ", ".join(repr(t.name) for t in self.inputs)
            raise ShapeError(
                f"{self.name} has {len(self.inputs)} inputs: give a mapping with {names}"
            )
        wanted, found = {t.name for t in self.inputs}, set(x)
        if wanted != found:
            raise ShapeError(f"inputs {sorted(found)} were given; {sorted(wanted)} are needed")
        return b"".join(self.quantize(i, x[t.name]) for i, t in enumerate(self.inputs))

    def quantize(self, port: int, values: Values, *, count: int | None = None) -> bytes:
        """Codes, as bytes, of values of input `port`; `count` elements (None: all of the input)."""
        return codec.quantize(self.inputs[port], self.profile, values, count)

    def from_codes(self, codes: Buffer) -> Any:
        """Values of output codes, in the source's dtype and shape.

        codes: all outputs concatenated, as a session gives them. Returns an ndarray where numpy is
        loaded, else a memoryview of that dtype; for several outputs a dict by name.
        """
        raw = memoryview(codes).cast("B")
        wanted = sum(t.bytes for t in self.outputs)
        if len(raw) != wanted:
            what = "bytes of output codes" if any(t.wide for t in self.outputs) else "output codes"
            raise ShapeError(f"{wanted} {what} are needed, {len(raw)} were given")
        values, at = {}, 0
        for info in self.outputs:
            values[info.name] = codec.shaped(
                info, codec.dequantize(info, raw[at : at + info.bytes])
            )
            at += info.bytes
        return values[self.outputs[0].name] if len(self.outputs) == 1 else values

    def top_k(self, codes: Buffer, k: int, port: int = 0) -> list[tuple[int, int, float]]:
        """The k largest of one output's codes as (index, code, value), largest first.

        Equal codes keep the order of their indices. k beyond the number of codes gives all.
        """
        return codec.top_k(self.outputs[port], codes, k)

    def predict(self, x: Any) -> Any:
        """Dense answers for whole inputs, in the source's own dtypes.

        x: (n, *shape[1:]), or one input of shape[1:] or `shape`; several inputs: a dict by name,
        all
        with the same n. The result has the same leading axis. Rows are independent: each is the
        first step of a stream, so a network that keeps state (`stateful`) starts every row from its
        initial state. Consecutive steps are what a session takes.
        """
        if self._rows is None:
            from neurovm.rows import Rows

            self._rows = Rows(self._manifest)
        return self._rows.predict(self._executable(), x)

    def _executable(self) -> Executable:
        if self._program is None:
            raise ValueError("the model is closed")
        return self._program


def _ready(program: Executable, content: bundle.Bundle) -> Executable:
    rate = content.manifest.rate
    return program if rate is UNSET else RateProgram(program, content.manifest, rate)


def replay_golden(model: Model, content: bundle.Bundle, where: str) -> None:
    """Run the golden vectors through fresh sessions; BundleError where any code differs."""
    sessions: dict[str, Session] = {}
    for i, (codes, wanted, way) in enumerate(content.golden()):
        if way not in sessions:
            sessions[way] = model.session(way=way)
        if sessions[way].step(codes).tobytes() != wanted.tobytes():
            raise BundleError(
                f"{where}: golden vector {i} gives other codes on backend {model.backend!r} than "
                f"the oracle's; the file or this build of neurovm is damaged"
            )
