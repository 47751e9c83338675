# SPDX-License-Identifier: Apache-2.0
"""An MQTT broker for the demo: amqtt in a child process, on loopback, on a free port.

python -m examples.pump.broker PORT      serves until its standard input ends
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from examples.pump.children import DemoError, end, tail

ROOT = Path(__file__).resolve().parents[2]
START_S = 15.0
ATTEMPTS = 5


async def serve(port: int) -> None:
    """Run amqtt on 127.0.0.1:`port`, anyone may connect, until standard input ends."""
    from amqtt.broker import Broker

    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
            },
        }
    )
    await broker.start()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await broker.shutdown()


def free_port() -> int:
    """A TCP port of loopback that nobody held a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


def _start(port: int, log: Path) -> subprocess.Popen[bytes] | None:
    """A broker that accepts connections, or None when it ended at once (the port was taken)."""
    with log.open("ab") as sink:
        child = subprocess.Popen(
            [sys.executable, "-m", "examples.pump.broker", str(port)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            return None
        if _answers(port):
            return child
        time.sleep(0.02)
    end(child)
    return None


@contextlib.contextmanager
def embedded(log: Path) -> Iterator[int]:
    """The port of a running broker; `log` takes what it says."""
    for _ in range(ATTEMPTS):
        port = free_port()
        child = _start(port, log)
        if child is not None:
            break
    else:
        raise DemoError(
            f"the embedded broker did not start in {ATTEMPTS} attempts; "
            f"use --broker HOST[:PORT] with one that runs. Its last words:\n{tail(log)}"
        )
    try:
        yield port
    finally:
        end(child)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1])))
