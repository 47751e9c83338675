# SPDX-License-Identifier: Apache-2.0
"""The life of one VM: convert its model where needed, start a worker, and what follows its end.

A VM whose worker ends unasked is restarted after 1 s, then twice as long each time up to 60 s; a
minute of good service starts over. One model is converted at a time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from neurovmd import log, models
from neurovmd.conversion import Conversion, cached_bundle
from neurovmd.face import Face
from neurovmd.launch import Launcher
from neurovmd.vm import Role, Vm

RETRY_FIRST_S = 1.0
RETRY_LAST_S = 60.0
STABLE_S = 60.0
CONVERSION_LOOK_S = 0.5


class _Report(msgspec.Struct):
    """A line of a worker: its state, or what its results show, or streams that it has heard."""

    state: str = ""
    reason: str = ""
    face: Face | None = None
    streams: list[str] = []


class Lifecycle:
    """Starts VMs, hears their workers and buries them.

    `changed` is called when a VM in service changes its state, `left` when one on its way out has
    ended, `lost` when a worker has ended otherwise than it should. `stopping`: nothing is started
    any more.
    """

    def __init__(
        self,
        launcher: Launcher,
        *,
        changed: Callable[[Vm], None],
        left: Callable[[], None],
        lost: Callable[[Vm], None],
    ) -> None:
        self._launcher, self._changed, self._left, self._lost = launcher, changed, left, lost
        self._converting = False
        self.stopping = False

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

    def start(self, vm: Vm) -> None:
        """Start its worker, or first the conversion of its model."""
        vm.retry_at = None
        try:
            bundle = vm.deployment.model
            models.verify(vm.deployment.vm.model, bundle, str(vm.deployment.file))
            vm.digest = models.digest(bundle)
            if bundle.suffix == ".tflite":
                bundle = cached_bundle(vm.deployment, Path(vm.settings.config.cache_dir))
                if not bundle.exists():
                    self._convert(vm, bundle)
                    return
            self._launcher.launch(vm, vm.settings, bundle)
            self._set(vm, "loading", "")
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
        if self._converting:
            vm.retry_at = time.monotonic() + CONVERSION_LOOK_S
            return
        vm.conversion = Conversion.start(vm.deployment, bundle)
        self._converting = True
        log.info("model.converting", vm=vm.name, model=vm.deployment.model)

    def converted(self, vm: Vm, conversion: Conversion, status: int) -> None:
        """Its conversion has ended with a wait status."""
        conversion.listen()
        conversion.close()
        vm.conversion = None
        self._converting = False
        if self._meant(vm):
            return
        reason = conversion.failure(status)
        if reason:
            if conversion.final(status):
                vm.refused = (conversion.bundle, reason)
            self._fail(vm, reason)
        else:
            log.info("model.converted", vm=vm.name, bundle=conversion.bundle.name)
            self.start(vm)

    def listen(self, vm: Vm) -> bool:
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
            with contextlib.suppress(ValueError, RecursionError):
                said = msgspec.json.decode(line, type=_Report)
                vm.face = said.face or vm.face
                vm.hear_streams(said.streams)
                if said.state:
                    self._set(vm, said.state, said.reason)
        return True

    def ended(self, vm: Vm, code: int) -> None:
        """Its worker has ended: with an exit code, or (below 0) by a signal."""
        while vm.pipe >= 0 and self.listen(vm):  # its last words
            pass
        if vm.pipe >= 0:  # somebody else still holds the other end
            os.close(vm.pipe)
            vm.pipe = -1
        pid, vm.pid = vm.pid, 0
        if vm.suspect(vm.slot.in_work):
            log.error("message.deadly", vm=vm.name, workers=vm.deaths[1])
        vm.slot.end_worker()
        log.info("worker.ended", vm=vm.name, pid=pid, code=code)
        said = self._last_words(vm, code)
        vm.bury()
        if code:
            self._lost(vm)
        if self._meant(vm):
            return
        if time.monotonic() - vm.started_at >= STABLE_S:
            vm.failures = 0
        vm.restarts += 1
        self._fail(vm, said)

    def _last_words(self, vm: Vm, code: int) -> str:
        """Why a worker has ended."""
        if vm.group is not None and code == -signal.SIGKILL and vm.group.killed:
            return f"memory limit {vm.deployment.vm.memory_text} reached, killed by the kernel"
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return vm.reason if vm.state == "failed" else f"the worker ended ({how})"

    def _meant(self, vm: Vm) -> bool:
        """Whether an end was meant; the VM then goes, stays stopped, or starts again."""
        if self.stopping:
            return True
        if vm.role is Role.LEAVES:
            self._left()
        elif vm.held:
            self._set(vm, "stopped", "")
        elif vm.again:
            self._begin(vm)
        else:
            return False
        return True

    def _fail(self, vm: Vm, reason: str) -> None:
        vm.failed_for = reason
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
        if state in ("ready", "loaded"):
            vm.served, vm.failed_for = True, ""
        elif state == "failed":  # a start may be judged before the worker has ended
            vm.failed_for = reason
        if (state, reason) != (vm.state, vm.reason):
            vm.state, vm.reason = state, reason
            if vm.role is Role.SERVES:
                self._changed(vm)
