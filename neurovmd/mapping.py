# SPDX-License-Identifier: Apache-2.0
"""From a message to the codes it sets: topic → stream and element, payload → values → codes.

Bound once to a model, so that whatever does not fit it is said when the VM starts. Input codes are
numbered through all input tensors in C order, as `Session.update` takes them.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from neurovm.errors import ShapeError
from neurovmd.payload import Aer, Codes, Image, PayloadError, Sample, Text, Values
from neurovmd.refusal import MappingError, RefusedError, UnsettingError
from neurovmd.routes import Router, filters
from neurovmd.schema import Input, Time, Vm
from neurovmd.shared import DropReason
from neurovmd.topics import TopicPattern

if TYPE_CHECKING:
    from neurovm import Model

InputCodes = Union[bytes, "array[int]", "array[float]"]
"""int8 codes as bytes; where an input of the model has int16 codes, all of them as int16; reals
(float64) where an encoder is to make spikes of them."""

_FLIP = bytes(code ^ 0x80 for code in range(256))


WHOLE = 8
"""Planes of a code."""


@dataclass(frozen=True, slots=True)
class Update:
    """What one message sets: `codes[k]` becomes the code of input `indices[k]`."""

    stream: str
    indices: array[int]
    codes: InputCodes


class Port:
    """One input tensor as a target of real values.

    Values are quantised as the source model would: float32 inputs by the model's profile, int8,
        uint8 and int16 inputs to the nearest code (halves to even), saturating at the ends.
    """

    def __init__(self, model: Model, tensor: int, base: int) -> None:
        info = model.inputs[tensor]
        self._model, self._tensor, self._info = model, tensor, info
        self.base = base
        self.size = info.size
        self.dtype: str = info.dtype
        self._wide = any(t.wide for t in model.inputs)

    def quantize(self, values: Sequence[float]) -> InputCodes:
        """Codes of finite real numbers, as many as given."""
        if self.dtype == "float32":
            return self._as_input(self._model.quantize(self._tensor, values, count=len(values)))
        scale, zero = self._info.scale, self._info.zero_point
        low, high = self._info.limits
        codes = (min(high, max(low, round(value / scale) + zero)) for value in values)
        return array("h", codes) if self._wide else bytes(code & 0xFF for code in codes)

    def raw(self, codes: Codes) -> InputCodes:
        """The source's own codes as ours (uint8 runs as q − 128)."""
        if not isinstance(codes.data, bytes):
            return codes.data
        return self._as_input(codes.data.translate(_FLIP) if codes.dtype == "uint8" else codes.data)

    def none(self) -> InputCodes:
        """No codes at all, to which others can be added."""
        return array("h") if self._wide else b""

    def _as_input(self, codes: bytes) -> InputCodes:
        """Codes of this port, as bytes, in the form that all of the model's inputs take."""
        if not self._wide:
            return codes
        return array("h", memoryview(codes).cast("h" if self._info.wide else "b").tolist())


class Binding:
    """One entry of `inputs`, bound to its tensor: reads a topic and a payload."""

    def __init__(self, source: Input, pattern: TopicPattern, port: Port, key: str) -> None:
        names = source.to.elements
        self.pattern, self.source, self.key = pattern, source, key
        self._port = port
        if isinstance(source.payload, Aer):
            raise MappingError(f"{key}.payload.format", "aer", "json or raw: these are no spikes")
        try:
            self.reader, self.timed = source.payload.samples(), source.payload.timed
        except ValueError as error:  # what its format needs is not installed
            found = type(source.payload).__name__
            raise MappingError(f"{key}.payload.format", found, str(error)) from None
        self._numbers = None if names is None else {name: at for at, name in enumerate(names)}
        self._all = array("I", range(port.base, port.base + port.size))
        if names is not None and len(names) != port.size:
            accepted = f"{port.size}, one for each element of the input tensor"
            raise MappingError(f"{key}.to.elements", f"{len(names)} names", accepted)
        dtype = getattr(source.payload, "dtype", None)
        if dtype is not None and pattern.element_level is not None:
            accepted = "a topic without {element}: a raw payload is a whole tensor"
            raise MappingError(f"{key}.topic", "{element}", accepted)
        if dtype not in (None, "float32", port.dtype):
            accepted = f"float32 (real values) or {port.dtype} (the model's own input)"
            raise MappingError(f"{key}.payload.dtype", str(dtype), accepted)
        if isinstance(source.payload, Text) and source.payload.features != port.size:
            accepted = f"{port.size}, one for each element of the input tensor"
            raise MappingError(f"{key}.payload.features", str(source.payload.features), accepted)
        self._initial = source.initial

    @property
    def indices(self) -> array[int]:
        """All input numbers this entry may set."""
        return self._all

    def initial_codes(self) -> InputCodes:
        """The codes of its elements until they are first heard."""
        return self._port.quantize([self._initial]) * self._port.size

    def element(self, levels: list[str]) -> int | None:
        """The element a topic names (0..size-1), None where it names none."""
        name = self.pattern.element(levels)
        if name is None:
            return None
        if self._numbers is not None:
            number = self._numbers.get(name)
        else:
            number = int(name) if name.isascii() and name.isdigit() and len(name) < 10 else None
        if number is None or number >= self._port.size:
            raise RefusedError(DropReason.TOPIC, f"no element {name!r}")
        return number

    def decode(self, topic: str | None, payload: bytes) -> Sequence[Sample]:
        """The samples of a message, oldest first; RefusedError where it cannot be read, or where it
        has none by design.
        """
        try:
            samples = self.reader(topic, payload)
        except PayloadError as error:
            raise RefusedError(DropReason.PAYLOAD, str(error)) from None
        if not samples:
            raise UnsettingError
        return samples

    def read(
        self, topic: str | None, payload: bytes, element: int | None
    ) -> tuple[array[int], InputCodes]:
        """The input numbers a message sets and their codes, of several samples the oldest first;
        RefusedError where it sets none.
        """
        first, *more = self.decode(topic, payload)
        indices, codes = self.set_by(first, element)
        for sample in more:
            numbers, code = self.set_by(sample, element)
            indices, codes = indices + numbers, joined(codes, code)
        return indices, codes

    def set_by(self, sample: Sample, element: int | None) -> tuple[array[int], InputCodes]:
        """The input numbers that one sample sets and their codes."""
        if element is not None:
            return array("I", (self._port.base + element,)), self._reals([sample.values])
        return self._tensor(sample.values)

    def _tensor(self, values: Values) -> tuple[array[int], InputCodes]:
        """A payload that is not for one element: the whole tensor, or some elements by name."""
        if isinstance(values, dict):
            return self._named(values)
        if isinstance(values, Codes):
            self._check_length(len(values.data))
            return self._all, self._port.raw(values)
        if isinstance(values, Image):
            values = list(values.data)
        if not isinstance(values, (list, array)):
            values = [values]
        self._check_length(len(values))
        return self._all, self._reals(values)

    def _named(self, values: Mapping[str, object]) -> tuple[array[int], InputCodes]:
        """An object by element name; names that are no elements are other data, and ignored."""
        numbers = self._numbers or {}
        known = [name for name in values if name in numbers]
        if not known:
            raise RefusedError(DropReason.VALUE, "an object with none of the elements")
        indices = array("I", (self._port.base + numbers[name] for name in known))
        return indices, self._reals([values[name] for name in known])

    def _check_length(self, found: int) -> None:
        if found != self._port.size:
            detail = f"found {found} values; accepted: {self._port.size}"
            raise RefusedError(DropReason.PAYLOAD, detail)

    def _reals(self, values: Sequence[object]) -> InputCodes:
        try:
            numbers = [float(value) for value in values if isinstance(value, (int, float))]
            if len(numbers) != len(values) or not all(map(math.isfinite, numbers)):
                raise RefusedError(DropReason.VALUE, "a value that is not a finite number")
            return self._port.quantize(numbers)
        except (OverflowError, ShapeError) as error:
            raise RefusedError(DropReason.VALUE, str(error)) from None


def check_planes(vm: Vm, model: Model) -> None:
    """Fewer than 8 planes are for models that send any, and remember nothing of estimates."""
    if vm.planes == WHOLE or (model.coding == "bitplane" and not model.stateful):
        return
    found = f"{vm.planes} with a model of coding {model.coding}"
    raise MappingError(
        "planes",
        f"{found} that keeps state" if model.stateful else found,
        f"{WHOLE}, or 1 to {WHOLE} with a model of coding bitplane that keeps no state",
    )


class Inputs:
    """All `inputs` of a VM bound to its model."""

    def __init__(self, vm: Vm, names: Mapping[str, str], model: Model) -> None:
        check_plain(vm)
        check_planes(vm, model)
        ports: list[Port] = []
        base = 0
        for tensor in range(len(model.inputs)):
            ports.append(Port(model, tensor, base))
            base += ports[-1].size
        self._none = ports[0].none()
        self.bindings: list[Binding] = []
        for number, source in enumerate(vm.inputs):
            key = f"inputs[{number}]"
            if source.to.tensor >= len(ports):
                accepted = f"0 to {len(ports) - 1}: the model has {len(ports)} input tensors"
                raise MappingError(f"{key}.to.tensor", str(source.to.tensor), accepted)
            pattern = source.pattern(names)
            port = ports[source.to.tensor]
            self.bindings.append(Binding(source, pattern, port, key))
        self.expected = frozenset(at for binding in self.bindings for at in binding.indices)
        self.filters = filters(self.bindings)
        self._router = Router(self.bindings)

    def initial(self) -> tuple[array[int], InputCodes]:
        """The elements' codes until they are first heard."""
        indices, codes = array("I"), self._none
        for binding in self.bindings:
            indices.extend(binding.indices)
            codes = joined(codes, binding.initial_codes())
        return indices, codes

    def read(self, topic: str | None, payload: bytes) -> Update:
        """What a message sets; RefusedError where it sets nothing.

        Every entry whose topic matches takes what it finds; together they are one update. Only
        where none finds anything the message is refused, for the first entry's reason.
        """
        route = self._router.route(topic)
        if len(route.parts) == 1:
            binding, element = route.parts[0]
            return Update(route.stream, *binding.read(topic, payload, element))
        indices, codes = array("I"), self._none
        refusals: list[RefusedError] = []
        for binding, element in route.parts:
            try:
                more, code = binding.read(topic, payload, element)
            except RefusedError as refusal:
                refusals.append(refusal)
                continue
            indices.extend(more)
            codes = joined(codes, code)
        if not indices:
            raise refusals[0]
        return Update(route.stream, indices, codes)


def joined(first: InputCodes, then: InputCodes) -> InputCodes:
    """One after the other; both of the form that the model's inputs take."""
    return first + then  # type: ignore[operator]  # one model, one form


def check_plain(vm: Vm) -> None:
    """MappingError for what is of spiking networks alone."""
    for number, source in enumerate(vm.inputs):
        key = f"inputs[{number}]"
        if source.encode is not None:
            kind = type(source.encode).__name__
            raise MappingError(
                f"{key}.encode", kind, "no such key: the model is no spiking network"
            )
        if source.to.first:
            raise MappingError(f"{key}.to.first", str(source.to.first), "0 without encode")
    form, codes = vm.output.form, "real or codes: the model is no spiking network"
    if form.values not in (None, "real", "codes"):
        raise MappingError("output.form.values", form.values, codes)
    if vm.output.on == "window":
        accepted = "change, always or interval: the model is no spiking network"
        raise MappingError("output.on", "window", accepted)
    if vm.time != Time():
        raise MappingError("time", "a mapping", "no such key: the model is no spiking network")
