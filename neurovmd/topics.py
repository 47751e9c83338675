# SPDX-License-Identifier: Apache-2.0
"""Topic patterns: `plant/{stream}/sensor/{element}` as a filter to subscribe and a way to read.

A named level stands alone between slashes and subscribes as `+`. `{stream}` names the stream,
`{element}` the input element, `{_}` is any level. `{prefix}`, `{node}` and `{vm}` are filled in
from the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FILLED = ("prefix", "node", "vm")
READ = ("stream", "element", "_")
MAX_TOPIC_BYTES = 65535
DEFAULT_STREAM = "default"

_NAME = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class TopicPattern:
    """A parsed input topic: `filter` is what to subscribe; `read` takes a topic apart."""

    filter: str
    levels: tuple[str | None, ...]
    stream_level: int | None
    element_level: int | None

    def matches(self, levels: list[str]) -> bool:
        """Whether the topic, split at its slashes, is one of this pattern's."""
        if len(levels) != len(self.levels):
            return False
        return all(
            want is None or want == have for want, have in zip(self.levels, levels, strict=True)
        )

    def meets(self, other: TopicPattern) -> bool:
        """Whether there is a topic that is one of both patterns'."""
        return len(self.levels) == len(other.levels) and all(
            mine is None or theirs is None or mine == theirs
            for mine, theirs in zip(self.levels, other.levels, strict=True)
        )

    def stream(self, levels: list[str]) -> str:
        return DEFAULT_STREAM if self.stream_level is None else levels[self.stream_level]

    def element(self, levels: list[str]) -> str | None:
        return None if self.element_level is None else levels[self.element_level]


def _refuse(found: str, accepted: str) -> ValueError:
    return ValueError(f"found {found}; accepted: {accepted}")


def check_names(pattern: str, accepted: Iterable[str]) -> None:
    """ValueError unless every `{name}` of `pattern` is one of `accepted` and braces are paired."""
    names = ", ".join(f"{{{name}}}" for name in accepted)
    for name in _NAME.findall(pattern):
        if name not in accepted:
            raise _refuse(f"{{{name}}}", names)
    if re.search(r"[{}]", _NAME.sub("", pattern)):
        raise _refuse(f"an unpaired brace in {pattern!r}", names)


def fill(pattern: str, values: Mapping[str, str]) -> str:
    """Replace each `{name}` that `values` holds; others stay."""
    return _NAME.sub(lambda found: values.get(found[1], found[0]), pattern)


def check_topic_text(topic: str) -> None:
    """ValueError where `topic` could never be a topic: empty, too long, NUL, wildcards."""
    if not topic or len(topic.encode("utf-8", "surrogatepass")) > MAX_TOPIC_BYTES:
        raise _refuse(f"{len(topic)} characters", f"1 to {MAX_TOPIC_BYTES} bytes")
    if any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in topic):
        raise _refuse("a control character or surrogate", "printable UTF-8")
    if "+" in topic or "#" in topic:
        raise _refuse(f"a wildcard in {topic!r}", "{_} for one level of any name")


def parse_input(pattern: str, values: Mapping[str, str] | None = None) -> TopicPattern:
    """Parse an input topic; ValueError says what was found and what is accepted."""
    check_topic_text(pattern)
    check_names(pattern, (*READ, *FILLED))
    levels: list[str | None] = []
    places: dict[str, int] = {}
    for number, level in enumerate(fill(pattern, values or {}).split("/")):
        names = [name for name in _NAME.findall(level) if name in READ]
        if names and level != f"{{{names[0]}}}":
            raise _refuse(f"the level {level!r}", f"{{{names[0]}}} alone between slashes")
        if names and names[0] != "_":
            if names[0] in places:
                raise _refuse(f"{{{names[0]}}} twice", "each name once")
            places[names[0]] = number
        levels.append(None if names else level)
    topic_filter = "/".join("+" if level is None else level for level in levels)
    return TopicPattern(topic_filter, tuple(levels), places.get("stream"), places.get("element"))


def check_output(pattern: str) -> None:
    """ValueError unless `pattern` is an output topic (`{prefix} {node} {vm} {stream}`)."""
    check_topic_text(pattern)
    check_names(pattern, (*FILLED, "stream"))
