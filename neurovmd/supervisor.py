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
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from neurovmd import log, status
from neurovmd.broker import Broker
from neurovmd.config import Settings
from neurovmd.control import ControlServer, RefusedError, Request
from neurovmd.fleet import Fleet
from neurovmd.layers import Source
from neurovmd.mqtt import Connection
from neurovmd.notify import Notifier
from neurovmd.power import Governor, PowerState
from neurovmd.reload import Fingerprint, Reloader
from neurovmd.shared import SharedBlock
from neurovmd.vm import Vm

if TYPE_CHECKING:
    from neurovmd.health import HealthServer

EXIT_OK = 0
DRAIN_S = 10.0
FAREWELL_S = 1.5
# How often the workers are looked at when systemd asks for no sign of life.
WATCH_S = 15.0
# After finding a stuck worker the next look comes this soon.
UNHEALTHY_S = 1.0
TICK_S = 1.0
EXTEND_EVERY_S = 5.0
EXTEND_BY_S = 30.0
# So many seconds without a message before the governor's clock stops.
QUIET_TICKS = 5
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
    ) -> None:
        """`seen`: what `source` looked like before it was read; `reason`: why `settings` are not
        those of `source` (empty: they are).
        """
        self._settings, self._notifier = settings, notifier
        self._started = time.monotonic()
        # Room for a second set of the VMs beside the first, and for some more.
        self._block = SharedBlock(min(MOST_SLOTS, 2 * len(settings.deployments) + SPARE_SLOTS))
        self._power: PowerState | None = None
        self._fleet = Fleet(settings, self._block, changed=self._vm_changed, in_child=self._forget)
        self._governor = self._new_governor()
        self._base, self._connection = self._connect()
        self._reloader = Reloader(
            source,
            settings,
            self._fleet,
            notifier,
            seen=seen,
            reason=reason,
            taken=self._take_over,
            told=self._tell,
        )
        self._control: ControlServer | None = None
        self._health = self._new_health()
        self._signals, self._signals_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._children_ended = self._stop_asked = self._tell_asked = False
        self._ready = False
        self._watch_s = (notifier.watchdog_s or 2 * WATCH_S) / 2
        self._watch_at = self._started + self._watch_s
        self._extend_at = self._started
        self._tick_at = self._started
        self._quiet_ticks = 0
        self._seen = 0
        self._watched = 0

    def _new_governor(self) -> Governor:
        power = self._settings.config.power
        return Governor(
            power.limit_w,
            power.window_s,
            self._block,
            time.monotonic,
            vm_limits_w=self._limits_w(),
        )

    def _limits_w(self) -> list[float | None]:
        """Each slot's own limit."""
        limits: list[float | None] = [None] * len(self._block)
        for vm in self._fleet.vms:
            limits[vm.number] = vm.deployment.vm.power_limit_w
        return limits

    def _connect(self) -> tuple[str, Connection]:
        """The topics' base and a connection that is not open yet."""
        settings = self._settings
        base = f"{settings.config.prefix}/{settings.node}"
        broker = Broker.of(settings, role="main", will_topic=f"{base}/availability")
        return base, Connection(broker, self)

    def _new_health(self) -> HealthServer | None:
        """What answers over HTTP, where that is asked for; its module costs nothing elsewhere."""
        address = self._settings.config.http.address
        if address is None:
            return None
        from neurovmd.health import HealthServer

        return HealthServer(
            address,
            {
                "live": lambda: status.live(self._fleet.vms, time.monotonic_ns()),
                "ready": lambda: status.ready(self._fleet.vms, self._connection, self._stop_asked),
            },
        )

    def _take_over(self, settings: Settings) -> None:
        """A new configuration is in service: what is the supervisor's own follows it."""
        before, self._settings = self._settings, settings
        old, new = before.config, settings.config
        log.set_level(new.log_level)
        if new.power == old.power:
            self._governor.limit_vms(self._limits_w())
        else:
            self._governor = self._new_governor()
            self._power = None
        if new.http != old.http:
            if self._health:
                self._health.close()
            self._health = self._new_health()
        gone = {each.name for each in before.deployments}
        if (settings.node, new.prefix, new.mqtt) == (before.node, old.prefix, old.mqtt):
            gone -= {each.name for each in settings.deployments}
        for name in gone:
            self._publish(f"{name}/state", b"")
        if (settings.node, new.prefix, new.mqtt) != (before.node, old.prefix, old.mqtt):
            self._publish("info", b"")
            self._publish("availability", b"offline")
            self._connection.leave()
            self._connection.forget()
            self._base, self._connection = self._connect()
        self._tell()

    def _tell(self) -> None:
        """Publish what the daemon says of itself."""
        told = status.info(
            self._settings, self._fleet.vms, self._reloader.standing, self._restart_required()
        )
        self._publish("info", msgspec.json.encode(told))

    def _restart_required(self) -> bool:
        """Whether the configuration asks for something that only a start can give."""
        return self._control is not None and str(self._control.path) != self._settings.config.socket

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; returns the exit code."""
        self._take_signals()
        self._listen()
        log.info("daemon.started", node=self._settings.node, vms=len(self._fleet.vms))
        while not self._stop_asked:
            self._turn()
        self._stop()
        return EXIT_OK

    def mqtt_up(self, session_present: bool) -> None:
        del session_present  # it subscribes to nothing
        self._publish("availability", b"online")
        self._tell()
        for vm in self._fleet.vms:
            self._publish(f"{vm.name}/state", msgspec.json.encode(status.state(vm)))

    def mqtt_down(self, reason: str) -> None:
        """The connection has logged it, STATUS= shows it."""

    def mqtt_message(self, topic: str | None, payload: bytes, qos: int, mid: int) -> None:
        """Nothing is subscribed."""

    def mqtt_published(self, mid: int, refusal: str) -> None:
        if mid == self._watched:
            self._watched = 0
        if refusal:
            log.error("mqtt.refused", reason=refusal)

    def _take_signals(self) -> None:
        signal.set_wakeup_fd(self._signals_in, warn_on_full_buffer=False)
        for number in (
            signal.SIGTERM,
            signal.SIGINT,
            signal.SIGHUP,
            signal.SIGCHLD,
            signal.SIGUSR1,
        ):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGCHLD:
            self._children_ended = True
        elif number == signal.SIGHUP:
            self._reloader.ask()
        elif number == signal.SIGUSR1:
            self._tell_asked = True
        else:
            self._stop_asked = True

    def _listen(self) -> None:
        """Open the control socket; without it everything else still works (but see Occupied)."""
        path = Path(self._settings.config.socket)
        try:
            self._control = ControlServer(
                path,
                {
                    "status": self._status,
                    "reload": lambda _: self._reloader.ask(),
                    "stop": lambda request: self._fleet.hold(self._named(request)),
                    "start": lambda request: self._fleet.release(self._named(request)),
                },
            )
        except OSError as error:
            log.warning("control.unavailable", socket=path, reason=error)

    def _named(self, request: Request) -> Vm:
        """The VM that a request names."""
        name = request.get("vm")
        for vm in self._fleet.vms:
            if vm.name == name:
                return vm
        names = ", ".join(vm.name for vm in self._fleet.vms) or "none"
        raise RefusedError(f"vm: found {name!r}; accepted: {names}")

    def _status(self, request: Request) -> dict[str, Any]:
        del request
        now = time.monotonic()
        self._power = self._governor.tick(now)
        return status.full(
            self._settings,
            self._fleet.vms,
            self._connection,
            self._power,
            time.monotonic_ns(),
            now - self._started,
            self._reloader.standing,
            self._reloader.count,
        )

    def _turn(self) -> None:
        """One round: do what is due, wait, serve what has come."""
        next_at = self._due()
        poll = select.poll()
        for number in (self._signals, self._fleet.work, *self._fleet.filenos()):
            poll.register(number, select.POLLIN)
        for server in (self._control, self._health):
            for number in server.filenos() if server else ():
                poll.register(number, select.POLLIN)
        network = self._connection.fileno()
        if network is not None:
            writing = select.POLLOUT if self._connection.wants_write() else 0
            poll.register(network, select.POLLIN | writing)
        timeout_s = max(0.0, next_at - time.monotonic())
        for number, _ in poll.poll(int(timeout_s * 1000) + 1):
            self._serve(number, network)
        self._connection.writable()
        self._after_signals()

    def _serve(self, number: int, network: int | None) -> None:
        if number == network:
            self._connection.readable()
        elif number in (self._signals, self._fleet.work):
            with contextlib.suppress(BlockingIOError):
                os.read(number, 4096)
            if number == self._fleet.work:
                self._work_begins()
        elif self._control and number in self._control.filenos():
            self._control.ready(number)
        elif self._health and number in self._health.filenos():
            self._health.ready(number)
        else:
            self._fleet.ready(number)

    def _after_signals(self) -> None:
        if self._tell_asked:
            self._tell_asked = False
            for event, fields in status.lines(self._status({})):
                log.info(event, **fields)
        if self._children_ended:
            self._children_ended = False
            self._fleet.reap()

    def _due(self) -> float:
        """Do what time asks for; returns when it next does (CLOCK_MONOTONIC seconds)."""
        now = time.monotonic()
        times = [self._fleet.tick(now), self._connection.tick()]
        if not self._ready:
            self._become_ready(now)
            times.append(self._extend_at)
        else:
            times.append(self._reloader.tick(now))
        if now >= self._watch_at:
            self._watch(now)
        times.append(self._watch_at)
        times.append(self._health.tick(now) if self._health else self._watch_at)
        if self._block.awake:
            if now >= self._tick_at:
                self._govern(now)
            times.append(self._tick_at)
        standing = self._reloader.standing
        self._notifier.status(
            status.summary(self._fleet.vms, self._connection, self._power, standing)
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

    def _work_begins(self) -> None:
        """A worker has something to do: the governor's clock runs again."""
        if not self._block.awake:
            self._block.awake = True
            self._quiet_ticks = 0
            self._tick_at = time.monotonic()

    def _govern(self, now: float) -> None:
        self._tick_at = now + TICK_S
        self._power = self._governor.tick(now)
        slots = self._block.slots
        seen = sum(slot.messages_in + slot.results_out for slot in slots)
        busy = any(slot.busy_since_ns or slot.queue_depth for slot in slots)
        self._quiet_ticks = 0 if busy or seen != self._seen else self._quiet_ticks + 1
        self._seen = seen
        # A worker that starts between these lines wakes us: it looks at `awake` for every batch.
        if self._quiet_ticks >= QUIET_TICKS:
            self._block.awake = False

    def _vm_changed(self, vm: Vm) -> None:
        log.info(
            "vm.state", vm=vm.name, state=vm.state, **({"reason": vm.reason} if vm.reason else {})
        )
        self._publish(f"{vm.name}/state", msgspec.json.encode(status.state(vm)))
        self._tell()

    def _publish(self, name: str, payload: bytes) -> int:
        """Publish a retained message below `<prefix>/<node>`; it is repeated at every connect."""
        return self._connection.publish(f"{self._base}/{name}", payload, retain=True)

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
        for server in (self._control, self._health):
            if server:
                server.close()
        log.info("daemon.stopped")

    def _farewell(self) -> None:
        """Say `offline`, see it arrive, and disconnect."""
        self._watched = self._publish("availability", b"offline")
        deadline = time.monotonic() + FAREWELL_S
        while self._watched and self._connection.connected and time.monotonic() < deadline:
            self._pause(deadline)
        self._connection.leave()

    def _pause(self, deadline: float) -> None:
        """A round that waits no longer than `deadline`."""
        self._watch_at = self._tick_at = min(deadline, time.monotonic() + 1.0)
        self._turn()

    def _forget(self) -> None:
        """In a forked worker: let go of what is the supervisor's."""
        self._connection.forget()
        if self._control:
            self._control.forget()
        if self._health:
            self._health.close()
        signal.set_wakeup_fd(-1)
        os.close(self._signals)
        os.close(self._signals_in)
