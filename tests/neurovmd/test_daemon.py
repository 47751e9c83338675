# SPDX-License-Identifier: Apache-2.0
"""The whole daemon with a real broker: what a user, systemd and other clients see of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from one_vm import MODEL, RESULT, VM, Start, connected

from benchmarks.daemon_footprint import pss_mb, switches
from benchmarks.rig import ROOT, Client, Mosquitto, wait_for
from neurovm import cpus

# So long an idle daemon is watched.
IDLE_S = 5.0


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


def test_threads_answer_as_one_within_the_sandbox(
    broker: Mosquitto, client: Client, start: Start
) -> None:
    resnet = ROOT / "tests/fixtures/digits_resnet.tflite"
    file = VM.replace(str(MODEL), str(resnet))
    daemon = start(broker.port, alone=file, shared=f"{file}threads: 2\n")
    for name in ("alone", "shared"):
        connected(daemon, name)
    assert f"threads={min(2, cpus.usable())}" in daemon.said()
    for k in range(20):
        client.publish(f"plant/p/sensor/{k}", json.dumps({"value": k / 20}))
        answers = [
            client.wait(f"neurovm/box/{name}/result/p", lambda said, seq=k + 1: said["seq"] == seq)
            for name in ("alone", "shared")
        ]
        assert answers[0]["values"] == answers[1]["values"]


def test_what_systemd_is_told(broker: Mosquitto, start: Start) -> None:
    daemon = start(broker.port, run=False)
    daemon.start(watchdog_s=1.0)
    wait_for(lambda: daemon.heard("WATCHDOG=1"), "a sign of life")
    wait_for(
        lambda: daemon.heard("STATUS=1 of 1 VMs ready, broker connected"), "an honest STATUS", 10.0
    )
    assert daemon.stop() == 0
    assert "STOPPING=1" in daemon.notified


def test_an_idle_daemon_sleeps_and_is_small(broker: Mosquitto, start: Start) -> None:
    """As on a box, which has what neurovm needs and nothing more: msgspec would load 1 MB of
    typing_extensions where a checkout's tools have brought it.
    """
    daemon = start(broker.port, run=False)
    daemon.start(prelude="import sys; sys.modules['typing_extensions'] = None")
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


def test_what_nobody_uses_is_loaded_by_who_does() -> None:
    program = (
        "import sys, neurovmd.__main__, neurovmd.supervisor, neurovmd.worker;"
        "late = {'email.parser', 'http.client', 'statistics', 'subprocess', 'tempfile'};"
        "late &= set(sys.modules);"
        "assert not late, late;"
        "import urllib.request;"
        "assert urllib.request.getproxies() is not None;"
        "assert 'http.client' in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_tflite_is_converted_once(broker: Mosquitto, start: Start) -> None:
    daemon = start(broker.port, digits=VM)
    (bundle,) = (daemon.folder / "cache").glob("*.nvm")
    made = bundle.stat().st_mtime_ns
    assert "model.converting" in daemon.said()
    daemon.stop()
    daemon.start()
    assert daemon.said().count("model.converting") == 1
    assert bundle.stat().st_mtime_ns == made


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
