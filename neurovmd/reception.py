# SPDX-License-Identifier: Apache-2.0
"""Who may ask the daemon: the command on the control socket, and others over HTTP where that is
asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurovmd import log
from neurovmd.config import Settings
from neurovmd.control import ControlServer, Operation
from neurovmd.vm import Vm

if TYPE_CHECKING:
    from neurovmd.health import HealthServer

Probes = dict[str, Callable[[], tuple[bool, dict[str, Any]]]]


class Reception:
    """The daemon's listeners. `operations` are those of the control socket, `probes` those of
    `/v2/health`, `vms` whose models are asked over HTTP, where that is wished.
    """

    def __init__(
        self, operations: dict[str, Operation], probes: Probes, vms: Callable[[], list[Vm]]
    ) -> None:
        self._operations, self._probes, self._vms = operations, probes, vms
        self._control: ControlServer | None = None
        self._health: HealthServer | None = None

    @property
    def socket(self) -> str | None:
        """Where the control socket is; None where it could not be made."""
        return None if self._control is None else str(self._control.path)

    @property
    def requests(self) -> dict[str, int] | None:
        """How many requests over HTTP there were, by what became of them; None: nothing listens."""
        return None if self._health is None else self._health.counts

    def open(self, settings: Settings) -> None:
        """Listen; without a control socket everything else still works (but see Occupied)."""
        path = Path(settings.config.socket)
        try:
            self._control = ControlServer(path, self._operations)
        except OSError as error:
            log.warning("control.unavailable", socket=path, reason=error)
        self._health = self._new_health(settings)

    def _new_health(self, settings: Settings) -> HealthServer | None:
        """What answers over HTTP, where that is asked for; its module costs nothing elsewhere."""
        http = settings.config.http
        if http.address is None:
            return None
        from neurovmd.doors import Doors
        from neurovmd.health import HealthServer

        doors = Doors(self._vms) if http.infer else None
        return HealthServer(http.address, self._probes, doors)

    def follow(self, before: Settings, after: Settings) -> None:
        """A new configuration is in service. The control socket moves with the next start only."""
        if before.config.http != after.config.http:
            if self._health:
                self._health.close()
            self._health = self._new_health(after)

    def filenos(self) -> Iterator[int]:
        for server in (self._control, self._health):
            if server:
                yield from server.filenos()

    def ready(self, number: int) -> bool:
        """Serve a file descriptor that has become readable; whether it is one of ours."""
        for server in (self._control, self._health):
            if server and number in server.filenos():
                server.ready(number)
                return True
        return False

    def tick(self, now: float) -> float | None:
        """Let go of clients that are slow; returns the time of the next call."""
        return self._health.tick(now) if self._health else None

    def close(self) -> None:
        """Stop listening."""
        for server in (self._control, self._health):
            if server:
                server.close()

    def forget(self) -> None:
        """In a forked worker: close what was inherited."""
        if self._control:
            self._control.forget()
        if self._health:
            self._health.close()
