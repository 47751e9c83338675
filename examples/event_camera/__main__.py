# SPDX-License-Identifier: Apache-2.0
"""python -m examples.event_camera [FILE...]: from a recording through MQTT to the name of a shape.

Starts a broker and `neurovmd` with the VM of this folder, plays recordings as a camera would send
them and prints what the VM answers. Without files it records ten scenes of its simulated camera as
N-MNIST files first.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import queue
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from neurovm.cli import broker
from neurovm.errors import EventError, NeurovmError
from neurovm.events import read, write

from .play import placed, play
from .scenes import LABELS, scene

HERE = Path(__file__).parent
TOPIC, RESULTS = "camera/eye/events", "neurovm/+/shapes/result/eye"
START_S, ANSWER_S, END_S = 60.0, 20.0, 15.0
Result = dict[str, Any]


@contextlib.contextmanager
def daemon(folder: Path, port: int) -> Iterator[None]:
    """`neurovmd` with the VM of this example, from its files as they would lie on a box."""
    (folder / "vm.d").mkdir()
    shutil.copy(HERE / "vm.yaml", folder / "vm.d" / "shapes.yaml")
    shutil.copy(HERE / "shapes.nvm", folder / "vm.d")
    config = folder / "neurovmd.yaml"
    config.write_text(
        f"mqtt: {{server: 'mqtt://127.0.0.1:{port}', protocol: 3.1.1}}\n"
        "vm_dir: vm.d\ncache_dir: cache\nstate_dir: state\nsocket: neurovmd.sock\n"
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


class Listener:
    """Hears the results of the VM, and when it is there."""

    def __init__(self, port: int) -> None:
        self.results: queue.Queue[Result] = queue.Queue()
        self.there: queue.Queue[bytes] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([(RESULTS, 1), ("neurovm/+/shapes/availability", 1)])
        self._client.loop_start()

    def _hear(self, client: Client, context: Any, message: MQTTMessage) -> None:
        del client, context
        if message.topic.endswith("/availability"):
            self.there.put(message.payload)
        else:
            self.results.put(json.loads(message.payload))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def answers(files: list[Path], folder: Path, *, speed: float) -> list[list[Result]]:
    """What the VM says to each recording: the results that begin in its time."""
    recordings = [read(path) for path in files]
    for path, recording in zip(files, recordings, strict=True):
        if not len(recording):
            raise EventError(f"{path}: found no events; accepted: some")
    with (folder / "broker.log").open("ab") as log:
        child, port = broker.start(log)
    try:
        listener = Listener(port)
        try:
            with daemon(folder, port):
                while listener.there.get(timeout=START_S) != b"online":
                    pass
                play(recordings, host="127.0.0.1", port=port, topic=TOPIC, speed=speed)
                return _collected(listener, recordings)
        except queue.Empty:
            said = (folder / "neurovmd.log").read_text(errors="replace")[-2000:]
            raise SystemExit(f"no answer came; the daemon's last words:\n{said}") from None
        finally:
            listener.close()
    finally:
        broker.end(child)


def _collected(listener: Listener, recordings: list[Any]) -> list[list[Result]]:
    """Results by recording, until the last recording's last events are covered."""
    moved = placed(recordings)
    spans = [(each.times_us[0], each.times_us[-1]) for each in moved]
    found: list[list[Result]] = [[] for _ in spans]
    until_us = -1
    while until_us <= spans[-1][1]:
        result = listener.results.get(timeout=ANSWER_S)
        until_us = result["until_us"]
        for at, (first_us, last_us) in enumerate(spans):
            if result["from_us"] <= last_us and result["until_us"] > first_us:
                found[at].append(result)
                break
    return found


def recorded(folder: Path, count: int, seed: int) -> list[Path]:
    """Files of `count` scenes, named after what they show."""
    files = []
    for at in range(count):
        label = LABELS[at % len(LABELS)]
        files.append(folder / f"{at:03}_{label}.bin")
        write(files[-1], scene(label, seed + at))
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help=".bin .aedat4 .aer")
    parser.add_argument("--scenes", type=int, default=10, help="without files: how many")
    parser.add_argument("--seed", type=int, default=5_000_000, help="without files: which")
    parser.add_argument("--speed", type=float, default=1.0, help="1: as it was recorded")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="event-camera-") as temporary:
        folder = Path(temporary)
        try:
            files = args.files or recorded(folder, args.scenes, args.seed)
            found = answers(files, folder, speed=args.speed)
        except (NeurovmError, OSError) as error:
            raise SystemExit(f"event_camera: {error}") from None
    for path, results in zip(files, found, strict=True):
        for result in results:
            counts = ", ".join(f"{e['label']} {e['value']}" for e in result["top"])
            print(f"{path.name}: {result['top'][0]['label']} ({counts})")


if __name__ == "__main__":
    main()
