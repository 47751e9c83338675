# SPDX-License-Identifier: Apache-2.0
"""The broker that `neurovm run` brings when none is named: neurovm.broker in a child process."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
from typing import IO
from urllib.parse import urlsplit

from neurovm.cli.deployment import daemon_environment
from neurovm.errors import BackendError

HOST = "127.0.0.1"
START_S = 10.0
ATTEMPTS = 3
CLOSE_S = 3.0


def check_url(url: str) -> None:
    """ValueError unless `url` names a broker as the daemon takes it; what is secret in it is not
    repeated.
    """
    accepted = "mqtt://HOST[:PORT] or mqtts://HOST[:PORT]"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"not a URL; accepted: {accepted}") from None
    if "@" in parts.netloc:
        raise ValueError(
            "found an account in the URL, which everybody could read; --username and "
            "--password-file name it"
        )
    rest = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or rest or port == 0:
        raise ValueError(f"found {url!r}; accepted: {accepted}")


def free_port() -> int:
    """A TCP port of loopback that nobody held a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def start(log: IO[bytes], wish: int | None = None) -> tuple[subprocess.Popen[bytes], int]:
    """A broker that accepts connections, and its port: `wish` where that is free.

    BackendError where none comes up.
    """
    for attempt in range(ATTEMPTS):  # somebody else may take the port in between
        port = wish if wish and attempt == 0 and _is_free(wish) else free_port()
        child = _start(port, log)
        if child is not None:
            return child, port
    raise BackendError(f"the embedded broker did not start; see {log.name}")


def _start(port: int, log: IO[bytes]) -> subprocess.Popen[bytes] | None:
    """A broker that accepts connections on `port`; None where it does not come up."""
    heard, ready = os.pipe()
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "neurovm.broker", str(port), str(ready)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=daemon_environment(),
            start_new_session=True,
            pass_fds=[ready],
        )
        os.close(ready)
        # Its word, or the end of the pipe where it has none.
        if select.select([heard], [], [], START_S)[0] and os.read(heard, 1):
            return child
    finally:
        os.close(heard)
    end(child)
    return None


def end(child: subprocess.Popen[bytes]) -> None:
    """Let it end; kill it where it does not."""
    if child.stdin is not None:
        with contextlib.suppress(OSError):
            child.stdin.close()
    try:
        child.wait(CLOSE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError, OverflowError), socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        return True
    return False
