# SPDX-License-Identifier: Apache-2.0
"""python -m examples.camera.train: train `belt.tflite` anew, on simulated scenes.

64 × 48 RGB → convolutions → a grid of 8 × 6 cells, and in each, after Redmon and Farhadi, YOLO9000,
CVPR 2017, how sure it is that the middle of something lies there, where in the cell, how large, and
what. One prior box a cell, of `PRIOR` cells. Needs tensorflow; five minutes of a core.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from examples.quantized import int8_tflite

from .scenes import HEIGHT, LABELS, WIDTH, Picture, Thing, scene

MODEL = Path(__file__).with_name("belt.tflite")
SEED = 20260101
COLUMNS, ROWS = 8, 6
INPUT = (64, 48)
"""Width and height in pixels: COLUMNS and ROWS cells of 8 × 8."""
PRIOR = (1.4, 1.4)
"""Width and height of the prior box, in cells."""


def pixels(image: Picture) -> np.ndarray:
    """float32 (48, 64, 3), 0 … 1: the picture made smaller."""
    small = Image.fromarray(image).resize(INPUT, Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32) / 255


def target(on_it: Sequence[Thing]) -> np.ndarray:
    """float32 (ROWS, COLUMNS, 5 + classes): x, y in the cell, log of width and height over the
    prior's, 1 where there is something, and which.
    """
    cells = np.zeros((ROWS, COLUMNS, 5 + len(LABELS)), np.float32)
    for each in on_it:
        column, row = each.x * COLUMNS / WIDTH, each.y * ROWS / HEIGHT
        wide, high = each.width * COLUMNS / WIDTH, each.height * ROWS / HEIGHT
        cell = cells[int(row), int(column)]
        cell[:5] = column % 1, row % 1, np.log(wide / PRIOR[0]), np.log(high / PRIOR[1]), 1
        cell[5:] = 0
        cell[5 + LABELS.index(each.label)] = 1
    return cells


def data(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and targets of `count` scenes."""
    seen = [scene(seed + at) for at in range(count)]
    return np.stack([pixels(s[0]) for s in seen]), np.stack([target(s[1]) for s in seen])


def network() -> Any:
    """The network, untrained: logits for places, certainty and classes, log sizes."""
    import keras
    from keras import layers

    x = inputs = keras.Input((INPUT[1], INPUT[0], 3))
    for filters, strides in ((12, 2), (16, 1), (24, 2), (24, 1), (32, 2), (32, 1)):
        x = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    return keras.Model(inputs, layers.Conv2D(5 + len(LABELS), 1)(x))


def loss(wanted: Any, found: Any) -> Any:
    """Certainty everywhere; place, size and class where there is something."""
    import tensorflow as tf

    there = wanted[..., 4]
    cross = tf.nn.sigmoid_cross_entropy_with_logits
    sure = cross(labels=there, logits=found[..., 4]) * (1 + 4 * there)
    place = tf.reduce_sum(cross(labels=wanted[..., :2], logits=found[..., :2]), -1)
    size = tf.reduce_sum(tf.square(wanted[..., 2:4] - found[..., 2:4]), -1)
    kind = tf.nn.softmax_cross_entropy_with_logits(wanted[..., 5:], found[..., 5:])
    return tf.reduce_mean(sure + there * (place + 4 * size + kind))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=25)
    args = parser.parse_args()
    import keras

    keras.utils.set_random_seed(SEED)
    x, y = data(args.scenes, 0)
    model = network()
    model.compile(keras.optimizers.Adam(2e-3), loss)
    model.fit(x, y, batch_size=32, epochs=args.epochs, verbose=2)
    x_test, y_test = data(300, 1_000_000)
    found = model.predict(x_test, verbose=0)
    there = y_test[..., 4] > 0
    sure = found[..., 4] > 0
    kinds = found[..., 5:].argmax(-1)[there & sure] == y_test[..., 5:].argmax(-1)[there & sure]
    print(
        f"of {there.sum()} things {(there & sure).sum()} found, {(sure & ~there).sum()} that are "
        f"none, {100 * kinds.mean():.1f} % rightly named"
    )
    MODEL.write_bytes(int8_tflite(model, x[:300]))


if __name__ == "__main__":
    main()
