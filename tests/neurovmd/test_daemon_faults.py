# SPDX-License-Identifier: Apache-2.0
"""What becomes of VMs when models, workers or the daemon fail, with a real broker."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from one_vm import MODEL, RESULT, VM, Start, connected
from test_certificate import proof_of

import neurovm
from benchmarks.rig import Client, Mosquitto, wait_for


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
