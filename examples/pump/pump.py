# SPDX-License-Identifier: Apache-2.0
"""One pump as the outside sees it: physics, its faults on schedule, and what its sensors send."""

from __future__ import annotations

from dataclasses import dataclass

from examples.pump.faults import NORMAL, Schedule
from examples.pump.plant import Plant
from examples.pump.sensors import Station

STUCK_SENSOR = "flow_pump"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One step of a pump.

    `sends` holds the readings that leave their sensors now (name → value in its unit), `truth`
    the class that holds at `time_s` (end of the step) and `severity` its 0..1.
    """

    time_s: float
    truth: str
    severity: float
    values: dict[str, float]
    sends: dict[str, float]


class Pump:
    """A plant, its schedule of faults and its sensors; equal seeds give equal pumps."""

    def __init__(self, seed: int, schedule: Schedule, *, step_s: float = 1.0) -> None:
        self.schedule = schedule
        self.station = Station(seed)
        self._plant = Plant(seed, step_s)

    @property
    def time_s(self) -> float:
        """Seconds of plant time since the start."""
        return self._plant.time_s

    def step(self) -> Moment:
        """Advance by one step and read all sensors."""
        time_s = self._plant.time_s + self._plant.step_s
        severity = self.schedule.severity(time_s)
        truth = self.schedule.truth(time_s)
        values = self._plant.step(severity)
        stuck = frozenset({STUCK_SENSOR}) if truth == "sensor_stuck" else frozenset[str]()
        return Moment(
            time_s=time_s,
            truth=truth,
            severity=0.0 if truth == NORMAL else severity[truth],
            values=values,
            sends=self.station.sample(values, stuck),
        )
