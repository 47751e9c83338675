# SPDX-License-Identifier: Apache-2.0
"""Every VM of this machine: those that `neurovm run` started, and those of the service."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from neurovm.cli import boxes, control
from neurovm.cli.boxes import Box
from neurovm.errors import BackendError

STOPPED = "stopped"
SERVICE = "service"
_LOOPBACK = "127.0.0.1"
_LOCAL = ("localhost", "::1", _LOOPBACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One VM at one moment.

    `status` and `daemon` are what its daemon says of it and of itself; None where none runs. `box`
    is set where `neurovm run` started it.
    """

    name: str
    socket: Path
    box: Box | None
    status: dict[str, Any] | None
    daemon: dict[str, Any] | None
    at_s: float

    @property
    def by(self) -> str:
        """Who serves it: `run` (a box of `neurovm run`) or `service`."""
        return SERVICE if self.box is None else boxes.RUN

    @property
    def state(self) -> str:
        if self.status is None:
            return STOPPED
        return "paused" if self.status["paused"] else str(self.status["state"])


def look(timeout_s: float = control.TIMEOUT_S) -> tuple[list[Seen], list[str]]:
    """All VMs, and what kept a daemon from answering; each is waited for so long."""
    found: list[Seen] = []
    trouble: list[str] = []
    places: list[tuple[Path, Box | None]] = [(box.socket, box) for box in boxes.every()]
    places += [(socket, None) for socket in boxes.service_sockets()]
    for socket, box in places:
        try:
            daemon = control.ask(socket, "status", timeout_s=timeout_s)
        except control.AbsentError:
            daemon = None
        except (BackendError, OSError) as error:
            trouble.append(str(error))
            daemon = None
        now_s = time.monotonic()
        vms = [] if daemon is None else daemon["vms"]
        found += [
            Seen(name=vm["name"], socket=socket, box=box, status=vm, daemon=daemon, at_s=now_s)
            for vm in vms
        ]
        if box is not None and not vms:
            found.append(
                Seen(name=box.name, socket=socket, box=box, status=None, daemon=None, at_s=now_s)
            )
    return found, trouble


def one(name: str) -> Seen:
    """The VM called NAME, run/NAME (a box) or service/NAME; UsageError names those there are, and
    those that NAME alone may mean.
    """
    found, trouble = look()
    named = [seen for seen in found if name in (seen.name, f"{seen.by}/{seen.name}")]
    if len(named) == 1:
        return named[0]
    if named:
        which = " and ".join(f"{seen.by}/{seen.name}" for seen in named)
        if len({seen.by for seen in named}) < len(named):
            which += "; NEUROVM_SOCKET names the daemon"
        raise click.UsageError(f"{name!r} may be {which}")
    if trouble:
        raise BackendError("; ".join(trouble))
    names = ", ".join(sorted({seen.name for seen in found})) or "none"
    raise click.UsageError(f"no VM {name!r}; there are: {names}")


def occupant(server: str, node: str) -> Seen | None:
    """A VM whose daemon is that node at that broker; None where no daemon of this machine is."""
    for seen in look()[0]:
        daemon = seen.daemon
        if daemon and (daemon["node"], place(daemon["mqtt"]["server"])) == (node, place(server)):
            return seen
    return None


def place(server: str) -> tuple[str, int]:
    """Host and port of a broker's URL, names of this machine as one."""
    parts = urlsplit(server)
    host = (parts.hostname or "").lower()
    ports = {"mqtt": 1883, "mqtts": 8883}
    return _LOOPBACK if host in _LOCAL else host, parts.port or ports.get(parts.scheme, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What happened in a second, between two looks; None where that cannot be said."""

    messages: float | None = None
    results: float | None = None
    sops: float | None = None
    spikes: float | None = None
    cpu: float | None = None


def rates(before: Seen | None, after: Seen) -> Rates:
    """Events a second between two looks at the same process of one VM."""
    if before is None or before.status is None or after.status is None:
        return Rates()
    old, new = before.status, after.status
    elapsed_s = after.at_s - before.at_s
    if old["pid"] != new["pid"] or elapsed_s <= 0:
        return Rates()

    def each_second(*path: str) -> float:
        first, second = (_value(status, path) for status in (old, new))
        return max(0.0, second - first) / elapsed_s

    spikes = each_second("counters", "events_in") + each_second("counters", "events_out")
    return Rates(
        messages=each_second("messages_in"),
        results=each_second("results_out"),
        sops=each_second("counters", "sops"),
        spikes=spikes,
        cpu=each_second("cpu_s"),
    )


def _value(status: dict[str, Any], path: tuple[str, ...]) -> float:
    found: Any = status
    for key in path:
        found = found[key]
    return float(found)
