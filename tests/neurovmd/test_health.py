# SPDX-License-Identifier: Apache-2.0
"""The health endpoint: what it answers, and that no request holds it up or grows it."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import select
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.rig import Daemon, Mosquitto, find_mosquitto, free_port, wait_for
from neurovm.errors import ConfigError
from neurovmd import check, config, health
from neurovmd.health import HealthServer

GET_READY = b"GET /v2/health/ready HTTP/1.1\r\nHost: box\r\n\r\n"


class Loop:
    """The server in the hands of a test, which is its clock and its select loop."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.is_ready = True
        self.server = HealthServer(
            ("127.0.0.1", free_port()),
            {"live": lambda: (True, {}), "ready": lambda: (self.is_ready, {"vms": 1})},
        )
        self.turn()

    def turn(self, seconds: float = 0.0) -> float:
        """One round as the supervisor makes it; returns when the next is due."""
        self.now_s += seconds
        due = self.server.tick(self.now_s)
        poll = select.poll()
        for number in self.server.filenos():
            poll.register(number, select.POLLIN)
        for number, _ in poll.poll(0):
            self.server.ready(number)
        return due

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.server.address)
        client.settimeout(0.0)
        before = self.count()
        wait_for(lambda: (self.turn(), self.count() > before)[1], "the connection is taken", 5.0)
        return client

    def count(self) -> int:
        return len(self.server.filenos()) - 1

    def hear(self, client: socket.socket) -> bytes:
        """All that the server says until it ends the connection."""
        heard = b""

        def ended() -> bool:
            nonlocal heard
            self.turn()
            try:
                data = client.recv(65536)
            except BlockingIOError:
                return False
            except ConnectionResetError:
                return True
            heard += data
            return not data

        wait_for(ended, f"the end of the answer; heard {heard!r}", 5.0)
        return heard

    def ask(self, request: bytes) -> tuple[int, bytes]:
        with self.connect() as client:
            client.sendall(request)
            heard = self.hear(client)
        wait_for(lambda: (self.turn(), self.count() == 0)[1], "the connection is gone", 5.0)
        head, _, body = heard.partition(b"\r\n\r\n")
        return int(head.split()[1]) if head else 0, body


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.server.close()


def test_the_two_questions_are_answered(loop: Loop) -> None:
    assert loop.ask(GET_READY) == (200, b'{"ready":true,"vms":1}\n')
    loop.is_ready = False
    assert loop.ask(GET_READY) == (503, b'{"ready":false,"vms":1}\n')
    assert loop.ask(b"GET /v2/health/live?x=1 HTTP/1.0\r\n\r\n") == (200, b'{"live":true}\n')
    assert loop.ask(GET_READY.replace(b"GET", b"HEAD")) == (503, b"")


WRONG: dict[str, tuple[bytes, int]] = {
    "another path": (b"GET /metrics HTTP/1.1\r\n\r\n", 404),
    "a longer path": (b"GET /v2/health/ready/ HTTP/1.1\r\n\r\n", 404),
    "another method": (b"DELETE /v2/health/live HTTP/1.1\r\n\r\n", 405),
    "a body": (b"POST /v2/health/ready HTTP/1.1\r\nContent-Length: 9\r\n\r\nmore text", 405),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /v2/health/ready\r\n", 400),
    "nothing": (b"\r\n", 400),
    "MQTT": (b"\x10\x2a\x00\x04MQTT\n", 400),
    "zeros": (bytes(health.MAX_REQUEST_BYTES), 400),
    "a long target": (b"GET /" + b"x" * 2000 + b" HTTP/1.1\r\n\r\n", 400),
    "a line without end": (b"GET /" + b"x" * 8000, 400),
    "headers without end": (GET_READY[:-2] + b"a: b\r\n" * 2000, 431),
    "a character of no meaning": (b"GET /v2/health/r\xe9ady HTTP/1.1\r\n\r\n", 400),
    "a second request": (GET_READY * 3, 200),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_else_comes_gets_one_answer(loop: Loop, name: str) -> None:
    request, status = WRONG[name]
    found, body = loop.ask(request)
    assert found == status
    assert json.loads(body)
    assert loop.ask(GET_READY)[0] == 200


def test_a_request_in_pieces_is_answered_when_it_is_whole(loop: Loop) -> None:
    with loop.connect() as client:
        for byte in GET_READY[:-1]:
            client.sendall(bytes([byte]))
            loop.turn()
            with pytest.raises(BlockingIOError):
                client.recv(1)
        client.sendall(GET_READY[-1:])
        assert loop.hear(client).startswith(b"HTTP/1.1 200 OK\r\n")


def test_who_says_nothing_is_let_go(loop: Loop) -> None:
    assert loop.turn() == health.NEVER
    with loop.connect() as client:
        assert loop.turn() == loop.now_s + health.PATIENCE_S
        client.sendall(GET_READY[:-1])
        loop.turn(health.PATIENCE_S / 2)
        client.sendall(GET_READY[:0] + b"x")  # going on does not lengthen it
        loop.turn(health.PATIENCE_S / 2)
        assert loop.count() == 0
    assert loop.turn() == health.NEVER


def test_who_does_not_stop_is_let_go(loop: Loop) -> None:
    """Neither an endless body nor a peer that never closes keeps its place."""
    with loop.connect() as client:
        client.sendall(GET_READY)
        wait_for(lambda: (loop.turn(), b"200" in _peek(client))[1], "an answer", 5.0)
        client.settimeout(5.0)

        def cut_off() -> bool:
            try:
                client.sendall(b"x" * 10_000)
            except (BrokenPipeError, ConnectionResetError):
                return True
            loop.turn()
            return False

        wait_for(cut_off, "the end of patience", 5.0)
    with loop.connect() as client:
        client.sendall(GET_READY)
        loop.hear(client)
        loop.turn(health.PATIENCE_S)
        assert loop.count() == 0


def _peek(client: socket.socket) -> bytes:
    try:
        return client.recv(65536, socket.MSG_PEEK)
    except BlockingIOError:
        return b""


def test_a_crowd_leaves_room_for_who_asks(loop: Loop) -> None:
    with contextlib.ExitStack() as crowd:
        for _ in range(20):
            crowd.enter_context(socket.create_connection(loop.server.address))
        for _ in range(50):
            loop.turn()
        assert loop.count() == health.MAX_CLIENTS
        with socket.create_connection(loop.server.address) as client:
            client.sendall(GET_READY)
            client.settimeout(0.0)
            assert loop.hear(client).startswith(b"HTTP/1.1 200")
    wait_for(lambda: (loop.turn(), loop.count() == 0)[1], "all are gone", 5.0)


def test_a_flood_is_taken_at_a_bounded_rate(loop: Loop) -> None:
    with contextlib.ExitStack() as crowd:
        clients = [
            crowd.enter_context(socket.create_connection(loop.server.address))
            for _ in range(health.BURST + 20)
        ]
        for _ in range(2 * health.BURST):
            due = loop.turn()
        assert loop.now_s < due <= loop.now_s + 1.0
        ended = [client for client in clients if readable(client)]
        assert len(ended) == health.BURST - health.MAX_CLIENTS
        for _ in range(health.BURST + 20):
            loop.turn(1.0)
        assert all(readable(client) for client in clients)


def readable(client: socket.socket) -> bool:
    """Whether the other side has ended it: nothing is ever said to who has not asked."""
    poll = select.poll()
    poll.register(client, select.POLLIN)
    return bool(poll.poll(0))


def test_a_reset_connection_is_forgotten(loop: Loop) -> None:
    client = loop.connect()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    wait_for(lambda: (loop.turn(), loop.count() == 0)[1], "the connection is gone", 5.0)
    assert loop.ask(GET_READY)[0] == 200


def test_random_bytes_never_raise(loop: Loop) -> None:
    seed = random.Random(11)
    for _ in range(3000):
        base = bytearray(seed.choice([GET_READY, b"\r\n\r\n", b"HEAD / HTTP/1.1\n\n", b""]))
        for _ in range(seed.randrange(6)):
            at = seed.randrange(len(base) + 1)
            base[at : at + seed.randrange(3)] = seed.randbytes(seed.randrange(4))
        answer = loop.server._answer(bytes(base))
        assert not answer or answer.startswith(b"HTTP/1.1 ")


def test_an_address_in_use_is_tried_again() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        server = HealthServer(other.getsockname(), {"live": lambda: (True, {})})
        assert server.tick(10.0) == 10.0 + health.RETRY_S
        assert server.filenos() == []
    assert server.tick(15.0) == 10.0 + health.RETRY_S
    assert server.tick(20.0) == health.NEVER
    assert len(server.filenos()) == 1
    server.close()


def test_an_address_that_is_not_there_yet_can_be_listened_on() -> None:
    for address in (("192.0.2.1", free_port()), ("2001:db8::1", free_port())):
        server = HealthServer(address, {"live": lambda: (True, {})})
        server.tick(1.0)
        assert server.filenos(), address
        server.close()


@pytest.mark.parametrize("text", ["127.0.0.1:8080", "'[::1]:80'", "0.0.0.0:65535"])
def test_addresses_that_are_accepted(tmp_path: Path, text: str) -> None:
    (tmp_path / "neurovmd.yaml").write_text(f"http: {{listen: {text}}}\n")
    settings = config.load(tmp_path / "neurovmd.yaml", environ={})
    assert settings.config.http.address is not None
    warned = any("http.listen" in remark for remark in check.remarks(settings))
    assert warned == text.startswith("0.0.0.0")


@pytest.mark.parametrize(
    "text",
    ["localhost:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "'::1:80'", "'[::1]'", "8080",
     "'127.0.0.1:８０'", "'[127.0.0.1]:80'", "'1.2.3.4\\0:80'", "''"],
)  # fmt: skip
def test_addresses_that_are_not(tmp_path: Path, text: str) -> None:
    (tmp_path / "neurovmd.yaml").write_text(f"http: {{listen: {text}}}\n")
    with pytest.raises(ConfigError, match="listen"):
        config.load(tmp_path / "neurovmd.yaml", environ={})


VM = """\
model: {model}
inputs: [{{topic: "plant/{{stream}}/x", payload: {{field: ""}}}}]
"""
Ask = Callable[[str], tuple[int, dict[str, Any]]]


def asker(port: int) -> Ask:
    def ask(name: str) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20.0)
        connection.request("GET", f"/v2/health/{name}")
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    return ask


@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
def test_the_daemon_is_ready_when_it_answers_messages(
    tmp_path: Path, bundles: dict[str, Path]
) -> None:
    """Ready with every wanted VM subscribed; not without a broker, nor with a VM that failed."""
    port = free_port()
    ask = asker(port)
    broker = Mosquitto(tmp_path / "broker")
    main = (
        f'node: box\nmqtt: {{server: "mqtt://127.0.0.1:{broker.port}"}}\n'
        f"http: {{listen: 127.0.0.1:{port}}}\n"
    )
    good, bad = VM.format(model=bundles["digits_mlp"]), VM.format(model="missing.nvm")
    daemon = Daemon(tmp_path / "d", main, good=good, bad=bad)
    daemon.start()
    try:
        assert ask("live") == (200, {"live": True, "vms": 2, "stuck": 0})
        assert ask("ready")[0] == 503
        assert ask("ready")[1]["broker"] == "down"
        broker.start()
        one_of_two = {"ready": False, "vms": 2, "vms_ready": 1, "broker": "connected"}
        wait_for(lambda: ask("ready") == (503, {**one_of_two, "stopping": False}), "one is ready")
        stop(daemon, "bad")
        wait_for(lambda: ask("ready")[0] == 200, "ready: the other is not meant to run")
        broker.kill()
        wait_for(lambda: ask("ready")[0] == 503, "not ready without a broker")
        assert ask("live")[0] == 200
        broker.start()
        wait_for(lambda: ask("ready")[0] == 200, "ready again", 60.0)
    finally:
        code = daemon.stop()
        broker.kill()
    assert code == 0
    with pytest.raises(ConnectionRefusedError):
        ask("live")


def stop(daemon: Daemon, vm: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(daemon.folder / "neurovmd.sock"))
        client.sendall(json.dumps({"op": "stop", "vm": vm}).encode() + b"\n")
        assert json.loads(client.makefile().readline())["status"] == "ok"


def test_a_reload_opens_moves_and_closes_it(tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    main = f'node: box\nmqtt: {{server: "mqtt://127.0.0.1:{free_port()}"}}\n'
    daemon = Daemon(tmp_path / "d", main)
    daemon.start()
    text = daemon.config.read_text()
    try:
        for port, gone in ((first, None), (second, first), (None, second)):
            listen = f"http: {{listen: 127.0.0.1:{port}}}\n" if port else ""
            before = daemon.status()["config"]["reloads"]
            daemon.config.write_text(text + listen)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(daemon.folder / "neurovmd.sock"))
                client.sendall(b'{"op": "reload"}\n')
            wait_for(
                lambda before=before: daemon.status()["config"]["reloads"] > before, "the reload"
            )
            if port:
                assert asker(port)("live")[0] == 200
            if gone:
                with pytest.raises(ConnectionRefusedError):
                    asker(gone)("live")
    finally:
        daemon.stop()
