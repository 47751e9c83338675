# SPDX-License-Identifier: Apache-2.0
"""python -m examples.wake_word.train: train `ahoy.tflite` anew, on simulated words.

In the manner of microWakeWord: 40 features every 10 ms go in three at a time, convolutions over
time keep the rows they need in variables of the network, and a probability comes out every 30 ms.
Trained on whole clips, whose loudest answer counts; exported with its memory, in int8. Needs
tensorflow and pymicro-features; six minutes of a core.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from examples.keywords import speech

MODEL = Path(__file__).with_name("ahoy.tflite")
SEED = 20260101
WORD = "ahoy"
OTHERS = ("oi", "ao", "aou", "ai", "aeo", "io", "oia", "ua")
"""Words that are nearly it, and others."""
CLIP_S = 1.5
FEATURES, STEP = 40, 3
HIDDEN = 24
SPANS = (9, 13)
"""Rows of 30 ms that the two layers over time see."""


def features(sound: np.ndarray) -> np.ndarray:
    """float32 (n, 40), a row every 10 ms, of int16 samples from the front end's beginning."""
    from pymicro_features import MicroFrontend

    front, raw, rows = MicroFrontend(), sound.astype("<i2").tobytes(), []
    for at in range(0, len(raw) - 319, 320):
        row = front.process_samples(raw[at : at + 320]).features
        if row:
            rows.append(row)
    return np.array(rows, np.float32)


def clip(is_word: bool, seed: int) -> np.ndarray:
    """int16: the word, or something else, somewhere in CLIP_S seconds."""
    rng = np.random.default_rng(seed)
    sound = speech.background(int(CLIP_S * speech.RATE_HZ), rng)
    others = [*speech.WORDS.values(), *speech.OTHERS, *OTHERS, ""]
    others.remove(speech.WORDS[WORD])
    vowels = speech.WORDS[WORD] if is_word else others[int(rng.integers(len(others)))]
    if vowels:
        word = speech.say(vowels, rng)
        # The word ends early enough for the network to have heard all of it.
        start = int(rng.integers(0, len(sound) - len(word) - (2000 if is_word else 0)))
        sound[start : start + len(word)] += word * 10 ** rng.uniform(-1.0, -0.1)
    return speech.as_samples(sound)


def data(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 (n, frames, 1, 40) and 1 where the word is said, a third of them."""
    wanted = np.arange(count) % 3 == 0
    rows = [features(clip(bool(w), seed * 1_000_003 + at)) for at, w in enumerate(wanted)]
    shortest = min(map(len, rows)) // STEP * STEP
    return np.stack([row[:shortest] for row in rows])[:, :, None], wanted.astype(np.float32)


def network() -> Any:
    """The network over a whole clip, untrained: a logit every 30 ms."""
    import keras
    from keras import layers

    x = inputs = keras.Input((None, 1, FEATURES))
    x = layers.Conv2D(HIDDEN, (STEP, 1), strides=(STEP, 1), use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for span in SPANS:
        x = layers.DepthwiseConv2D((span, 1), use_bias=False)(x)
        x = layers.Conv2D(HIDDEN, 1, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(inputs, layers.Conv2D(1, 1)(x))


def streaming(model: Any) -> Any:
    """The same network, three rows at a time; what its layers over time need it remembers."""
    import tensorflow as tf

    convolutions = [layer for layer in model.layers if "conv" in layer.name]
    norms = [layer for layer in model.layers if "normalization" in layer.name]
    first, over_time, points = convolutions[0], convolutions[1:-1:2], convolutions[2:-1:2]
    kernels = [np.array(layer.kernel) for layer in (first, *points)]
    biases = []
    for at, norm in enumerate(norms):  # folded: a normalisation is a scale and an offset
        gain = np.array(norm.gamma) / np.sqrt(np.array(norm.moving_variance) + norm.epsilon)
        kernels[at] = kernels[at] * gain
        biases.append(np.array(norm.beta) - np.array(norm.moving_mean) * gain)
    depth = [np.array(layer.kernel) for layer in over_time]
    last, offset = np.array(convolutions[-1].kernel)[0, 0], np.array(convolutions[-1].bias)

    class Streaming(tf.Module):
        """Its variables are what was heard before."""

        def __init__(self) -> None:
            super().__init__()
            self.past = [tf.Variable(tf.zeros((1, span - 1, 1, HIDDEN))) for span in SPANS]

        @tf.function(input_signature=[tf.TensorSpec((1, STEP, FEATURES), tf.float32)])
        def __call__(self, x: Any) -> Any:
            x = tf.reshape(x, (1, STEP, 1, FEATURES))
            x = tf.nn.relu(tf.nn.conv2d(x, kernels[0], (STEP, 1), "VALID") + biases[0])
            for past, taps, point, bias in zip(
                self.past, depth, kernels[1:], biases[1:], strict=True
            ):
                x = tf.concat([past, x], 1)
                past.assign(x[:, 1:])
                x = tf.nn.depthwise_conv2d(x, taps, (1, 1, 1, 1), "VALID")
                x = tf.nn.relu(tf.nn.conv2d(x, point, (1, 1), "VALID") + bias)
            return tf.sigmoid(tf.matmul(tf.reshape(x, (1, HIDDEN)), last) + offset)

    return Streaming()


def int8_tflite(module: Any, rows: np.ndarray) -> bytes:
    """The streaming network with its memory in int8; `rows` (n, STEP, 40) follow one another."""
    import tensorflow as tf

    def representative() -> Iterator[list[np.ndarray]]:
        for row in rows:
            yield [row[None]]

    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.experimental_enable_resource_variables = True
        converter._experimental_variable_quantization = True  # noqa: SLF001  # its only name
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.uint8
        content: bytes = converter.convert()
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=30)
    args = parser.parse_args()
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(SEED)
    (x, y), (x_test, y_test) = data(args.clips, 1), data(600, 2)
    model = network()
    loudest = keras.layers.GlobalMaxPooling2D()(model.output)
    whole = keras.Model(model.input, loudest)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    whole.compile(keras.optimizers.Adam(2e-3), loss)
    whole.fit(x, y[:, None], batch_size=64, epochs=args.epochs, verbose=2)
    found = whole.predict(x_test, verbose=0)[:, 0] > 0
    print(
        f"of {int(y_test.sum())} words {int((found & (y_test > 0)).sum())} heard, "
        f"{int((found & (y_test == 0)).sum())} of {int((y_test == 0).sum())} others taken for one"
    )
    module = streaming(model)
    rows = x[:60, :, 0].reshape(-1, STEP, FEATURES)
    step = [
        float(module(tf.constant(row[None]))[0, 0])
        for row in x_test[0, :, 0].reshape(-1, STEP, FEATURES)
    ]
    straight = tf.sigmoid(model(x_test[:1])).numpy().reshape(-1)
    print(
        f"streamed, it differs by {np.abs(np.array(step)[-len(straight) :] - straight).max():.1e}"
    )
    module = streaming(model)
    MODEL.write_bytes(int8_tflite(module, rows))


if __name__ == "__main__":
    main()
