# SPDX-License-Identifier: Apache-2.0
"""Sparkplug B payloads (specification 3.0): metrics of an edge node or of one of its devices.

The topic is that of the data, `spBv1.0/GROUP/DDATA/NODE/DEVICE` or `spBv1.0/GROUP/NDATA/NODE`;
everything of the node is subscribed, as births say what aliases mean and `seq` counts all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from neurovmd.sparkplug import NAMESPACE
from neurovmd.topics import TopicPattern

if TYPE_CHECKING:
    from neurovmd.sparkplug.reader import SparkplugReader

_KIND_LEVEL, _NODE_LEVEL = 2, 3
_ACCEPTED = f"{NAMESPACE}/GROUP/DDATA/NODE/DEVICE or {NAMESPACE}/GROUP/NDATA/NODE"


class SparkplugB(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="format", tag="sparkplug_b"
):
    """`metric` is the one whose values are taken, a number or an array; without it a sample holds
    all numbers of a moment by name.

    `rebirth`: whether a node is asked for its birth where that was not heard or messages are
    missing. `historical`: whether values that a node stored while it was away are used or skipped.
    """

    metric: Annotated[str, Meta(min_length=1)] | None = None
    rebirth: bool = True
    historical: Literal["skip", "use"] = "skip"

    @property
    def timed(self) -> bool:
        """Always."""
        return True

    def samples(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> SparkplugReader:
        """As many samples as a message has moments; none where it sets nothing (a death, a birth
        without numbers, values that are skipped). PayloadError for what is no payload.
        """
        from neurovmd.sparkplug.reader import SparkplugReader  # a daemon without it takes no room

        return SparkplugReader(self, clock_ns)

    @staticmethod
    def pattern(written: TopicPattern) -> TopicPattern:
        """The topics whose messages are read, and what is subscribed for them; ValueError where the
        topic is none of Sparkplug's.
        """
        levels = written.levels
        kinds = ("NDATA", None) if len(levels) == 4 else ("DDATA", None)
        if not 4 <= len(levels) <= 5 or levels[0] != NAMESPACE or levels[_KIND_LEVEL] not in kinds:
            raise ValueError(f"found {written.filter!r}; accepted: {_ACCEPTED}")
        if written.stream_level == _KIND_LEVEL or written.element_level is not None:
            raise ValueError(f"found a name in {written.filter!r}; accepted: {_ACCEPTED}")
        levels = (*levels[:_KIND_LEVEL], None, *levels[_KIND_LEVEL + 1 :])
        node = "/".join("+" if level is None else level for level in levels[: _NODE_LEVEL + 1])
        return replace(written, levels=levels, filter=f"{node}/#")
