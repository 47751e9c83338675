# SPDX-License-Identifier: Apache-2.0
"""Labelled readings of the simulated plant, for training and tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .faults import CLASSES, Schedule, random_schedule
from .plant import Plant
from .sensors import NAMES, SENSORS, Station

__all__ = ["NAMES", "WINDOW", "Rows", "snapshots", "stuck_sensors", "windows"]

Rows = tuple[list[list[float]], list[int]]
WINDOW = 16
EPISODE_S = 1500
SEVERITY_SEEN = 0.35  # below this a fault changes less than the sensors' dead bands
STUCK_SEEN = 0.025  # difference of stuck reading and truth, fraction of the range


def stuck_sensors(truth: str) -> frozenset[str]:
    """The sensors that repeat their last reading when `truth` is the state of the plant."""
    return frozenset({"flow_pump"}) if truth == "sensor_stuck" else frozenset()


def _visible(schedule: Schedule, time_s: float, values: dict[str, float], span: float) -> bool:
    """Whether the state at `time_s` can be told from its readings at all."""
    fault = schedule.at(time_s)
    if fault is None:
        return True
    if fault.name == "sensor_stuck":
        flow = SENSORS[NAMES.index("flow_pump")]
        return abs(flow.span(values["flow_pump"]) - span) > STUCK_SEEN
    return fault.severity(time_s) >= SEVERITY_SEEN


def episode(seed: int) -> Iterator[tuple[list[float], int, bool]]:
    """One plant with faults, second by second: 64 spans as last sent, class, whether visible."""
    schedule = random_schedule(seed, until_s=EPISODE_S, peak=(0.55, 1.0))
    plant, station = Plant(seed), Station(seed)
    stuck_index = NAMES.index("flow_pump")
    for _ in range(EPISODE_S):
        values = plant.step(schedule.severity(plant.time_s))
        truth = schedule.truth(plant.time_s)
        station.sample(values, stuck_sensors(truth))
        spans = station.spans()
        yield (
            spans,
            CLASSES.index(truth),
            _visible(schedule, plant.time_s, values, spans[stuck_index]),
        )


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
