# SPDX-License-Identifier: Apache-2.0
"""Taking over a changed configuration while the daemon runs, or saying why not.

The new one is read whole and judged; what changed is loaded beside what runs (`neurovmd.rollout`).
Anything wrong leaves the last good one in service, and the reason is told.

A start takes what is there, since nothing else runs yet; where a model of it does not load and the
configuration says so (`on_invalid: last_good`), the copy of what served last takes its place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from neurovm.errors import ConfigError
from neurovmd import broker, config, last_good, layers, log, models, places
from neurovmd.config import Settings
from neurovmd.fleet import LATER_S, Fleet
from neurovmd.identity import Standing, config_hash
from neurovmd.layers import Source
from neurovmd.notify import Notifier
from neurovmd.rollout import Rollout
from neurovmd.vm import Vm

# So often is a tree read again that changes while it is being read.
MOST_READS = 5
EXTEND_BY_S = 30.0
Fingerprint = tuple[tuple[str, int, int, int], ...]


class Reloader:
    """Owned by the supervisor, which calls `tick` in every round.

    `seen` is what the layers looked like before `settings` were read from them. `taken` is called
    with settings that have come into service, `told` when the standing changed.
    """

    def __init__(
        self,
        source: Source,
        settings: Settings,
        fleet: Fleet,
        notifier: Notifier,
        *,
        seen: Fingerprint,
        reason: str,
        taken: Callable[[Settings], None],
        told: Callable[[], None],
    ) -> None:
        self._source, self._settings, self._fleet = source, settings, fleet
        self._notifier, self._taken, self._told = notifier, taken, told
        state = last_good.NAME if reason else "current"
        self.standing = Standing(config_hash(settings), state, reason)
        self.count = 0
        # What the last reload did to each VM; None before one, and where it was refused.
        self.changes: dict[str, list[str]] | None = None
        self._asked = self._saved = False
        self._judged = bool(reason)
        self._start_reason = ""
        self._wanted = settings
        self._layers = seen
        self._rollout: Rollout | None = None
        self._seen = self._before = seen + self._models()
        self._look_at = 0.0

    def ask(self) -> None:
        """Reload as soon as may be."""
        self._asked = True

    def tick(self, now: float) -> float:
        """Do what is due; returns the time of the next call (CLOCK_MONOTONIC seconds)."""
        if self._rollout is None and self._asked:
            self._asked = False
            self._begin()
        if self._rollout is None and not self._judged and self._fleet.settled:
            self._judged = True
            self._judge_start()
        if self._rollout is not None and self._rollout.step():
            self._end(self._rollout)
        if self._rollout is None and not self._saved:
            self._save()
        return min(self._watch(now), now if self._asked and not self._rollout else now + LATER_S)

    def _begin(self) -> None:
        log.info("config.reloading")
        self._notifier.reloading()
        self._notifier.extend_start(EXTEND_BY_S)
        try:
            settings = self._read()
            self._rollout = Rollout(self._fleet, self._settings, settings)
        except (ConfigError, ValueError) as error:
            self._refuse(str(error))

    def _judge_start(self) -> None:
        """All VMs have been started once: fall back where the model of one cannot be served."""
        failed = unserved(self._fleet.vms)
        if not failed or self._settings.config.on_invalid != last_good.NAME:
            return
        last = last_good.find(self._source)
        if last is None or config_hash(last) == self.standing.config_hash:
            return
        log.error("config.refused", reason=failed)
        with contextlib.suppress(ValueError):  # no room
            self._rollout = Rollout(self._fleet, self._settings, last)
            self._start_reason = failed

    def _read(self) -> Settings:
        """The configuration, whole; ConfigError where anything in it is wrong."""
        after = look(self._source)
        for _ in range(MOST_READS):
            before = after
            settings, errors = config.examine(self._source)
            after = look(self._source)
            if before == after:
                break
        self._layers, self._wanted = before, settings
        self._seen = self._before = before + self._models()
        for error in errors or broker.examine_files(settings):
            raise error
        for deployment in settings.deployments:
            models.verify(deployment.vm.model, deployment.model, str(deployment.file))
        return settings

    def _end(self, rollout: Rollout) -> None:
        fallen, self._start_reason = self._start_reason, ""
        self._rollout = None
        if rollout.failure:
            rollout.abandon()
            if fallen:  # what was started stays, and its own reasons are told
                log.error("last_good.unusable", reason=rollout.failure)
            else:
                self._refuse(rollout.failure)
            return
        rollout.commit()
        self._settings = rollout.settings
        self._seen = self._before = self._layers + self._models()
        log.hide(self._settings.secrets())
        self._saved = False
        planned = rollout.plan
        self.changes = planned.changes()
        state = last_good.NAME if fallen else "current"
        self._finish(Standing(config_hash(self._settings), state, fallen[:1000]))
        log.info(
            "config.reloaded",
            hash=self.standing.config_hash[:12],
            kept=len(planned.keep),
            loaded=len(planned.load),
            stopped=len(planned.stop),
        )
        self._taken(self._settings)

    def _refuse(self, reason: str) -> None:
        """Keep what runs."""
        self.changes = None
        log.error("config.refused", reason=reason)
        self._finish(Standing(self.standing.config_hash, last_good.NAME, reason[:1000]))
        self._told()

    def _finish(self, standing: Standing) -> None:
        self.standing = standing
        self.count += 1
        self._notifier.ready()

    def _save(self) -> None:
        """Keep a copy of what serves, once all of it does."""
        states = {vm.state for vm in self._fleet.vms}
        if states <= {"ready", "stopped"} and self.standing.state == "current":
            self._saved = True
            last_good.save(self._settings)

    def _watch(self, now: float) -> float:
        """Look at the files where that is configured; a change is taken when it has settled."""
        every_s = self._settings.config.watch_s
        if every_s is None:
            return now + LATER_S
        if now >= self._look_at:
            self._look_at = now + every_s
            seen = look(self._source) + self._models()
            if seen == self._before != self._seen:
                self._seen = seen
                self.ask()
            self._before = seen
        return self._look_at

    def _models(self) -> Fingerprint:
        """The models of what is wanted, whether or not it serves."""
        return layers.fingerprint((), [each.model for each in self._wanted.deployments])


def unserved(vms: list[Vm]) -> str:
    """Which VM has failed and never served, and why; empty where there is none."""
    return next(
        (f"{vm.name}: {vm.failed_for}" for vm in vms if vm.failed_for and not vm.served), ""
    )


def look(source: Source) -> Fingerprint:
    """What changes when a file of the configuration does; empty where there is none."""
    try:
        return layers.fingerprint(source.layers(places.here()))
    except ConfigError:
        return ()


def read(source: Source) -> tuple[Settings, str]:
    """The configuration to start with, and why it is not the one on the disk (empty: it is).

    ConfigError where that is wrong and there is no last good one to take its place.
    """
    try:
        settings = config.load(source)
        for error in broker.examine_files(settings):
            raise error
        return settings, ""
    except ConfigError as error:
        last = last_good.find(source)
        if last is None:
            raise
        log.error("config.refused", reason=error)
        return last, str(error)
