# SPDX-License-Identifier: Apache-2.0
"""This node as an edge node of Sparkplug B, a VM a device: what it says, message by message.

Specification 3.0: will and births §5.4, §6.4.17 ff., `seq` and `bdSeq` §6.4.3. Nothing here talks
to a broker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from neurovm.version import __version__
from neurovmd.sparkplug import NAMESPACE
from neurovmd.sparkplug.nodes import BIRTH_SEQUENCE, REBIRTH
from neurovmd.sparkplug.results import MOST_METRICS, Result, Value
from neurovmd.sparkplug.wire import DataType, Metric, Payload, WireError, decode, encode

Message = tuple[str, bytes]
"""A topic and what is published there: at QoS 0, not retained."""
VERSION = "Properties/version"


@dataclass(slots=True)
class _Known:
    """A metric as a device's birth has it."""

    alias: int
    datatype: DataType
    value: Value
    t_ms: int


@dataclass(slots=True)
class _Device:
    metrics: dict[str, _Known] = field(default_factory=dict)
    is_alive: bool = False


class Edge:
    """`now_ms` is the time of day. `birth_sequence` is that of the connection under way."""

    def __init__(self, group: str, node: str, now_ms: Callable[[], int]) -> None:
        self._group, self._node, self._now_ms = group, node, now_ms
        self._devices: dict[str, _Device] = {}
        self._aliases = 0
        self._rebirth_alias = self._next_alias()
        self._version_alias = self._next_alias()
        self.birth_sequence = 255
        self._was_there = True
        self._seq = 255
        self.is_born = False
        self._born_ms = 0

    @property
    def command_topic(self) -> str:
        """Where a host asks for a birth."""
        return self._topic("NCMD")

    def will(self) -> Message:
        """The death of the next connection: its number is one more (0 … 255) than that of the last
        one that was there.
        """
        if self._was_there:
            self.birth_sequence = (self.birth_sequence + 1) % 256
        self._was_there = self.is_born = False
        return self.death()

    def up(self) -> None:
        """The connection is there: a broker has its will."""
        self._was_there = True

    def death(self) -> Message:
        """The node's own death; there is no `seq` in it."""
        return self._topic("NDEATH"), encode(Payload(metrics=(self._sequence_metric(),)))

    def down(self) -> None:
        """The connection is gone: a host has been told by the will."""
        self.is_born = False

    def births(self) -> list[Message]:
        """The node's birth and those of its devices that live."""
        now_ms = self._now_ms()
        if not self.is_born:
            self._born_ms = now_ms
        self.is_born, self._seq = True, 255
        control = Metric(REBIRTH, self._rebirth_alias, now_ms, DataType.BOOLEAN, value=False)
        version = Metric(VERSION, self._version_alias, now_ms, DataType.STRING, value=__version__)
        metrics = (self._sequence_metric(), control, version)
        said = [self._message("NBIRTH", "", metrics)]
        return said + [
            self._device_birth(name, device)
            for name, device in self._devices.items()
            if device.is_alive
        ]

    def asks_for_birth(self, payload: bytes) -> bool:
        """Whether a command asks for the births; by name or by alias."""
        try:
            metrics = decode(payload).metrics
        except WireError:
            return False
        return any(
            (metric.name == REBIRTH or (not metric.name and metric.alias == self._rebirth_alias))
            and metric.value is True
            for metric in metrics
        )

    def alive(self, name: str) -> list[Message]:
        """A VM answers from now on: its device's birth, if it was not alive."""
        device = self._devices.setdefault(name, _Device())
        if device.is_alive:
            return []
        device.is_alive = True
        return [self._device_birth(name, device)] if self.is_born else []

    def dead(self, name: str, *, for_good: bool = False) -> list[Message]:
        """A VM answers no more: its device's death, if it was alive."""
        device = self._devices.get(name)
        if device is None:
            return []
        was_alive, device.is_alive = device.is_alive, False
        if for_good:
            del self._devices[name]
        return [self._message("DDEATH", name, ())] if was_alive and self.is_born else []

    def result(self, result: Result) -> list[Message]:
        """What a result says: data, after a new birth where it has metrics that are not known.

        Of a moment before this connection's birth it is historical. None while the node is not
        born, and for a device that is not alive.
        """
        device = self._devices.get(result.vm)
        if device is None or not device.is_alive or not self.is_born:
            return []
        is_historical = result.t_ms < self._born_ms
        said: list[Message] = []
        if self._learn(device, result):
            said.append(self._device_birth(result.vm, device))
            if not is_historical:
                return said  # the birth has the values
        metrics = tuple(
            Metric(None, known.alias, result.t_ms, kind, is_historical=is_historical, value=value)
            for name, (kind, value) in result.values.items()
            if (known := device.metrics.get(name)) is not None and known.datatype == kind
        )
        if metrics:
            said.append(self._message("DDATA", result.vm, metrics, datatypes=False))
        return said

    def _learn(self, device: _Device, result: Result) -> bool:
        """Remember a result's values; whether a metric or a data type is new."""
        is_new = False
        for name, value in result.values.items():
            known = device.metrics.get(name)
            if known is None:
                if len(device.metrics) >= 16 * MOST_METRICS:
                    continue
                device.metrics[name] = _Known(self._next_alias(), value[0], value, result.t_ms)
                is_new = True
            elif result.t_ms >= known.t_ms:
                is_new |= known.datatype != value[0]
                known.datatype, known.value, known.t_ms = value[0], value, result.t_ms
        return is_new

    def _device_birth(self, name: str, device: _Device) -> Message:
        metrics = tuple(
            Metric(metric, known.alias, known.t_ms, known.datatype, value=known.value[1])
            for metric, known in device.metrics.items()
        )
        return self._message("DBIRTH", name, metrics)

    def _message(
        self, kind: str, device: str, metrics: tuple[Metric, ...], *, datatypes: bool = True
    ) -> Message:
        self._seq = (self._seq + 1) % 256
        payload = Payload(self._now_ms(), metrics, self._seq)
        return self._topic(kind, device), encode(payload, datatypes=datatypes)

    def _topic(self, kind: str, device: str = "") -> str:
        topic = f"{NAMESPACE}/{self._group}/{kind}/{self._node}"
        return f"{topic}/{device}" if device else topic

    def _sequence_metric(self) -> Metric:
        now_ms, sequence = self._now_ms(), self.birth_sequence
        return Metric(BIRTH_SEQUENCE, None, now_ms, DataType.INT64, value=sequence)

    def _next_alias(self) -> int:
        self._aliases += 1
        return self._aliases
