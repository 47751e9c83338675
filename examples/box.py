# SPDX-License-Identifier: Apache-2.0
"""A box for an example: a broker, `neurovmd` with VM files as they would lie on it, and a client.

    with serving({"keywords": HERE / "vm.yaml"}, [HERE / "words.tflite"]) as box:
        box.publish("mic/kitchen/pcm", packet)
        result = box.result()

Everything listens on loopback, on ports that were free, and ends with the `with`.
"""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from neurovm.cli import broker
from neurovm.cli.control import ask

NODE = "box"
START_S, ANSWER_S, REST_S, END_S = 60.0, 20.0, 60.0, 15.0
Result = dict[str, Any]


LOG, SOCKET = "neurovmd.log", "neurovmd.sock"
LOOK_S, RESTS = 0.2, 4
"""A box is at rest when it looks the same so many times."""


class NoAnswerError(Exception):
    """Nothing came in time, or a VM failed; the message says why, or the daemon's last words."""


class Box:
    """A client beside the daemon: it publishes what sensors would, and hears what VMs say."""

    def __init__(self, port: int, vms: Sequence[str], folder: Path, also: Sequence[str]) -> None:
        self.port = port
        self._log, self._socket = folder / LOG, folder / SOCKET
        self._sent = self._heard = 0
        self._results: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._waited = {f"neurovm/{NODE}/{vm}/availability": vm for vm in vms}
        self._states = {f"neurovm/{NODE}/{vm}/state" for vm in vms}
        self._there: queue.Queue[str | NoAnswerError] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        filters = [
            *self._waited,
            *self._states,
            *(f"neurovm/{NODE}/{vm}/result/#" for vm in vms),
            *also,
        ]
        self._client.subscribe([(each, 1) for each in filters])
        self._client.loop_start()

    def _hear(self, client: Client, context: Any, message: MQTTMessage) -> None:
        del client, context
        vm = self._waited.get(message.topic)
        if message.topic in self._states:
            state = json.loads(message.payload)
            if state["state"] == "failed":
                self._there.put(NoAnswerError(state["reason"]))
        elif vm is None:
            self._results.put((message.topic, message.payload))
        elif message.payload == b"online":
            self._there.put(vm)

    def wait_ready(self) -> None:
        """Until every VM is there; NoAnswerError where one is not."""
        missing = set(self._waited.values())
        while missing:
            there = self._get(self._there, START_S)
            if isinstance(there, NoAnswerError):
                raise there
            missing.discard(there)

    def publish(self, topic: str, payload: bytes) -> None:
        """At QoS 1, and acknowledged by the broker before this returns."""
        self.send(topic, [payload])

    def send(self, topic: str, payloads: Iterable[bytes]) -> int:
        """All of them at QoS 1, one after the other; how many, once the broker has them all."""
        sent = [self._client.publish(topic, payload, qos=1) for payload in payloads]
        for message in sent:
            message.wait_for_publish(ANSWER_S)
        self._sent += len(sent)
        return len(sent)

    def heard(self, timeout_s: float = ANSWER_S) -> tuple[str, bytes]:
        """Topic and payload of the next message; NoAnswerError where none comes in time."""
        found: tuple[str, bytes] = self._get(self._results, timeout_s)
        self._heard += 1
        return found

    def result(self, timeout_s: float = ANSWER_S) -> Result:
        """The next result; NoAnswerError where none comes in time."""
        found: Result = json.loads(self.heard(timeout_s)[1])
        return found

    def all_results(self) -> list[Result]:
        """The results of all that was sent; there may be none. NoAnswerError where the VMs go on
        for REST_S without taking a message or sending a result, and are not at rest.
        """
        found: list[Result] = []
        looks: list[object] = []
        done, until_s = (0, 0), time.monotonic() + REST_S
        while len(looks) < RESTS or looks != looks[:1] * RESTS:
            with contextlib.suppress(NoAnswerError):
                while True:
                    found.append(self.result(LOOK_S))
            vms = ask(self._socket, "status")["vms"]
            last, done = done, _total(vms)
            look = _work(vms) if done == (self._sent, self._heard) else None
            looks = [*looks[1 - RESTS :], look] if look else []
            if done != last:
                until_s = time.monotonic() + REST_S
            elif time.monotonic() > until_s:
                raise NoAnswerError(f"{done[0]} of {self._sent} messages taken, {done[1]} results")
        return found

    def _get(self, source: queue.Queue[Any], timeout_s: float) -> Any:
        try:
            return source.get(timeout=timeout_s)
        except queue.Empty:
            said = self._log.read_text(errors="replace")[-2000:]
            raise NoAnswerError(
                f"no answer in {timeout_s:g} s; the daemon's last words:\n{said}"
            ) from None

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def _total(vms: list[Result]) -> tuple[int, int]:
    """Messages taken and results sent."""
    return sum(vm["messages_in"] for vm in vms), sum(vm["results_out"] for vm in vms)


def _work(vms: list[Result]) -> object:
    """What grows while VMs compute."""
    return [(vm["counters"], vm["queue_depth"], vm["dropped"]) for vm in vms]


@contextlib.contextmanager
def serving(
    vms: Mapping[str, Path], files: Sequence[Path], *, also: Sequence[str] = (), settings: str = ""
) -> Iterator[Box]:
    """A box whose VMs are ready. `vms`: a VM file by name; `files`: what they name, to lie beside.

    `also`: further topics to hear; `settings`: further lines of neurovmd.yaml.
    """
    with tempfile.TemporaryDirectory(prefix="neurovm-example-") as temporary:
        folder = Path(temporary)
        with (folder / "broker.log").open("ab") as words:
            child, port = broker.start(words)
        try:
            box = Box(port, list(vms), folder, also)
            try:
                with _daemon(folder, port, vms, files, settings):
                    box.wait_ready()
                    yield box
            finally:
                box.close()
        finally:
            broker.end(child)


@contextlib.contextmanager
def _daemon(
    folder: Path, port: int, vms: Mapping[str, Path], files: Sequence[Path], settings: str
) -> Iterator[None]:
    (folder / "vm.d").mkdir()
    for name, path in vms.items():
        shutil.copy(path, folder / "vm.d" / f"{name}.yaml")
    for path in files:
        shutil.copy(path, folder / "vm.d")
    config = folder / "neurovmd.yaml"
    config.write_text(
        f"node: {NODE}\n"
        f"mqtt: {{server: 'mqtt://127.0.0.1:{port}', protocol: 3.1.1}}\n"
        f"vm_dir: vm.d\ncache_dir: cache\nstate_dir: state\nsocket: {SOCKET}\n{settings}"
    )
    with (folder / LOG).open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "neurovmd", "--config", str(config)], stdout=log, stderr=log
        )
    try:
        yield
    finally:
        child.terminate()
        try:
            child.wait(END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
