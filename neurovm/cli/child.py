# SPDX-License-Identifier: Apache-2.0
"""Children of the command that speak MQTT: started, told to end as we are, waited for."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator

from neurovm.cli import deployment

END_S = 10.0


@contextlib.contextmanager
def running(
    *args: str, stdout: int | None = None, stdin: int | None = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """`neurovmd ARGS` with our stderr; ours and its SIGINT and SIGTERM let it end properly."""
    child = subprocess.Popen(
        deployment.daemon_command(*args),
        stdin=stdin,
        stdout=stdout,
        env=deployment.daemon_environment(),
    )

    def pass_on(number: int, _frame: object) -> None:
        with contextlib.suppress(OSError):
            child.send_signal(number)

    before = {n: signal.signal(n, pass_on) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield child
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(END_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if child.stdout is not None:
            child.stdout.close()


def run(*args: str) -> int:
    """The exit code of `neurovmd ARGS`, with our own output."""
    with running(*args) as child:
        return child.wait()
