# SPDX-License-Identifier: Apache-2.0
"""A broker that answers as it is told to, and the owner of a connection to it."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import replace

from benchmarks.rig import wait_for
from neurovmd.broker import Broker
from neurovmd.mqtt import Connection

CONNACK_5 = bytes.fromhex("2003000000")
CONNACK_311 = bytes.fromhex("20020000")
UNSUPPORTED_5 = bytes.fromhex("2003008400")
UNSUPPORTED_311 = bytes.fromhex("20020001")
NOT_AUTHORIZED_5 = bytes.fromhex("2003008700")
TAKEN_OVER = bytes.fromhex("e0018e")


class Heard:
    """What an owner of a connection hears."""

    def __init__(self) -> None:
        self.ups: list[bool] = []
        self.downs: list[str] = []
        self.messages: list[tuple[str | None, bytes]] = []
        self.published: list[tuple[int, str]] = []

    def mqtt_up(self, session_present: bool) -> None:
        self.ups.append(session_present)

    def mqtt_down(self, reason: str) -> None:
        self.downs.append(reason)

    def mqtt_message(
        self, topic: str | None, payload: bytes, qos: int, mid: int, content_type: str = ""
    ) -> None:
        del qos, mid, content_type
        self.messages.append((topic, payload))

    def mqtt_published(self, mid: int, refusal: str) -> None:
        self.published.append((mid, refusal))


class Scripted:
    """Answers each connection's CONNECT with the next script; then listens.

    A script is what to send; b"" closes at once. `levels` are the protocol levels asked for.
    """

    def __init__(self, *scripts: bytes) -> None:
        self.levels: list[int] = []
        self.received = bytearray()
        self._scripts = list(scripts)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.peers: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._server.accept()
                self.peers.append(peer)
                data = peer.recv(4096)
                self.levels.append(data[data.index(b"MQTT") + 4])
                script = self._scripts.pop(0) if self._scripts else b""
                if not script:
                    peer.close()
                    continue
                peer.sendall(script)
                threading.Thread(target=self._listen, args=(peer,), daemon=True).start()

    def _listen(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := peer.recv(65536):
                self.received += data

    def close(self) -> None:
        for one in (self._server, *self.peers):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join(10.0)


Make = Callable[..., Scripted]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def pump(connection: Connection, until: Callable[[], object], clock: Clock | None = None) -> None:
    """The owner's loop, until something is true; time jumps to the next attempt."""

    def turn() -> object:
        next_at = connection.tick()
        number = connection.fileno()
        if number is not None:
            select.select([number], [], [], 0.05)
            connection.readable()
            connection.writable()
        elif clock is not None:
            clock.now = max(clock.now, next_at)
        return until()

    wait_for(turn, "what the test waits for")


def broker(server: Scripted, clock: Clock | None = None, **options: object) -> Broker:
    made = Broker(
        host="127.0.0.1",
        port=server.port,
        client_id="neurovmd-box-vm",
        will_topic="w",
        persistent=True,
        manual_ack=True,
        clock=clock or Clock(),
    )
    return replace(made, **options)
