# SPDX-License-Identifier: Apache-2.0
"""python -m examples.activity.train: train `activity.tflite` anew, on simulated motion.

A float network, as most are trained: 52 rows of (x, y, z) → convolutions over time → the mean over
time → a softmax. neurovm makes it int8 with rows of other wearers. Needs tensorflow; half a minute
of a core.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .motion import ACTIVITIES, ROWS, windows

MODEL = Path(__file__).with_name("activity.tflite")
SEED = 20260101


def network() -> Any:
    """The network, untrained."""
    import keras
    from keras import layers

    x = inputs = keras.Input((ROWS, 3))
    x = layers.Reshape((ROWS, 1, 3))(x)
    for filters, size in ((16, 5), (24, 5), (24, 5)):
        x = layers.Conv2D(filters, (size, 1), use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Softmax()(layers.Dense(len(ACTIVITIES))(x)))


def float_tflite(model: Any) -> bytes:
    """The model as it is, for a batch of one. Needs tensorflow."""
    import keras
    import tensorflow as tf

    inputs = keras.Input(batch_shape=(1, ROWS, 3))
    fixed = keras.Model(inputs, model(inputs))
    content: bytes = tf.lite.TFLiteConverter.from_keras_model(fixed).convert()
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wearers", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=25)
    args = parser.parse_args()
    import keras

    keras.utils.set_random_seed(SEED)
    x, y = windows(20, range(args.wearers))
    x_test, y_test = windows(20, range(100_000, 100_020))
    model = network()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=64, epochs=args.epochs, verbose=2)
    right = model.predict(x_test, verbose=0).argmax(axis=1) == y_test
    print(f"{100 * right.mean():.1f} % of {len(right)} windows of wearers it has not met")
    MODEL.write_bytes(float_tflite(model))


if __name__ == "__main__":
    main()
