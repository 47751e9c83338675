# SPDX-License-Identifier: Apache-2.0
"""LiteRT (or tflite-runtime) as the dense reference, in a process of its own.

The interpreter never runs in the caller's process: there are models that corrupt its heap. A crash,
a hang or a refusal is a BackendError that says so.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from neurovm.errors import BackendError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

_CHILD = Path(__file__).with_name("litert_child.py")
# The child sees the modules this process sees, and none of this package.
_BOOT = (
    "import json, runpy, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "runpy.run_path(sys.argv[2], run_name='__main__')"
)
_LAST_WORDS = 300
"""Characters of what the child says that go into an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A tensor of the interpreter: its index in the flatbuffer, name, shape and NumPy type name."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape without the batch axis of 1."""
        return self.shape[1:] if self.shape[:1] == (1,) else self.shape


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What came out of `rows` runs: one array an output, one a kept tensor, rows first."""

    outputs: tuple[NDArray[np.generic], ...]
    kept: dict[int, NDArray[np.generic]]


class LiteRT:
    """One model in one child process. Owns the process; `close` (or `with`) ends it.

    `runtime` is "ai-edge-litert" or "tflite-runtime", `version` its version; `inputs` and `outputs`
    are its ports; `kept` are those of the `wanted` tensors that can be read layer by layer (none
    before LiteRT 2.3).
    """

    def __init__(self, model: Path, *, wanted: Sequence[int] = (), timeout_s: float = 60.0) -> None:
        self._model = model
        self._timeout_s = timeout_s
        self.runtime, self.version = "LiteRT", ""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, json.dumps(sys.path), os.fspath(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            bufsize=0,
        )
        try:
            reply, _ = self._ask({"do": "open", "path": os.fspath(model), "wanted": list(wanted)})
        except BaseException:
            self.close()
            raise
        self.runtime, self.version = reply["runtime"], reply["version"]
        self.inputs = _ports(reply["inputs"])
        self.outputs = _ports(reply["outputs"])
        self.kept = _ports(reply["kept"])

    def run(self, rows: Sequence[NDArray[np.generic]]) -> Answer:
        """One array (n, *shape[1:]) of the source's type an input -> the answers, row by row."""
        count, payload = self._payload(rows)
        _, data = self._ask({"do": "run", "rows": count}, payload)
        arrays = _split(data, (*self.outputs, *self.kept), count)
        n = len(self.outputs)
        kept = {port.index: a for port, a in zip(self.kept, arrays[n:], strict=True)}
        return Answer(tuple(arrays[:n]), kept)

    def time_s(self, rows: Sequence[NDArray[np.generic]], repeats: int) -> float:
        """Seconds the interpreter takes for `repeats` times set, invoke and get."""
        count, payload = self._payload(rows)
        reply, _ = self._ask({"do": "time", "rows": count, "repeats": repeats}, payload)
        return float(reply["seconds"])

    def close(self) -> None:
        """End the child; safe to call twice."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _payload(self, rows: Sequence[NDArray[np.generic]]) -> tuple[int, bytes]:
        if len(rows) != len(self.inputs):
            raise BackendError(
                f"{self._model.name}: {len(rows)} arrays for {len(self.inputs)} inputs"
            )
        blocks = []
        for port, block in zip(self.inputs, rows, strict=True):
            if block.dtype.name != port.dtype or block.size != len(block) * port.size:
                raise BackendError(
                    f"{self._model.name}: input {port.name!r} takes {port.dtype} "
                    f"{list(port.shape)} a row, found {block.dtype.name} {list(block.shape[1:])}"
                )
            blocks.append(block.tobytes())
        return len(rows[0]), b"".join(blocks)

    def _ask(self, request: dict[str, Any], payload: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """One request, one reply; every way it can fail is a BackendError."""
        deadline_s = time.monotonic() + self._timeout_s
        line = json.dumps({**request, "bytes": len(payload)}).encode() + b"\n"
        what = "opening" if request["do"] == "open" else "running"
        try:
            stdin, stdout = _pipes(self._process)
            _write(stdin, line + payload, deadline_s)
            reply = json.loads(_read_line(stdout, deadline_s))
            data = _read(stdout, reply["bytes"], deadline_s)
        except TimeoutError:
            raise BackendError(
                f"{self._name()} did not answer within {self._timeout_s:g} s "
                f"while {what} {self._model.name}"
            ) from None
        except (EOFError, BrokenPipeError):
            raise BackendError(
                f"{self._name()} {self._end()} while {what} {self._model.name}"
            ) from None
        if "error" in reply:
            raise BackendError(self._refusal(what, reply["error"]))
        return reply, data

    def _name(self) -> str:
        return f"{self.runtime} {self.version}".strip()

    def _refusal(self, what: str, text: str) -> str:
        if text.startswith(("ModuleNotFoundError", "ImportError")):
            return (
                "neither LiteRT nor tflite-runtime can be imported; "
                f"pip install 'neurovm[litert]' ({text})"
            )
        words = " ".join(text.split())
        if len(words) > _LAST_WORDS:
            words = words[:_LAST_WORDS] + " …"
        return f"{self._name()} failed while {what} {self._model.name}: {words}"

    def _end(self) -> str:
        """How the child ended, with its last words."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "closed its output"
        if code < 0:
            end = f"crashed ({signal.Signals(-code).name})"
        else:
            end = f"ended with exit code {code}"
        self._stderr.seek(0)
        words = " ".join(self._stderr.read().decode(errors="replace").split())[-_LAST_WORDS:]
        return f"{end}{': ' if words else ''}{words}"


def _ports(described: list[dict[str, Any]]) -> tuple[Port, ...]:
    return tuple(
        Port(index=d["index"], name=d["name"], shape=tuple(d["shape"]), dtype=d["dtype"])
        for d in described
    )


def _split(data: bytes, ports: Sequence[Port], count: int) -> list[NDArray[np.generic]]:
    import numpy as np

    arrays = []
    at = 0
    for port in ports:
        n = count * port.size
        block = np.frombuffer(data, port.dtype, n, at)
        at += block.nbytes
        arrays.append(block.reshape(count, *port.row_shape))
    return arrays


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
