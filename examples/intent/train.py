# SPDX-License-Identifier: Apache-2.0
"""python -m examples.intent.train: train `intent.tflite` anew, on sentences made of patterns.

256 counts of hashed words and pairs → 24 → a softmax. Needs tensorflow; a quarter of a minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from examples.quantized import int8_tflite
from neurovm.words import hashed

from .sentences import INTENTS, sentences

MODEL = Path(__file__).with_name("intent.tflite")
SEED = 20260101
FEATURES = 256


def rows(each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 (n, FEATURES) and the intents' numbers."""
    texts, labels = sentences(each, seed)
    return np.array([hashed(text, FEATURES) for text in texts], np.float32), np.array(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--each", type=int, default=400, help="sentences of each intent")
    parser.add_argument("--epochs", type=int, default=30)
    args = parser.parse_args()
    import keras
    from keras import layers

    keras.utils.set_random_seed(SEED)
    (x, y), (x_test, y_test) = rows(args.each, 1), rows(150, 2)
    inputs = keras.Input((FEATURES,))
    hidden = layers.Dropout(0.3)(layers.Dense(24, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Softmax()(layers.Dense(len(INTENTS))(hidden)))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=64, epochs=args.epochs, verbose=0)
    right = model.predict(x_test, verbose=0).argmax(axis=1) == y_test
    print(f"{100 * right.mean():.1f} % of {len(right)} sentences it has not read")
    MODEL.write_bytes(int8_tflite(model, x[::7]))


if __name__ == "__main__":
    main()
