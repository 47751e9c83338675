# SPDX-License-Identifier: Apache-2.0
"""Faults of the pump and their schedule: what is wrong, from when, how fast it grows."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NORMAL = "normal"
CLASSES: tuple[str, ...] = (
    NORMAL,
    "cavitation",  # an obstructed suction line: the water boils in the impeller
    "bearing_wear",  # the drive-end bearing runs hot and rough
    "blocked_filter",  # the filter's resistance grows fivefold
    "leak",  # the main behind the pump loses up to a sixth of the flow
    "dry_running",  # air in the suction line
    "sensor_stuck",  # the flow meter of the pump repeats its last value
    "phase_imbalance",  # one phase of the supply sags by 7 %
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault: half-open interval [start_s, start_s + length_s) of plant time.

    Severity rises linearly from 0 to `peak` (0..1) within `ramp_s`, stays, and is 0 at the end:
    the repair is instant, what it leaves behind (heat, water on the floor) fades by itself.
    """

    name: str
    start_s: float
    length_s: float
    ramp_s: float = 25.0
    peak: float = 1.0

    def active(self, time_s: float) -> bool:
        """Whether the fault holds at `time_s`."""
        return self.start_s <= time_s < self.start_s + self.length_s

    def severity(self, time_s: float) -> float:
        """Severity 0..1 at `time_s`."""
        if not self.active(time_s):
            return 0.0
        return self.peak * min((time_s - self.start_s) / self.ramp_s, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Faults of one pump, ordered by start, not overlapping."""

    faults: tuple[Fault, ...]

    def __post_init__(self) -> None:
        end_s = 0.0
        for fault in self.faults:
            if fault.name not in CLASSES[1:]:
                raise ValueError(f"fault: found {fault.name!r}, accepted {', '.join(CLASSES[1:])}")
            if fault.start_s < end_s:
                raise ValueError(f"fault {fault.name}: starts at {fault.start_s} s, within another")
            end_s = fault.start_s + fault.length_s

    def at(self, time_s: float) -> Fault | None:
        """The fault that holds at `time_s`."""
        return next((fault for fault in self.faults if fault.active(time_s)), None)

    def truth(self, time_s: float) -> str:
        """The true class at `time_s`."""
        fault = self.at(time_s)
        return NORMAL if fault is None else fault.name

    def severity(self, time_s: float) -> dict[str, float]:
        """Severities as `Plant.step` takes them."""
        fault = self.at(time_s)
        return {} if fault is None else {fault.name: fault.severity(time_s)}


def shuffled(names: Sequence[str], generator: random.Random) -> Iterator[str]:
    """The names for ever: each once, in random order, then again."""
    while True:
        round_ = list(names)
        generator.shuffle(round_)
        yield from round_


def random_schedule(
    seed: int,
    *,
    names: Sequence[str] = CLASSES[1:],
    until_s: float,
    first_s: float = 60.0,
    fault_s: tuple[float, float] = (60.0, 100.0),
    pause_s: tuple[float, float] = (60.0, 110.0),
    peak: tuple[float, float] = (0.8, 1.0),
) -> Schedule:
    """Faults in random order with random lengths and pauses, all before `until_s`."""
    generator = random.Random(f"faults-{seed}")
    faults: list[Fault] = []
    start_s = first_s
    for name in shuffled(names, generator):
        length_s = generator.uniform(*fault_s)
        if start_s + length_s > until_s:
            break
        faults.append(
            Fault(name=name, start_s=start_s, length_s=length_s, peak=generator.uniform(*peak))
        )
        start_s += length_s + generator.uniform(*pause_s)
    return Schedule(faults=tuple(faults))
