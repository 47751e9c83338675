# SPDX-License-Identifier: Apache-2.0
"""What systemd is told (sd_notify(3)): one datagram each, and nothing where nobody listens."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

# How long a message that must arrive may wait for its reader.
PATIENCE_S = 2.0


class Notifier:
    """Talks to NOTIFY_SOCKET; `watchdog_s` is the interval systemd expects signs of life in."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # A leading @ is Linux' abstract namespace.
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._status = ""
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environ.get("WATCHDOG_USEC", "")
        self.watchdog_s: float | None = None
        if self._address and mine and microseconds.isdigit() and int(microseconds):
            self.watchdog_s = int(microseconds) / 1e6

    def ready(self) -> None:
        self._send("READY=1", PATIENCE_S)

    def reloading(self) -> None:
        """A reload begins; `ready` says that it is over."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}", PATIENCE_S)

    def stopping(self) -> None:
        self._send("STOPPING=1", PATIENCE_S)

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def extend_start(self, seconds: float) -> None:
        """Ask for this long from now on, as often as needed."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; sent when it changes."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def _send(self, message: str, patience_s: float = 0.0) -> None:
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
        ):
            # A listener that does not read must not stop the daemon.
            sender.settimeout(patience_s)
            sender.connect(self._address)
            sender.sendall(message.encode())
