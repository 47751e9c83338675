# SPDX-License-Identifier: Apache-2.0
"""What the programs inside a booted container share: commands, the unit, an MQTT client."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import paho.mqtt.client as mqtt

UNIT = "neurovmd.service"
DEADLINE_S = 60.0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(*command: str, expect: int = 0) -> str:
    """The output of a command that must end with `expect`."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == expect, f"{' '.join(command)}: {done.returncode}\n{said}"
    return said


def wait_for(what: str, condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    """Until the condition holds; an assertion after the deadline."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {deadline_s:.0f} s: {what}"
        time.sleep(0.02)  # between two looks at another process, never instead of a condition


def unit(name: str) -> str:
    """One property of the unit."""
    return run("systemctl", "show", "--value", "-p", name, UNIT).strip()


def journal() -> str:
    """What the unit has said since boot."""
    return run("journalctl", "-b", "-u", UNIT, "--no-pager")


def exposure() -> float:
    """The unit's exposure as `systemd-analyze security` finds it, from 0 to 10."""
    said = run("systemd-analyze", "security", "--no-pager", UNIT).strip().splitlines()[-1]
    say(f"     {said.lstrip('→ ')}")
    return float(said.split(": ")[1].split()[0])


def main_pid() -> int:
    return int(unit("MainPID"))


def processes() -> list[int]:
    """Every process of the service, the main one first."""
    path = unit("ControlGroup")
    for tree in ("systemd", "unified", ""):
        top = Path("/sys/fs/cgroup", tree, path.lstrip("/"))
        if path and top.is_dir():
            # Where limits are the kernel's, each process has a group of its own below.
            files = [top / "cgroup.procs", *top.rglob("*/cgroup.procs")]
            pids = {int(word) for file in files for word in file.read_text().split()}
            return sorted(pids, key=lambda pid: pid != main_pid())
    return []


class Subscriber:
    """A client that keeps the last message of every topic below neurovm/, and sends."""

    def __init__(self, node: str) -> None:
        self.last: dict[str, bytes] = {}
        self.results: list[dict[str, object]] = []
        self._node = node
        self._ready = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe("neurovm/#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1")
        self._client.loop_start()
        assert self._ready.wait(DEADLINE_S), "the broker does not answer"

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        self.last[message.topic] = bytes(message.payload)
        if "/result/" in message.topic:
            self.results.append(json.loads(message.payload))

    def send(self, topic: str, payload: bytes) -> None:
        """One QoS 1 message; returns when the broker has acknowledged it."""
        self._client.publish(topic, payload, qos=1).wait_for_publish(DEADLINE_S)

    def availability(self, of: str = "") -> str:
        return self.last.get(f"neurovm/{self._node}/{of}availability", b"").decode()

    def of(self, vm: str, stream: str) -> list[dict[str, object]]:
        """The results of one stream since `results` was cleared."""
        return [r for r in self.results if (r["vm"], r["stream"]) == (vm, stream)]

    def all_online(self, vms: Iterable[str]) -> bool:
        return all(self.availability(of) == "online" for of in ("", *(f"{vm}/" for vm in vms)))


def go_through(steps: Iterable[Callable[..., None]], *arguments: object) -> int:
    """Each step in order, with `arguments` if it takes any; 1 after the first failure, else 0."""
    for step in steps:
        begun_s = time.monotonic()
        try:
            step(*arguments) if step.__code__.co_argcount else step()
        except Exception as error:  # noqa: BLE001  # whatever it is, it belongs in the log
            say(f"FAIL {step.__name__}: {type(error).__name__}: {error}")
            for command in (["journalctl", "-b", "-n", "60", "-u"], ["systemctl", "status"]):
                subprocess.run([*command, UNIT, "--no-pager"], check=False)
            return 1
        say(f"ok   {step.__name__.replace('_', ' ')} ({time.monotonic() - begun_s:.1f} s)")
    return 0
