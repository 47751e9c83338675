# SPDX-License-Identifier: Apache-2.0
"""Requests over HTTP in a worker: a thread of its own, with sessions of its own.

The connections come through the worker's door with what was heard of them. The thread is made for
the first one; what comes over MQTT is other threads', and neither waits for the other. Whatever
comes is bounded: connections, the bytes of bodies under way, the time that each may take.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from neurovm.errors import NeurovmError
from neurovmd import http, log
from neurovmd.http import RefusedError
from neurovmd.inference import Requests
from neurovmd.pace import Pace
from neurovmd.shared import Slot

# Connections that are heard, and as many that are answered or have been.
MAX_CLIENTS = 16
# How long a request may take to arrive, and an answer to be taken.
PATIENCE_S = 5.0
# All bodies that are on their way together, in longest ones.
BODIES = 4
CHUNK_BYTES = 1 << 16
# What is still thrown away after an answer.
MAX_REST_BYTES = 1 << 22
REST_S = 0.25


@dataclass(slots=True)
class _Client:
    """One connection: what was heard (`head` once it is whole), what is still to be said, and then
    how much came after it (`rest`).
    """

    socket: socket.socket
    until: float
    heard: bytearray
    head: http.Head | None = None
    length: int = 0
    answer: memoryview | None = None
    rest: int = 0


class RequestServer:
    """Serves the connections that come through `door` until `closing` says so.

    `pace` is the worker's: after a request the thread rests for the CPU time it took, where the
    worker may not go at full speed.
    """

    def __init__(
        self,
        door: socket.socket,
        requests: Requests,
        slot: Slot,
        pace: Pace,
        closing: Callable[[], bool],
    ) -> None:
        self._door, self._requests, self._slot = door, requests, slot
        self._pace, self._closing = pace, closing
        self._clients: dict[int, _Client] = {}

    @property
    def idle(self) -> bool:
        """Whether nobody waits for an answer; any thread may ask."""
        return all(client.answer is not None and not client.answer for client in self._all())

    def _all(self) -> list[_Client]:
        return list(self._clients.values())

    def run(self) -> None:
        """Until the worker ends; whatever a request does, the next one is served."""
        while self._turn():
            pass
        for number in list(self._clients):
            self._drop(number)

    def _turn(self) -> bool:
        poll = select.poll()
        poll.register(self._door, select.POLLIN)
        for number, client in self._clients.items():
            poll.register(number, select.POLLOUT if client.answer else select.POLLIN)
        ends = [client.until for client in self._clients.values()]
        timeout_s = max(0.0, min(ends) - time.monotonic()) if ends else None
        for number, _ in poll.poll(None if timeout_s is None else int(timeout_s * 1000) + 1):
            if number == self._door.fileno():
                if not self._take():
                    return False
            elif number in self._clients:
                self._serve(number, self._clients[number])
        now = time.monotonic()
        for number, client in list(self._clients.items()):
            if now >= client.until:
                self._drop(number)
        return True

    def _take(self) -> bool:
        """A connection through the door; False when nobody is behind it any more."""
        try:
            heard, files, _, _ = socket.recv_fds(self._door, 2 * http.MAX_HEAD_BYTES, 1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not files:
            return bool(heard)
        client = _Client(
            socket.socket(fileno=files[0]), time.monotonic() + PATIENCE_S, bytearray(heard)
        )
        client.socket.setblocking(False)
        self._clients[files[0]] = client
        said = [number for number, each in self._clients.items() if each.answer is not None]
        if len(said) > MAX_CLIENTS:
            self._drop(said[0])
        if len(self._clients) - len(said) > MAX_CLIENTS:
            self._answer(client, RefusedError(503, "too many requests at once").response())
        else:
            self._consider(client)
        return True

    def _serve(self, number: int, client: _Client) -> None:
        if client.answer:
            self._send(number, client)
            return
        try:
            data = client.socket.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if client.answer is not None:  # all is said; a close now could cut the answer off
            client.rest += len(data)
        if not data or client.rest > MAX_REST_BYTES:
            self._drop(number)
        elif client.answer is None:
            client.heard += data
            self._consider(client)

    def _consider(self, client: _Client) -> None:
        """Answer what is whole; what can never be answered at once."""
        method = b"GET" if client.head is None else client.head.method
        try:
            if client.head is None:
                client.head = http.read_head(bytes(client.heard))
                if client.head is None:
                    return  # the supervisor has seen a whole one, so this cannot be
                method = client.head.method
                client.length = self._length(client.head)
                del client.heard[: client.head.end]
                if client.head.headers.get(b"expect", b"").lower() == b"100-continue":
                    client.socket.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            if len(client.heard) >= client.length:
                body = bytes(client.heard[: client.length])
                self._answer(client, self._perform(client.head, body))
        except RefusedError as refusal:
            self._slot.http_refused += 1
            self._answer(client, refusal.response(method))
        except OSError:  # it has gone: the next read or write finds that
            return

    def _length(self, head: http.Head) -> int:
        """How long the body is; RefusedError for what is not taken."""
        if not head.target.endswith(b"/infer"):
            return 0
        if b"transfer-encoding" in head.headers:
            raise RefusedError(411, "transfer-encoding is not taken; accepted: content-length")
        if head.headers.get(b"content-encoding", b"identity") != b"identity":
            raise RefusedError(415, "content-encoding is not taken")
        length = head.number(b"content-length")
        if length is None:
            raise RefusedError(411, "content-length is needed")
        most = self._requests.most_bytes
        if length > most:
            raise RefusedError(413, f"a body of {length} bytes; accepted: at most {most}")
        if sum(each.length for each in self._clients.values()) + length > BODIES * most:
            raise RefusedError(503, "too many bodies at once")
        return length

    def _perform(self, head: http.Head, body: bytes) -> bytes:
        """The response to a whole request; whatever goes wrong, it must not end the worker."""
        if self._closing():
            raise RefusedError(503, "the model is ending")
        if not head.target.endswith(b"/infer"):
            return http.response(200, self._requests.metadata(), head.method)
        if self._slot.paused or not self._slot.duty_q16:
            raise RefusedError(503, "the power limit leaves no room")
        try:
            answer = self._requests.infer(body, head.number(b"inference-header-content-length"))
        except RefusedError:
            raise
        except (NeurovmError, MemoryError) as error:
            raise RefusedError(503, str(error) or "out of memory") from None
        except Exception as error:  # noqa: BLE001  # a defect, but of one answer
            log.error("http.failed", error=repr(error))
            raise RefusedError(500, f"a defect of the daemon: {type(error).__name__}") from None
        self._slot.http_answered += 1
        self._rest()
        return answer

    def _rest(self) -> None:
        while (owed_ns := self._pace.owed_ns()) > 0 and not self._closing():
            time.sleep(min(owed_ns / 1e9, REST_S))

    def _answer(self, client: _Client, answer: bytes) -> None:
        client.answer, client.until = memoryview(answer), time.monotonic() + PATIENCE_S
        client.length = 0
        client.heard = bytearray()
        self._send(client.socket.fileno(), client)

    def _send(self, number: int, client: _Client) -> None:
        assert client.answer is not None  # noqa: S101  # by its callers
        try:
            client.answer = client.answer[client.socket.send(client.answer) :]
            if not client.answer:
                client.socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return
        except OSError:
            self._drop(number)

    def _drop(self, number: int) -> None:
        client = self._clients.pop(number, None)
        if client is not None:
            client.socket.close()


def begin(
    door: socket.socket, requests: Requests, slot: Slot, pace: Pace, closing: Callable[[], bool]
) -> RequestServer:
    """A server on a thread of its own, which ends with the process or what is behind the door."""
    server = RequestServer(door, requests, slot, pace, closing)
    threading.Thread(target=server.run, name="http", daemon=True).start()
    return server
