# SPDX-License-Identifier: Apache-2.0
"""The supervisor: one thread, one select loop, the only process that forks.

It keeps the VMs running, watches that each makes progress, lets the power governor tick once a
second while there is work, and tells systemd, the control socket and MQTT how things are. With
nothing to do it sleeps until the next sign of life is due.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import Any

from neurovmd import log, status, tap
from neurovmd.announcer import FAREWELL_S, Announcer
from neurovmd.cgroup import Tree
from neurovmd.config import Settings
from neurovmd.control import RefusedError, Request
from neurovmd.fleet import Fleet
from neurovmd.identity import Standing
from neurovmd.layers import Source
from neurovmd.mqtt import Connection
from neurovmd.notify import Notifier
from neurovmd.pacing import Pacing
from neurovmd.reception import Reception
from neurovmd.reload import Fingerprint, Reloader, unserved
from neurovmd.shared import SharedBlock
from neurovmd.signals import Signals
from neurovmd.vm import Vm

EXIT_OK = 0
DRAIN_S = 10.0
# How often the workers are looked at when systemd asks for no sign of life.
WATCH_S = 15.0
# After finding a stuck worker the next look comes this soon.
UNHEALTHY_S = 1.0
EXTEND_EVERY_S = 5.0
EXTEND_BY_S = 30.0
# VMs that a reload may add to those there were at the start.
SPARE_SLOTS = 32
MOST_SLOTS = 4096


class Supervisor:
    """One run of the daemon."""

    def __init__(
        self,
        settings: Settings,
        notifier: Notifier,
        source: Source,
        *,
        seen: Fingerprint = (),
        reason: str = "",
        groups: tuple[Tree | None, str] = (None, ""),
    ) -> None:
        """`seen`: what `source` looked like before it was read; `reason`: why `settings` are not
        those of `source` (empty: they are); `groups`: where the kernel holds the limits of workers,
        or why it does not.
        """
        self._settings, self._notifier = settings, notifier
        self._started = time.monotonic()
        # Room for a second set of the VMs beside the first, and for some more.
        self._block = SharedBlock(min(MOST_SLOTS, 2 * len(settings.deployments) + SPARE_SLOTS))
        self._block.log_level = log.LEVELS.index(settings.config.log_level)
        tree, self._no_groups = groups
        self._fleet = Fleet(
            settings,
            self._block,
            changed=self._vm_changed,
            in_child=self._forget,
            tree=tree,
            lost=self._worker_lost,
        )
        self._pacing = Pacing(settings, self._fleet.vms, self._block)
        self._announcer = Announcer(
            settings,
            lambda: self._fleet.vms,
            self._info,
            lambda: self._pacing.look(time.monotonic()),
        )
        self._reloader = Reloader(
            source,
            settings,
            self._fleet,
            notifier,
            seen=seen,
            reason=reason,
            taken=self._take_over,
            told=self._announcer.tell,
        )
        self._reception = Reception(
            {
                "status": self._status,
                "reload": lambda _: self._reloader.ask(),
                "stop": lambda request: self._fleet.hold(self._named(request)),
                "start": lambda request: self._fleet.release(self._named(request)),
                "tap": self._tap,
            },
            {
                "live": lambda: status.live(self._fleet.vms, time.monotonic_ns()),
                "ready": lambda: status.ready(
                    self._fleet.vms, self._announcer.connection, self._signals.stop
                ),
            },
            lambda: self._fleet.vms,
        )
        self._signals = Signals()
        self._ready = False
        self._watch_s = (notifier.watchdog_s or 2 * WATCH_S) / 2
        self._watch_at = self._started + self._watch_s
        self._extend_at = self._started

    def _take_over(self, settings: Settings) -> None:
        """A new configuration is in service: what is the supervisor's own follows it."""
        before, self._settings = self._settings, settings
        log.set_level(settings.config.log_level)
        self._block.log_level = log.LEVELS.index(settings.config.log_level)
        self._pacing.follow(before, settings, self._fleet.vms)
        self._reception.follow(before, settings)
        self._announcer.follow(before, settings)

    @property
    def _standing(self) -> Standing:
        """What serves, as it turned out: a tree of which a VM never served is there in part."""
        standing = self._reloader.standing
        failed = unserved(self._fleet.vms)
        if standing.state == "current" and failed:
            return Standing(standing.config_hash, "partial", failed)
        return standing

    def _info(self) -> dict[str, Any]:
        return status.info(
            self._settings, self._fleet.vms, self._standing, self._restart_required()
        )

    def _restart_required(self) -> bool:
        """Whether the configuration asks for something that only a start can give."""
        return self._reception.socket not in (None, self._settings.config.socket)

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; returns the exit code."""
        self._signals.take()
        self._reception.open(self._settings)
        log.info("daemon.started", node=self._settings.node, vms=len(self._fleet.vms))
        log.info("daemon.limits", by=self._no_groups or "the kernel, a control group a worker")
        while not self._signals.stop:
            self._turn()
        self._stop()
        return EXIT_OK

    def _named(self, request: Request) -> Vm:
        """The VM that a request names."""
        name = request.get("vm")
        for vm in self._fleet.vms:
            if vm.name == name:
                return vm
        names = ", ".join(vm.name for vm in self._fleet.vms) or "none"
        raise RefusedError(f"vm: found {name!r}; accepted: {names}")

    def _tap(self, request: Request) -> tap.Plan:
        vm = self._named(request)
        try:
            return tap.plan(self._settings, vm.name)
        except LookupError:
            raise RefusedError(f"vm: {vm.name!r} is just being removed") from None

    def _status(self, request: Request) -> dict[str, Any]:
        del request
        now = time.monotonic()
        told = status.full(
            self._settings,
            self._fleet.vms,
            self._announcer.connection,
            self._pacing.look(now),
            time.monotonic_ns(),
            now - self._started,
            self._standing,
            self._reloader.count,
            self._reloader.changes,
            self._no_groups,
            self._reception.requests,
        )
        return told | {"sparkplug": self._announcer.sparkplug}

    def _turn(self) -> None:
        """One round: do what is due, wait, serve what has come."""
        next_at = self._due()
        poll = select.poll()
        own = (self._signals.fileno(), self._fleet.work)
        for number in (*own, *self._fleet.filenos(), *self._reception.filenos()):
            poll.register(number, select.POLLIN)
        networks = {each.fileno(): each for each in self._announcer.connections}
        for network, connection in networks.items():
            if network is not None:
                writing = select.POLLOUT if connection.wants_write() else 0
                poll.register(network, select.POLLIN | writing)
        timeout_s = max(0.0, next_at - time.monotonic())
        for number, _ in poll.poll(int(timeout_s * 1000) + 1):
            self._serve(number, networks)
        for connection in self._announcer.connections:
            connection.writable()
        self._after_signals()

    def _serve(self, number: int, networks: dict[int | None, Connection]) -> None:
        if number in networks:
            networks[number].readable()
        elif number == self._signals.fileno():
            self._signals.drain()
        elif number == self._fleet.work:
            with contextlib.suppress(BlockingIOError):
                os.read(number, 8)
            self._pacing.work_begins()
        elif not self._reception.ready(number):
            self._fleet.ready(number)

    def _after_signals(self) -> None:
        asked = self._signals
        if asked.reload:
            asked.reload = False
            self._reloader.ask()
        if asked.tell:
            asked.tell = False
            for event, fields in status.lines(self._status({})):
                log.info(event, **fields)
        if asked.reap:
            asked.reap = False
            self._fleet.reap()

    def _due(self) -> float:
        """Do what time asks for; returns when it next does (CLOCK_MONOTONIC seconds)."""
        now = time.monotonic()
        times = [self._fleet.tick(now), self._announcer.tick(now)]
        if not self._ready:
            self._become_ready(now)
        times.append(self._reloader.tick(now) if self._ready else self._extend_at)
        if now >= self._watch_at:
            self._watch(now)
        times.append(self._watch_at)
        others = (self._pacing.due(now), self._reception.tick(now))
        times += [at for at in others if at is not None]
        self._notifier.status(
            status.summary(
                self._fleet.vms,
                self._announcer.connection,
                self._pacing.state,
                self._reloader.standing,
            )
        )
        return min(times)

    def _become_ready(self, now: float) -> None:
        if self._fleet.settled:
            self._ready = True
            self._notifier.ready()
            states = {vm.name: vm.state for vm in self._fleet.vms}
            log.info("daemon.ready", seconds=round(now - self._started, 3), **states)
        elif now >= self._extend_at:
            self._extend_at = now + EXTEND_EVERY_S
            if self._fleet.converting:
                self._notifier.extend_start(EXTEND_BY_S)

    def _watch(self, now: float) -> None:
        """Feed the watchdog if, and only if, every worker makes progress."""
        if self._fleet.end_stuck(time.monotonic_ns()):
            self._watch_at = now + UNHEALTHY_S
        else:
            self._watch_at = now + self._watch_s
            self._notifier.alive()

    def _worker_lost(self, vm: Vm) -> None:
        self._announcer.make_safe(vm)

    def _vm_changed(self, vm: Vm) -> None:
        log.info(
            "vm.state", vm=vm.name, state=vm.state, **({"reason": vm.reason} if vm.reason else {})
        )
        self._announcer.tell_vm(vm)
        self._announcer.tell()

    def _stop(self) -> None:
        """Drain the workers (at most 10 s), say `offline`, go."""
        log.info("daemon.stopping")
        self._notifier.stopping()
        self._fleet.stop()
        deadline = time.monotonic() + DRAIN_S
        while self._fleet.running:
            if time.monotonic() >= deadline:
                log.warning("daemon.drain_timeout", seconds=DRAIN_S)
                self._fleet.kill()
                deadline += DRAIN_S
            self._pause(deadline)
        self._farewell()
        self._reception.close()
        log.info("daemon.stopped")

    def _farewell(self) -> None:
        """Say `offline`, see it arrive, and disconnect."""
        self._announcer.begin_farewell()
        deadline = time.monotonic() + FAREWELL_S
        while self._announcer.leaving and time.monotonic() < deadline:
            self._pause(deadline)
        self._announcer.connection.leave()

    def _pause(self, deadline: float) -> None:
        """A round that waits no longer than `deadline`."""
        self._watch_at = self._pacing.at = min(deadline, time.monotonic() + 1.0)
        self._turn()

    def _forget(self) -> None:
        """In a forked worker: let go of what is the supervisor's."""
        self._announcer.forget()
        self._reception.forget()
        self._signals.forget()
