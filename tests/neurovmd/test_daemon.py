# SPDX-License-Identifier: Apache-2.0
"""The whole daemon with a real broker: what a user, systemd and other clients see of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_certificate import proof_of

import neurovm
from benchmarks.daemon_footprint import pss_mb, switches
from benchmarks.rig import (
    ROOT,
    Client,
    Daemon,
    Mosquitto,
    free_port,
    wait_for,
)

MODEL = ROOT / "tests/fixtures/digits_mlp.tflite"
RESULT = "neurovm/box/digits/result/p"
VM = f"""\
model: {MODEL}
inputs:
  - topic: plant/{{stream}}/sensor/{{element}}
    to: {{tensor: 0}}
output: {{on: always, wait_for: any, form: {{values: codes}}}}
"""

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

# So long an idle daemon is watched.
IDLE_S = 5.0
UNSUBSCRIBE = 10
PUBACK, SUBACK, NOT_AUTHORIZED = 4, 9, b"\x87"

Start = Callable[..., Daemon]


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


@pytest.fixture
def start(tmp_path: Path, bundles: dict[str, Path]) -> Iterator[Start]:
    """Starts daemons that are ended with the test; VMs run the converted model."""
    started: list[Daemon] = []

    def start_one(port: int, *, main: str = "", run: bool = True, **vms: str) -> Daemon:
        text = VM.replace(str(MODEL), str(bundles["digits_mlp"]))
        folder = tmp_path / f"daemon{len(started)}"
        server = f'node: box\nmqtt: {{server: "mqtt://127.0.0.1:{port}"}}\n'
        daemon = Daemon(folder, server + main, **(vms or {"digits": text}))
        started.append(daemon)
        if run:
            daemon.start()
        return daemon

    yield start_one
    for daemon in started:
        daemon.stop()


@pytest.fixture
def client(broker: Mosquitto) -> Iterator[Client]:
    one = Client(broker.port)
    one.subscribe("neurovm/#")
    yield one
    one.close()


def connected(daemon: Daemon, vm: str = "digits") -> None:
    def both() -> bool:
        status = daemon.status()
        return status["mqtt"]["connected"] and daemon.vm(vm)["connected"]

    wait_for(both, "the daemon is connected")


def test_a_message_in_and_a_result_out(broker: Mosquitto, client: Client, start: Start) -> None:
    daemon = start(broker.port)
    connected(daemon)
    client.publish("plant/p/sensor/5", '{"value": 0.5}')
    result = client.wait(RESULT, bool)
    assert (result["vm"], result["stream"], result["seq"]) == ("digits", "p", 1)
    client.wait("neurovm/box/availability", lambda said: said == b"online")
    client.wait("neurovm/box/digits/availability", lambda said: said == b"online")
    client.wait("neurovm/box/digits/state", lambda said: said["state"] == "ready")
    info = client.wait("neurovm/box/info", lambda said: said["vms"][0]["state"] == "ready")
    assert info["node"] == "box"
    assert daemon.stop() == 0
    client.wait("neurovm/box/digits/availability", lambda said: said == b"offline")
    client.wait("neurovm/box/availability", lambda said: said == b"offline")
    assert not (daemon.folder / "neurovmd.sock").exists()


def test_what_systemd_is_told(broker: Mosquitto, start: Start) -> None:
    daemon = start(broker.port, run=False)
    daemon.start(watchdog_s=1.0)
    wait_for(lambda: daemon.heard("WATCHDOG=1"), "a sign of life")
    wait_for(
        lambda: daemon.heard("STATUS=1 of 1 VMs ready, broker connected"), "an honest STATUS", 10.0
    )
    assert daemon.stop() == 0
    assert "STOPPING=1" in daemon.notified


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


def test_an_idle_daemon_sleeps_and_is_small(broker: Mosquitto, start: Start) -> None:
    daemon = start(broker.port)
    connected(daemon)
    pids = daemon.pids()
    assert sum(pss_mb(pid) for pid in pids) <= 36.0
    before, began = sum(map(switches, pids)), time.monotonic()
    wait_for(lambda: time.monotonic() - began >= IDLE_S, "the time to be measured")
    woken = sum(map(switches, pids)) - before
    assert woken <= time.monotonic() - began


def test_no_process_of_the_daemon_loads_numpy(broker: Mosquitto, start: Start) -> None:
    daemon = start(broker.port)
    for pid in daemon.pids():
        assert "numpy" not in Path(f"/proc/{pid}/maps").read_text()
    program = (
        "import sys, neurovmd.__main__, neurovmd.supervisor, neurovmd.worker, neurovmd.check;"
        "found = {'numpy', 'click', 'rich', 'tflite'} & set(sys.modules);"
        "sys.exit(f'loaded: {found}' if found else 0)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_a_tflite_is_converted_once(broker: Mosquitto, start: Start) -> None:
    daemon = start(broker.port, digits=VM)
    (bundle,) = (daemon.folder / "cache").glob("*.nvm")
    made = bundle.stat().st_mtime_ns
    assert "model.converting" in daemon.said()
    daemon.stop()
    daemon.start()
    assert daemon.said().count("model.converting") == 1
    assert bundle.stat().st_mtime_ns == made


def test_a_bad_model_fails_alone_and_says_why(
    tmp_path: Path, broker: Mosquitto, client: Client, start: Start, bundles: dict[str, Path]
) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"\x20\0\0\0TFL3" + bytes(100))
    damaged = tmp_path / "damaged.nvm"
    content = bytearray(bundles["digits_mlp"].read_bytes())
    content[-100] ^= 1
    damaged.write_bytes(content)
    good = VM.replace(str(MODEL), str(bundles["digits_mlp"]))
    start(
        broker.port,
        digits=good,
        broken=VM.replace(str(MODEL), str(tmp_path / "broken.tflite")),
        damaged=VM.replace(str(MODEL), str(damaged)),
        misfit=good.replace("tensor: 0", "tensor: 3"),
        missing=VM.replace(str(MODEL), str(tmp_path / "none.nvm")),
        narrow=f"memory: 8 MB\n{good}",
        none=f"memory: 1 kB\n{good}",
    )
    reasons = {
        "broken": "broken.tflite",
        "damaged": "damaged.nvm",
        "misfit": "inputs[0].to.tensor",
        "missing": "none.nvm",
        "narrow": "memory is limited to 8 MB",
        "none": "memory is limited to 1 kB",
    }
    for name, reason in reasons.items():
        found = client.wait(f"neurovm/box/{name}/state", lambda said: said["state"] == "failed")
        assert reason in found["reason"]
    client.publish("plant/p/sensor/1", '{"value": 0.5}')
    assert client.wait(RESULT, bool)["seq"] == 1


def test_a_certificate_can_be_required(
    tmp_path: Path, broker: Mosquitto, client: Client, start: Start, bundles: dict[str, Path]
) -> None:
    with neurovm.load(bundles["digits_mlp"]) as model:
        proof = proof_of(model).as_dict()
        certified = model.with_certificate(proof).save(tmp_path / "certified.nvm")
        asking = model.with_deploy({"require_certificate": True}).save(tmp_path / "asking.nvm")
    vm = VM.replace(str(MODEL), str(bundles["digits_mlp"]))
    daemon = start(
        broker.port,
        digits=f"require_certificate: true\n{VM.replace(str(MODEL), str(certified))}",
        plain=vm,
        bare=f"require_certificate: true\n{vm}",
        asking=VM.replace(str(MODEL), str(asking)),
        source=f"require_certificate: true\n{VM}",
    )
    for name in ("bare", "asking", "source"):
        found = client.wait(f"neurovm/box/{name}/state", lambda said: said["state"] == "failed")
        assert "a certificate is required and it has no certificate" in found["reason"]
    client.wait("neurovm/box/plain/state", lambda said: said["state"] == "ready")
    client.publish("plant/p/sensor/1", '{"value": 0.5}')
    assert client.wait(RESULT, bool)["seq"] == 1
    lines = [line for line in daemon.said().splitlines() if line.startswith("worker.model")]
    told = {vm: line for line in lines for vm in ("digits", "plain") if f" vm={vm} " in line}
    assert "identical to ai-edge-litert 2.3.0" in told["digits"]
    assert "certificate=none" in told["plain"]


def test_a_worker_that_dies_is_replaced(broker: Mosquitto, client: Client, start: Start) -> None:
    daemon = start(broker.port)
    connected(daemon)
    first = daemon.vm("digits")["pid"]
    os.kill(first, signal.SIGKILL)
    client.wait("neurovm/box/digits/availability", lambda said: said == b"offline")
    found = client.wait("neurovm/box/digits/state", lambda said: said["state"] == "failed")
    assert "signal 9" in found["reason"]
    wait_for(lambda: daemon.vm("digits")["pid"] not in (0, first), "another worker")
    connected(daemon)
    client.publish("plant/p/sensor/1", '{"value": 0.5}')
    assert client.wait(RESULT, bool)["seq"] == 1
    assert daemon.vm("digits")["restarts"] == 1


def test_no_message_is_lost_with_a_worker(broker: Mosquitto, client: Client, start: Start) -> None:
    """Each message has a stream of its own; every stream is answered, whoever dies meanwhile."""
    daemon = start(broker.port, run=False)
    file = daemon.folder / "vm.d/digits.yaml"
    file.write_text(f"max_streams: 1024\ncpu: 0.2\n{file.read_text()}")
    daemon.start(prelude="import neurovmd.lifecycle as it; it.RETRY_FIRST_S = 0.1")
    connected(daemon)

    def answered() -> set[str]:
        start = "neurovm/box/digits/result/"
        return {topic.removeprefix(start) for topic, _ in client.messages if start in topic}

    sent: set[str] = set()
    for death in range(3):
        burst = {f"m{number}" for number in range(100 * death, 100 * (death + 1))}
        before = len(answered())
        for stream in sorted(burst):
            client.publish(f"plant/{stream}/sensor/1", '{"value": 0.5}')
        sent |= burst
        wait_for(lambda known=before: len(answered()) > known, "first answers")
        pid = daemon.vm("digits")["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda known=pid: daemon.vm("digits")["pid"] not in (0, known), "another worker")
    wait_for(lambda: answered() == sent, "every message is answered")


DEATH = """
import os
import neurovmd.lifecycle, neurovmd.mapping

neurovmd.lifecycle.RETRY_FIRST_S = 0.05
read = neurovmd.mapping.Inputs.read

def deadly(self, topic, payload):
    if payload == b"666":
        os.abort()
    return read(self, topic, payload)

neurovmd.mapping.Inputs.read = deadly
"""


def test_a_message_that_ends_workers_is_refused_at_last(
    broker: Mosquitto, client: Client, start: Start
) -> None:
    daemon = start(broker.port, run=False)
    daemon.start(prelude=DEATH)
    connected(daemon)
    client.publish("plant/p/sensor/1", "666")
    client.publish("plant/p/sensor/1", '{"value": 0.5}')
    client.wait(RESULT, bool)
    vm = daemon.vm("digits")
    assert (vm["restarts"], vm["dropped"]["backend"]) == (3, 1)
    assert "message.deadly" in daemon.said()


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


def test_a_damaged_conversion_is_made_anew(broker: Mosquitto, start: Start) -> None:
    daemon = start(broker.port, digits=VM)
    (bundle,) = (daemon.folder / "cache").glob("*.nvm")
    daemon.stop()
    whole = bundle.read_bytes()
    bundle.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    daemon.start()
    wait_for(lambda: daemon.vm("digits")["state"] == "ready", "the model is converted again")
    assert bundle.read_bytes() == whole
    assert bundle.with_suffix(".bad").exists()
    assert "to be converted anew" in daemon.said()


def test_usr1_tells_the_log_how_things_are(broker: Mosquitto, start: Start) -> None:
    daemon = start(broker.port)
    connected(daemon)
    assert daemon.child is not None
    for pid in daemon.pids():
        os.kill(pid, signal.SIGUSR1)
    wait_for(lambda: "daemon.status " in daemon.said(), "the log")
    (line,) = [line for line in daemon.said().splitlines() if line.startswith("vm.status")]
    assert "state=ready" in line
    assert "dropped.payload=0" in line
    assert daemon.vm("digits")["restarts"] == 0


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


def test_a_daemon_without_vms_says_so(start: Start) -> None:
    daemon = start(1, run=False)
    folder = daemon.folder / "vm.d"
    (folder / "digits.yaml").rename(folder / "digits.yml")
    daemon.start()
    assert "digits.yml: not read; accepted: *.yaml" in daemon.said()
    assert "no VM is configured" in daemon.said()
    daemon.stop()
    (folder / "digits.yml").unlink()
    folder.rmdir()
    daemon.start()
    assert "vm.d: there is no such folder" in daemon.said()


def test_workers_end_when_the_supervisor_is_gone(
    broker: Mosquitto, client: Client, start: Start
) -> None:
    daemon = start(broker.port)
    connected(daemon)
    pid = daemon.vm("digits")["pid"]
    daemon.stop(signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the worker ends")
    client.wait("neurovm/box/digits/availability", lambda said: said == b"offline")
    client.wait("neurovm/box/availability", lambda said: said == b"offline")


def test_a_session_taken_over_is_named(broker: Mosquitto, start: Start) -> None:
    daemon = start(broker.port)
    connected(daemon)
    thief = Client(broker.port, "neurovmd-box-digits", mqtt5=True)
    wait_for(lambda: "another client uses the id" in daemon.said(), "the log names it")
    thief.close()


def test_sigterm_drains_and_the_next_run_takes_the_rest(
    broker: Mosquitto, client: Client, start: Start
) -> None:
    daemon = start(broker.port)
    connected(daemon)
    total = 400
    for number in range(total):
        client.publish(f"plant/p/sensor/{number % 64}", '{"value": 0.5}')
    client.wait(RESULT, lambda said: said["seq"] >= 3)
    assert daemon.stop() == 0
    wait_for(lambda: not client.outstanding, "the broker takes all messages")
    first = [said["seq"] for said in client.on(RESULT)]
    assert sorted(set(first)) == list(range(1, max(first) + 1))
    client.messages.clear()
    daemon.start()
    left = total - max(first)
    if left:
        client.wait(RESULT, lambda said: said["seq"] >= left)
    found = sorted({said["seq"] for said in client.on(RESULT)})
    assert found == list(range(1, len(found) + 1))


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


def test_bad_messages_are_counted_and_do_not_stop_the_intake(
    broker: Mosquitto, client: Client, start: Start
) -> None:
    daemon = start(broker.port, digits=f"max_message_bytes: 500\n{VM}")
    connected(daemon)
    bad = {"payload": b"{", "value": b'{"value": "x"}', "oversize": b" " * 501}
    for payload in bad.values():
        for _ in range(300):  # more than any broker keeps in flight
            client.publish("plant/p/sensor/1", payload)
    client.publish("plant/p/sensor/99", b'{"value": 1}')
    client.publish("plant/p/sensor/1", b'{"value": 1}')
    assert client.wait(RESULT, bool)["seq"] == 1
    dropped = daemon.vm("digits")["dropped"]
    assert {name: dropped[name] for name in bad} == dict.fromkeys(bad, 300)
    assert dropped["topic"] == 1


def test_results_at_an_interval(broker: Mosquitto, client: Client, start: Start) -> None:
    text = VM.replace("on: always,", "on: interval, interval_s: 0.1,")
    daemon = start(broker.port, digits=text)
    connected(daemon)
    for number in range(200):
        client.publish(f"plant/p/sensor/{number % 64}", '{"value": 0.5}')
    client.wait(RESULT, lambda said: said["seq"] == 200)
    heard = client.on(RESULT)
    assert len(heard) < 200
    covered = 0
    for said in heard:
        assert said.get("seq_first", said["seq"]) == covered + 1
        covered = said["seq"]


def test_qos_0_in_and_out(broker: Mosquitto, client: Client, start: Start) -> None:
    text = VM.replace("    to:", "    qos: 0\n    to:").replace(
        "wait_for: any,", "wait_for: any, qos: 0,"
    )
    daemon = start(broker.port, digits=text)
    connected(daemon)
    for number in range(100):
        client.publish(f"plant/p/sensor/{number % 64}", '{"value": 0.5}', qos=0)
    client.wait(RESULT, lambda said: said["seq"] == 100)
    assert [said["seq"] for said in client.on(RESULT)] == list(range(1, 101))
    daemon.stop()
    client.messages.clear()
    daemon.start()
    connected(daemon)
    client.publish("plant/p/sensor/1", '{"value": 0.5}', qos=0)
    assert client.wait(RESULT, bool)["seq"] == 1


def test_a_limit_below_the_boxs_own_draw_pauses_the_workers_and_says_so(
    broker: Mosquitto, client: Client, start: Start
) -> None:
    daemon = start(broker.port, main="power: {limit: 1 mW, window: 1 s}\n")
    connected(daemon)

    def paused() -> bool:
        client.publish("plant/p/sensor/1", '{"value": 0.5}')
        return bool(daemon.vm("digits")["paused"])

    wait_for(paused, "the worker is paused")
    power = daemon.status()["power"]
    assert power["infeasible"]
    assert power["limit_w"] == 0.001
    assert power["source"]
    assert daemon.vm("digits")["connected"]
    assert daemon.stop() == 0
    wait_for(lambda: not client.outstanding, "the broker takes all messages")
    found = {said["seq"] for said in client.on(RESULT)}
    assert found == set(range(1, len(found) + 1))


def test_the_control_socket_answers_only_what_it_knows(broker: Mosquitto, start: Start) -> None:
    daemon = start(broker.port)
    path = daemon.folder / "neurovmd.sock"
    assert oct(path.stat().st_mode & 0o777) == "0o660"

    def ask(data: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(10.0)
            one.connect(str(path))
            one.sendall(data)
            return one.recv(1 << 20)

    assert b'"status":"ok"' in ask(b'{"op": "status"}\n')
    assert b"accepted: status" in ask(b'{"op": "reboot"}\n')
    assert b"not a JSON object" in ask(b"[1]\n")
    assert ask(b"x" * 5000) == b""
    crowd: list[Any] = []
    for _ in range(20):
        crowd.append(socket.socket(socket.AF_UNIX))
        crowd[-1].connect(str(path))
    assert daemon.status()["node"] == "box"
    for one in crowd:
        one.close()


def test_a_second_daemon_on_the_same_socket_is_refused(broker: Mosquitto, start: Start) -> None:
    first = start(broker.port)
    command = [sys.executable, "-m", "neurovmd", "--config", str(first.config)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 73
    assert "another neurovmd answers" in done.stderr
    assert first.status()["node"] == "box"


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
