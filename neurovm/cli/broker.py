# SPDX-License-Identifier: Apache-2.0
"""The broker that `neurovm run` brings when none is named: amqtt on loopback, in a child process.

    python -m neurovm.cli.broker PORT      serves until its standard input ends

MQTT 3.1.1, nothing is kept, anybody on this machine may connect: for trying out, not for service.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import IO

from neurovm.cli.deployment import daemon_environment
from neurovm.errors import BackendError

HOST = "127.0.0.1"
START_S = 10.0
ATTEMPTS = 3
LOOK_S = 0.01
CLOSE_S = 3.0


async def serve(port: int) -> None:
    """Run amqtt on loopback until standard input ends."""
    from amqtt.broker import Broker

    anonymous = "amqtt.plugins.authentication.AnonymousAuthPlugin"
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
            "plugins": {anonymous: {"allow_anonymous": True}},
        }
    )
    await broker.start()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await broker.shutdown()


def require() -> None:
    """BackendError where amqtt is not installed."""
    if find_spec("amqtt") is None:
        raise BackendError(
            "no broker was named and the embedded one is not installed; "
            "--broker mqtt://HOST names one, pip install 'neurovm[demo]' installs it"
        )


def free_port() -> int:
    """A TCP port of loopback that nobody held a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def start(log: IO[bytes]) -> tuple[subprocess.Popen[bytes], int]:
    """A broker that accepts connections, and its port; BackendError where none comes up."""
    for _ in range(ATTEMPTS):  # somebody else may take the port in between
        port = free_port()
        child = _start(port, log)
        if child is not None:
            return child, port
    raise BackendError(f"the embedded broker did not start; see {log.name}")


def _start(port: int, log: IO[bytes]) -> subprocess.Popen[bytes] | None:
    """A broker that accepts connections on `port`; None where it does not come up."""
    child = subprocess.Popen(
        [sys.executable, "-m", "neurovm.cli.broker", str(port)],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        env=daemon_environment(),
        start_new_session=True,
    )
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and child.poll() is None:
        if _accepts(port):
            return child
        time.sleep(LOOK_S)
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


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1.0):
        return True
    return False


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1])))
    # amqtt's plugins may leave threads behind.
    os._exit(0)
