# SPDX-License-Identifier: Apache-2.0
"""What is published: topics, rates, payload shapes and ranges, from messages as they come.

Messages are untrusted: topics, fields of a payload, depth and lengths are bounded, and what lies
beyond is counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from neurovm.recording import Recorded

MAX_TOPICS = 10_000
MAX_TOPIC_CHARACTERS = 512
MAX_FIELDS = 16
MAX_ALL_FIELDS = 40_000
MAX_DEPTH = 4
INFO = "/info"
MAX_PATH_CHARACTERS = 128
MAX_ENTRIES = 256  # of one object, or of a list of objects, that are looked at

_decode = msgspec.json.Decoder().decode


@dataclass(slots=True)
class Field:
    """Numbers at one path of a JSON payload: one, or a list of `least`…`most` of them."""

    path: str
    is_list: bool
    least: int
    most: int
    low: float
    high: float
    messages: int = 1

    def widen(self, other: Field) -> None:
        """Take in what another message had at the same path."""
        self.least = min(self.least, other.least)
        self.most = max(self.most, other.most)
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)
        self.messages += 1

    def as_json(self) -> dict[str, Any]:
        length = {"length": [self.least, self.most]} if self.is_list else {}
        return {"path": self.path, **length, "range": [self.low, self.high]}


@dataclass(slots=True)
class Topic:
    """One topic; `kinds` are those of its payloads: number, list, object, json, text, binary, …"""

    name: str
    first_us: int
    last_us: int
    least_bytes: int
    most_bytes: int
    messages: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    fields: dict[tuple[str, bool], Field] = field(default_factory=dict)

    @property
    def rate_hz(self) -> float | None:
        """Messages a second between the first and the last; None where that says nothing."""
        span_us = self.last_us - self.first_us
        return (self.messages - 1) * 1e6 / span_us if span_us > 0 else None

    def hear(self, message: Recorded, t_us: int, room: int) -> int:
        """Take in a message, with at most `room` new fields; how many there were."""
        before = len(self.fields)
        self.messages += 1
        self.last_us = max(self.last_us, t_us)
        self.least_bytes = min(self.least_bytes, message.size)
        self.most_bytes = max(self.most_bytes, message.size)
        kind, fields = look(message.payload)
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        for found in fields:
            key = (found.path, found.is_list)
            known = self.fields.get(key)
            if known is not None:
                known.widen(found)
            elif len(self.fields) < min(MAX_FIELDS, before + room):
                self.fields[key] = found
        return len(self.fields) - before

    def as_json(self) -> dict[str, Any]:
        return {
            "topic": self.name,
            "messages": self.messages,
            "rate_hz": self.rate_hz,
            "bytes": [self.least_bytes, self.most_bytes],
            "payloads": self.kinds,
            "fields": [found.as_json() for found in self.fields.values()],
        }


@dataclass(slots=True)
class Survey:
    """All topics heard, at most `MAX_TOPICS` with `MAX_ALL_FIELDS` fields; `beyond` counts messages
    on others.
    """

    topics: dict[str, Topic] = field(default_factory=dict)
    messages: int = 0
    beyond: int = 0
    fields: int = 0
    nodes: set[str] = field(default_factory=set)

    def hear(self, message: Recorded) -> None:
        self.messages += 1
        t_us = message.t_us or 0
        topic = self.topics.get(message.topic)
        if topic is None:
            if len(self.topics) >= MAX_TOPICS or len(message.topic) > MAX_TOPIC_CHARACTERS:
                self.beyond += 1
                return
            topic = Topic(message.topic, t_us, t_us, message.size, message.size)
            self.topics[message.topic] = topic
        self.fields += topic.hear(message, t_us, MAX_ALL_FIELDS - self.fields)
        if message.topic.endswith(INFO) and _is_info(message.payload):
            self.nodes.add(message.topic.removesuffix(INFO))

    def by_messages(self) -> list[Topic]:
        """The busiest first; what nodes of neurovm say themselves is left out."""
        others = (topic for topic in self.topics.values() if not self._is_own(topic.name))
        return sorted(others, key=lambda topic: (-topic.messages, topic.name))

    def own(self) -> list[Topic]:
        """Results, states and the like of neurovm's nodes, that are nothing to draft from."""
        return [topic for topic in self.topics.values() if self._is_own(topic.name)]

    def _is_own(self, name: str) -> bool:
        """Whether a topic stands below a node's, and is not an input of a VM of its."""
        levels = name.split("/")
        return any(
            "/".join(levels[:depth]) in self.nodes and levels[depth + 1 : depth + 2] != ["in"]
            for depth in range(1, len(levels))
        )


def _is_info(payload: bytes | None) -> bool:
    """Whether this is the retained word of a daemon about itself."""
    try:
        found = _decode(payload or b"")
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and {"node", "config_hash", "vms"} <= set(found)


def look(payload: bytes | None) -> tuple[str, list[Field]]:
    """What kind of payload this is, and where it holds numbers."""
    if payload is None:
        return "too large", []
    if not payload:
        return "empty", []
    try:
        value = _decode(payload)
    except (ValueError, RecursionError):
        return ("text" if _is_text(payload) else "binary"), []
    fields = []
    for found in _numbers(value, "", 0):
        fields.append(found)
        if len(fields) >= MAX_FIELDS:
            break
    return _kind(value, fields), fields


def _kind(value: object, fields: list[Field]) -> str:
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "list"
    return "number" if fields else "json"


def _is_text(payload: bytes) -> bool:
    try:
        return all(letter.isprintable() or letter.isspace() for letter in payload.decode())
    except UnicodeDecodeError:
        return False


def _numbers(value: object, path: str, depth: int) -> Iterator[Field]:
    """Every number and list of numbers in a JSON value."""
    number = _real(value)
    if number is not None:
        yield Field(path, is_list=False, least=1, most=1, low=number, high=number)
    elif depth >= MAX_DEPTH or len(path) > MAX_PATH_CHARACTERS:
        return
    elif isinstance(value, list):
        yield from _in_list(value, path, depth)
    elif isinstance(value, dict):
        for _, (key, inner) in zip(range(MAX_ENTRIES), value.items(), strict=False):
            # A path names keys between dots and brackets, so those with such cannot be named.
            if key and not any(letter in ".[]" for letter in key):
                yield from _numbers(inner, f"{path}.{key}" if path else key, depth + 1)


def _in_list(values: list[object], path: str, depth: int) -> Iterator[Field]:
    numbers = [number for number in map(_real, values) if number is not None]
    if values and len(numbers) == len(values):
        count = len(numbers)
        low, high = min(numbers), max(numbers)
        yield Field(path, is_list=True, least=count, most=count, low=low, high=high)
        return
    for at, inner in enumerate(values[:MAX_ENTRIES]):
        if isinstance(inner, (dict, list)):
            yield from _numbers(inner, f"{path}[{at}]", depth + 1)


def _real(value: object) -> float | None:
    """A finite number, true or false; None for anything else."""
    if not isinstance(value, (bool, int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
