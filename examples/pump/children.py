# SPDX-License-Identifier: Apache-2.0
"""Processes the demo starts and ends."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

CLOSE_S = 3.0
TERM_S = 12.0


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why and what to do."""


def end(child: subprocess.Popen[bytes]) -> int:
    """End of input where the child reads ours, then SIGTERM, then SIGKILL; the exit code."""
    if child.stdin is not None:
        with contextlib.suppress(OSError):
            child.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(CLOSE_S)
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(TERM_S)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, indented; "(nothing)" when it is empty or missing."""
    with contextlib.suppress(OSError):
        text = log.read_text(errors="replace").splitlines()[-lines:]
        if text:
            return "\n".join(f"    {line}" for line in text)
    return "    (nothing)"
