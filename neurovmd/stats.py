# SPDX-License-Identifier: Apache-2.0
"""The figures of a node and its VMs, for those who show them: rates, counts, power, energy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from neurovmd.power import PowerState
from neurovmd.vm import Vm

_STEPS = 0


def node(power: PowerState | None) -> dict[str, Any]:
    """What the box draws; None before there is a figure."""
    if power is None or power.watts is None:
        return {"watts": None, "source": None, "duty": 1.0}
    return {
        "watts": round(power.watts, 3),
        "source": power.source,
        "duty": round(power.duty, 4),
    }


@dataclass(slots=True)
class Meter:
    """Makes the figures of VMs; it remembers how many inferences there were the time before."""

    _seen: dict[str, tuple[float, int]] = field(default_factory=dict)

    def vm(self, vm: Vm, power: PowerState | None, now: float) -> dict[str, Any]:
        """The figures of one VM at `now` (CLOCK_MONOTONIC seconds).

        Counts are those of its present worker. Energy and power are attributed: the CPU time of
        that process at what a busy core is believed to add.
        """
        slot = vm.slot
        steps = slot.counters[_STEPS]
        before_s, before = self._seen.get(vm.name, (now, steps))
        self._seen[vm.name] = (now, steps)
        passed_s = now - before_s
        rate = max(0, steps - before) / passed_s if passed_s > 0 else 0.0
        core_w = power.core_w if power is not None else 0.0
        watts = None
        if power is not None and vm.number < len(power.vms_w):
            watts = round(power.vms_w[vm.number], 4)
        return {
            "inferences": steps,
            "inferences_per_s": round(rate, 3),
            "dropped": sum(slot.dropped),
            "streams": slot.streams,
            "watts": watts,
            "energy_wh": round(slot.cpu_ns / 1e9 * core_w / 3600, 6),
        }

    def forget(self, name: str) -> None:
        """A VM is gone."""
        self._seen.pop(name, None)
