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
from neurovmd.payload import Codes, PayloadError, Values
from neurovmd.schema import Input, Vm
from neurovmd.shared import DropReason
from neurovmd.topics import TopicPattern, parse_input

if TYPE_CHECKING:
    from neurovm import Model

# A topic seen before is not taken apart again; a publisher that invents topics cannot fill memory.
MAX_ROUTES = 8192
MAX_ROUTE_BYTES = 1024
MAX_STREAM_BYTES = 256

InputCodes = Union[bytes, "array[int]"]
"""int8 codes as bytes; where an input of the model has int16 codes, all of them as int16."""

_FLIP = bytes(code ^ 0x80 for code in range(256))


class RefusedError(Exception):
    """A message that sets nothing; `reason` is what it is counted as."""

    def __init__(self, reason: DropReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


WHOLE = 8
"""Planes of a code."""


class MappingError(ValueError):
    """A VM's inputs that do not fit its model; `key` is where in its file."""

    def __init__(self, key: str, found: str, accepted: str) -> None:
        super().__init__(f"{key}: found {found}; accepted: {accepted}")
        self.key, self.found, self.accepted = key, found, accepted


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
        self.pattern = pattern
        self._port = port
        self._decode = source.payload.decoder()
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

    def read(self, payload: bytes, element: int | None) -> tuple[array[int], InputCodes]:
        """The input numbers a payload sets and their codes; RefusedError where it cannot."""
        try:
            values = self._decode(payload)
        except PayloadError as error:
            raise RefusedError(DropReason.PAYLOAD, str(error)) from None
        if element is not None:
            return array("I", (self._port.base + element,)), self._reals([values])
        return self._tensor(values)

    def _tensor(self, values: Values) -> tuple[array[int], InputCodes]:
        """A payload that is not for one element: the whole tensor, or some elements by name."""
        if isinstance(values, dict):
            return self._named(values)
        if isinstance(values, Codes):
            self._check_length(len(values.data))
            return self._all, self._port.raw(values)
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


@dataclass(frozen=True, slots=True)
class Route:
    """Where the messages of one topic go: the stream, and the element of each entry."""

    stream: str
    parts: tuple[tuple[Binding, int | None], ...]


def _check_planes(vm: Vm, model: Model) -> None:
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
        _check_planes(vm, model)
        ports: list[Port] = []
        base = 0
        for tensor in range(len(model.inputs)):
            ports.append(Port(model, tensor, base))
            base += ports[-1].size
        self._none = ports[0].none()
        self.bindings: list[Binding] = []
        self.filters: dict[str, int] = {}
        for number, source in enumerate(vm.inputs):
            key = f"inputs[{number}]"
            if source.to.tensor >= len(ports):
                accepted = f"0 to {len(ports) - 1}: the model has {len(ports)} input tensors"
                raise MappingError(f"{key}.to.tensor", str(source.to.tensor), accepted)
            pattern = parse_input(source.topic, names)
            port = ports[source.to.tensor]
            binding = Binding(source, pattern, port, key)
            self._check_stream(pattern, source.topic, key)
            self.bindings.append(binding)
            qos = max(source.qos, self.filters.get(pattern.filter, 0))
            self.filters[pattern.filter] = qos
        self.expected = frozenset(at for binding in self.bindings for at in binding.indices)
        self._routes: dict[str, Route] = {}

    def _check_stream(self, pattern: TopicPattern, topic: str, key: str) -> None:
        """A topic that two entries read must be of one stream."""
        for other in self.bindings:
            if pattern.meets(other.pattern) and pattern.stream_level != other.pattern.stream_level:
                accepted = "{stream} at the same level in all entries that read the same topic"
                raise MappingError(f"{key}.topic", repr(topic), accepted)

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
        if topic is None:
            raise RefusedError(DropReason.TOPIC, "a topic that is not UTF-8")
        route = self._routes.get(topic) or self._find(topic)
        if len(route.parts) == 1:
            binding, element = route.parts[0]
            return Update(route.stream, *binding.read(payload, element))
        indices, codes = array("I"), self._none
        refusals: list[RefusedError] = []
        for binding, element in route.parts:
            try:
                more, code = binding.read(payload, element)
            except RefusedError as refusal:
                refusals.append(refusal)
                continue
            indices.extend(more)
            codes = joined(codes, code)
        if not indices:
            raise refusals[0]
        return Update(route.stream, indices, codes)

    def _find(self, topic: str) -> Route:
        levels = topic.split("/")
        matching = [binding for binding in self.bindings if binding.pattern.matches(levels)]
        if not matching:
            raise RefusedError(DropReason.TOPIC, f"no input has the topic {topic[:80]!r}")
        stream = matching[0].pattern.stream(levels)
        if not stream or len(stream.encode("utf-8", "replace")) > MAX_STREAM_BYTES:
            raise RefusedError(DropReason.TOPIC, f"a stream name of {len(stream)} characters")
        route = Route(stream, _parts(matching, levels))
        if len(topic) <= MAX_ROUTE_BYTES:
            if len(self._routes) >= MAX_ROUTES:
                self._routes.clear()
            self._routes[topic] = route
        return route


def joined(first: InputCodes, then: InputCodes) -> InputCodes:
    """One after the other; both of the form that the model's inputs take."""
    return first + then  # type: ignore[operator]  # one model, one form


def _parts(matching: list[Binding], levels: list[str]) -> tuple[tuple[Binding, int | None], ...]:
    """The entries that have the element a topic names; RefusedError where none has it."""
    parts: list[tuple[Binding, int | None]] = []
    refusals: list[RefusedError] = []
    for binding in matching:
        try:
            parts.append((binding, binding.element(levels)))
        except RefusedError as refusal:
            refusals.append(refusal)
    if not parts:
        raise refusals[0]
    return tuple(parts)
