# SPDX-License-Identifier: Apache-2.0
"""Output steps on trained models and recordings: a wake word found, a machine's sound judged.

    PYTHONPATH=. python benchmarks/steps_on_models.py FOLDER

FOLDER holds `models` and `data` of the MLPerf Tiny benchmark: mlperf_tiny/str_ww_ref_model.tflite
and ad01_int8.tflite; streaming_ww/short_wav_easy10s.wav with the times of the words in
sww_short_test.json; ad01/*.bin, float32 frames of 128 log-mel values.
Exit code 1 where a word is missed, or said where none is.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml

import neurovm
from neurovm.frontends import LogMel, PreEmphasis, Scale, chain
from neurovm.steps import Anomaly, Chain, Keyword, Labels, Reconstruction
from neurovm.steps import chain as steps_of
from neurovmd.binding import inputs_of, streams_of
from neurovmd.mailbox import Message
from neurovmd.schema import Vm
from neurovmd.shared import SharedBlock

RATE_HZ = 16000
FRAMES = 30
AFTER_S = 1.0
"""A word may be found so long after its end: about as long as the network looks back."""
WORD = Keyword(
    threshold=0.6, average_s=0.2, suppress_s=1.0, release=0.3, ignore=["silence", "unknown"]
)

VM = """\
model: word.nvm
inputs:
  - topic: mic/{stream}/pcm
    payload: {format: pcm, rate_hz: 16000}
    front_end:
      - {kind: scale, scale: 0.000030517578125}   # 1 / 32768
      - {kind: pre_emphasis, coefficient: 0.96875}
      - {kind: log_mel, frame_length: 1024, frame_step: 512, window: hamming, gain: 0.0009765625,
         n_mels: 40, fmax: 8000, log: db, log_offset: 0, log_floor: 0.000000000001}
      - {kind: scale, scale: 0.015625, offset: 0.8125, low: 0, high: 1}
    window: {size: 30, hop: 1}
output:
  steps:
    - {kind: labels, labels: [marvin, silence, unknown]}
    - {kind: keyword, threshold: 0.6, average_s: 0.2, suppress_s: 1, release: 0.3,
       ignore: [silence, unknown]}
"""


def heard(path: Path) -> np.ndarray:
    """The first channel of a recording, its largest sample 1."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)
        samples = samples.reshape(-1, file.getnchannels())[:, 0]
    return samples / abs(samples).max()


def features(sound: np.ndarray) -> np.ndarray:
    """What the wake word network was trained on: frames of 40 values, 0 … 1."""
    front = chain(
        [
            PreEmphasis(coefficient=1 - 2**-5),
            LogMel(
                frame_length=1024,
                frame_step=512,
                window="hamming",
                gain=1 / 1024,
                n_mels=40,
                fmax=8000.0,
                log="db",
                log_offset=0.0,
                log_floor=1e-12,
            ),
            Scale(scale=1 / 64, offset=52 / 64, low=0.0, high=1.0),
        ],
        (),
        RATE_HZ,
    )
    return np.asarray(front.push(sound), np.float32)


def quantized(model: neurovm.Model, frames: np.ndarray) -> np.ndarray:
    """Real values as an int8 input takes them."""
    info = model.inputs[0]
    codes = np.rint(frames / info.scale) + info.zero_point
    return np.clip(codes, -128, 127).astype(np.int8)


def answers(model: neurovm.Model, frames: np.ndarray, size: int) -> Iterator[tuple[Any, Any]]:
    """Codes of each window of `size` frames, in and out."""
    session, codes = model.session(), quantized(model, frames)
    for at in range(len(frames) - size + 1):
        taken = codes[at : at + size].ravel()
        yield taken, bytes(session.step(taken))


def said(stream: Chain, outputs: list[bytes]) -> list[float]:
    """When words are said, in seconds: at the end of the last frame."""
    times_us = [
        round(1e6 * ((at + FRAMES - 1) * 512 + 1024) / RATE_HZ) for at in range(len(outputs))
    ]
    return [
        t_us / 1e6
        for t_us, codes in zip(times_us, outputs, strict=True)
        if stream.push(t_us, codes) is not None
    ]


def judged(found_s: list[float], words: list[list[float]]) -> tuple[int, int]:
    """Words found, and times that belong to none."""
    left = list(found_s)
    found = 0
    for start_s, end_s in words:
        own = [t_s for t_s in left if start_s <= t_s <= end_s + AFTER_S]
        found += bool(own)
        left = [t_s for t_s in left if t_s not in own[:1]]
    return found, len(left)


def wake_word(folder: Path) -> bool:
    """Whether the true words are said, and nothing else."""
    data = folder / "data/streaming_ww"
    (test,) = json.loads((data / "sww_short_test.json").read_text())
    words = test["detection_windows"]
    with neurovm.convert_tflite(folder / "models/mlperf_tiny/str_ww_ref_model.tflite") as model:
        frames = features(heard(data / test["wav_file"]))
        outputs = [codes for _, codes in answers(model, frames, FRAMES)]
        labels = Labels(labels=["marvin", "silence", "unknown"])
        stream = steps_of([labels, WORD], model.outputs)
        start_s = time.perf_counter()
        found_s = said(stream, outputs)
        each_us = 1e6 * (time.perf_counter() - start_s) / len(outputs)
        found, wrong = judged(found_s, words)
        print(f"words {words}")
        print(f"said at {found_s}: {found} of {len(words)} words, {wrong} elsewhere")
        print(f"steps: {each_us:.1f} us a result")
        for average_s in (0.05, 0.1, 0.2, 0.3, 0.5):
            right = [
                threshold
                for threshold in np.arange(0.1, 0.96, 0.05).round(2)
                if judged(said(word_stream(model, average_s, float(threshold)), outputs), words)
                == (len(words), 0)
            ]
            print(f"average {average_s} s: right with thresholds {[float(x) for x in right]}")
    return (found, wrong) == (len(words), 0)


def word_stream(model: neurovm.Model, average_s: float, threshold: float) -> Chain:
    word = Keyword(
        threshold=threshold,
        average_s=average_s,
        suppress_s=1.0,
        least=1,
        release=threshold / 2,
        ignore=[1, 2],
    )
    return steps_of([word], model.outputs)


def wake_word_from_packets(folder: Path, seed: int) -> bool:
    """The same from packets of sound of any length, the daemon's own way."""
    data = folder / "data/streaming_ww"
    (test,) = json.loads((data / "sww_short_test.json").read_text())
    with wave.open(str(data / test["wav_file"])) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        sound = sound.reshape(-1, file.getnchannels())[:, 0]
    vm = msgspec.convert(yaml.safe_load(VM), Vm)
    source, said_us = random.Random(seed), []
    now_us = start_us = 1_760_000_000_000_000
    with neurovm.convert_tflite(folder / "models/mlperf_tiny/str_ww_ref_model.tflite") as model:
        streams = streams_of(
            "word",
            vm,
            model,
            inputs_of(vm, {"prefix": "neurovm", "node": "box", "vm": "word"}, model),
            str,
            str,
            SharedBlock(1).slot(0),
            clock_ns=lambda: now_us * 1000,
            wall_ns=lambda: now_us * 1000,
        )
        at = 0
        while at < len(sound):
            packet = sound[at : at + source.randrange(1, 3000)]
            at += len(packet)
            now_us = start_us + 1_000_000 * at // RATE_HZ
            done = streams.answers(Message("mic/hall/pcm", packet.tobytes(), None))
            said_us += [json.loads(e.payload)["window"]["t1_us"] for e in done if e.payload]
    found_s = [round((t_us - start_us) / 1e6, 3) for t_us in said_us]
    found, wrong = judged(found_s, test["detection_windows"])
    print(f"from packets, seed {seed}: said at {found_s}: {found} words, {wrong} elsewhere")
    return (found, wrong) == (len(test["detection_windows"]), 0)


def machine(folder: Path) -> None:
    """Scores of a machine's sound, learned from its first half, and of what it is not."""
    with neurovm.convert_tflite(folder / "models/mlperf_tiny/ad01_int8.tflite") as model:
        for path in sorted((folder / "data/ad01").glob("*.bin")):
            frames = np.fromfile(path, "<f4").reshape(-1, 128)
            half = (len(frames) - 4) // 2
            stream = steps_of(
                [Reconstruction(), Anomaly(learn=half, floor=1e-3)], model.outputs, model.inputs
            )
            sounds = {
                "the same machine": frames,
                "its bands moved by 8": np.roll(frames, 8, axis=1),
                "a tone 20 dB over one band": frames + 20 * (np.arange(128) == 40),
                "noise of 6 dB": frames + np.random.default_rng(1).normal(0, 6, frames.shape),
            }
            print(f"{path.name}: learned from {half} windows")
            now = 0
            for name, sound in sounds.items():
                scores = []
                for taken, codes in answers(model, sound, 5):
                    now += 1
                    reading = stream.plan.reading(codes, taken.tolist())
                    score = stream.push(now * 32000, reading)
                    scores += [] if score is None else score
                middle, top = statistics.median(scores), max(scores)
                print(f"  {name}: score median {middle:.1f}, {min(scores):.1f} to {top:.1f}")


def main(folder: Path) -> int:
    machine(folder)
    well = [wake_word(folder), *(wake_word_from_packets(folder, seed) for seed in range(1, 6))]
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
