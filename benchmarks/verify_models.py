# SPDX-License-Identifier: Apache-2.0
"""verify_models.py MODELS DATA: prove public int8 models equal to their runtime, by operator.

    python benchmarks/verify_models.py ../models ../data --count 1000
    python benchmarks/verify_models.py ../models ../data --profile tflm
    python benchmarks/verify_models.py ../models ../data --layers -o report.json

MODELS is a folder with, anywhere below it, the files named in INPUTS (MLPerf Tiny, TensorFlow Lite
Micro, microWakeWord, Coral); DATA has their inputs, prepared here as the models were trained:

    ad01/*.bin                              float32 frames of 128 log-mel values; 5 make a window
    cifar10_jpg/**/*.jpg                    32 × 32 RGB, minus 128 (needs Pillow)
    streaming_ww/calibration_samples.npz    `specs`, real values of the wake word's front end
    speech_commands_test/*/*.wav            16 kHz clips; 49 × 10 MFCC for the keyword model

A model whose data are missing runs on random rows alone, and the table says so; what is refused in
a profile is named. Profile xnnpack is judged by LiteRT, tflm by TensorFlow Lite Micro. Exit code 1
if anything differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import neurovm
from examples.keywords.features import clip, mfcc
from neurovm.certificate import Certificate
from neurovm.verify import verify

Rows = np.ndarray


def quantized(real: Rows, info: neurovm.TensorInfo) -> Rows:
    """Real values in the codes of an int8 input, rounded half to even."""
    codes = np.rint(real.astype(np.float32) * np.float32(1 / info.scale)) + info.zero_point
    return np.clip(codes, -128, 127).astype(np.int8).reshape(-1, *info.shape[1:])


def anomaly_windows(data: Path, info: neurovm.TensorInfo) -> Rows:
    """Windows of 5 consecutive frames, hop 1, of every recording."""
    windows = []
    for path in sorted((data / "ad01").glob("*.bin")):
        frames = np.fromfile(path, "<f4").reshape(-1, 128)
        windows += [frames[i : i + 5].reshape(-1) for i in range(len(frames) - 4)]
    return quantized(np.stack(windows), info)


def pictures(data: Path, info: neurovm.TensorInfo) -> Rows:
    """Pixels 0..255 minus 128."""
    from PIL import Image

    paths = sorted((data / "cifar10_jpg").rglob("*.jpg"))
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    return (pixels.astype(np.int16) - 128).astype(np.int8).reshape(-1, *info.shape[1:])


def spectrograms(data: Path, info: neurovm.TensorInfo) -> Rows:
    """The ready values of the streaming wake word's front end."""
    return quantized(np.load(data / "streaming_ww/calibration_samples.npz")["specs"], info)


def keywords(data: Path, info: neurovm.TensorInfo) -> Rows:
    """49 × 10 MFCC of one-second clips."""
    paths = sorted((data / "speech_commands_test").glob("*/*.wav"))
    return quantized(np.stack([mfcc(clip(path)) for path in paths]), info)


INPUTS: dict[str, Callable[[Path, neurovm.TensorInfo], Rows] | None] = {
    "kws_ref_model": keywords,
    "pretrainedResnet_quant": pictures,
    "ad01_int8": anomaly_windows,
    "str_ww_ref_model": spectrograms,
    "micro_speech_quantized": None,
    "hello_world_int8": None,
    "person_detect": None,
    "keyword_scrambled_8bit": None,
    "trained_lstm_int8": None,
    "okay_nabu": None,
    "vad": None,
    "mobilenet_v1_0.25_128_quant": None,
}
"""Model -> the function that prepares its real inputs."""

COLUMNS = ("model", "inputs", "rows", "layers", "elements of layers that differ", "oracle",
           "predict", "session", "events", "time")  # fmt: skip


def prove(path: Path, data: Path, count: int, walk: int, profile: str) -> tuple[Certificate, str]:
    """The certificate of one model, and a word on its real inputs."""
    prepare = INPUTS[path.stem]
    real: list[Rows] = []
    word = "random only"
    with neurovm.convert_tflite(path, profile=profile) as model:
        if prepare is not None:
            try:
                real = [prepare(data, model.inputs[0])]
                word = f"{len(real[0])} real"
            except (OSError, ImportError, ValueError) as error:
                word = f"no real inputs: {error}"
        proof = verify(path, model=model, inputs=real, count=count, walk=walk, timeout_s=600)
        return proof, word


def row(path: Path, proof: Certificate, word: str, seconds: float) -> str:
    """One line of the table."""
    kernel = [layer.kernel for layer in proof.layers]
    cells = [
        path.stem,
        word,
        sum(proof.rows.values()),
        len(proof.layers),
        f"{sum(t.differing for t in kernel)} of {sum(t.elements for t in kernel):,}",
        f"{sum(r.oracle.differing for r in proof.layers)}",
        f"{proof.predict.differing} of {proof.predict.elements:,}",
        f"{proof.session.differing} of {proof.session.elements:,}",
        f"{proof.events.differing} of {proof.events.elements:,}",
        f"{seconds:.0f} s",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=1000, help="random rows a model")
    parser.add_argument("--walk", type=int, default=500, help="steps of small changes a model")
    parser.add_argument("--profile", default="xnnpack", choices=["xnnpack", "tflm"])
    parser.add_argument("--only", nargs="*", help="names of models")
    parser.add_argument("--layers", action="store_true", help="print every layer")
    parser.add_argument("-o", "--output", type=Path, help="write all certificates as JSON")
    args = parser.parse_args()
    paths = {path.stem: path for path in sorted(args.models.rglob("*.tflite"))}
    proofs = {}
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for name in args.only or INPUTS:
        if name not in paths:
            print(f"| {name} | not found below {args.models} |")
            continue
        start_s = time.monotonic()
        try:
            proof, word = prove(paths[name], args.data, args.count, args.walk, args.profile)
        except (neurovm.ModelError, neurovm.BackendError) as error:
            print(f"| {name} | {str(error)[:160]} |", flush=True)
            continue
        print(row(paths[name], proof, word, time.monotonic() - start_s), flush=True)
        for layer in proof.layers if args.layers else ():
            print(f"    {layer}")
        proofs[name] = proof
    if args.output:
        report = {name: proof.as_dict() for name, proof in proofs.items()}
        args.output.write_text(json.dumps(report, indent=2) + "\n")
    print(", ".join(sorted({f"{p.runtime} {p.version}" for p in proofs.values()})))
    compared = sum(p.elements for p in proofs.values())
    print(f"{sum(p.differing for p in proofs.values())} of {compared:,} elements differ")
    return 0 if proofs and all(p.identical for p in proofs.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
