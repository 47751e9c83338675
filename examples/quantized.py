# SPDX-License-Identifier: Apache-2.0
"""From a Keras model to an int8 `.tflite`, as the examples' training scripts need it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def int8_tflite(model: Any, rows: np.ndarray) -> bytes:
    """The model quantized to int8, inputs and outputs too, over the range of `rows`.

    `model`: a Keras model whose batch of one is exported; `rows` float32 (n, *shape[1:]).
    Needs tensorflow.
    """
    import keras
    import tensorflow as tf

    inputs = keras.Input(batch_shape=(1, *model.inputs[0].shape[1:]))
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, model(inputs)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]

    def representative() -> Iterator[list[np.ndarray]]:
        for row in rows:
            yield [row[None].astype(np.float32)]

    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    model_bytes: bytes = converter.convert()
    return model_bytes
