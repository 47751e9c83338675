# SPDX-License-Identifier: Apache-2.0
"""The control socket: one JSON object a line in, one out.

`{"op": "status"}` → `{"status": "ok", "data": {…}}`; anything else → `{"status": "error", "error":
"…"}`. Operations may take arguments (`{"op": "stop", "vm": "pump"}`); `{"op": "version"}` answers
with the protocol's number and what it offers. New operations and fields may come without another
number; one that changes its meaning raises it.

The socket is 0660, so that the group may ask. A client that sends nonsense or does not read is
closed; it never holds up the daemon.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from neurovmd import log

GROUP = "neurovm"
MAX_CLIENTS = 8
BACKLOG = 64
MAX_REQUEST_BYTES = 4096

PROTOCOL = 1
Request = dict[str, object]
Operation = Callable[[Request], object]


class RefusedError(ValueError):
    """What an operation raises where its arguments are wrong; the message is the answer."""


class Occupied(Exception):  # noqa: N818  # a state of the place, not a fault
    """Another daemon answers on this socket."""


class ControlServer:
    """Listens on `path`; the owner watches `filenos` and calls `ready`."""

    def __init__(self, path: Path, operations: dict[str, Operation]) -> None:
        self.path = path
        self._operations: dict[str, Operation] = {**operations, "version": self._version}
        self._clients: dict[int, tuple[socket.socket, bytearray]] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._bind()
        except OSError:
            self._listener.close()
            raise

    def _bind(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(self.path)
        before = os.umask(0o117)
        try:
            self._listener.bind(str(self.path))
        finally:
            os.umask(before)
        # Only root and members may give it to the group; others keep their own.
        with contextlib.suppress(KeyError, OSError):
            os.chown(self.path, -1, _number_of(GROUP))
        self._listener.setblocking(False)
        self._listener.listen(BACKLOG)

    def filenos(self) -> list[int]:
        return [self._listener.fileno(), *self._clients]

    def ready(self, number: int) -> None:
        """Serve one file descriptor that has become readable."""
        if number == self._listener.fileno():
            self._accept()
        elif number in self._clients:
            self._read(number)

    def close(self) -> None:
        """Stop listening and remove the socket."""
        self.forget()
        with contextlib.suppress(OSError):
            self.path.unlink()

    def forget(self) -> None:
        """In a forked child: close what was inherited."""
        for number in list(self._clients):
            self._drop(number)
        self._listener.close()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        client.setblocking(False)
        while len(self._clients) >= MAX_CLIENTS:
            self._drop(next(iter(self._clients)))
        self._clients[client.fileno()] = (client, bytearray())

    def _read(self, number: int) -> None:
        client, pending = self._clients[number]
        try:
            data = client.recv(MAX_REQUEST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        pending += data
        if not data or len(pending) > MAX_REQUEST_BYTES:
            self._drop(number)
            return
        *lines, rest = bytes(pending).split(b"\n")
        pending[:] = rest
        answers = b"".join(self._answer(line) + b"\n" for line in lines)
        try:
            if client.send(answers) < len(answers):
                self._drop(number)
        except OSError:
            self._drop(number)

    def _answer(self, line: bytes) -> bytes:
        """The answer to one line. Whatever it says, it must not end the daemon."""
        try:
            return msgspec.json.encode({"status": "ok", "data": self._perform(line)})
        except RefusedError as error:
            said = str(error)
        except Exception as error:  # noqa: BLE001  # a defect, but of one answer
            log.error("control.failed", request=line[:200], error=repr(error))
            said = f"a defect of the daemon: {type(error).__name__}"
        return msgspec.json.encode(
            {"status": "error", "error": said.encode(errors="replace").decode()}
        )

    def _perform(self, line: bytes) -> object:
        try:
            request = msgspec.json.decode(line, type=Request)
        except (ValueError, RecursionError) as error:
            raise RefusedError(f"not a JSON object: {error}") from None
        operation = self._operations.get(str(request.get("op")))
        if operation is None:
            accepted = ", ".join(self._operations)
            raise RefusedError(f"op: found {request.get('op')!r}; accepted: {accepted}")
        return operation(request)

    def _version(self, request: Request) -> dict[str, object]:
        del request
        return {"protocol": PROTOCOL, "operations": sorted(self._operations)}

    def _drop(self, number: int) -> None:
        client, _ = self._clients.pop(number)
        client.close()


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on; Occupied where somebody does."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError as error:
            if error.errno in (errno.ECONNREFUSED, errno.ENOENT):
                log.debug("control.stale_socket_removed", path=path)
                path.unlink(missing_ok=True)
            return
    raise Occupied(f"another neurovmd answers on {path}")


def _number_of(group: str, path: Path = Path("/etc/group")) -> int:
    """The number of a group of this machine; KeyError where it has none of that name.

    Groups of other places (the module grp asks all, and loads what does) are no matter: the service
    makes its own here.
    """
    for line in path.read_text(errors="replace").splitlines():
        name, *rest = line.split(":")
        if name == group and len(rest) >= 2 and rest[1].isdigit():
            return int(rest[1])
    raise KeyError(group)
