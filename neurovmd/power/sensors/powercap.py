# SPDX-License-Identifier: Apache-2.0
"""Energy counters of the powercap tree: Intel RAPL, and AMD under the same names.

Source of the rules: Documentation/power/powercap/powercap.rst of Linux. ``energy_uj`` counts
microjoules and returns to zero after ``max_energy_range_uj``; since Linux 5.10 only root may read
it unless the administrator allows more.

What the figure stands for: the zone ``psys`` is the platform as its maker wired it; without it,
the sum of the CPU packages, which is *less* than the box (no memory modules, disks, network or
supply losses). The name says which.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from neurovmd.power.reading import Missing, Roots, read_count, read_text

# Top-level zones only: "intel-rapl:0:1" (a core or DRAM plane) is contained in or beside its
# package.
_TOP_LEVEL = re.compile(r"intel-rapl(-mmio)?:\d+")
# No box this is meant for draws more; above it, an interval may hide a whole turn of the counter.
_MOST_W = 1000.0


@dataclass(slots=True)
class _Zone:
    """One counter of energy."""

    name: str
    path: Path
    range_uj: int
    energy_uj: int


@dataclass(slots=True)
class PowercapSensor:
    """The sum of some top-level zones; owns the last reading of each."""

    name: str
    zones: list[_Zone]

    def energy_j(self, elapsed_s: float) -> float | Missing:
        """Joules since the previous call; mirrored counters count once."""
        total_uj = 0
        moves: set[tuple[int, int]] = set()
        missing: Missing | None = None
        for zone in self.zones:
            now_uj = read_count(zone.path / "energy_uj")
            if isinstance(now_uj, Missing):
                missing = now_uj
                continue
            move = (zone.energy_uj, now_uj)
            zone.energy_uj = now_uj
            if elapsed_s * _MOST_W * 1e6 > zone.range_uj:
                missing = Missing(
                    f"{zone.path}: may have wrapped more than once in {elapsed_s:.0f} s",
                    passing=True,
                )
            elif move not in moves or move[0] == move[1]:
                # Two packages that move between the same two microjoule values show one counter.
                moves.add(move)
                total_uj += counted_uj(*move, zone.range_uj)
        return total_uj / 1e6 if missing is None else missing


def counted_uj(before_uj: int, now_uj: int, range_uj: int) -> int:
    """Microjoules between two readings of a counter that returns to zero after ``range_uj``,
    once at most.
    """
    return now_uj - before_uj if now_uj >= before_uj else now_uj + range_uj - before_uj


def open_sensor(roots: Roots) -> PowercapSensor | Missing:
    """The platform zone when there is one, else all CPU packages, each once."""
    folder = roots.sys / "class" / "powercap"
    try:
        paths = [path for path in folder.iterdir() if _TOP_LEVEL.fullmatch(path.name)]
    except OSError as error:
        return Missing(f"{folder}: {error.strerror or error}")
    paths_by_name: dict[str, Path] = {}
    # A package may be shown twice, by MSR and by MMIO, under one name: the first of this order
    # stays.
    for path in sorted(paths, key=lambda path: ("-mmio" in path.name, path.name)):
        name = read_text(path / "name")
        if not isinstance(name, Missing):
            paths_by_name.setdefault(name, path)
    chosen = ["psys"] if "psys" in paths_by_name else sorted(paths_by_name)
    zones: list[_Zone] = []
    for name in chosen:
        if name == "psys" or name.startswith("package"):
            zone = _open_zone(name, paths_by_name[name])
            if isinstance(zone, Missing):
                return zone  # the sum of the readable ones would look like the whole
            zones.append(zone)
    if not zones:
        return Missing(f"{folder}: no readable package or psys zone")
    return PowercapSensor("powercap:" + "+".join(zone.name for zone in zones), zones)


def _open_zone(name: str, path: Path) -> _Zone | Missing:
    range_uj = read_count(path / "max_energy_range_uj")
    if isinstance(range_uj, Missing):
        return range_uj
    energy_uj = read_count(path / "energy_uj")
    if isinstance(energy_uj, Missing):
        return energy_uj
    if range_uj == 0:
        return Missing(f"{path}/max_energy_range_uj: found 0; accepted: a positive integer")
    return _Zone(name, path, range_uj, energy_uj)
