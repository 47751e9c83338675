# SPDX-License-Identifier: Apache-2.0
"""Labelled readings of the simulated plant, for training and tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from examples.pump.faults import CLASSES, random_schedule
from examples.pump.pump import STUCK_SENSOR, Moment, Pump
from examples.pump.sensors import NAMES, SENSORS

__all__ = ["NAMES", "WINDOW", "Rows", "episode", "snapshots", "windows"]

Rows = tuple[list[list[float]], list[int]]
WINDOW = 16
EPISODE_S = 1500
SEVERITY_SEEN = 0.25  # below this a fault changes less than the sensors' dead bands
STUCK_SEEN = 0.03  # difference of stuck reading and truth, fraction of the range


def _visible(moment: Moment, spans: list[float]) -> bool:
    """Whether the state can be told from the readings at all."""
    if moment.truth == "sensor_stuck":
        index = NAMES.index(STUCK_SENSOR)
        return abs(SENSORS[index].span(moment.values[STUCK_SENSOR]) - spans[index]) > STUCK_SEEN
    return moment.truth == CLASSES[0] or moment.severity >= SEVERITY_SEEN


def episode(seed: int) -> Iterator[tuple[list[float], int, bool]]:
    """One pump with faults, second by second: 64 spans as last sent, class, whether visible."""
    pump = Pump(seed, random_schedule(seed, until_s=EPISODE_S, peak=(0.55, 1.0)))
    for _ in range(EPISODE_S):
        moment = pump.step()
        spans = pump.station.spans()
        yield spans, CLASSES.index(moment.truth), _visible(moment, spans)


def snapshots(seeds: Iterable[int], *, every: int = 3) -> Rows:
    """Every `every`-th second of each seed's episode: rows of 64 spans, and classes."""
    x: list[list[float]] = []
    y: list[int] = []
    for seed in seeds:
        for second, (spans, label, visible) in enumerate(episode(seed)):
            if visible and second % every == 0:
                x.append(spans)
                y.append(label)
    return x, y


def windows(seeds: Iterable[int], *, every: int = 12, spacing_s: int = 2) -> Rows:
    """Windows of the last `WINDOW` readings, flattened (time, sensor), and classes."""
    x: list[list[float]] = []
    y: list[int] = []
    for seed in seeds:
        past: list[list[float]] = []
        for second, (spans, label, visible) in enumerate(episode(seed)):
            past.append(spans)
            window = past[-1 : -WINDOW * spacing_s - 1 : -spacing_s][::-1]
            if visible and second % every == 0 and len(window) == WINDOW:
                x.append([value for row in window for value in row])
                y.append(label)
    return x, y
