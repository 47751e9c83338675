# SPDX-License-Identifier: Apache-2.0
"""zeros.py MODELS DATA: what skipping zeros could spare full runs, on the streams of bench_real.py.

A code that stands for zero adds nothing. Counted are the weights that meet another code, as a part
of all: element by element, and in groups of 4 channels of a pixel, as dot products of four bytes
have them. Zero is taken to be the code that a layer's input holds most often, which flatters.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from bench_real import STREAMS
from bench_work import met, records, spread

import neurovm

ROWS = 40
WEIGHTED = ("DENSE", "CONV", "DWCONV")


def shares(model: neurovm.Model, rows: np.ndarray) -> tuple[float, float]:
    """Parts of all weights that meet no zero: by elements and by groups of four."""
    session = model.session(way="events")
    layers = [each for each in records(model) if each["kind"] in WEIGHTED]
    elements = groups = everything = 0
    for row in rows:
        session.step(row.astype(np.int8).tobytes())
        for layer in layers:
            codes = np.array(session.layer(int(layer["in0"])).codes, int)
            zero = np.bincount(codes + 128, minlength=256).argmax() - 128
            mask = codes != zero
            elements += met(layer, mask)
            groups += met(layer, spread(layer, mask))
            everything += met(layer, np.ones_like(mask))
    return elements / everything, groups / everything


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    paths = {path.stem: path for path in sorted(args.models.rglob("*.tflite"))}
    print("| network | stream | elements | groups of 4 |\n| --- | --- | --- | --- |")
    for name, streams in STREAMS.items():
        if name not in paths:
            continue
        with neurovm.convert_tflite(paths[name]) as model:
            for label, prepare in streams.items():
                try:
                    rows = prepare(args.data, model.inputs[0])
                except (OSError, ImportError) as error:
                    print(f"| {name} | {label}: {error} | | |")
                    continue
                part, by_four = shares(model, rows.reshape(len(rows), -1)[:ROWS])
                print(f"| {name} | {label} | {part:.2f} | {by_four:.2f} |", flush=True)


if __name__ == "__main__":
    main()
