# SPDX-License-Identifier: Apache-2.0
"""From a message to spikes: address events as they are, real values through an encoder.

Addresses are numbered through all input tensors in C order. Nothing here keeps the state of a
stream: what a message holds is read whole and checked before any of it has an effect.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neurovm.encoders import Encoder
from neurovm.encoders.poisson import Poisson
from neurovm.encoders.population import Population
from neurovm.events import Events
from neurovmd.mapping import WHOLE, Binding, InputCodes, Port
from neurovmd.payload import Aer, Codes, PayloadError, Raw
from neurovmd.refusal import MappingError, RefusedError
from neurovmd.routes import Router, filters
from neurovmd.schema import Input, Vm
from neurovmd.shared import DropReason
from neurovmd.spike_model import SpikeModel
from neurovmd.topics import TopicPattern


@dataclass(frozen=True, slots=True)
class Samples:
    """Real values for the elements of one encoder; `t_us` where the payload says the time."""

    binding: EncodedBinding
    indices: array[int]
    values: InputCodes
    t_us: int | None


@dataclass(frozen=True, slots=True)
class SpikeUpdate:
    """What one message brings: events by address, samples to encode, and `heard`, the numbers of
    what was waited for.
    """

    stream: str
    events: list[Events]
    samples: list[Samples]
    heard: array[int]


class AerBinding:
    """One entry of `inputs` whose messages are events."""

    def __init__(
        self, source: Input, pattern: TopicPattern, key: str, *, base: int, size: int, number: int
    ) -> None:
        payload = source.payload
        assert isinstance(payload, Aer)  # noqa: S101  # whoever makes it has looked
        self.pattern, self.source, self.key = pattern, source, key
        self._base, self._heard = base, array("I", [number])
        geometry = payload.geometry
        if geometry is not None and geometry.size != size:
            found = f"{geometry.width} × {geometry.height} × {geometry.polarities}"
            accepted = f"{size} addresses, as the input has"
            raise MappingError(f"{key}.payload", f"{found} = {geometry.size} addresses", accepted)
        refused = (
            ("to.elements", source.to.elements is not None, "no such key with format: aer"),
            ("to.first", source.to.first != 0, "0 with format: aer"),
            ("encode", source.encode is not None, "no such key with format: aer"),
            ("topic", pattern.element_level is not None, "a topic without {element}"),
        )
        for name, is_wrong, accepted in refused:
            if is_wrong:
                raise MappingError(f"{key}.{name}", "one", accepted)
        self._decode = payload.events(size)

    @property
    def indices(self) -> array[int]:
        """The number of what is waited for."""
        return self._heard

    def element(self, levels: list[str]) -> int | None:
        """Never one."""
        del levels
        return None

    def read(self, payload: bytes) -> Events:
        """The events of a message; RefusedError where it holds none that are right."""
        try:
            events = self._decode(payload)
        except PayloadError as error:
            raise RefusedError(DropReason.PAYLOAD, str(error)) from None
        if self._base:
            base = self._base
            return Events(events.times_us, array("I", [base + at for at in events.addresses]))
        return events


class RealPort(Port):
    """`size` real values that no tensor takes as they are."""

    def __init__(self, base: int, size: int) -> None:
        self.base, self.size, self.dtype = base, size, "float32"

    def quantize(self, values: Sequence[float]) -> InputCodes:
        """The values as they are (float64)."""
        return array("d", values)

    def raw(self, codes: Codes) -> InputCodes:
        """Never asked for: refused when the VM starts."""
        raise NotImplementedError(codes.dtype)


class EncodedBinding(Binding):
    """One entry of `inputs` whose messages are real values that an encoder makes spikes of.

    `first` is the address of its first spike, `n` its elements; their numbers begin at `number`.
    """

    def __init__(
        self, source: Input, pattern: TopicPattern, key: str, *, base: int, size: int, number: int
    ) -> None:
        encoder = source.encode
        if encoder is None:
            found, accepted = "nothing", "an encoder: the model takes spikes"
            raise MappingError(f"{key}.encode", found, accepted)
        if isinstance(source.payload, Raw) and source.payload.dtype != "float32":
            raise MappingError(f"{key}.payload.dtype", source.payload.dtype, "float32")
        room = size - source.to.first
        names = source.to.elements
        self.n = len(names) if names is not None else room // encoder.channels
        self.encoder: Encoder = encoder
        if room < 1 or self.n < 1 or self.n * encoder.channels > room:
            found = f"{self.n} elements of {encoder.channels} channels"
            accepted = f"at most {max(room, 0)} addresses (from {source.to.first} of {size})"
            raise MappingError(f"{key}.to", found, accepted)
        super().__init__(source, pattern, RealPort(number, self.n), key)
        self.first = base + source.to.first
        self.number = number
        self.initial = source.initial

    def samples(self, topic: str | None, payload: bytes, element: int | None) -> list[Samples]:
        """The values of a message, moment by moment; RefusedError where it has none."""
        found = self.decode(topic, payload)
        return [Samples(self, *self.set_by(each, element), each.t_us) for each in found]

    def at_once(self, topic: str | None, payload: bytes, element: int | None) -> list[Samples]:
        """The values of a message as one moment's: of each element the last."""
        return [Samples(self, *self.read(topic, payload, element), None)]


AnyBinding = AerBinding | EncodedBinding


class SpikeInputs:
    """All `inputs` of a VM bound to its spiking network.

    `source` is where time comes from; `expected` numbers what has to be heard before `wait_for:
    all` is content.
    """

    def __init__(self, vm: Vm, names: Mapping[str, str], model: SpikeModel) -> None:
        if vm.planes != WHOLE:
            accepted = f"{WHOLE}: a spiking network sends no codes"
            raise MappingError("planes", str(vm.planes), accepted)
        sizes = [tensor.size for tensor in model.inputs]
        self.bindings: list[AnyBinding] = []
        number = 0
        for at, source in enumerate(vm.inputs):
            key = f"inputs[{at}]"
            if source.to.tensor >= len(sizes):
                accepted = f"0 to {len(sizes) - 1}: the model has {len(sizes)} inputs"
                raise MappingError(f"{key}.to.tensor", str(source.to.tensor), accepted)
            for name, given in (("window", source.window), ("front_end", source.front_end)):
                if given:
                    accepted = "no such key: a spiking network has time of its own"
                    raise MappingError(f"{key}.{name}", "one", accepted)
            kind = AerBinding if isinstance(source.payload, Aer) else EncodedBinding
            pattern = source.pattern(names)
            base, size = sum(sizes[: source.to.tensor]), sizes[source.to.tensor]
            binding = kind(source, pattern, key, base=base, size=size, number=number)
            self.bindings.append(binding)
            number += len(binding.indices)
        self.encoded = [each for each in self.bindings if isinstance(each, EncodedBinding)]
        self.expected = frozenset(at for each in self.bindings for at in each.indices)
        self.source = vm.time.source or ("arrival" if self.encoded else "payload")
        self._check_time(model.dt_us, vm.output.window_s)
        self.filters = filters(self.bindings)
        self._router = Router(self.bindings)

    def _check_time(self, dt_us: float, window_s: float | None) -> None:
        if window_s is not None and window_s * 1e6 < dt_us:
            accepted = f"{dt_us / 1e6:g} or more, a tick of the network"
            raise MappingError("output.window_s", f"{window_s:g}", accepted)
        for each in self.encoded:
            if self.source == "payload" and not each.timed:
                accepted = "where its time is, or time.source: arrival or message"
                raise MappingError(f"{each.key}.payload.t_us", "nothing", accepted)
            encoder = each.encoder
            if isinstance(encoder, (Poisson, Population)) and abs(encoder.dt * 1e6 - dt_us) > 1e-3:
                accepted = f"{dt_us / 1e6:g}, as the network's tick"
                raise MappingError(f"{each.key}.encode.dt", f"{encoder.dt:g}", accepted)

    def read(self, topic: str | None, payload: bytes) -> SpikeUpdate:
        """What a message brings; RefusedError where it brings nothing.

        Every entry whose topic matches takes what it finds. Only where none finds anything the
        message is refused, for the first entry's reason.
        """
        route = self._router.route(topic)
        update = SpikeUpdate(route.stream, [], [], array("I"))
        refusals: list[RefusedError] = []
        for binding, element in route.parts:
            try:
                if isinstance(binding, AerBinding):
                    update.events.append(binding.read(payload))
                    update.heard.extend(binding.indices)
                else:
                    read = binding.samples if self.source == "payload" else binding.at_once
                    samples = read(topic, payload, element)
                    update.samples.extend(samples)
                    update.heard.extend(at for each in samples for at in each.indices)
            except RefusedError as refusal:
                refusals.append(refusal)
        if len(refusals) == len(route.parts):
            raise refusals[0]
        return update
