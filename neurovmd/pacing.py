# SPDX-License-Identifier: Apache-2.0
"""When the power governor looks: once a second while there is work, never while there is none."""

from __future__ import annotations

import time
from collections.abc import Sequence

from neurovmd.config import Settings
from neurovmd.power import Governor, PowerState
from neurovmd.shared import SharedBlock
from neurovmd.vm import Vm

TICK_S = 1.0
# So many seconds without a message before the governor's clock stops.
QUIET_TICKS = 5


class Pacing:
    """The governor and its clock. `state` is what it found last (None: nothing yet)."""

    def __init__(self, settings: Settings, vms: Sequence[Vm], block: SharedBlock) -> None:
        self._block = block
        self.state: PowerState | None = None
        self._governor = self._make(settings, vms)
        self.at = time.monotonic()
        self._quiet_ticks = 0
        self._seen = 0

    def _make(self, settings: Settings, vms: Sequence[Vm]) -> Governor:
        power = settings.config.power
        return Governor(
            power.limit_w,
            power.window_s,
            self._block,
            time.monotonic,
            vm_limits_w=self._limits_w(vms),
        )

    def _limits_w(self, vms: Sequence[Vm]) -> list[float | None]:
        """Each slot's own limit."""
        limits: list[float | None] = [None] * len(self._block)
        for vm in vms:
            limits[vm.number] = vm.deployment.vm.power_limit_w
        return limits

    def follow(self, before: Settings, after: Settings, vms: Sequence[Vm]) -> None:
        """A new configuration is in service, with these VMs."""
        if before.config.power == after.config.power:
            self._governor.limit_vms(self._limits_w(vms))
        else:
            self._governor = self._make(after, vms)
            self.state = None

    def look(self, now: float) -> PowerState:
        """Let the governor measure and act now (CLOCK_MONOTONIC seconds)."""
        self.state = self._governor.tick(now)
        return self.state

    def work_begins(self) -> None:
        """A worker has something to do: the clock runs again."""
        if not self._block.awake:
            self._block.awake = True
            self._quiet_ticks = 0
            self.at = time.monotonic()

    def due(self, now: float) -> float | None:
        """Look if it is time to; returns when it next is (None: not before there is work)."""
        if not self._block.awake:
            return None
        if now >= self.at:
            self._tick(now)
        return self.at

    def _tick(self, now: float) -> None:
        self.at = now + TICK_S
        self.look(now)
        slots = self._block.slots
        seen = sum(slot.messages_in + slot.results_out for slot in slots)
        busy = any(slot.busy_since_ns or slot.queue_depth for slot in slots)
        self._quiet_ticks = 0 if busy or seen != self._seen else self._quiet_ticks + 1
        self._seen = seen
        # A worker that starts between these lines wakes us: it looks at `awake` for every batch.
        if self._quiet_ticks >= QUIET_TICKS:
            self._block.awake = False
