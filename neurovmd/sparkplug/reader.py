# SPDX-License-Identifier: Apache-2.0
"""Messages of Sparkplug B as samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from neurovmd.payload.values import PayloadError, Sample, bounded_us
from neurovmd.sparkplug.nodes import Nodes
from neurovmd.sparkplug.readings import reading
from neurovmd.sparkplug.wire import WireError

if TYPE_CHECKING:
    from neurovmd.payload.sparkplug_b import SparkplugB


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
