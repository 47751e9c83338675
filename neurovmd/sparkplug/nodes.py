# SPDX-License-Identifier: Apache-2.0
"""What is heard of other edge nodes: births, the names of aliases, gaps in `seq`, deaths.

A metric by alias is read only while its node's messages follow each other without a gap since its
birth: after a gap an alias may mean something else. Then, and for a node whose birth was never
heard, a rebirth is asked for (specification 3.0, §5.7, §6.4.3).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from zlib import crc32

from neurovmd.sparkplug import NAMESPACE
from neurovmd.sparkplug.wire import DataType, Metric, Payload, WireError, decode, encode

REBIRTH = "Node Control/Rebirth"
BIRTH_SEQUENCE = "bdSeq"
MOST_NODES = 1024
MOST_NAMES = 1 << 17
MOST_NAME_CHARACTERS = 1 << 23
"""Metrics that are remembered by name and alias, of all nodes together, and how long their names
are with those of their devices.
"""
ASK_EVERY_NS = 10_000_000_000

_DATA = frozenset(("NBIRTH", "NDATA", "DBIRTH", "DDATA"))
_KINDS = frozenset((*_DATA, "NDEATH", "DDEATH", "NCMD", "DCMD"))
_Name = tuple[str, str]
"""A device (empty: the node itself) and a metric."""


@dataclass(frozen=True, slots=True)
class Source:
    """Whose message it is, by its topic; `device` is empty for the node's own."""

    group: str
    kind: str
    node: str
    device: str = ""

    @classmethod
    def of(cls, topic: str) -> Source:
        """WireError for a topic that is none of Sparkplug's."""
        parts = topic.split("/")
        is_device = len(parts) == 5
        if not 4 <= len(parts) <= 5 or parts[0] != NAMESPACE or parts[2] not in _KINDS:
            raise WireError(f"the topic {topic!r:.80} is none of {NAMESPACE}")
        if is_device != parts[2].startswith("D"):
            raise WireError(f"{parts[2]} with {len(parts)} levels")
        return cls(parts[1], parts[2], parts[3], parts[4] if is_device else "")

    @property
    def command_topic(self) -> str:
        return f"{NAMESPACE}/{self.group}/NCMD/{self.node}"


@dataclass(slots=True)
class _Node:
    """`seq` is the last one heard; None: nothing is known of what its aliases mean. `characters`:
    how long all names are.
    """

    seq: int | None = None
    birth_sequence: object = None
    last: int = 0
    aliases: dict[int, _Name] = field(default_factory=dict)
    datatypes: dict[_Name, int] = field(default_factory=dict)
    characters: int = 0
    asked_ns: int | None = None

    @property
    def count(self) -> int:
        """Metrics that are remembered; a name may have been born with several aliases."""
        return max(len(self.datatypes), len(self.aliases))

    def remember(self, name: _Name, metric: Metric) -> None:
        """What was born."""
        if name not in self.datatypes:
            self.characters += len(name[0]) + len(name[1])
        self.datatypes[name] = metric.datatype
        if metric.alias is not None:
            self.aliases[metric.alias] = name

    def forget(self, device: str | None = None) -> None:
        """What was born: of one device, or all."""
        if device is None:
            self.seq, self.characters = None, 0
            self.aliases.clear()
            self.datatypes.clear()
            return
        self.aliases = {at: name for at, name in self.aliases.items() if name[0] != device}
        self.datatypes = {name: kind for name, kind in self.datatypes.items() if name[0] != device}
        self.characters = sum(len(device) + len(name) for device, name in self.datatypes)


class Nodes:
    """All nodes that are heard of. `requests` are commands to publish, topic and payload, at QoS 0;
    whoever publishes them clears the list. `clock_ns` is monotonic.
    """

    def __init__(self, clock_ns: Callable[[], int], *, rebirth: bool = True) -> None:
        self._clock_ns, self._rebirth = clock_ns, rebirth
        self._nodes: dict[tuple[str, str], _Node] = {}
        self.requests: list[tuple[str, bytes]] = []

    def hear(self, topic: str, data: bytes) -> tuple[Metric, ...]:
        """The metrics of a message, each with its name, data type and time; none of a death or a
        command. WireError for a message that is none.
        """
        source = Source.of(topic)
        if source.kind in ("NCMD", "DCMD"):
            return ()
        payload = decode(data)
        node = self._node(source)
        if source.kind == "NDEATH":
            said = _birth_sequence(payload)
            # A will may come after the next birth (§5.5): it is of the birth with its number.
            if said is None or said == node.birth_sequence:
                node.forget()
            return ()
        fingerprint = crc32(data) | len(data) << 32
        if source.kind == "NBIRTH":
            node.forget()
            node.birth_sequence = _birth_sequence(payload)
            node.seq = payload.seq
        elif (payload.seq, fingerprint) != (node.seq, node.last):  # else it came twice
            self._follow(node, payload, source)
        node.last = fingerprint
        if source.kind in ("NBIRTH", "DBIRTH"):
            self._born(node, source.device, payload)
        if source.kind == "DDEATH":
            node.forget(source.device)
            return ()
        return self._resolved(node, source, payload)

    def _node(self, source: Source) -> _Node:
        key = (source.group, source.node)
        node = self._nodes.get(key)
        if node is None:
            if len(self._nodes) >= MOST_NODES:
                self._nodes.pop(next(iter(self._nodes)))
            node = self._nodes[key] = _Node()
        return node

    def _follow(self, node: _Node, payload: Payload, source: Source) -> None:
        """Compare `seq` with the one before (§6.4.3)."""
        if node.seq is not None and payload.seq == (node.seq + 1) % 256:
            node.seq = payload.seq
            return
        node.forget()
        self._ask(node, source)

    def _ask(self, node: _Node, source: Source) -> None:
        """Ask a node for its birth, not more often than every ten seconds."""
        now_ns = self._clock_ns()
        if not self._rebirth:
            return
        if node.asked_ns is not None and now_ns - node.asked_ns < ASK_EVERY_NS:
            return
        node.asked_ns = now_ns
        wish = Metric(REBIRTH, datatype=DataType.BOOLEAN, value=True)
        payload = Payload(time.time_ns() // 1_000_000, (wish,))
        self.requests.append((source.command_topic, encode(payload)))

    def _born(self, node: _Node, device: str, payload: Payload) -> None:
        """Remember what a birth says of names, aliases and data types."""
        node.forget(device) if device else None
        known = sum(each.count for each in self._nodes.values())
        if known + len(payload.metrics) > MOST_NAMES:
            raise WireError(f"more than {MOST_NAMES} metrics are remembered")
        room = MOST_NAME_CHARACTERS - sum(each.characters for each in self._nodes.values())
        if sum(len(device) + len(metric.name or "") for metric in payload.metrics) > room:
            raise WireError(f"names of more than {MOST_NAME_CHARACTERS} characters are remembered")
        for metric in payload.metrics:
            if metric.name is None:
                raise WireError("a birth with a metric that has no name")
            node.remember((device, metric.name), metric)

    def _resolved(self, node: _Node, source: Source, payload: Payload) -> tuple[Metric, ...]:
        found: list[Metric] = []
        for metric in payload.metrics:
            name = metric.name
            if name is None:
                device, name = node.aliases.get(metric.alias or 0, ("", None))
                if name is None or device != source.device:
                    self._ask(node, source)
                    continue
            kind = metric.datatype or node.datatypes.get((source.device, name), 0)
            t_ms = payload.timestamp_ms if metric.timestamp_ms is None else metric.timestamp_ms
            found.append(metric._replace(name=name, datatype=kind, timestamp_ms=t_ms))
        return tuple(found)


def _birth_sequence(payload: Payload) -> object:
    """The `bdSeq` of a node's birth or death; None where it says none."""
    return next((each.value for each in payload.metrics if each.name == BIRTH_SEQUENCE), None)
