# SPDX-License-Identifier: Apache-2.0
"""A process that runs another runtime's interpreter, and the questions it is asked.

The other end is `runtime_child.py`. A crash, a hang or a refusal there is a BackendError here, with
the runtime's name and its last words.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from neurovm.errors import BackendError

_CHILD = Path(__file__).with_name("runtime_child.py")
# The child sees the modules this process sees, and none of this package.
_BOOT = (
    "import json, runpy, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "runpy.run_path(sys.argv[2], run_name='__main__')"
)
_LAST_WORDS = 300
"""Characters of what the child says that go into an error."""


class Child:
    """One child process. Owns it; `close` ends it.

    python: another interpreter that has the runtime installed; None: this one, with its modules.
    subject: the model's name, for errors. `name` is the runtime's once it has said it.
    """

    def __init__(self, subject: str, timeout_s: float, python: str | None = None) -> None:
        self.name = "the runtime"
        self.timeout_s = timeout_s
        self._subject = subject
        self._python = python
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        try:
            self.process = subprocess.Popen(
                _command(python),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                bufsize=0,
            )
        except OSError as error:
            self._stderr.close()
            reason = error.strerror or str(error)
            raise BackendError(f"{python or sys.executable}: cannot be started: {reason}") from None

    def close(self) -> None:
        """End the child; safe to call twice."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def ask(self, request: dict[str, Any], payload: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """One request, one reply; every way it can fail is a BackendError."""
        deadline_s = time.monotonic() + self.timeout_s
        line = json.dumps({**request, "bytes": len(payload)}).encode() + b"\n"
        what = "running" if request["do"] in ("run", "time") else "opening"
        try:
            stdin, stdout = _pipes(self.process)
            _write(stdin, line + payload, deadline_s)
            reply = json.loads(_read_line(stdout, deadline_s))
            data = _read(stdout, reply["bytes"], deadline_s)
        except TimeoutError:
            raise BackendError(
                f"{self.name} did not answer within {self.timeout_s:g} s "
                f"while {what} {self._subject}"
            ) from None
        except (EOFError, BrokenPipeError):
            raise BackendError(f"{self.name} {self._end()} while {what} {self._subject}") from None
        if "error" in reply:
            raise BackendError(self._refusal(what, reply["error"]))
        return reply, data

    def _refusal(self, what: str, text: str) -> str:
        if text.startswith(("ModuleNotFoundError", "ImportError")):
            return self._missing(text)
        words = " ".join(text.split())
        if len(words) > _LAST_WORDS:
            words = words[:_LAST_WORDS] + " …"
        return f"{self.name} failed while {what} {self._subject}: {words}"

    def _missing(self, text: str) -> str:
        if self._python is not None:
            return f"{self._python} has no runtime to compare with ({text})"
        return (
            "no runtime to compare with can be imported; for LiteRT: "
            f"pip install 'neurovm[litert]'; for TFLite Micro: pip install tflite_micro ({text})"
        )

    def _end(self) -> str:
        """How the child ended, with its last words."""
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "closed its output"
        if code < 0:
            end = f"crashed ({signal.Signals(-code).name})"
        else:
            end = f"ended with exit code {code}"
        self._stderr.seek(0)
        words = " ".join(self._stderr.read().decode(errors="replace").split())[-_LAST_WORDS:]
        return f"{end}{': ' if words else ''}{words}"


def _command(python: str | None) -> list[str]:
    if python is None:
        return [sys.executable, "-c", _BOOT, json.dumps(sys.path), os.fspath(_CHILD)]
    # It has modules of its own; the folder we stand in is none of them.
    boot = (
        "import runpy, sys; sys.path[:] = [p for p in sys.path if p]; "
        "runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    return [python, "-c", boot, os.fspath(_CHILD)]


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise BrokenPipeError
    return process.stdin, process.stdout


def _wait(stream: IO[bytes], deadline_s: float, *, write: bool) -> None:
    poll = select.poll()
    poll.register(stream, select.POLLOUT if write else select.POLLIN)
    left_s = deadline_s - time.monotonic()
    if left_s <= 0 or not poll.poll(left_s * 1000):
        raise TimeoutError


def _write(stream: IO[bytes], data: bytes, deadline_s: float) -> None:
    view = memoryview(data)
    while view:
        _wait(stream, deadline_s, write=True)
        # At most what a pipe takes without blocking once it is writable.
        view = view[os.write(stream.fileno(), view[: select.PIPE_BUF]) :]


def _read(stream: IO[bytes], n: int, deadline_s: float) -> bytes:
    data = bytearray()
    while len(data) < n:
        _wait(stream, deadline_s, write=False)
        block = os.read(stream.fileno(), min(n - len(data), 1 << 20))
        if not block:
            raise EOFError
        data += block
    return bytes(data)


def _read_line(stream: IO[bytes], deadline_s: float) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n"):
        line += _read(stream, 1, deadline_s)
    return bytes(line)
