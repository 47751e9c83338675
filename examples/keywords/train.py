# SPDX-License-Identifier: Apache-2.0
"""python -m examples.keywords.train: train `words.tflite` anew, on simulated words.

49 × 10 MFCC of a second → convolutions that see 0.4 s, without padding along time → the mean over
time → a softmax. Without padding a window that moves on by a frame costs one fortieth of it.
Needs tensorflow; four minutes of one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from examples.quantized import int8_tflite

from .features import mfcc
from .speech import LABELS, clips

MODEL = Path(__file__).with_name("words.tflite")
SEED = 20260101
FRAMES, COEFFICIENTS = 49, 10


def rows(each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 (n, 49, 10, 1) and labels."""
    sounds, labels = clips(each, seed)
    features = np.stack([mfcc(sound / 32768) for sound in sounds])
    return features[..., None].astype(np.float32), labels


def network() -> Any:
    """The network, untrained."""
    import keras
    from keras import layers

    x = inputs = keras.Input((FRAMES, COEFFICIENTS, 1))
    x = layers.Conv2D(24, (8, COEFFICIENTS), use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for _ in range(2):
        x = layers.DepthwiseConv2D((7, 1), use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(24, 1, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalMaxPooling2D()(x)
    x = layers.Dropout(0.2)(x)
    return keras.Model(inputs, layers.Softmax()(layers.Dense(len(LABELS))(x)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--each", type=int, default=400, help="clips of each word")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", type=Path, default=MODEL)
    args = parser.parse_args()
    import keras

    keras.utils.set_random_seed(SEED)
    (x, y), (x_test, y_test) = rows(args.each, 1), rows(60, 2)
    model = network()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=64, epochs=args.epochs, verbose=2)
    right = model.predict(x_test, verbose=0).argmax(axis=1) == y_test
    print(f"{100 * right.mean():.1f} % of {len(right)} clips it was not trained on")
    args.out.write_bytes(int8_tflite(model, x[::7]))


if __name__ == "__main__":
    main()
