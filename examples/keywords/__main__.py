# SPDX-License-Identifier: Apache-2.0
"""python -m examples.keywords MODEL CLIP...: the word in each clip (16 kHz mono WAV).

MODEL is the int8 keyword network of MLPerf Tiny (`kws_ref_model.tflite`), or a bundle of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import neurovm
from examples.keywords.features import clip, mfcc

WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes",
         "_silence_", "_unknown_")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("clips", type=Path, nargs="+", metavar="clip")
    args = parser.parse_args()
    bundle = args.model.suffix == ".nvm"
    with neurovm.load(args.model) if bundle else neurovm.convert_tflite(args.model) as model:
        info = model.inputs[0]
        for path in args.clips:
            codes = np.rint(mfcc(clip(path)) / info.scale) + info.zero_point
            row = np.clip(codes, -128, 127).astype(np.int8).reshape(info.shape[1:])
            answer = np.asarray(model.predict(row)).reshape(-1)
            print(f"{path}: {WORDS[int(answer.argmax())]}")


if __name__ == "__main__":
    main()
