# SPDX-License-Identifier: Apache-2.0
"""What the supervisor gives a worker, and how the worker answers it."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import msgspec

from neurovmd.cgroup import Group
from neurovmd.config import Deployment, Settings
from neurovmd.shared import SharedBlock, Slot

EXIT_OK, EXIT_DATA, EXIT_SOFTWARE, EXIT_CONFIG = 0, 65, 70, 78


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What the supervisor gives a worker. The pipes and the eventfd are file descriptors:
    `report` to write on, `lifeline` to see the supervisor end, `work` to wake it, `gate` (-1: none)
    to wait for when all is loaded. `group`: the control group to be in (None: none of its own).
    `door`: where connections come through (`neurovmd.doors`; None: nowhere).
    """

    settings: Settings
    deployment: Deployment
    bundle: Path
    block: SharedBlock
    slot: Slot
    report: int
    lifeline: int
    work: int
    gate: int = -1
    group: Group | None = None
    door: socket.socket | None = None

    @property
    def held(self) -> tuple[str, ...]:
        """The limits that the kernel holds."""
        return () if self.group is None else self.group.held


# A line of a report that is no longer is written whole or not at all (PIPE_BUF).
MOST_LINE_BYTES = 4096


def tell(pipe: int, **said: object) -> bool:
    """Tell the supervisor what is no state; whether it was. What is too long is never told."""
    line = msgspec.json.encode(said) + b"\n"
    if len(line) > MOST_LINE_BYTES:
        return True
    try:
        return os.write(pipe, line) == len(line)
    except BlockingIOError:
        return False
    except OSError:
        return True  # nobody is there to hear it


def report(pipe: int, state: str, reason: str = "") -> None:
    """Tell the supervisor; it may be gone."""
    with contextlib.suppress(OSError):
        os.write(pipe, msgspec.json.encode({"state": state, "reason": reason[:1000]}) + b"\n")
