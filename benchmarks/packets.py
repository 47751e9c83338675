# SPDX-License-Identifier: Apache-2.0
"""packets.py MODELS DATA: public models fed as sensors would, over MQTT, beside LiteRT.

    python benchmarks/packets.py ../models ../data

Recordings go to a broker in packets (20 ms of sound, single rows of an accelerometer); `neurovmd`
makes windows and front ends of them as its VM files say. MODELS and DATA are as in accuracy.py,
with DATA/streaming_ww/*.wav and the true moments in its .json beside. LiteRT gets what other front
ends (NumPy, pymicro-features) make of the same recordings, whole windows at a time; answers that
are not the same codes are counted. Exit code 1 where a row misses what it is held to.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import wave
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from accuracy import (
    ACTIVITIES,
    FULL_SCALE_MG,
    HOP,
    WINDOW,
    WORDS,
    _area,
    _features,
    activities,
    clips,
)
from verify_models import clip, mfcc, quantized

import neurovm
from examples.box import Box, serving
from examples.keywords.__main__ import packets, samples
from neurovm.backends.runtime import Runtime

MFCC = """{kind: mfcc, frame_length: 480, frame_step: 320, n_fft: 512, power: 1, n_mels: 40,
  fmin: 20, fmax: 4000, n_mfcc: 10}"""
SOUND = "payload: {format: pcm, rate_hz: 16000}"
CODES = "output: {on: always, form: {values: codes}}\n"
KEYWORDS = f"""
model: kws_ref_model.tflite
inputs:
  - topic: clip/{{stream}}
    {SOUND}
    window: {{size: 16000, hop: 16000, normalize: peak, front_end: [{MFCC}]}}
{CODES}"""
WAKE = f"""
model: str_ww_ref_model.tflite
inputs:
  - topic: clip/{{stream}}
    {SOUND}
    front_end:
      - {{kind: scale, scale: 0.000030517578125}}
      - {{kind: pre_emphasis, coefficient: 0.96875}}
      - {{kind: log_mel, frame_length: 1024, frame_step: 512, window: hamming,
         gain: 0.0009765625, n_mels: 40, log: db, log_offset: 1.0e-12}}
      - {{kind: scale, scale: 0.015625, offset: 0.8125, low: 0, high: 1}}
    window: {{size: 30, hop: 1}}
output:
  on: change
  steps:
    - {{kind: labels, labels: [marvin, silence, unknown]}}
    - {{kind: keyword, threshold: 0.5, average_s: 0.1, suppress_s: 1, least: 1,
       ignore: [silence, unknown]}}
"""
MICRO = f"""
model: NAME.tflite
max_streams: 1024
inputs:
  - topic: clip/{{stream}}
    {SOUND}
    front_end: [{{kind: micro}}]
    window: {{size: 3, hop: 3}}
{CODES}"""
ACTIVITY = f"""
model: st_har.nvm
max_streams: 1024
inputs:
  - topic: wearer/{{stream}}
    payload: {{format: json, field: ""}}
    to: {{elements: [x, y, z]}}
    window: {{size: {WINDOW}, hop: {HOP}, scale: {1 / FULL_SCALE_MG}}}
{CODES}"""


class Row(NamedTuple):
    """What was sent, what came of it, what LiteRT makes of it, and whether that is enough."""

    case: str
    sent: str
    ours: str
    litert: str
    differing: str
    holds: bool


def vm(folder: Path, name: str, text: str) -> dict[str, Path]:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return {name: path}


def answers(box: Box) -> dict[str, list[list[int]]]:
    """The codes of all results by stream."""
    found: dict[str, list[list[int]]] = {}
    for result in box.all_results():
        found.setdefault(result["stream"], []).append(result["values"])
    return found


def keywords(path: Path, data: Path, folder: Path) -> Row:
    """Whole clips of the speech commands, one stream, a tumbling window of a second."""
    files = clips(data)
    right = np.array([WORDS.index(file.parent.name) for file in files])
    with serving(vm(folder, "words", KEYWORDS), [path]) as box:
        sent = sum(box.send("clip/all", packets(_second(file))) for file in files)
        ours = np.array(answers(box)["all"])
    with neurovm.convert_tflite(path) as model, Runtime(path) as lite:
        rows = quantized(np.stack([mfcc(clip(file)) for file in files])[..., None], model.inputs[0])
        exact = np.concatenate([lite.run([row[None]]).outputs[0] for row in rows])
    exact = exact.reshape(len(files), -1)
    found, wanted = (float((each.argmax(1) == right).mean()) for each in (ours, exact))
    return Row(
        "words of speech commands (kws_ref_model)", f"{len(files)} clips, {sent:,} packets",
        f"{found:.2%} right", f"{wanted:.2%}",
        f"{int((ours != exact).any(1).sum())} of {len(files)} answers",
        found >= wanted - 0.004,
    )  # fmt: skip


def _second(file: Path) -> bytes:
    return samples(file)[:32000].ljust(32000, b"\0")


def wake_words(path: Path, data: Path, folder: Path) -> Row:
    """One recording, running windows; each true window heard once, nothing else."""
    said = json.loads((data / "streaming_ww/sww_short_test.json").read_text())[0]
    with wave.open(str(data / "streaming_ww" / said["wav_file"])) as file:
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        sound = both[:: file.getnchannels()].tobytes()  # the left one of two channels
    with serving(vm(folder, "wake", WAKE), [path]) as box:
        sent = box.send("clip/one", packets(sound))
        heard = [each["seq"] * 0.02 for each in box.all_results()]
    true = said["detection_windows"]
    # A word is known when it has ended; the recording says when it begins and ends.
    hits = [sum(first < at_s < last + 1 for at_s in heard) for first, last in true]
    times = ", ".join(f"{at_s:.2f}" for at_s in heard)
    return Row(
        "wake word in 10 s (str_ww_ref_model)", f"{sent:,} packets",
        f"{sum(hits)} of {len(true)} heard, {len(heard) - sum(hits)} else ({times} s)", "–", "–",
        hits == [1] * len(true) == [1] * len(heard),
    )  # fmt: skip


def micro(path: Path, data: Path, folder: Path) -> Row:
    """Every clip a stream of its own, three frames a step; the network remembers."""
    files = clips(data)
    with serving(vm(folder, path.stem, MICRO.replace("NAME", path.stem)), [path]) as box:
        sent = sum(box.send(f"clip/{at}", packets(samples(file))) for at, file in enumerate(files))
        found = answers(box)
    differing = elements = 0
    scores: list[tuple[float, float]] = []
    with neurovm.convert_tflite(path) as model, Runtime(path) as lite:
        for at, file in enumerate(files):
            steps = quantized(_features(file), model.inputs[0])
            exact = lite.run([steps], anew=True).outputs[0].reshape(-1).astype(int)
            # The network's uint8 answers run as q − 128 here; packets fill the last 20 ms.
            ours = np.array(found[str(at)]).reshape(-1) + 128
            differing += int((ours[: len(exact)] != exact).sum()) + abs(len(ours) - len(exact)) // 2
            elements += len(exact)
            scores.append((exact.mean(), ours.mean()))
    right = np.array([file.parent.name != "_silence_" for file in files])
    both = np.array(scores)
    areas = [_area(each, right) for each in both.T]
    of_voice = path.stem == "vad"
    return Row(
        f"{'voice in' if of_voice else 'steps over'} speech commands ({path.stem})",
        f"{len(files)} clips, {sent:,} packets",
        f"area under ROC {areas[1]:.3f}" if of_voice else f"{elements:,} steps",
        f"{areas[0]:.3f}" if of_voice else f"{elements:,}",
        f"{differing:,} of {elements:,} answers",
        differing == 0 and (areas[1] >= 0.97 or not of_voice),
    )  # fmt: skip


def motion(path: Path, data: Path, folder: Path) -> Row:
    """Rows of (x, y, z), one a message; recordings in turn to calibrate and to judge."""
    given = activities(data)
    assert given.calibrate is not None  # activities has both
    places = np.linspace(0, len(given.calibrate) - 1, 256).astype(int)
    rows = given.calibrate[np.unique(places)].astype(np.float32)
    bundle = folder / "st_har.nvm"
    with neurovm.convert_tflite(path, calibrate=rows) as model:
        model.save(bundle)
    files = [
        (number, file)
        for number, name in enumerate(ACTIVITIES)
        for file in sorted((data / "st_har" / name).glob("*.csv"))[1::2]
    ]
    with serving(vm(folder, "har", ACTIVITY), [bundle]) as box:
        sent = sum(box.send(f"wearer/{at}", _rows(file)) for at, (_, file) in enumerate(files))
        found = answers(box)
    right = np.concatenate(
        [
            np.argmax(found[str(at)], axis=1) == number
            for at, (number, _) in enumerate(files)
            if str(at) in found
        ]
    )
    assert given.answers is not None  # of activities
    with Runtime(path) as lite:
        exact = np.concatenate([lite.run([row[None]]).outputs[0] for row in given.rows])
    wanted = float((exact.reshape(len(exact), -1).argmax(1) == given.answers).mean())
    return Row(
        "activity from rows (st_har_float_heck, made int8)", f"{sent:,} rows",
        f"{right.mean():.2%} of {len(right)} windows right", f"{wanted:.2%} (float)", "–",
        float(right.mean()) >= 0.99 and len(right) == len(given.rows),
    )  # fmt: skip


def _rows(file: Path) -> Iterator[bytes]:
    for row in np.loadtxt(file, delimiter=",").tolist():
        yield json.dumps(dict(zip("xyz", row, strict=True))).encode()


CASES: dict[str, Callable[[Path, Path, Path], Row]] = {
    "kws_ref_model": keywords,
    "str_ww_ref_model": wake_words,
    "okay_nabu": micro,
    "vad": micro,
    "st_har_float_heck": motion,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="*", choices=CASES, help="names of models")
    args = parser.parse_args(arguments)
    paths = {path.stem: path for path in sorted(args.models.rglob("*.tflite"))}
    columns = ("case", "sent", "through MQTT", "LiteRT", "differing", "holds")
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    held = True
    for name in args.only or CASES:
        with tempfile.TemporaryDirectory() as folder:
            row = CASES[name](paths[name], args.data, Path(folder))
        held &= row.holds
        print(f"| {' | '.join(row[:-1])} | {'yes' if row.holds else 'no'} |", flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
