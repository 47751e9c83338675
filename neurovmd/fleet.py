# SPDX-License-Identifier: Apache-2.0
"""The VMs of a daemon: convert where needed, fork a worker each, restart what ends.

A VM whose worker ends unasked is restarted after 1 s, then twice as long each time up to 60 s; a
minute of good service starts over. One model is converted at a time.

Beside the VMs that serve there may be some that come (they load behind a gate, for a configuration
that is not in service yet) and some that leave (they drain). A VM that takes another's place begins
when that one has ended: both have the same client id.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from neurovmd import log, models, worker
from neurovmd.config import Deployment, Settings
from neurovmd.conversion import Conversion, cached_bundle
from neurovmd.shared import SharedBlock
from neurovmd.vm import Role, Vm, stuck_reason

RETRY_FIRST_S = 1.0
RETRY_LAST_S = 60.0
STABLE_S = 60.0
CONVERSION_LOOK_S = 0.5
# A worker drains within 10 s; one that leaves and does not end is killed after this.
LEAVE_LIMIT_S = 15.0
LATER_S = 3600.0


class _Report(msgspec.Struct):
    state: str
    reason: str = ""


class Fleet:
    """All VMs of a daemon.

    `changed` is called when one changes its state; `in_child` in each new worker, to let go of what
    only the supervisor may hold.
    """

    def __init__(
        self,
        settings: Settings,
        block: SharedBlock,
        *,
        changed: Callable[[Vm], None],
        in_child: Callable[[], None],
    ) -> None:
        self._settings, self._block = settings, block
        self._changed, self._in_child = changed, in_child
        self._free = list(range(len(block)))[::-1]
        self.vms = [self._make(deployment, settings) for deployment in settings.deployments]
        self.others: list[Vm] = []
        self.work = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lifeline, self._held = os.pipe2(os.O_CLOEXEC)
        self._stopping = False

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
        return Vm(deployment, self._block.slot(number), number=number, settings=settings)

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
                self._listen(vm)
            elif vm.conversion and vm.conversion.stderr == number:
                vm.conversion.listen()

    def tick(self, now: float) -> float:
        """Start what is due; returns the time of the next call (`now` + 1 h when nothing is)."""
        if self._stopping:
            return now + LATER_S
        for vm in self._all():
            if vm.retry_at is not None and now >= vm.retry_at:
                self._start(vm)
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
                    self._worker_ended(vm, os.waitstatus_to_exitcode(status))
            if vm.conversion:
                status = _ended(vm.conversion.pid)
                if status is not None:
                    self._converted(vm, vm.conversion, status)

    def end_stuck(self, now_ns: int) -> bool:
        """Kill the workers that make no progress; whether there were any."""
        stuck = [(vm, reason) for vm in self._all() if (reason := stuck_reason(vm, now_ns))]
        for vm, reason in stuck:
            log.error("worker.stuck", vm=vm.name, pid=vm.pid, reason=reason)
            os.kill(vm.pid, signal.SIGKILL)
        return bool(stuck)

    def stop(self) -> None:
        """Ask every worker to drain and end; conversions are given up."""
        self._stopping = True
        for vm in self._all():
            if vm.pid:
                os.kill(vm.pid, signal.SIGTERM)
            if vm.conversion:
                vm.conversion.kill()

    def hold(self, vm: Vm) -> None:
        """Let one VM drain and end, and not come back by itself."""
        vm.held = True
        vm.retry_at = None
        if vm.pid:
            os.kill(vm.pid, signal.SIGTERM)
        elif vm.conversion:
            vm.conversion.kill()
        else:
            self._set(vm, "stopped", "")

    def release(self, vm: Vm) -> None:
        """Start a VM that was held; one that is still ending starts when it has ended."""
        if not vm.held:
            return
        vm.held = False
        vm.again = bool(vm.pid or vm.conversion)
        if not vm.again:
            self._begin(vm)

    def _begin(self, vm: Vm) -> None:
        """Start a VM afresh, as if it had never failed."""
        vm.again = False
        vm.refused, vm.deadly = (None, ""), 0
        vm.failures = 0
        vm.retry_at = time.monotonic()
        self._set(vm, "loading", "")

    def _ended_as_asked(self, vm: Vm) -> bool:
        """Whether an end was asked for; the VM then stays stopped, or starts again."""
        if vm.held:
            self._set(vm, "stopped", "")
        elif vm.again:
            self._begin(vm)
        else:
            return False
        return True

    def prepare(self, deployment: Deployment, settings: Settings) -> Vm:
        """Load a VM behind a gate, for a configuration that is not in service yet.

        It becomes `loaded` or `failed`. There must be `room`.
        """
        vm = self._make(deployment, settings)
        vm.role = Role.COMES
        vm.retry_at = None
        self.others.append(vm)
        self._start(vm)
        return vm

    def serve(self, vms: list[Vm], settings: Settings) -> None:
        """Put a configuration in service: `vms` in order, kept and prepared ones.

        A VM in service that is not among them leaves; one that takes its name begins after it.
        """
        leaving = {vm.name: vm for vm in self.vms if vm not in vms}
        self._settings = settings
        self.others = [vm for vm in self.others if vm not in vms] + list(leaving.values())
        self.vms = vms
        for vm in leaving.values():
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
            self._close_gate(vm)
            self._free.append(vm.number)
        self.others = [vm for vm in self.others if vm not in gone]
        for vm in self.vms:
            if vm.before in gone:
                vm.before = None
            if vm.gate >= 0 and vm.before is None:
                os.eventfd_write(vm.gate, 1)
                self._close_gate(vm)

    def _close_gate(self, vm: Vm) -> None:
        if vm.gate >= 0:
            os.close(vm.gate)
            vm.gate = -1

    def kill(self) -> None:
        """End every worker that is still there."""
        for vm in self._all():
            if vm.pid:
                os.kill(vm.pid, signal.SIGKILL)

    def _start(self, vm: Vm) -> None:
        vm.retry_at = None
        try:
            bundle = vm.deployment.model
            models.verify(vm.deployment.vm.model, bundle, str(vm.deployment.file))
            vm.digest = models.digest(bundle)
            if bundle.suffix == ".tflite":
                cache_dir = (vm.settings or self._settings).config.cache_dir
                bundle = cached_bundle(vm.deployment, Path(cache_dir))
                if not bundle.exists():
                    self._convert(vm, bundle)
                    return
            self._fork(vm, bundle)
        except (OSError, ValueError) as error:
            self._fail(vm, str(error))

    def _convert(self, vm: Vm, bundle: Path) -> None:
        """Start the conversion, or wait for the one under way; a model that was refused is not
        converted again before it changes.
        """
        if vm.refused[0] == bundle:
            self._fail(vm, vm.refused[1])
            return
        self._set(vm, "loading", "converting")
        if self.converting:
            vm.retry_at = time.monotonic() + CONVERSION_LOOK_S
            return
        vm.conversion = Conversion.start(vm.deployment, bundle)
        log.info("model.converting", vm=vm.name, model=vm.deployment.model)

    def _converted(self, vm: Vm, conversion: Conversion, status: int) -> None:
        conversion.listen()
        conversion.close()
        vm.conversion = None
        if self._stopping or self._left(vm) or self._ended_as_asked(vm):
            return
        reason = conversion.failure(status)
        if reason:
            if conversion.final(status):
                vm.refused = (conversion.bundle, reason)
            self._fail(vm, reason)
        else:
            log.info("model.converted", vm=vm.name, bundle=conversion.bundle.name)
            self._start(vm)

    def _fork(self, vm: Vm, bundle: Path) -> None:
        vm.slot.clear_worker()
        vm.slot.generation += 1
        vm.slot.max_streams = vm.deployment.vm.max_streams
        vm.slot.deadly = vm.deadly
        read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        if vm.role is Role.COMES or vm.before is not None:
            vm.gate = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # What is alive now is never looked at again: its pages stay shared with the workers.
        gc.collect()
        gc.freeze()
        # A signal before the child has its own handlers would run the supervisor's.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
        pid = -1
        try:
            pid = os.fork()
            if pid == 0:
                self._be_worker(vm, bundle, write_end)  # never returns
        finally:
            signal.pthread_sigmask(
                signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
            )
            os.close(write_end)
            if pid < 0:
                os.close(read_end)
                self._close_gate(vm)
        vm.pid, vm.pipe, vm.started_at = pid, read_end, time.monotonic()
        vm.heard.clear()
        log.info("worker.started", vm=vm.name, pid=pid)
        self._set(vm, "loading", "")

    def _be_worker(self, vm: Vm, bundle: Path, write_end: int) -> None:
        """In the child: become the worker and never return."""
        code = worker.EXIT_SOFTWARE
        try:
            self._in_child()
            for number in list(self.filenos()):
                os.close(number)
            for other in self._all():
                if other is not vm:
                    self._close_gate(other)
            os.close(self._held)
            code = worker.run(
                worker.Assignment(
                    settings=vm.settings or self._settings,
                    deployment=vm.deployment,
                    bundle=bundle,
                    block=self._block,
                    slot=vm.slot,
                    report=write_end,
                    lifeline=self._lifeline,
                    work=self.work,
                    gate=vm.gate,
                )
            )
        except BaseException:  # noqa: BLE001  # the child must not return into the supervisor's loop
            import traceback

            log.error("worker.crashed", traceback=traceback.format_exc(limit=-6))
        finally:
            os._exit(code)

    def _listen(self, vm: Vm) -> bool:
        """Take what a worker says; whether there may be more."""
        try:
            data = os.read(vm.pipe, 65536)
        except BlockingIOError:
            return False
        if not data:
            os.close(vm.pipe)
            vm.pipe = -1
            return False
        vm.heard += data
        *lines, rest = bytes(vm.heard).split(b"\n")
        vm.heard[:] = rest[-65536:]
        for line in lines:
            with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
                said = msgspec.json.decode(line, type=_Report)
                self._set(vm, said.state, said.reason)
        return True

    def _worker_ended(self, vm: Vm, code: int) -> None:
        while vm.pipe >= 0 and self._listen(vm):  # its last words
            pass
        if vm.pipe >= 0:  # somebody else still holds the other end
            os.close(vm.pipe)
            vm.pipe = -1
        pid, vm.pid = vm.pid, 0
        if vm.suspect(vm.slot.in_work):
            log.error("message.deadly", vm=vm.name, workers=vm.deaths[1])
        vm.slot.end_worker()
        log.info("worker.ended", vm=vm.name, pid=pid, code=code)
        self._close_gate(vm)
        if self._stopping or self._left(vm) or self._ended_as_asked(vm):
            return
        if time.monotonic() - vm.started_at >= STABLE_S:
            vm.failures = 0
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        said = vm.reason if vm.state == "failed" else f"the worker ended ({how})"
        vm.restarts += 1
        self._fail(vm, said)

    def _left(self, vm: Vm) -> bool:
        """Whether it was on its way out, and now is."""
        if vm.role is Role.LEAVES:
            self._sweep()
        return vm.role is Role.LEAVES

    def _fail(self, vm: Vm, reason: str) -> None:
        if vm.role is Role.COMES:
            self._set(vm, "failed", reason)
            return
        delay = min(RETRY_LAST_S, RETRY_FIRST_S * 2 ** min(vm.failures, 10))
        vm.failures += 1
        vm.retry_at = time.monotonic() + delay
        log.error("vm.failed", vm=vm.name, reason=reason, retry_s=delay)
        self._set(vm, "failed", reason)

    def _set(self, vm: Vm, state: str, reason: str) -> None:
        vm.settled = vm.settled or state in ("ready", "failed", "stopped")
        if (state, reason) != (vm.state, vm.reason):
            vm.state, vm.reason = state, reason
            if vm.role is Role.SERVES:
                self._changed(vm)


def _ended(pid: int) -> int | None:
    """The wait status of a child that has ended, else None."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0
    return status if found else None
