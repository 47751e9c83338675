# SPDX-License-Identifier: Apache-2.0
"""The daemon and its broker: away, of another version, refusing, losing, or not alone."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from one_vm import RESULT, VM, Start, connected

from benchmarks.rig import ROOT, Client, Mosquitto, free_port, wait_for

AMQTT = """
import asyncio, sys
from amqtt.broker import Broker

async def serve(port):
    listener = {"type": "tcp", "bind": f"127.0.0.1:{port}"}
    anonymous = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker({"listeners": {"default": listener}, "plugins": anonymous})
    await broker.start()
    await asyncio.Event().wait()

asyncio.run(serve(int(sys.argv[1])))
"""
UNSUBSCRIBE = 10
PUBACK, SUBACK, NOT_AUTHORIZED = 4, 9, b"\x87"


class Swallowing:
    """A proxy before a broker: `swallow` loses its PUBACKs, `refuse` denies subscriptions.

    `sent` are the types of the packets to the broker.
    """

    def __init__(self, port: int) -> None:
        self.swallow = self.refuse = False
        self.sent: set[int] = set()
        self._broker = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._sockets = [self._server]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                broker = socket.create_connection(("127.0.0.1", self._broker))
                self._sockets += [client, broker]
                for pump in ((client, broker, False), (broker, client, True)):
                    threading.Thread(target=self._pump, args=pump, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, to_client: bool) -> None:
        reader = source.makefile("rb")
        with contextlib.suppress(OSError):
            while head := reader.read(1):
                length = shift = 0
                rest = bytearray()
                while not rest or rest[-1] & 128:
                    rest += reader.read(1)
                    length |= (rest[-1] & 127) << shift
                    shift += 7
                packet = head + rest + reader.read(length)
                if not to_client:
                    self.sent.add(head[0] >> 4)
                if to_client and self.refuse and head[0] >> 4 == SUBACK:
                    packet = packet[:-1] + NOT_AUTHORIZED
                if not (to_client and self.swallow and head[0] >> 4 == PUBACK):
                    sink.sendall(packet)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join(10.0)


def test_no_broker_is_a_state(tmp_path: Path, start: Start) -> None:
    port = free_port()
    daemon = start(port)
    assert daemon.vm("digits")["state"] == "ready"
    status = daemon.status()["mqtt"]
    assert not status["connected"]
    assert "Connection refused" in status["state"]
    late = Mosquitto(tmp_path / "late", port=port)
    try:
        late.start()
    except FileNotFoundError:
        pytest.skip("mosquitto is not installed (`make test` installs it)")
    try:
        connected(daemon)
        client = Client(port)
        client.subscribe(RESULT)
        client.publish("plant/p/sensor/1", '{"value": 0.5}')
        assert client.wait(RESULT, bool)["seq"] == 1
        client.close()
    finally:
        daemon.stop()
        late.kill()


def test_acknowledgements_that_get_lost_do_not_stop_a_vm(broker: Mosquitto, start: Start) -> None:
    """A proxy swallows the acknowledgements of more results than may be in flight."""
    proxy = Swallowing(broker.port)
    daemon = start(proxy.port, run=False)
    daemon.start(prelude="import neurovmd.publisher as it; it.ACKNOWLEDGE_S = 1.0")
    connected(daemon)
    client = Client(broker.port)
    client.subscribe("neurovm/#")
    proxy.swallow = True
    for number in range(30):
        client.publish("plant/p/sensor/1", f'{{"value": {number}}}')
    told = client.wait(
        "neurovm/box/digits/state", lambda said: "not acknowledged" in said["reason"]
    )
    assert told["state"] == "ready"
    proxy.swallow = False
    client.wait(RESULT, lambda said: said["seq"] >= 30)
    wait_for(lambda: daemon.vm("digits")["results_out"] >= 30, "all results are acknowledged")
    vm = daemon.vm("digits")
    assert (vm["state"], vm["reason"]) == ("ready", "")
    assert vm["unacknowledged"] >= 20
    assert "not acknowledged" in daemon.said()
    client.close()
    assert daemon.stop() == 0
    proxy.close()


def test_what_a_drain_leaves_undone_is_counted(broker: Mosquitto, start: Start) -> None:
    proxy = Swallowing(broker.port)
    daemon = start(proxy.port, digits=VM.replace("    to:", "    qos: 0\n    to:"), run=False)
    daemon.start(prelude="import neurovmd.serving as it; it.DRAIN_S = 0.5")
    connected(daemon)
    client = Client(broker.port)
    proxy.swallow = True
    for _ in range(30):
        client.publish("plant/p/sensor/1", '{"value": 1}', qos=0)
    wait_for(lambda: daemon.vm("digits")["messages_in"] == 30, "the messages are in")
    assert daemon.stop() == 0
    assert "worker.unanswered vm=digits messages=0 results=30 lost=30" in daemon.said()
    assert UNSUBSCRIBE in proxy.sent  # a flood must not stand before the acknowledgements
    client.close()
    proxy.close()


def test_a_refused_subscription_is_named(broker: Mosquitto, start: Start) -> None:
    proxy = Swallowing(broker.port)
    proxy.refuse = True
    daemon = start(proxy.port, run=False)
    daemon.start(watchdog_s=1.0)
    wait_for(lambda: daemon.vm("digits")["reason"], "the refusal is known")
    vm = daemon.vm("digits")
    assert vm["state"] == "ready"
    refusal = "the broker refused the subscription of plant/+/sensor/+"
    assert vm["reason"] == refusal
    told = f"STATUS=1 of 1 VMs ready (digits: {refusal}), broker connected"
    wait_for(lambda: daemon.heard(told), "systemd is told")
    daemon.stop()
    proxy.close()


def test_files_of_the_connection_are_looked_at_first(tmp_path: Path, start: Start) -> None:
    daemon = start(1, run=False)
    written = daemon.config.read_text()
    (tmp_path / "empty.pem").write_text("")
    for key, name in (("ca_file", "none.pem"), ("ca_file", "empty.pem"), ("password_file", "none")):
        text = written.replace("server:", f"username: box, {key}: {tmp_path / name}, server:")
        daemon.config.write_text(text)
        for command in ((), ("check",)):
            done = subprocess.run(
                [sys.executable, "-m", "neurovmd", "--config", str(daemon.config), *command],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=30,
            )
            assert done.returncode == 78
            assert f"mqtt.{key}" in done.stderr
            assert name in done.stderr


def test_a_session_taken_over_is_named(broker: Mosquitto, start: Start) -> None:
    daemon = start(broker.port)
    connected(daemon)
    thief = Client(broker.port, "neurovmd-box-digits", mqtt5=True)
    wait_for(lambda: "another client uses the id" in daemon.said(), "the log names it")
    thief.close()


def test_a_changed_topic_leaves_no_old_subscription(
    broker: Mosquitto, client: Client, start: Start
) -> None:
    daemon = start(broker.port)
    connected(daemon)
    daemon.stop()
    file = daemon.folder / "vm.d/digits.yaml"
    file.write_text(file.read_text().replace("plant/", "works/"))
    daemon.start()
    connected(daemon)
    client.publish("plant/p/sensor/1", '{"value": 0.5}')
    client.publish("works/p/sensor/1", '{"value": 0.5}')
    client.wait(RESULT, bool)
    vm = daemon.vm("digits")
    assert (vm["messages_in"], vm["dropped"]["topic"]) == (1, 0)


def test_a_broker_without_mqtt_5(tmp_path: Path, start: Start) -> None:
    pytest.importorskip("amqtt", reason="amqtt (extra demo) is not installed")
    port = free_port()
    log = (tmp_path / "amqtt.log").open("wb")
    server = subprocess.Popen(
        [sys.executable, "-c", AMQTT, str(port)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
    )
    log.close()
    try:
        wait_for(lambda: _listens(port), "amqtt listens")
        daemon = start(port)
        connected(daemon)
        assert daemon.status()["mqtt"]["protocol"] == "3.1.1"
        assert "mqtt.fallback" in daemon.said()
        client = Client(port)
        client.subscribe(RESULT)
        client.publish("plant/p/sensor/1", '{"value": 0.5}')
        assert client.wait(RESULT, bool)["seq"] == 1
        client.close()
        daemon.stop()
    finally:
        server.kill()
        server.wait()


def test_tls_and_a_password(tmp_path: Path, start: Start) -> None:
    for program in ("openssl", "mosquitto_passwd"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    key, certificate, users = (str(tmp_path / name) for name in ("key", "certificate", "users"))
    made = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split()
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(["openssl", *made, *names], check=True, capture_output=True)
    add = ["mosquitto_passwd", "-b", "-c", users, "box", "secret"]
    subprocess.run(add, check=True, capture_output=True)
    tls = (f"certfile {certificate}", f"keyfile {key}", "require_certificate false")
    users_only = ("allow_anonymous false", f"password_file {users}")
    server = Mosquitto(tmp_path / "tls", autosave=False, extra=(*tls, *users_only))
    try:
        server.start()
    except FileNotFoundError:
        pytest.skip("mosquitto is not installed (`make test` installs it)")
    try:
        (tmp_path / "password").write_text("wrong\n")
        daemon = start(server.port, run=False)
        text = daemon.config.read_text().replace(
            f'server: "mqtt://127.0.0.1:{server.port}"',
            f'server: "mqtts://127.0.0.1:{server.port}", username: box, '
            f"ca_file: {certificate}, password_file: {tmp_path}/password",
        )
        daemon.config.write_text(text)
        daemon.start()
        wait_for(lambda: "Not authorized" in daemon.said(), "the refusal is logged")
        (tmp_path / "password").write_text("secret\n")
        connected(daemon)
        assert "secret" not in daemon.said()
        daemon.stop()
    finally:
        server.kill()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True
