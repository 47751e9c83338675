# SPDX-License-Identifier: Apache-2.0
"""accuracy.py MODELS DATA: right answers of public models, the original in LiteRT against ours.

    python benchmarks/accuracy.py ../models ../data
    python benchmarks/accuracy.py ../models ../data --only st_har_float_heck -o accuracy.json

MODELS is a folder with, anywhere below it, the files named in CASES; DATA has their inputs:

    speech_commands_test/<word>/*.wav    16 kHz clips: 49 × 10 MFCC for the keyword models, micro
                                         features for the voice detector (pymicro-features)
    cifar10_jpg/test/<class>/*.jpg       32 × 32 RGB (needs Pillow)
    mnist/t10k-*-ubyte.gz                28 rows of 28, value / 255
    st_har/<activity>/*.csv              26 Hz, milli-g at ±4 g; windows of 260 rows, hop 26, / 4000
    ad01/*.bin                           frames of 128 log-mel values; no classes, SNR alone

int8 originals: the same answers are promised, and differing ones are counted. Float originals are
quantised here (`calibrate`) on one half of the data, and both are judged on the other half:
recordings in turn for st_har, rows in turn for the others. A voice detector has no classes: the
area under its ROC curve is that of its mean answer in a clip, words against `_silence_`. Exit code
1 where an int8 model answers otherwise than LiteRT.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from verify_models import clip, mfcc, pictures, quantized

import neurovm
from neurovm.backends.runtime import Runtime

Rows = np.ndarray
WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes",
         "_silence_", "_unknown_")  # fmt: skip
ACTIVITIES = ("stationary", "walking", "running")
WINDOW, HOP, FULL_SCALE_MG = 260, 26, 4000


@dataclass(frozen=True)
class Labelled:
    """Real values (n, *row shape), the class of each row (None: there are none), and for float
    originals the rows to calibrate on.
    """

    rows: Rows
    answers: Rows | None
    calibrate: Rows | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    model: str
    rows: int
    measure: str
    original: float
    ours: float
    differing: int
    elements: int
    snr_db: float | None


def clips(data: Path) -> list[Path]:
    return sorted((data / "speech_commands_test").glob("*/*.wav"))


def keywords(data: Path) -> Labelled:
    rows = np.stack([mfcc(clip(path)) for path in clips(data)])[..., None]
    return Labelled(rows, np.array([WORDS.index(p.parent.name) for p in clips(data)]))


def images(data: Path) -> Labelled:
    info = neurovm.TensorInfo(name="", shape=(1, 32, 32, 3), dtype="int8", scale=1, zero_point=-128)
    paths = sorted((data / "cifar10_jpg").rglob("*.jpg"))
    classes = sorted({path.parent.name for path in paths})
    rows = pictures(data, info).astype(np.float32) + 128
    return Labelled(rows, np.array([classes.index(path.parent.name) for path in paths]))


def digits(data: Path) -> Labelled:
    raw = gzip.decompress((data / "mnist/t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    rows = np.frombuffer(raw, np.uint8).reshape(-1, 28, 28) / np.float32(255)
    labels = gzip.decompress((data / "mnist/t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    return Labelled(rows, np.frombuffer(labels, np.uint8).astype(int))


def activities(data: Path) -> Labelled:
    """Recordings in turn: windows of one never stand on both sides."""
    rows: list[list[Rows]] = [[], []]
    answers: list[list[int]] = [[], []]
    for number, activity in enumerate(ACTIVITIES):
        for turn, path in enumerate(sorted((data / "st_har" / activity).glob("*.csv"))):
            values = np.loadtxt(path, delimiter=",", dtype=np.float32) / FULL_SCALE_MG
            for start in range(0, len(values) - WINDOW + 1, HOP):
                rows[turn % 2].append(values[start : start + WINDOW])
                answers[turn % 2].append(number)
    return Labelled(np.stack(rows[1]), np.array(answers[1]), np.stack(rows[0]))


def machine(data: Path) -> Labelled:
    info = neurovm.TensorInfo(name="", shape=(1, 640), dtype="float32", scale=1, zero_point=0)
    paths = sorted((data / "ad01").glob("*.bin"))
    frames = [np.fromfile(path, "<f4").reshape(-1, 128) for path in paths]
    windows = [f[i : i + 5].reshape(-1) for f in frames for i in range(len(f) - 4)]
    return Labelled(np.stack(windows).reshape(-1, info.size), None)


def in_turn(source: Callable[[Path], Labelled]) -> Callable[[Path], Labelled]:
    """Every other row for calibration, the rest to judge by."""

    def split(data: Path) -> Labelled:
        whole = source(data)
        answers = None if whole.answers is None else whole.answers[1::2]
        return Labelled(whole.rows[1::2], answers, whole.rows[0::2])

    return split


CASES: dict[str, Callable[[Path], Labelled]] = {
    "kws_ref_model": keywords,
    "pretrainedResnet_quant": images,
    "trained_lstm_int8": digits,
    "st_har_float_heck": activities,
    "pretrainedResnet": in_turn(images),
    "kws_ref_model_float32": in_turn(keywords),
    "ad01_fp32": in_turn(machine),
}
VOICE = "vad"
ROWS_TO_CALIBRATE = 256


def judged(path: Path, given: Labelled) -> Result:
    """One model on its rows, in LiteRT and here."""
    if given.calibrate is None:
        model = neurovm.convert_tflite(path)
    else:
        places = np.linspace(0, len(given.calibrate) - 1, ROWS_TO_CALIBRATE).astype(int)
        rows = given.calibrate[np.unique(places)]
        model = neurovm.convert_tflite(path, calibrate=rows.astype(np.float32))
    info = model.inputs[0]
    rows = given.rows.astype(np.float32) if info.dtype == "float32" else quantized(given.rows, info)
    with Runtime(path) as lite:
        # Rows are independent: a network that keeps state starts anew for each.
        batch = 1 if model.manifest.state_bytes else 64
        parts = [
            lite.run([rows[i : i + batch]], anew=batch == 1).outputs[0]
            for i in range(0, len(rows), batch)
        ]
    exact = np.concatenate(parts).reshape(len(rows), -1)
    found = np.asarray(model.predict(rows)).reshape(len(rows), -1)
    measure, original, ours = "no classes", float("nan"), float("nan")
    if given.answers is not None:
        measure = "right answers"
        original = float((exact.argmax(1) == given.answers).mean())
        ours = float((found.argmax(1) == given.answers).mean())
    gap = np.square(exact.astype(float) - found).sum()
    signal = np.square(exact.astype(float)).sum()
    return Result(
        model=path.stem, rows=len(rows), measure=measure, original=original, ours=ours,
        differing=int((exact != found).sum()), elements=exact.size,
        snr_db=None if given.calibrate is None or gap == 0 else float(10 * np.log10(signal / gap)),
    )  # fmt: skip


def voice(path: Path, data: Path) -> Result:
    """A stream for each clip: 3 frames of 40 features a step, from the model's initial state."""
    model = neurovm.convert_tflite(path)
    labels, scores = [], []
    differing = elements = 0
    with Runtime(path) as lite:
        for clip in clips(data):
            steps = quantized(_features(clip), model.inputs[0])
            exact = lite.run([steps], anew=True).outputs[0].reshape(-1)
            session = model.session()
            codes = [bytes(session.step(step.tobytes())) for step in steps]
            ours = np.array([model.from_codes(code) for code in codes]).reshape(-1)
            differing += int((exact != ours).sum())
            elements += exact.size
            scores.append((exact.mean(), ours.mean()))
            labels.append(clip.parent.name != "_silence_")
    both = np.array(scores)
    return Result(
        model=path.stem, rows=len(labels), measure="area under ROC",
        original=_area(both[:, 0], np.array(labels)), ours=_area(both[:, 1], np.array(labels)),
        differing=differing, elements=elements, snr_db=None,
    )  # fmt: skip


def _features(path: Path) -> Rows:
    """(steps, 3, 40) of a clip's sound."""
    import wave

    from pymicro_features import MicroFrontend

    with wave.open(str(path)) as file:
        sound = file.readframes(file.getnframes())
    frontend, at, frames = MicroFrontend(), 0, []
    while at + 320 <= len(sound):
        output = frontend.process_samples(sound[at : at + 320])
        at += 2 * output.samples_read
        if output.features:
            frames.append(output.features)
    whole = len(frames) // 3 * 3
    return np.array(frames[:whole], np.float32).reshape(-1, 3, 40)


def _area(scores: Rows, positive: Rows) -> float:
    """The chance that a positive has a higher score than a negative; ties count half."""
    wins = scores[positive][:, None] - scores[~positive][None, :]
    return float(((wins > 0) + 0.5 * (wins == 0)).mean())


def line(result: Result) -> str:
    def share(value: float) -> str:
        if np.isnan(value):
            return "–"
        return f"{value:.3f}" if "ROC" in result.measure else f"{value:.2%}"

    cells = [
        result.model, result.rows, result.measure, share(result.original), share(result.ours),
        f"{result.differing:,} of {result.elements:,}",
        "–" if result.snr_db is None else f"{result.snr_db:.1f} dB",
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="*", help="names of models")
    parser.add_argument("-o", "--output", type=Path, help="write the table as JSON")
    args = parser.parse_args()
    paths = {path.stem: path for path in sorted(args.models.rglob("*.tflite"))}
    columns = ("model", "rows", "measure", "original", "ours", "outputs that differ", "SNR")
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    results = []
    for name in args.only or (*CASES, VOICE):
        try:
            path = paths[name]
            result = (
                voice(path, args.data) if name == VOICE else judged(path, CASES[name](args.data))
            )
        except (KeyError, OSError, ImportError, ValueError) as error:
            print(f"| {name} | not measured: {type(error).__name__}: {error} |", flush=True)
            continue
        print(line(result), flush=True)
        results.append(result)
    if args.output:
        report = [dataclasses.asdict(result) for result in results]
        args.output.write_text(json.dumps(report, indent=2) + "\n")
    promised = [r for r in results if r.snr_db is None]
    return 0 if promised and not any(r.differing for r in promised) else 1


if __name__ == "__main__":
    sys.exit(main())
