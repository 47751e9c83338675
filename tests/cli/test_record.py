# SPDX-License-Identifier: Apache-2.0
"""`neurovm record` and `replay` with a real broker and a real daemon."""

from __future__ import annotations

import io
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.rig import ROOT, Client, Daemon, Mosquitto, find_mosquitto, wait_for
from neurovm import recording
from neurovm.cli.exits import Exit

VM = """\
model: {model}
inputs:
  - topic: plant/{{stream}}/sensor/{{element}}
  - topic: plant/{{stream}}/codes
    payload: {{format: raw, dtype: int8}}
max_message_bytes: 200
output: {{on: {on}, wait_for: any, form: {{values: codes}}}}
"""
TIMES = ("t_us", "compute_us")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed (`make test` installs it)")
    server = Mosquitto(tmp_path / "broker", autosave=False)
    server.start()
    yield server
    server.kill()


class Recorder:
    """`neurovm record` as a process; `said` is what it has said so far."""

    def __init__(self, *args: object) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "neurovm", "record", *map(str, args)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.child.stderr is not None
        for line in self.child.stderr:
            self.said += line

    def listening(self) -> None:
        wait_for(lambda: "listening to" in self.said, "the recorder listens")

    def end(self, number: int = signal.SIGINT) -> int:
        self.child.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.child.wait(30)
        self._reader.join()
        assert self.child.stderr is not None
        self.child.stderr.close()
        return code


def messages(seed: int, count: int) -> list[tuple[str, bytes]]:
    """Sensor values, whole tensors, garbage and oversize ones."""
    chance = random.Random(seed)
    found: list[tuple[str, bytes]] = []
    for _ in range(count):
        stream = chance.choice("pqr")
        kind = chance.random()
        if kind < 0.8:
            value = json.dumps({"value": chance.uniform(-1, 20)}).encode()
            found.append((f"plant/{stream}/sensor/{chance.randrange(66)}", value))
        elif kind < 0.9:
            found.append((f"plant/{stream}/codes", chance.randbytes(64)))
        else:
            junk = chance.choice([b"", b"junk\xff", b"x" * 201, b'{"value": "1"}'])
            found.append((f"plant/{stream}/sensor/1", junk))
    return found


def comparable(results: list[Any]) -> list[Any]:
    """Without times, and without the stream that was there to see the daemon listen."""
    kept = [result for result in results if result["stream"] != "probe"]
    return [{key: value for key, value in r.items() if key not in TIMES} for r in kept]


def read(file: Path) -> list[recording.Recorded]:
    return list(recording.read(io.BytesIO(file.read_bytes()), file.name))


def until_heard(client: Client, daemon: Daemon) -> None:
    """Until the daemon answers: from then on it misses nothing."""

    def probe() -> list[Any]:
        client.publish("plant/probe/sensor/1", '{"value": 1}')
        return client.on("neurovm/box/digits/result/probe")

    wait_for(lambda: daemon.vm("digits")["connected"], "the daemon is connected")
    wait_for(probe, "the daemon answers")


@pytest.mark.parametrize("on", ["always", "change"])
def test_a_replay_answers_as_the_daemon_did(
    broker: Mosquitto, bundle: Path, tmp_path: Path, spawn: Callable[..., Any], on: str
) -> None:
    server = f'node: box\nmqtt: {{server: "mqtt://127.0.0.1:{broker.port}"}}\n'
    daemon = Daemon(tmp_path / "daemon", server, digits=VM.format(model=bundle, on=on))
    seen = tmp_path / "seen.jsonl"
    recorder = Recorder("--config", daemon.config, "--for", "60s", "-o", seen)
    try:
        recorder.listening()
        daemon.start()
        client = Client(broker.port)
        client.subscribe("neurovm/box/digits/result/+")
        until_heard(client, daemon)
        sent = messages(7, 400)
        for topic, payload in sent:
            client.publish(topic, payload)
        # A stream of its own ends each run: with `always` and `change` its first is answered.
        client.publish("plant/end/sensor/1", '{"value": 1}')
        client.wait("neurovm/box/digits/result/end", bool)
        client.close()
        live = [json.loads(payload) for _, payload in client.messages]
    finally:
        daemon.stop()
        code = recorder.end()
    assert code == 0, recorder.said
    assert "told to end" in recorder.said
    kept = [each for each in read(seen) if "/probe/" not in each.topic][:-1]
    found = [b"x" * 201 if each.payload is None else each.payload for each in kept]
    assert list(zip([each.topic for each in kept], found, strict=True)) == sent

    # Elsewhere: another folder, no broker.
    other = Daemon(tmp_path / "other", "node: box\n", digits=VM.format(model=bundle, on=on))
    ran = spawn("replay", seen, "--config", other.config)
    assert ran.returncode == 0, ran.stderr
    again = [json.loads(text) for text in ran.stdout.splitlines()]
    assert len(again) > 100
    assert comparable(again) == comparable(live)


def test_a_recording_ends_by_size_and_time(broker: Mosquitto, tmp_path: Path) -> None:
    url = f"mqtt://127.0.0.1:{broker.port}"
    small, short = tmp_path / "small.jsonl", tmp_path / "short.jsonl"
    recorder = Recorder("--listen", url, "--for", "60s", "--max-bytes", "2kB", "-o", small)
    recorder.listening()
    client = Client(broker.port)
    for number in range(100):
        client.publish(f"a/{number}", "1")
    assert recorder.wait() == 0
    assert "the most bytes are reached" in recorder.said
    assert 1900 < small.stat().st_size <= 2000
    recorder = Recorder("--listen", url, "--for", "200ms", "-o", short)
    assert recorder.wait() == 0
    assert "its time is over" in recorder.said
    assert read(short) == []
    client.close()


def test_replay_publishes_in_order_and_in_time(
    broker: Mosquitto, tmp_path: Path, spawn: Callable[..., Any]
) -> None:
    file = tmp_path / "seen.jsonl"
    lines = [{"t_us": n * 1000, "topic": f"a/{n % 3}", "payload": str(n)} for n in range(300)]
    lines += [{"t_us": 900_000, "topic": "a/+", "payload": "1"}]
    lines += [{"t_us": 900_000, "topic": "a/b", "bytes": 5}]
    lines += [{"t_us": 900_000, "topic": "a/end", "payload_b64": "/w=="}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    client = Client(broker.port)
    client.subscribe("a/#")
    url = f"mqtt://127.0.0.1:{broker.port}"
    before = time.monotonic()
    ran = spawn("replay", file, "--to", url, "--speed", "2")
    took_s = time.monotonic() - before
    assert ran.returncode == 0, ran.stderr
    assert b"301 messages sent, 2 left out" in ran.stderr
    assert took_s >= 0.45
    client.wait("a/end", lambda payload: payload == b"\xff")
    assert [payload for _, payload in client.messages][:-1] == [str(n).encode() for n in range(300)]
    client.close()


def test_a_broker_that_dies_half_way(broker: Mosquitto, tmp_path: Path) -> None:
    """Sent again where unacknowledged, in order; the recorder says where messages are missing."""
    file, seen = tmp_path / "sample.jsonl", tmp_path / "seen.jsonl"
    lines = [{"t_us": n * 1000, "topic": "a/b", "payload": str(n)} for n in range(3000)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    url = f"mqtt://127.0.0.1:{broker.port}"
    client = Client(broker.port)
    client.subscribe("a/b")
    recorder = Recorder("--listen", url, "--for", "60s", "-o", seen)
    recorder.listening()
    sender = subprocess.Popen(
        [sys.executable, "-m", "neurovm", "replay", str(file), "--to", url],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: len(client.messages) > 500, "500 messages")
        broker.kill()
        broker.start()
        _, said = sender.communicate(timeout=60)
        wait_for(lambda: "listening again" in recorder.said, "the recorder is back")
    finally:
        sender.kill()
        client.close()
        code = recorder.end()
    assert sender.returncode == 0
    assert "3000 messages sent" in said
    assert code == 0
    assert "messages are missing from here on" in recorder.said
    numbers = [int(each.payload or b"-1") for each in read(seen)]
    assert numbers[:500] == list(range(500))


def test_an_expired_recording_is_deleted(tmp_path: Path, run: Any) -> None:
    file = tmp_path / "old.jsonl"
    file.write_text('{"neurovm_recording": 1, "t_us": 1, "expires_us": 2}\n')
    ran = run("replay", file)
    assert ran.code == Exit.DATA
    assert "expired" in ran.err
    assert not file.exists()


def test_what_cannot_be_recorded(tmp_path: Path, spawn: Callable[..., Any]) -> None:
    target = tmp_path / "seen.jsonl"
    target.write_text("mine")
    closed = "mqtt://127.0.0.1:1"
    ran = spawn("record", "--listen", closed, "-o", target)
    assert (ran.returncode, b"--force" in ran.stderr) == (Exit.CANNOT_CREATE, True)
    assert spawn("record", "--listen", closed, "-o", tmp_path / "no/x").returncode == 73
    for wrong in (
        ["--listen", "http://x", "-o", tmp_path / "y"],
        ["--listen", closed, "--for", "soon", "-o", tmp_path / "y"],
        ["--listen", closed, "--max-bytes", "-1", "-o", tmp_path / "y"],
        ["-o", tmp_path / "y"],
    ):
        ran = spawn("record", *wrong)
        assert ran.returncode == Exit.USAGE, wrong
        assert b"Traceback" not in ran.stderr
    assert spawn("record", "--config", tmp_path / "none", "-o", tmp_path / "y").returncode == 78
    assert target.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["seen.jsonl"]


def test_no_broker_is_said_within_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from neurovmd import __main__, listen

    monkeypatch.setattr(listen, "CONNECT_S", 0.2)
    target = tmp_path / "seen.jsonl"
    arguments = ["listen", "--server", "mqtt://127.0.0.1:1", "-o", str(target)]
    assert __main__.main(arguments) == Exit.UNAVAILABLE
    assert "Connection refused" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_usage_of_replay(tmp_path: Path, run: Any) -> None:
    file = tmp_path / "seen.jsonl"
    file.write_text("")
    assert run("replay", file, "--speed", "2").code == Exit.USAGE
    assert run("replay", file, "--to", "mqtt://x", "--config", "y").code == Exit.USAGE
    assert run("replay", tmp_path / "none").code == Exit.NO_INPUT
