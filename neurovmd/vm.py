# SPDX-License-Identifier: Apache-2.0
"""One VM as the supervisor sees it, and what counts as stuck."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from neurovmd import log
from neurovmd.cgroup import Group
from neurovmd.config import Deployment, Settings
from neurovmd.conversion import Conversion
from neurovmd.face import Face
from neurovmd.outlets import MOST_SHOWN_STREAMS
from neurovmd.shared import Slot, WorkerState

# Signs of life (interfaces: watchdog progress of a worker).
TICK_LIMIT_NS = 20_000_000_000
BUSY_LIMIT_NS = 10_000_000_000
LOADING_LIMIT_NS = 60_000_000_000
# A message in whose processing so many workers ended one after the other is not tried again.
DEADLY = 3


class Role(Enum):
    """Whether a VM is in service, on its way in, or on its way out."""

    SERVES = "serves"
    COMES = "comes"
    LEAVES = "leaves"


@dataclass(slots=True)
class Vm:
    """One VM as the supervisor sees it. `state` is loading, ready, failed or stopped; `reason` says
    more. `held`: it was asked to stop, and stays so until it is asked to start or the daemon does.
    `again`: asked to start while it was still ending. `digest`: the sha256 of the model it was last
    started with. `served`: it has been ready once; `failed_for`: why it failed last, until it is.
    `gate`: what lets its loaded worker begin (an eventfd); `before`: the VM whose end opens it.
    `leave_by`: when a VM that leaves is killed. `refused`: a bundle whose conversion failed for
    good, and why. `deaths`: the message (a fingerprint) that the last worker ended in, and how many
    did; `deadly`: the one that is not tried again (0 = none). `group`: the control group of its
    worker (None: it has none of its own). `face`: what its results show (None: not known yet), of
    which `streams` (the first ones that its workers have heard). `door`: by which connections are
    passed to its worker.
    """

    deployment: Deployment
    slot: Slot
    settings: Settings
    state: str = "loading"
    reason: str = ""
    pid: int = 0
    pipe: int = -1
    heard: bytearray = field(default_factory=bytearray)
    conversion: Conversion | None = None
    refused: tuple[Path | None, str] = (None, "")
    deaths: tuple[int, int] = (0, 0)
    deadly: int = 0
    restarts: int = 0
    failures: int = 0
    started_at: float = 0.0
    retry_at: float | None = 0.0
    settled: bool = False
    served: bool = False
    failed_for: str = ""
    held: bool = False
    again: bool = False
    number: int = 0
    role: Role = Role.SERVES
    digest: str = ""
    gate: int = -1
    before: Vm | None = None
    leave_by: float = 0.0
    group: Group | None = None
    face: Face | None = None
    door: socket.socket | None = None
    streams: dict[str, None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.deployment.name

    @property
    def held_by_kernel(self) -> tuple[str, ...]:
        """The limits ("memory", "cpu") that the kernel holds for its worker."""
        return () if self.group is None else self.group.held

    def open_gate(self) -> None:
        """Let its loaded worker begin."""
        os.eventfd_write(self.gate, 1)
        self.close_gate()

    def close_gate(self) -> None:
        """Let go of the gate."""
        if self.gate >= 0:
            os.close(self.gate)
            self.gate = -1

    def hear_streams(self, names: list[str]) -> None:
        """Remember streams that its worker names."""
        most = max(MOST_SHOWN_STREAMS, self.deployment.vm.max_streams)
        for name in names:
            if len(self.streams) < most:
                self.streams[name] = None

    def bury(self) -> None:
        """Let go of what a worker needed that has ended."""
        self.close_gate()
        if self.door is not None:
            self.door.close()
            self.door = None
        if self.group is not None and not self.group.remove():
            log.warning("worker.group_left", vm=self.name, group=self.group.folder)
        self.group = None

    def suspect(self, in_work: int) -> bool:
        """Note the message in whose processing a worker ended; whether it is not tried again."""
        if in_work:
            self.deaths = (in_work, self.deaths[1] + 1 if in_work == self.deaths[0] else 1)
        if not in_work or self.deaths[1] < DEADLY:
            return False
        self.deadly = in_work
        return True


def stuck_reason(vm: Vm, now_ns: int) -> str:
    """Why a worker counts as stuck; empty while it makes progress (or there is none)."""
    if not vm.pid:
        return ""
    slot = vm.slot
    if slot.state in (WorkerState.EMPTY, WorkerState.LOADING):
        loading_ns = now_ns - int(vm.started_at * 1e9)
        return "its model does not finish loading" if loading_ns > LOADING_LIMIT_NS else ""
    quiet_ns = now_ns - slot.network_tick_ns
    if quiet_ns > TICK_LIMIT_NS:
        return f"its network thread has been quiet for {quiet_ns / 1e9:.0f} s"
    busy_since_ns = slot.busy_since_ns
    if busy_since_ns and now_ns - busy_since_ns > BUSY_LIMIT_NS:
        return f"one message has taken {(now_ns - busy_since_ns) / 1e9:.0f} s"
    return ""
