# SPDX-License-Identifier: Apache-2.0
"""Two questions over HTTP, as the Open Inference Protocol names them: is it live, is it ready?

`GET /v2/health/live` and `GET /v2/health/ready` answer 200 or 503 with a line of JSON; what else
there is under `/v2`, where it is asked for, `neurovmd.doors` answers or hands to a worker;
everything else is refused. The supervisor's loop serves them, so whatever comes is bounded: eight
connections (a ninth takes the place of the oldest), 4 KiB and 5 s each, one request a connection,
32 connections a second, with models 512 (others wait in the kernel's queue).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from neurovmd import http, log

if TYPE_CHECKING:
    from neurovmd.doors import Doors

MAX_CLIENTS = 8
MAX_REQUEST_BYTES = http.MAX_HEAD_BYTES
# What is still thrown away after the answer: a close with data unread would cut the answer off.
MAX_REST_BYTES = 65536
PATIENCE_S = 5.0
BACKLOG = 64
# Connections in one second, then the listener rests until the second is over.
BURST = 32
BURST_OF_REQUESTS = 512
# After an address could not be used, or a connection not be taken.
RETRY_S = 10.0
REST_S = 1.0
NEVER = float("inf")

# A question's answer: whether it is so, and what else is told.
Answer = tuple[bool, dict[str, Any]]
Question = Callable[[], Answer]


@dataclass(slots=True)
class _Client:
    """One connection; `rest` counts what came after the answer (None: not answered yet)."""

    socket: socket.socket
    until: float
    heard: bytearray = field(default_factory=bytearray)
    rest: int | None = None


class HealthServer:
    """Listens on `address`; the owner watches `filenos`, calls `ready` and, when due, `tick`.

    `questions` maps a path's last level (`live`, `ready`) to what answers it, `doors` are the
    models' (None: there are none to be asked).
    """

    def __init__(
        self, address: tuple[str, int], questions: dict[str, Question], doors: Doors | None = None
    ) -> None:
        self.address = address
        self._doors = doors
        self._burst = BURST if doors is None else BURST_OF_REQUESTS
        self._questions = {f"/v2/health/{name}".encode(): ask for name, ask in questions.items()}
        self._listener: socket.socket | None = None
        self._clients: dict[int, _Client] = {}
        self._now = 0.0
        self._bind_at = self._rest_until = self._window_end = 0.0
        self._taken = 0
        self._trouble = ""
        # Requests since the start: those with an answer of 200 or 503, others, a worker's.
        self.counts = {"answered": 0, "refused": 0, "handed_over": 0}

    def filenos(self) -> list[int]:
        listens = self._listener is not None and self._now >= self._rest_until
        return [*([self._listener.fileno()] if listens and self._listener else []), *self._clients]

    def tick(self, now: float) -> float:
        """Do what is due; returns when to be called next (CLOCK_MONOTONIC seconds)."""
        self._now = now
        if self._listener is None and now >= self._bind_at:
            self._bind()
        for number, client in list(self._clients.items()):
            if now >= client.until:
                self._drop(number)
        times = [client.until for client in self._clients.values()]
        if self._listener is None:
            times.append(self._bind_at)
        elif now < self._rest_until:
            times.append(self._rest_until)
        return min(times, default=NEVER)

    def ready(self, number: int) -> None:
        """Serve one file descriptor that has become readable."""
        if self._listener is not None and number == self._listener.fileno():
            self._accept(self._listener)
        elif number in self._clients:
            self._read(number, self._clients[number])

    def close(self) -> None:
        """Stop listening; also what a forked child does with what it inherited."""
        for number in list(self._clients):
            self._drop(number)
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _bind(self) -> None:
        host, port = self.address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # The address may come up after the daemon does (Linux: IP_FREEBIND, for IPv6 as well).
            listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            listener.setblocking(False)
            listener.bind(self.address)
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            self._bind_at = self._now + RETRY_S
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.error("health.unavailable", address=f"{host}:{port}", reason=error)
            return
        self._listener, self._trouble = listener, ""
        log.info("health.listening", address=f"{host}:{port}")

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError:  # no file descriptor left: asking again at once would be a busy loop
            self._rest_until = self._now + REST_S
            return
        client.setblocking(False)
        while len(self._clients) >= MAX_CLIENTS:
            self._drop(next(iter(self._clients)))
        self._clients[client.fileno()] = _Client(client, self._now + PATIENCE_S)
        self._pace()

    def _pace(self) -> None:
        if self._now >= self._window_end:
            self._window_end, self._taken = self._now + 1.0, 0
        self._taken += 1
        if self._taken >= self._burst:
            self._rest_until = self._window_end

    def _read(self, number: int, client: _Client) -> None:
        try:
            data = client.socket.recv(MAX_REQUEST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if client.rest is not None:
            client.rest += len(data)
            if not data or client.rest > MAX_REST_BYTES:
                self._drop(number)
            return
        client.heard += data
        answer = self._answer(bytes(client.heard), client.socket)
        if answer is None:  # a worker has it
            self.counts["handed_over"] += 1
            self._drop(number)
        elif answer:
            self._send(number, client, answer)
        elif not data:
            self._drop(number)

    def _answer(self, heard: bytes, asker: socket.socket | None = None) -> bytes | None:
        """What to send; empty while the request is not whole, None where a worker will."""
        method = b"GET"
        try:
            head = http.read_head(heard)
            if head is None:
                return b""
            method = head.method
            if head.target not in self._questions and self._doors and asker is not None:
                return self._doors.answer(head, heard, asker)
            return self._told(head)
        except http.RefusedError as refusal:
            return refusal.response(method)

    def _told(self, head: http.Head) -> bytes:
        question = self._questions.get(head.target)
        if question is None:
            accepted = ", ".join(path.decode() for path in self._questions)
            raise http.RefusedError(404, f"accepted: {accepted}")
        if head.method not in (b"GET", b"HEAD"):
            raise http.RefusedError(405, "accepted: GET, HEAD", allow="GET, HEAD")
        is_so, told = question()
        name = head.target.rsplit(b"/", 1)[1].decode()
        return http.response(200 if is_so else 503, {name: is_so, **told}, head.method)

    def _send(self, number: int, client: _Client, answer: bytes) -> None:
        """The answer fits into any socket's buffer; a peer that has none is let go."""
        is_told = answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 503"))
        self.counts["answered" if is_told else "refused"] += 1
        try:
            whole = client.socket.send(answer) == len(answer)
            client.socket.shutdown(socket.SHUT_WR)
        except OSError:
            whole = False
        client.rest = 0
        if not whole:
            self._drop(number)

    def _drop(self, number: int) -> None:
        self._clients.pop(number).socket.close()


# linux/in.h; Python names it from 3.12 on.
_IP_FREEBIND = 15
