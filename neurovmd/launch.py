# SPDX-License-Identifier: Apache-2.0
"""How a worker's process is made: its pipe, its gate, its control group, the fork.

The supervisor is warmed first, so that the pages of the code are shared with every worker; in the
child everything that only the supervisor may hold is let go of.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from neurovmd import cgroup, doors, lean, log, worker
from neurovmd.assignment import EXIT_SOFTWARE, Assignment
from neurovmd.binding import has_frames
from neurovmd.config import Settings
from neurovmd.shared import SharedBlock
from neurovmd.vm import Role, Vm

_HELD_BACK = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}


class Launcher:
    """Forks workers. `work` is the eventfd by which they wake the supervisor.

    `in_child` is called in each new worker, to let go of what only the supervisor may hold;
    `inherited` names the file descriptors of the other VMs. `tree` is where groups of workers are
    made (None: their limits are held by the daemon).
    """

    def __init__(
        self,
        block: SharedBlock,
        work: int,
        *,
        in_child: Callable[[], None],
        inherited: Callable[[Vm], Iterable[int]],
        tree: cgroup.Tree | None = None,
    ) -> None:
        self._block, self._work = block, work
        self._in_child, self._inherited = in_child, inherited
        self._tree = tree
        self._lifeline, self._held = os.pipe2(os.O_CLOEXEC)

    def launch(self, vm: Vm, settings: Settings, bundle: Path) -> None:
        """Fork a worker for the VM; OSError where the system has no room for it."""
        vm.slot.clear_worker()
        vm.slot.generation += 1
        vm.slot.max_streams = vm.deployment.vm.max_streams
        vm.slot.deadly = vm.deadly
        vm.slot.for_good = 0
        read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        vm.door, inside = doors.pair()
        vm.group = self._group(vm)
        if vm.role is Role.COMES or vm.before is not None:
            vm.gate = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        if has_frames(vm.deployment.vm):
            import neurovmd.frame_streams  # noqa: F401  # shared by all workers that need it
        # What is alive now is never looked at again: its pages stay shared with the workers.
        gc.collect()
        lean.trim()
        gc.freeze()
        # A signal before the child has its own handlers would run the supervisor's.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
        pid = -1
        try:
            pid = os.fork()
            if pid == 0:
                os.close(read_end)
                vm.door.close()
                self._be_worker(vm, settings, bundle, write_end, inside)  # never returns
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_BACK)
            os.close(write_end)
            inside.close()
            if pid < 0:
                os.close(read_end)
                vm.bury()
        vm.pid, vm.pipe, vm.started_at = pid, read_end, time.monotonic()
        vm.heard.clear()
        log.info("worker.started", vm=vm.name, pid=pid)

    def _group(self, vm: Vm) -> cgroup.Group | None:
        """The worker's own group; None where there is none to be had.

        It is named by the slot too: for a while a VM's old worker and its new one are both there.
        """
        if self._tree is None:
            return None
        settings = vm.deployment.vm
        try:
            return self._tree.group(
                f"{vm.name}.{vm.number}",
                memory_bytes=settings.memory_bytes,
                cpu_share=settings.cpu,
                threads=settings.threads,
            )
        except OSError as error:
            log.warning("worker.group_refused", vm=vm.name, reason=error)
            return None

    def _be_worker(
        self, vm: Vm, settings: Settings, bundle: Path, write_end: int, door: socket.socket
    ) -> None:
        """In the child: become the worker and never return."""
        code = EXIT_SOFTWARE
        try:
            self._in_child()
            for number in self._inherited(vm):
                os.close(number)
            os.close(self._held)
            code = worker.run(
                Assignment(
                    settings=settings,
                    deployment=vm.deployment,
                    bundle=bundle,
                    block=self._block,
                    slot=vm.slot,
                    report=write_end,
                    lifeline=self._lifeline,
                    work=self._work,
                    gate=vm.gate,
                    group=vm.group,
                    door=door,
                )
            )
        except BaseException:  # noqa: BLE001  # the child must not return into the supervisor's loop
            import traceback

            log.error("worker.crashed", traceback=traceback.format_exc(limit=-6))
        finally:
            os._exit(code)
