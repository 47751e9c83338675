# SPDX-License-Identifier: Apache-2.0
"""All VMs of a daemon: which there are, who takes whose place, and who has something to say.

Beside the VMs that serve there may be some that come (they load behind a gate, for a configuration
that is not in service yet) and some that leave (they drain). A VM that takes another's place begins
when that one has ended: both have the same client id.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

from neurovmd import log
from neurovmd.cgroup import Tree
from neurovmd.config import Deployment, Settings
from neurovmd.launch import Launcher
from neurovmd.lifecycle import Lifecycle
from neurovmd.shared import SharedBlock
from neurovmd.vm import Role, Vm, stuck_reason

# A worker drains within 10 s; one that leaves and does not end is killed after this.
LEAVE_LIMIT_S = 15.0
LATER_S = 3600.0


class Fleet:
    """All VMs of a daemon.

    `changed` is called when one changes its state; `in_child` in each new worker, to let go of what
    only the supervisor may hold. `tree`: where the kernel holds the limits of workers (None:
    nowhere). `lost` is called when a worker, of whatever VM, has ended otherwise than it should.
    """

    def __init__(
        self,
        settings: Settings,
        block: SharedBlock,
        *,
        changed: Callable[[Vm], None],
        in_child: Callable[[], None],
        tree: Tree | None = None,
        lost: Callable[[Vm], None] = lambda vm: None,  # noqa: ARG005  # nobody to be told
    ) -> None:
        self._block, self._changed = block, changed
        self._free = list(range(len(block)))[::-1]
        self.vms = [self._make(deployment, settings) for deployment in settings.deployments]
        self.others: list[Vm] = []
        self.work = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        launcher = Launcher(
            block, self.work, in_child=in_child, inherited=self._inherited, tree=tree
        )
        self._lives = Lifecycle(launcher, changed=changed, left=self._sweep, lost=lost)

    @property
    def settled(self) -> bool:
        """Whether every VM has become ready or failed at least once."""
        return all(vm.settled for vm in self.vms)

    @property
    def converting(self) -> bool:
        return any(vm.conversion for vm in self._all())

    @property
    def running(self) -> bool:
        return any(vm.pid or vm.conversion for vm in self._all())

    @property
    def room(self) -> int:
        """How many more VMs there is a slot for."""
        return len(self._free)

    def _all(self) -> list[Vm]:
        return [*self.vms, *self.others]

    def _make(self, deployment: Deployment, settings: Settings) -> Vm:
        number = self._free.pop()
        return Vm(deployment, self._block.slot(number), settings, number=number)

    def _inherited(self, mine: Vm) -> list[int]:
        """What a worker of `mine` would hold of the others."""
        others = [vm for vm in self._all() if vm is not mine]
        gates = [vm.gate for vm in others if vm.gate >= 0]
        doors = [vm.door.fileno() for vm in others if vm.door is not None]
        return [*self.filenos(), *gates, *doors]

    def filenos(self) -> Iterator[int]:
        for vm in self._all():
            if vm.pipe >= 0:
                yield vm.pipe
            if vm.conversion and vm.conversion.stderr >= 0:
                yield vm.conversion.stderr

    def ready(self, number: int) -> None:
        """Read what a worker or a conversion says."""
        for vm in self._all():
            if vm.pipe == number:
                self._lives.listen(vm)
            elif vm.conversion and vm.conversion.stderr == number:
                vm.conversion.listen()

    def tick(self, now: float) -> float:
        """Start what is due; returns the time of the next call (`now` + 1 h when nothing is)."""
        if self._lives.stopping:
            return now + LATER_S
        for vm in self._all():
            if vm.retry_at is not None and now >= vm.retry_at:
                self._lives.start(vm)
            if vm.conversion and vm.conversion.overdue(now):
                vm.conversion.kill()
            if vm.pid and vm.role is Role.LEAVES and now >= vm.leave_by:
                os.kill(vm.pid, signal.SIGKILL)
                vm.leave_by = now + LEAVE_LIMIT_S
        times = [vm.retry_at for vm in self._all() if vm.retry_at is not None]
        times += [vm.conversion.deadline for vm in self._all() if vm.conversion]
        times += [vm.leave_by for vm in self.others if vm.pid and vm.role is Role.LEAVES]
        return min(times, default=now + LATER_S)

    def reap(self) -> None:
        """Take the children that have ended."""
        for vm in self._all():
            if vm.pid:
                status = _ended(vm.pid)
                if status is not None:
                    self._lives.ended(vm, os.waitstatus_to_exitcode(status))
            if vm.conversion:
                status = _ended(vm.conversion.pid)
                if status is not None:
                    self._lives.converted(vm, vm.conversion, status)

    def end_stuck(self, now_ns: int) -> bool:
        """Kill the workers that make no progress; whether there were any."""
        stuck = [(vm, reason) for vm in self._all() if (reason := stuck_reason(vm, now_ns))]
        for vm, reason in stuck:
            log.error("worker.stuck", vm=vm.name, pid=vm.pid, reason=reason)
            os.kill(vm.pid, signal.SIGKILL)
        return bool(stuck)

    def stop(self) -> None:
        """Ask every worker to drain and end; conversions are given up."""
        self._lives.stopping = True
        for vm in self._all():
            if vm.pid:
                os.kill(vm.pid, signal.SIGTERM)
            if vm.conversion:
                vm.conversion.kill()

    def hold(self, vm: Vm) -> None:
        """Let one VM drain and end, and not come back by itself."""
        self._lives.hold(vm)

    def release(self, vm: Vm) -> None:
        """Start a VM that was held."""
        self._lives.release(vm)

    def prepare(self, deployment: Deployment, settings: Settings) -> Vm:
        """Load a VM behind a gate, for a configuration that is not in service yet.

        It becomes `loaded` or `failed`. There must be `room`.
        """
        vm = self._make(deployment, settings)
        vm.role = Role.COMES
        vm.retry_at = None
        self.others.append(vm)
        self._lives.start(vm)
        return vm

    def serve(self, vms: list[Vm], settings: Settings) -> None:
        """Put a configuration in service: `vms` in order, kept and prepared ones.

        A VM in service that is not among them leaves; one that takes its name begins after it.
        """
        leaving = {vm.name: vm for vm in self.vms if vm not in vms}
        self.others = [vm for vm in self.others if vm not in vms] + list(leaving.values())
        self.vms = vms
        names = {vm.name for vm in vms}
        for vm in leaving.values():
            vm.slot.for_good = vm.name not in names or _session(vm.settings) != _session(settings)
            self.leave(vm)
        for vm in vms:
            vm.settings = settings
            if vm.role is Role.COMES:
                vm.role = Role.SERVES
                vm.before = leaving.get(vm.name)
                vm.state, vm.reason = "loading", "the one before it drains" if vm.before else ""
                self._changed(vm)
            elif vm.retry_at is not None:
                vm.retry_at = time.monotonic()  # what it failed for may be mended
        self._sweep()

    def leave(self, vm: Vm) -> None:
        """Let a VM drain, end and be forgotten; one that only came ends at once."""
        number = signal.SIGKILL if vm.role is Role.COMES else signal.SIGTERM
        vm.role, vm.retry_at = Role.LEAVES, None
        vm.leave_by = time.monotonic() + LEAVE_LIMIT_S
        if vm.pid:
            os.kill(vm.pid, number)
        if vm.conversion:
            vm.conversion.kill()
        self._sweep()

    def _sweep(self) -> None:
        """Forget those that have left; open the gates of those that waited for them."""
        gone = [vm for vm in self.others if vm.role is Role.LEAVES and not vm.pid]
        gone = [vm for vm in gone if not vm.conversion]
        for vm in gone:
            vm.close_gate()
            self._free.append(vm.number)
        self.others = [vm for vm in self.others if vm not in gone]
        for vm in self.vms:
            if vm.before in gone:
                vm.before = None
            if vm.gate >= 0 and vm.before is None:
                vm.open_gate()

    def kill(self) -> None:
        """End every worker that is still there."""
        for vm in self._all():
            if vm.pid:
                os.kill(vm.pid, signal.SIGKILL)


def _session(settings: Settings) -> tuple[str, str]:
    """What a VM's session at the broker depends on, apart from its name."""
    return settings.node, settings.config.mqtt.server


def _ended(pid: int) -> int | None:
    """The wait status of a child that has ended, else None."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0
    return status if found else None
