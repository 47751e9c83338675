# SPDX-License-Identifier: Apache-2.0
"""Where the messages of a topic go: the stream, and the entries of `inputs` that read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from neurovmd.refusal import MappingError, RefusedError
from neurovmd.schema import Input
from neurovmd.shared import DropReason
from neurovmd.topics import TopicPattern

# A topic seen before is not taken apart again; a publisher that invents topics cannot fill memory.
MAX_ROUTES = 8192
MAX_ROUTE_BYTES = 1024
MAX_STREAM_BYTES = 256


class Bound(Protocol):
    """An entry of `inputs` bound to its tensor; `key` is where in the VM's file."""

    pattern: TopicPattern
    source: Input
    key: str

    def element(self, levels: list[str]) -> int | None:
        """The element a topic names, None where it names none; RefusedError for a wrong one."""


B = TypeVar("B", bound=Bound)


@dataclass(frozen=True, slots=True)
class Route(Generic[B]):
    """Where the messages of one topic go: the stream, and the element of each entry."""

    stream: str
    parts: tuple[tuple[B, int | None], ...]


def filters(bindings: Sequence[Bound]) -> dict[str, int]:
    """What to subscribe, with its QoS; MappingError where entries disagree about the stream."""
    found: dict[str, int] = {}
    for number, binding in enumerate(bindings):
        pattern = binding.pattern
        for other in bindings[:number]:
            theirs = other.pattern
            if pattern.meets(theirs) and pattern.stream_level != theirs.stream_level:
                accepted = "{stream} at the same level in all entries that read the same topic"
                raise MappingError(f"{binding.key}.topic", repr(binding.source.topic), accepted)
        found[pattern.filter] = max(binding.source.qos, found.get(pattern.filter, 0))
    return found


class Router(Generic[B]):
    """Finds the route of a topic, and remembers it."""

    def __init__(self, bindings: Sequence[B]) -> None:
        self._bindings = bindings
        self._routes: dict[str, Route[B]] = {}

    def route(self, topic: str | None) -> Route[B]:
        """RefusedError for a topic that no entry can read."""
        if topic is None:
            raise RefusedError(DropReason.TOPIC, "a topic that is not UTF-8")
        return self._routes.get(topic) or self._find(topic)

    def _find(self, topic: str) -> Route[B]:
        levels = topic.split("/")
        matching = [binding for binding in self._bindings if binding.pattern.matches(levels)]
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


def _parts(matching: list[B], levels: list[str]) -> tuple[tuple[B, int | None], ...]:
    """The entries that have the element a topic names; RefusedError where none has it."""
    parts: list[tuple[B, int | None]] = []
    refusals: list[RefusedError] = []
    for binding in matching:
        try:
            parts.append((binding, binding.element(levels)))
        except RefusedError as refusal:
            refusals.append(refusal)
    if not parts:
        raise refusals[0]
    return tuple(parts)
