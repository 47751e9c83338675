# SPDX-License-Identifier: Apache-2.0
"""python -m examples.event_camera [FILE...]: from a recording through MQTT to the name of a shape.

Starts a broker and `neurovmd` with the VM of this folder, plays recordings as a camera would send
them and prints what the VM answers. Without files it records ten scenes of its simulated camera as
N-MNIST files first.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from examples.box import Box, NoAnswerError, Result, serving
from neurovm.errors import EventError, NeurovmError
from neurovm.events import read, write

from .play import placed, play
from .scenes import LABELS, scene

HERE = Path(__file__).parent
TOPIC = "camera/eye/events"


def answers(files: list[Path], *, speed: float) -> list[list[Result]]:
    """What the VM says to each recording: the results that begin in its time."""
    recordings = [read(path) for path in files]
    for path, recording in zip(files, recordings, strict=True):
        if not len(recording):
            raise EventError(f"{path}: found no events; accepted: some")
    with serving({"shapes": HERE / "vm.yaml"}, [HERE / "shapes.nvm"]) as box:
        play(recordings, host="127.0.0.1", port=box.port, topic=TOPIC, speed=speed)
        return _collected(box, recordings)


def _collected(box: Box, recordings: list[Any]) -> list[list[Result]]:
    """Results by recording, until the last recording's last events are covered."""
    moved = placed(recordings)
    spans = [(each.times_us[0], each.times_us[-1]) for each in moved]
    found: list[list[Result]] = [[] for _ in spans]
    until_us = -1
    while until_us <= spans[-1][1]:
        result = box.result()
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
            found = answers(files, speed=args.speed)
        except (NeurovmError, NoAnswerError, OSError) as error:
            raise SystemExit(f"event_camera: {error}") from None
    for path, results in zip(files, found, strict=True):
        for result in results:
            counts = ", ".join(f"{e['label']} {e['value']}" for e in result["top"])
            print(f"{path.name}: {result['top'][0]['label']} ({counts})")


if __name__ == "__main__":
    main()
