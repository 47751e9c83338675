# SPDX-License-Identifier: Apache-2.0
"""The client's end of the daemon's control socket: one JSON object a line out, one in."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from neurovm.errors import BackendError

TIMEOUT_S = 5.0
MOST_BYTES = 16 << 20
_ABSENT = (errno.ENOENT, errno.ECONNREFUSED)


class AbsentError(BackendError):
    """No daemon listens on this socket."""


def ask(path: Path, op: str, *, timeout_s: float = TIMEOUT_S, **arguments: object) -> Any:
    """What the daemon at `path` answers to an operation.

    AbsentError where none listens, PermissionError where we may not ask, BackendError for a
    refusal, TimeoutError for silence.
    """
    deadline_s = time.monotonic() + timeout_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(timeout_s)
        try:
            client.connect(os.fspath(path))
            client.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
            line = _line(client, deadline_s)
        except TimeoutError:
            raise TimeoutError(
                errno.ETIMEDOUT, f"the daemon did not answer within {timeout_s:g} s", str(path)
            ) from None
        except PermissionError as error:
            raise PermissionError(
                errno.EACCES, "members of the group neurovm may ask the daemon", str(path)
            ) from error
        except OSError as error:
            if error.errno in _ABSENT:
                raise AbsentError(f"{path}: no daemon listens here") from None
            raise BackendError(f"{path}: {error.strerror or error}") from error
    return _data(line, path)


def _line(client: socket.socket, deadline_s: float) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        client.settimeout(left_s)
        block = client.recv(65536)
        if not block or len(received) > MOST_BYTES:
            raise OSError(errno.EPIPE, "the daemon closed the connection")
        received += block
    return bytes(received)


def _data(line: bytes, path: Path) -> Any:
    try:
        answer = json.loads(line)
        if answer["status"] == "ok":
            return answer["data"]
        reason = answer["error"]
    except (ValueError, KeyError, TypeError) as error:
        raise BackendError(f"{path}: not an answer of neurovmd: {error!r}") from None
    raise BackendError(f"{path}: {reason}")


def peer(path: Path) -> int | None:
    """The process that listens on a socket; None where none does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(TIMEOUT_S)
        with contextlib.suppress(OSError):
            client.connect(os.fspath(path))
            # struct ucred: pid, uid, gid
            raw = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            return int.from_bytes(raw[:4], "little") or None
    return None
