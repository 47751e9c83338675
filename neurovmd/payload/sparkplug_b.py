# SPDX-License-Identifier: Apache-2.0
"""Sparkplug B payloads (specification 3.0): metrics of an edge node or of one of its devices.

The topic is that of the data, `spBv1.0/GROUP/DDATA/NODE/DEVICE` or `spBv1.0/GROUP/NDATA/NODE`;
everything of the node is subscribed, as births say what aliases mean and `seq` counts all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from neurovmd.payload.values import PayloadError, Sample, bounded_us
from neurovmd.sparkplug.nodes import NAMESPACE, Nodes
from neurovmd.sparkplug.readings import reading
from neurovmd.sparkplug.wire import WireError
from neurovmd.topics import TopicPattern

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


class SparkplugReader:
    """Reads the messages of one entry of `inputs`, and hears those beside it."""

    def __init__(self, source: SparkplugB, clock_ns: Callable[[], int]) -> None:
        self._source = source
        self._nodes = Nodes(clock_ns, rebirth=source.rebirth)

    @property
    def requests(self) -> list[tuple[str, bytes]]:
        """Commands to publish; whoever does clears the list."""
        return self._nodes.requests

    def overhear(self, topic: str, payload: bytes) -> None:
        """Take note of a message of the same node; PayloadError where it is none."""
        try:
            self._nodes.hear(topic, payload)
        except WireError as error:
            raise PayloadError(f"no Sparkplug B: {error}") from None

    def __call__(self, topic: str | None, payload: bytes) -> Sequence[Sample]:
        try:
            return self._samples(topic or "", payload)
        except WireError as error:
            raise PayloadError(f"no Sparkplug B: {error}") from None

    def _samples(self, topic: str, payload: bytes) -> list[Sample]:
        source = self._source
        moments: dict[int | None, dict[str, object]] = {}
        for metric in self._nodes.hear(topic, payload):
            if source.metric not in (None, metric.name):
                continue
            if metric.is_historical and source.historical == "skip":
                continue
            value = reading(metric)
            if value is None:
                continue
            t_ms = metric.timestamp_ms
            t_us = None if t_ms is None else bounded_us(t_ms * 1000, "timestamp")
            moments.setdefault(t_us, {})[metric.name or ""] = value
        order = sorted(moments, key=lambda t_us: -1 if t_us is None else t_us)
        if source.metric is None:
            return [Sample(t_us, moments[t_us]) for t_us in order]
        return [Sample(t_us, moments[t_us][source.metric]) for t_us in order]  # type: ignore[arg-type]  # a reading
