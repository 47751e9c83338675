# SPDX-License-Identifier: Apache-2.0
"""What published networks answer to the recipes of docs/frontends.md, from packets of 20 ms.

    python benchmarks/front_end_accuracy.py MODELS DATA

MODELS holds mlperf_tiny/, microwakeword/ and tflm/; DATA speech_commands_test/ (a folder for each
word) and streaming_ww/ (a recording, and a JSON of when the word is said).
"""

from __future__ import annotations

import argparse
import json
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from frontends import PAGE, RATE_HZ, recipes

import neurovm
from neurovm.frontends import Front, chain

PACKET = 320
WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
CLASSES = (*WORDS, "_silence_", "_unknown_")
RECIPES = dict(recipes(PAGE.read_text("utf-8")))


def front_of(beginning: str) -> Front:
    (title,) = (title for title in RECIPES if title.startswith(beginning))
    return chain(RECIPES[title], rate_hz=RATE_HZ)


def sound_of(path: Path) -> Any:
    """int16: the first channel."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return samples[:: file.getnchannels()]


def heard(front: Front, sound: Any) -> Any:
    """The rows of a recording, packet by packet."""
    front.reset()
    return np.concatenate(
        [front.push(sound[at : at + PACKET]) for at in range(0, len(sound), PACKET)]
    )


def codes_of(model: neurovm.Model, rows: Any) -> Any:
    """Rows of real values as the model's codes; its own integers as they are."""
    info = model.inputs[0]
    if rows.dtype == np.int8:
        return rows
    return np.clip(np.rint(rows / info.scale) + info.zero_point, -128, 127).astype(np.int8)


def clips(data: Path) -> Iterator[tuple[str, Any]]:
    """Word and one second of sound."""
    for word in CLASSES:
        for path in sorted((data / "speech_commands_test" / word).glob("*.wav")):
            sound = sound_of(path)[:RATE_HZ]
            yield word, np.pad(sound, (0, RATE_HZ - len(sound)))


def keywords(path: Path, data: Path, beginning: str) -> str:
    front = front_of(beginning)
    right = []
    with neurovm.convert_tflite(path) as model:
        for word, sound in clips(data):
            rows = front.whole(sound) if front.needs_whole else heard(front, sound)
            codes = codes_of(model, rows).reshape(1, *model.inputs[0].shape[1:])
            right.append(int(np.asarray(model.predict(codes)).argmax()) == CLASSES.index(word))
    return f"{100 * np.mean(right):.2f} % of {len(right)} clips"


def wake_word(path: Path, data: Path) -> str:
    """Stretches in which the word is the likeliest class, less than 0.3 s apart: one."""
    (told,) = json.loads((data / "streaming_ww" / "sww_short_test.json").read_text())
    sound = sound_of(data / "streaming_ww" / told["wav_file"])
    front = front_of("Streaming wake word")
    gain = 32767 / np.abs(sound.astype(int)).max()
    rows = heard(front, np.rint(sound * gain).astype(np.int16))
    with neurovm.convert_tflite(path) as model:
        codes = codes_of(model, rows)
        windows = np.stack([codes[end - 30 : end] for end in range(30, len(codes) + 1)])
        outputs = np.asarray(model.predict(windows.reshape(-1, *model.inputs[0].shape[1:])))
    ends_s = (
        front.first + front.step * (np.flatnonzero(outputs.argmax(axis=-1) == 0) + 29)
    ) / RATE_HZ
    groups = np.split(ends_s, np.flatnonzero(np.diff(ends_s) > 0.3) + 1)
    spoken = told["detection_windows"]
    found = [any(a <= g[0] <= b + 1 for g in groups) for a, b in spoken]
    other = [g for g in groups if not any(a <= g[0] <= b + 1 for a, b in spoken)]
    return f"{sum(found)} of {len(spoken)} found, {len(other)} others"


def voice(path: Path, data: Path) -> str:
    """Area under the curve of the largest answer in a clip: speech against silence."""
    front = front_of("okay_nabu")
    speech, silence = [], []
    with neurovm.convert_tflite(path) as model:
        for word, sound in clips(data):
            session = model.session()
            codes = codes_of(model, heard(front, sound))
            steps = [codes[at : at + 3].tobytes() for at in range(0, len(codes) - 2, 3)]
            most = max(np.frombuffer(session.step(step), np.uint8)[0] for step in steps)
            (silence if word == "_silence_" else speech).append(int(most))
    above = np.subtract.outer(speech, silence)
    area = np.mean((above > 0) + 0.5 * (above == 0))
    return f"AUC {area:.3f} of {len(speech)} clips of speech and {len(silence)} of silence"


def yes_no(path: Path, data: Path) -> str:
    front = front_of("micro_speech")
    classes = {"_silence_": 0, "_unknown_": 1, "yes": 2, "no": 3}
    right = []
    with neurovm.convert_tflite(path) as model:
        for word, sound in clips(data):
            if word in classes:
                rows = heard(front, sound)[:49].reshape(1, *model.inputs[0].shape[1:])
                right.append(int(np.asarray(model.predict(rows)).argmax()) == classes[word])
    return f"{100 * np.mean(right):.1f} % of {len(right)} clips of yes, no, silence and others"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    kws, data = "mlperf_tiny/kws_ref_model.tflite", options.data
    for file, measured in (
        (kws, lambda path: "whole clips: " + keywords(path, data, "Keyword spotting, DS-CNN (")),
        (kws, lambda path: "running: " + keywords(path, data, "Keyword spotting, DS-CNN, running")),
        ("mlperf_tiny/str_ww_ref_model.tflite", lambda path: wake_word(path, data)),
        ("microwakeword/vad.tflite", lambda path: voice(path, data)),
        ("tflm/micro_speech_quantized.tflite", lambda path: yes_no(path, data)),
    ):
        path = options.models / file
        print(f"{path.stem}: {measured(path) if path.exists() else 'not there'}", flush=True)


if __name__ == "__main__":
    main()
