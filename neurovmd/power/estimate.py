# SPDX-License-Identifier: Apache-2.0
"""The draw of a box that has no meter, from its CPU time: an estimate, and named so in every
figure.

``P = idle_w + core_w · busy cores``, busy cores being CPU seconds per second over all CPUs. The
constants:

* Raspberry Pi 4: 2.7 W idle and 6.4 W with four busy cores, measured at the USB supply
  (pidramble.com, "Power consumption benchmarks"), so 0.93 W a core. Used for every ARM box: an
  assumption for all but that one.
* Other machines: 7 W idle and 3.5 W a busy core, an assumption about a small x86 gateway, not a
  measurement.

Expect errors of a factor of two on another box. Peripherals, radios and accelerators are not seen
at all.
"""

import platform
from dataclasses import dataclass

from neurovmd.power.reading import Missing, Roots, read_text

# Fields of a "cpu" line that are work, by position after the name (proc(5)): user, nice, system,
# irq, softirq. Guest time is inside user and nice already; steal is another machine's work; idle
# and iowait are none.
_BUSY_FIELDS = (0, 1, 2, 5, 6)
# The kernel shows these times in USER_HZ, which is 100 on every architecture this runs on.
_TICKS_PER_S = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """Draw at rest, and what one busy core adds."""

    idle_w: float
    core_w: float


ARM_BOX = Constants(idle_w=2.7, core_w=0.93)
OTHER_BOX = Constants(idle_w=7.0, core_w=3.5)


def constants_for(machine: str) -> Constants:
    """The constants for a machine name as ``uname -m`` prints it."""
    return ARM_BOX if machine.startswith(("aarch64", "arm")) else OTHER_BOX


def busy_ticks(stat: str) -> int | None:
    """Ticks of work of all CPUs together from the text of ``/proc/stat``; None when it is not
    such a text.
    """
    words = stat.partition("\n")[0].split()
    if len(words) < 8 or words[0] != "cpu" or not all(word.isdigit() for word in words[1:8]):
        return None
    return sum(int(words[1 + field]) for field in _BUSY_FIELDS)


class CpuTimeEstimate:
    """The last link of the chain of sources: always there, never exact."""

    name = "estimate:cpu-time"

    def __init__(self, roots: Roots, constants: Constants | None = None) -> None:
        self.constants = constants or constants_for(platform.machine())
        self._path = roots.proc / "stat"
        ticks = self._ticks()
        self._last_ticks = 0 if isinstance(ticks, Missing) else ticks

    def energy_j(self, elapsed_s: float) -> float | Missing:
        """Estimated joules since the previous call."""
        ticks = self._ticks()
        if isinstance(ticks, Missing):
            return ticks
        # The kernel may step these times back by a tick.
        busy_s = max(0, ticks - self._last_ticks) / _TICKS_PER_S
        self._last_ticks = ticks
        return self.constants.idle_w * elapsed_s + self.constants.core_w * busy_s

    def _ticks(self) -> int | Missing:
        stat = read_text(self._path)
        if isinstance(stat, Missing):
            return stat
        ticks = busy_ticks(stat)
        return Missing(f"{self._path}: no line of CPU times") if ticks is None else ticks
