# SPDX-License-Identifier: Apache-2.0
"""Export the networks of `zoo_networks.py` as quantized .tflite (development only).

    python scripts/zoo.py FOLDER [--only NAME ...] [--seed 1]

needs tensorflow, nothing of neurovm. Each network is exported in turn with int8, uint8 or float32
edges, per channel or per tensor, with a fixed or an open batch, so that 50 networks cover them all.
Weights, the statistics of batch normalization and the calibration data are random.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from zoo_networks import NETWORKS

EDGES = (tf.int8, tf.float32, tf.uint8)
CALIBRATION_ROWS = 24
SEED = 20260101


def shaken(model: keras.Model, rng: np.random.Generator) -> keras.Model:
    """The model with every vector of its weights drawn anew: biases, means, variances, slopes."""
    for weight in model.weights:
        if len(weight.shape) == 1:
            low, high = (
                (0.4, 2.0) if "variance" in weight.path or "gamma" in weight.path else (-0.3, 0.3)
            )
            weight.assign(rng.uniform(low, high, weight.shape))
    return model


def fixed_batch(model: keras.Model) -> keras.Model:
    """The model on one sample at a time."""
    inputs = [keras.Input(batch_shape=(1, *t.shape[1:]), dtype=t.dtype) for t in model.inputs]
    return keras.Model(inputs, model(inputs if len(inputs) > 1 else inputs[0]))


def rows(inputs: Sequence[Any], rng: np.random.Generator) -> Iterator[list[np.ndarray]]:
    """Calibration data, an array an input."""
    for _ in range(CALIBRATION_ROWS):
        yield [
            rng.integers(0, 100, (1, *t.shape[1:])).astype(np.int32)
            if t.dtype == "int32"
            else rng.normal(0, 1, (1, *t.shape[1:])).astype(np.float32)
            for t in inputs
        ]


def exported(model: keras.Model, edge: tf.DType, *, per_tensor: bool, fixed: bool) -> bytes:
    """The .tflite of a model; its inputs stand in an order that the exporter chooses."""
    rng = np.random.default_rng(SEED)
    model = fixed_batch(shaken(model, rng)) if fixed else shaken(model, rng)
    orders = list(itertools.permutations(model.inputs))
    for inputs in orders:
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda inputs=inputs: rows(inputs, rng)
        sets = tf.lite.OpsSet
        converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS_INT8, sets.TFLITE_BUILTINS]
        if all(t.dtype == "float32" for t in model.inputs):
            converter.inference_input_type = edge
        if all(t.dtype == "float32" for t in model.outputs):
            converter.inference_output_type = edge
        converter._experimental_disable_per_channel = per_tensor  # noqa: SLF001 - no other switch
        try:
            return converter.convert()
        except (RuntimeError, ValueError):
            if inputs is orders[-1]:
                raise
    raise AssertionError("no order of the inputs was left")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=list(NETWORKS))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(NETWORKS):
        if name not in args.only:
            continue
        turn = i + args.seed
        keras.utils.set_random_seed(turn)
        edge, per_tensor, fixed = EDGES[turn % 3], turn % 7 == 0, turn % 2 == 0
        try:
            data = exported(NETWORKS[name](), edge, per_tensor=per_tensor, fixed=fixed)
        except Exception as error:  # noqa: BLE001 - whatever the exporter raises, the next is tried
            print(f"{name}: not exported: {str(error).strip().splitlines()[0][:150]}", flush=True)
            continue
        path = args.folder / f"{name}_{edge.name}{'_tensor' * per_tensor}{'_fixed' * fixed}.tflite"
        path.write_bytes(data)
        print(f"{path.name}: {len(data)} bytes", flush=True)


if __name__ == "__main__":
    main()
