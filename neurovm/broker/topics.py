# SPDX-License-Identifier: Apache-2.0
"""Topic filters of MQTT (section 4.7)."""

from __future__ import annotations


def is_filter(text: str) -> bool:
    """Whether `text` is a topic filter: # is the last level alone, + a level alone."""
    levels = text.split("/")
    return (
        bool(text)
        and all(level in ("+", "#") or not set(level) & {"+", "#"} for level in levels)
        and "#" not in levels[:-1]
    )


def matches(wish: str, topic: str) -> bool:
    """Whether a topic falls under a filter; a first level with $ under no wildcard."""
    if topic.startswith("$") and wish[:1] in ("+", "#"):
        return False
    wishes, levels = wish.split("/"), topic.split("/")
    for position, level in enumerate(wishes):
        if level == "#":
            return True
        if position >= len(levels) or level not in ("+", levels[position]):
            return False
    return len(wishes) == len(levels)
