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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from neurovm.cli import broker

NODE = "box"
START_S, ANSWER_S, END_S = 60.0, 20.0, 15.0
Result = dict[str, Any]


class NoAnswerError(Exception):
    """Nothing came in time; the message holds the daemon's last words."""


class Box:
    """A client beside the daemon: it publishes what sensors would, and hears what VMs say."""

    def __init__(self, port: int, vms: Sequence[str], log: Path, also: Sequence[str]) -> None:
        self.port = port
        self._log = log
        self._results: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._waited = {f"neurovm/{NODE}/{vm}/availability": vm for vm in vms}
        self._there: queue.Queue[str] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        filters = [*self._waited, *(f"neurovm/{NODE}/{vm}/result/#" for vm in vms), *also]
        self._client.subscribe([(each, 1) for each in filters])
        self._client.loop_start()

    def _hear(self, client: Client, context: Any, message: MQTTMessage) -> None:
        del client, context
        vm = self._waited.get(message.topic)
        if vm is None:
            self._results.put((message.topic, message.payload))
        elif message.payload == b"online":
            self._there.put(vm)

    def wait_ready(self) -> None:
        """Until every VM is there; NoAnswerError where one is not."""
        missing = set(self._waited.values())
        while missing:
            missing.discard(self._get(self._there, START_S))

    def publish(self, topic: str, payload: bytes) -> None:
        """At QoS 1, and acknowledged by the broker before this returns."""
        self._client.publish(topic, payload, qos=1).wait_for_publish(ANSWER_S)

    def heard(self, timeout_s: float = ANSWER_S) -> tuple[str, bytes]:
        """Topic and payload of the next message; NoAnswerError where none comes in time."""
        return self._get(self._results, timeout_s)

    def result(self, timeout_s: float = ANSWER_S) -> Result:
        """The next result; NoAnswerError where none comes in time."""
        found: Result = json.loads(self.heard(timeout_s)[1])
        return found

    def results(self, last: int) -> list[Result]:
        """Results until one covers message `last` of its stream (its `seq`)."""
        found: list[Result] = []
        while not found or found[-1]["seq"] < last:
            found.append(self.result())
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


@contextlib.contextmanager
def serving(
    vms: Mapping[str, Path], files: Sequence[Path], *, also: Sequence[str] = (), settings: str = ""
) -> Iterator[Box]:
    """A box whose VMs are ready. `vms`: a VM file by name; `files`: what they name, to lie beside.

    `also`: further topics to hear; `settings`: further lines of neurovmd.yaml.
    """
    with tempfile.TemporaryDirectory(prefix="neurovm-example-") as temporary:
        folder = Path(temporary)
        log = folder / "neurovmd.log"
        with (folder / "broker.log").open("ab") as words:
            child, port = broker.start(words)
        try:
            box = Box(port, list(vms), log, also)
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
        f"vm_dir: vm.d\ncache_dir: cache\nstate_dir: state\nsocket: neurovmd.sock\n{settings}"
    )
    with (folder / "neurovmd.log").open("ab") as log:
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
