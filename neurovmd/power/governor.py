# SPDX-License-Identifier: Apache-2.0
"""``sensors → estimate → policy → actuators``, once a second while there is work."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from neurovmd import log
from neurovmd.power import policy
from neurovmd.power.actuators import set_duty
from neurovmd.power.estimate import CpuTimeEstimate
from neurovmd.power.reading import Missing, Roots, Sensor
from neurovmd.power.sensors import SENSORS
from neurovmd.shared import SharedBlock, Slot

# Shorter intervals than this measure the clock's grain, not the draw.
LEAST_INTERVAL_S = 0.2
# A meter that has no answer this often in a row is given up for the next source.
MISSES_BEFORE_GIVING_UP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerState:
    """One figure with its source, and what was decided on it."""

    watts: float | None  # mean over the window (or since the start); None before the first reading
    source: str  # "powercap:psys", "estimate:cpu-time", ...
    limit_w: float | None  # None: measure only
    duty: float  # 0..1 of the time may be computed in
    infeasible: bool  # the box is at its limit without the workers: they are paused
    vms_w: tuple[float, ...] = ()  # attributed to each worker by its CPU time, last interval
    core_w: float = 0.0  # what a busy core is believed to add, the factor of that

    def __str__(self) -> str:
        drawn = "?" if self.watts is None else f"{self.watts:.1f}"
        limit = "" if self.limit_w is None else f"/{self.limit_w:g}"
        words = f"{drawn}{limit} W ({self.source})"
        if self.infeasible:
            return f"{words}, paused: the box draws its limit with no model computing"
        return words if self.limit_w is None else f"{words}, duty {100 * self.duty:.0f} %"


class Governor:
    """Keeps the mean draw over every window below the limit by setting the duty of all workers.

    ``limit_w`` (> 0, or None to measure only) and ``window_s`` (> 0) are the promise; ``block`` is
    where the workers report their CPU time and find their duty; ``clock`` is monotonic, in seconds,
    and the first interval starts now. The limit is on what the source sees, all processes of the
    box included. ``vm_limits_w`` bounds what is attributed to each worker: its CPU time at what a
    busy core is believed to add. Owns the source and the policy's state.
    """

    def __init__(
        self,
        limit_w: float | None,
        window_s: float,
        block: SharedBlock,
        clock: Callable[[], float],
        roots: Roots | None = None,
        cpus: int | None = None,
        vm_limits_w: Sequence[float | None] = (),
    ) -> None:
        self._limit_w = limit_w
        self._window_s = window_s
        self._block = block
        self._roots = roots or Roots()
        self._cpus = cpus or os.cpu_count() or 1
        self._fallback = CpuTimeEstimate(self._roots)
        self._source, reasons = choose_source(self._roots, self._fallback)
        log.info("power.source", source=self._source.name, passed_by="; ".join(reasons) or "none")
        self._misses = 0
        self._last_s = clock()
        self._cpu_ns: dict[int, int] = {}
        self._vm_limits_w = tuple(vm_limits_w)
        self._vms_w: tuple[float, ...] = ()
        self._state = policy.start(self._fallback.constants.core_w)
        self._act()

    def limit_vms(self, vm_limits_w: Sequence[float | None]) -> None:
        """Bound the workers anew, by slot."""
        self._vm_limits_w = tuple(vm_limits_w)
        self._act()

    def tick(self, now_s: float) -> PowerState:
        """Measure, decide, act; ``now_s`` is the clock's.

        Ticks in quick succession repeat the last decision.
        """
        slots = self._block.slots
        elapsed_s = now_s - self._last_s
        if elapsed_s >= LEAST_INTERVAL_S:
            self._last_s = now_s
            self._decide(slots, elapsed_s)
        self._act()
        return PowerState(
            watts=policy.mean_w(self._state.history),
            source=self._source.name,
            limit_w=self._limit_w,
            duty=self._duty,
            infeasible=self._limit_w is not None and self._state.infeasible,
            vms_w=self._vms_w,
            core_w=self._state.core_w,
        )

    def _act(self) -> None:
        """The duty of the box for every worker, or the smaller one that its own limit allows."""
        for slot, limit_w in zip_longest(self._block.slots, self._vm_limits_w):
            own = 1.0 if limit_w is None else limit_w * (1 - policy.MARGIN) / self._state.core_w
            set_duty([slot], min(self._duty, own))

    @property
    def _duty(self) -> float:
        return 1.0 if self._limit_w is None else self._state.duty

    def _decide(self, slots: tuple[Slot, ...], elapsed_s: float) -> None:
        energy_j = self._measure(elapsed_s)
        busy_ns = self._busy_ns(slots)
        self._vms_w = tuple(ns / 1e9 / elapsed_s * self._state.core_w for ns in busy_ns)
        busy_s = sum(busy_ns) / 1e9
        interval = policy.Interval(
            elapsed_s=elapsed_s, energy_j=energy_j, busy_cores=busy_s / elapsed_s
        )
        if self._limit_w is None:
            history = policy.remember(self._state.history, interval, self._window_s)
            self._state = replace(self._state, history=history)
            return
        before = self._state.infeasible
        self._state = policy.decide(
            self._state,
            interval,
            limit_w=self._limit_w,
            window_s=self._window_s,
            cores=max(1, min(sum(slot.pid != 0 for slot in slots), self._cpus)),
        )
        if self._state.infeasible != before:
            say, word = (log.info, "feasible") if before else (log.warning, "infeasible")
            base_w = round(self._state.base_w or 0.0, 3)
            say(f"power.{word}", limit_w=self._limit_w, base_w=base_w)

    def _measure(self, elapsed_s: float) -> float | None:
        energy_j = self._source.energy_j(elapsed_s)
        if not isinstance(energy_j, Missing):
            self._misses = 0
            return energy_j
        self._misses += not energy_j.passing
        if self._misses >= MISSES_BEFORE_GIVING_UP and self._source is not self._fallback:
            self._source = self._fallback
            log.warning("power.source", source=self._source.name, passed_by=energy_j.reason)
            self._fallback.energy_j(elapsed_s)  # its interval starts now
            # Another source sees another part of the box: what was learned does not hold for it.
            self._state = policy.start(self._fallback.constants.core_w)
        return None

    def _busy_ns(self, slots: tuple[Slot, ...]) -> list[int]:
        """CPU time of each worker since the last tick."""
        before, self._cpu_ns = self._cpu_ns, {i: slot.cpu_ns for i, slot in enumerate(slots)}
        # A worker that was restarted counts from zero again.
        return [
            ns - before[i] if ns >= before.get(i, ns + 1) else ns for i, ns in self._cpu_ns.items()
        ]


def choose_source(roots: Roots, fallback: Sensor) -> tuple[Sensor, tuple[str, ...]]:
    """The first meter this box has, else the estimate; and why those before it were passed by."""
    reasons: list[str] = []
    for open_sensor in SENSORS:
        sensor = open_sensor(roots)
        if not isinstance(sensor, Missing):
            return sensor, tuple(reasons)
        reasons.append(sensor.reason)
    return fallback, tuple(reasons)
