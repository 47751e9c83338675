# SPDX-License-Identifier: Apache-2.0
"""How many processors this process may keep busy at a time.

Those of its affinity, and of them as many as the quotas of its control groups (version 2) pay for:
in a container of 1.5 processors two threads would spend a third of the time waiting for each other.
Sources: sched_getaffinity(2), the kernel's Documentation/admin-guide/cgroup-v2.rst (`cpu.max`).
"""

from __future__ import annotations

import os
from pathlib import Path

MOUNTED = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def usable(mounted: Path = MOUNTED, membership: Path = MEMBERSHIP) -> int:
    """At least 1. What cannot be read limits nothing."""
    return max(1, min(len(os.sched_getaffinity(0)), int(quota(mounted, membership))))


def quota(mounted: Path = MOUNTED, membership: Path = MEMBERSHIP) -> float:
    """The least share of processors that this process' group or one above it may take, above 0;
    a very large number where none is limited.
    """
    least = float(1 << 20)
    path = _own_path(membership)
    if path is None:
        return least
    folder = mounted / path.lstrip("/")
    while True:
        least = min(least, _share(folder / "cpu.max", least))
        if folder in (mounted, folder.parent):
            return least
        folder = folder.parent


def _own_path(membership: Path) -> str | None:
    """The version 2 line of /proc/PID/cgroup; None where there is none or it leads elsewhere."""
    try:
        lines = membership.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    paths = [line[3:] for line in lines if line.startswith("0::")]
    return paths[0] if paths and ".." not in paths[0].split("/") else None


def _share(file: Path, unlimited: float) -> float:
    """Of one group: `MAX PERIOD` in microseconds, MAX a number or `max`."""
    try:
        most, period = file.read_text(encoding="ascii").split()
        share = int(most) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return unlimited
    return share if share > 0 else unlimited
