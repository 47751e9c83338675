# SPDX-License-Identifier: Apache-2.0
"""From topics to patterns: levels that vary become `{stream}` and `{element}`.

Topics with the same number of levels and the same reading of their payload are one pattern where
they fill at least half of what the pattern allows; else they are parted at the level that varies
least. One number a message leaves room for a stream and an element, a whole tensor for a stream.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from neurovm.cli.survey import Field, Topic

# Deeper topics are shown, but not drafted from.
MAX_LEVELS = 16
LEAST_DENSITY = 0.5
# What a message says of itself, and no sensor.
ABOUT_ITSELF = {
    "_t", "at", "counter", "id", "seq", "sequence", "t", "t_us", "time", "timestamp", "ts",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """How a payload is read: `form` number, list, object (numbers by name) or raw.

    `path` is the JSON field, `size` the numbers of a list or the bytes of a raw payload, `names`
    those of an object.
    """

    form: str
    path: str = ""
    size: int = 1
    names: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, int]:
        """What topics of one pattern have in common."""
        return self.form, self.path, self.size


@dataclass(frozen=True, slots=True)
class Pattern:
    """`levels` with None where topics differ; `varying` holds the names found there, by level."""

    levels: tuple[str | None, ...]
    varying: dict[int, tuple[str, ...]]
    reading: Reading
    topics: int
    messages: int
    low: float | None
    high: float | None

    def topic(self, roles: dict[int, str]) -> str:
        """The topic of a VM file; levels without a role are any."""
        return "/".join(
            f"{{{roles.get(at, '_')}}}" if level is None else level
            for at, level in enumerate(self.levels)
        )


def reading_of(topic: Topic) -> Reading | None:
    """How to read a topic's payloads; None where they hold no numbers."""
    if set(topic.kinds) == {"binary"}:
        same = topic.least_bytes == topic.most_bytes
        return Reading("raw", size=topic.most_bytes) if same else None
    fields = [each for each in topic.fields.values() if _last(each.path) not in ABOUT_ITSELF]
    lists = [each for each in fields if each.is_list and each.least == each.most > 1]
    if lists:
        longest = max(lists, key=lambda each: each.most)
        return Reading("list", longest.path, longest.most)
    numbers = [each for each in fields if not each.is_list]
    return _of_numbers(numbers) if numbers else None


def _of_numbers(numbers: list[Field]) -> Reading:
    paths = [each.path for each in numbers]
    for path in ("", "value"):
        if path in paths:
            return Reading("number", path)
    if len(paths) == 1:
        return Reading("number", paths[0])
    parents: dict[str, list[str]] = {}
    for path in paths:
        if not path.endswith("]"):
            parent, _, name = path.rpartition(".")
            parents.setdefault(parent, []).append(name)
    if not parents:
        return Reading("number", paths[0])
    parent, names = max(parents.items(), key=lambda item: len(item[1]))
    if len(names) == 1:
        return Reading("number", paths[0])
    return Reading("object", parent, names=tuple(sorted(names, key=natural)))


def _last(path: str) -> str:
    return path.rpartition(".")[2].lower()


def find(topics: Sequence[Topic]) -> list[Pattern]:
    """The patterns of what was heard, the busiest first."""
    groups: dict[object, list[tuple[tuple[str, ...], Topic, Reading]]] = {}
    for topic in topics:
        levels = tuple(topic.name.split("/"))
        reading = reading_of(topic)
        if reading is not None and _usable(levels):
            groups.setdefault((len(levels), reading.key), []).append((levels, topic, reading))
    found = [pattern for group in groups.values() for pattern in _part(group)]
    return sorted(found, key=lambda each: (-each.messages, [level or "" for level in each.levels]))


def _usable(levels: tuple[str, ...]) -> bool:
    """Whether a VM could hear it: no braces or control characters, and no results of a VM."""
    if len(levels) > MAX_LEVELS or any(re.search(r"[{}\x00-\x1f]", level) for level in levels):
        return False
    own = levels[0] == "neurovm"
    return not (own and ("result" in levels or levels[-1] in ("availability", "info", "state")))


Members = list[tuple[tuple[str, ...], Topic, Reading]]


def _part(members: Members) -> list[Pattern]:
    """One pattern for all, or those of its parts."""
    distinct = [set(names) for names in zip(*(levels for levels, _, _ in members), strict=True)]
    varying = [at for at, names in enumerate(distinct) if len(names) > 1]
    room = 2 if members[0][2].form == "number" else 1
    density = len(members) / math.prod(len(distinct[at]) for at in varying)
    if len(varying) <= room and density >= LEAST_DENSITY:
        return [_pattern(members, distinct, varying)]
    at = min(varying, key=lambda level: len(distinct[level]))
    parts: dict[str, Members] = {}
    for member in members:
        parts.setdefault(member[0][at], []).append(member)
    return [pattern for part in parts.values() for pattern in _part(part)]


def _pattern(members: Members, distinct: list[set[str]], varying: list[int]) -> Pattern:
    first = members[0]
    reading = first[2]
    names = sorted({name for _, _, each in members for name in each.names}, key=natural)
    levels = tuple(None if at in varying else level for at, level in enumerate(first[0]))
    # Of an object, all its numbers; else those at the path.
    fields = [
        each
        for _, topic, _ in members
        for each in topic.fields.values()
        if each.path == reading.path or reading.form == "object"
    ]
    return Pattern(
        levels,
        {at: tuple(sorted(distinct[at], key=natural)) for at in varying},
        Reading(reading.form, reading.path, reading.size, tuple(names)),
        len(members),
        sum(topic.messages for _, topic, _ in members),
        min((each.low for each in fields), default=None),
        max((each.high for each in fields), default=None),
    )


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts s2 before s10."""
    parts = re.split(r"([0-9]{1,18})", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]
