# SPDX-License-Identifier: Apache-2.0
"""The networks of `train_fixtures.py`, one function each, untrained."""

from __future__ import annotations

import keras
from keras import layers

WINDOW = 16  # readings in a window; `examples.pump.dataset` cuts them


def _conv(x: object, filters: int, size: int, **kwargs: object) -> object:
    """Convolution and batch normalisation, which the converter folds into one operator."""
    x = layers.Conv2D(filters, size, use_bias=False, **kwargs)(x)
    return layers.BatchNormalization()(x)


def _separable(x: object, filters: int, *, strides: int = 1) -> object:
    x = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    return layers.ReLU(6.0)(_conv(x, filters, 1))


def pump_mlp() -> keras.Model:
    """The demo's network: 64 sensors, two hidden layers, one probability a class."""
    x = inputs = keras.Input((64,))
    x = layers.Dropout(0.1)(layers.Dense(96, activation="relu")(x))
    x = layers.Dense(48, activation="relu")(x)
    return keras.Model(inputs, layers.Softmax()(layers.Dense(8)(x)))


def pump_window_dscnn() -> keras.Model:
    """Depthwise separable over time (VALID), so that windows can be streamed."""
    x = inputs = keras.Input((WINDOW, 1, 64))
    x = layers.ReLU(6.0)(_conv(x, 32, 1))
    for strides in (1, 2):
        x = layers.DepthwiseConv2D((3, 1), strides=(strides, strides), use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
        x = layers.ReLU(6.0)(_conv(x, 32, 1))
    x = layers.Flatten()(layers.AveragePooling2D((6, 1))(x))
    return keras.Model(inputs, layers.Softmax()(layers.Dense(8)(x)))


def digits_mlp() -> keras.Model:
    """Fully connected only; logits out."""
    inputs = keras.Input((8, 8, 1))
    x = layers.Dense(48, activation="relu")(layers.Flatten()(inputs))
    x = layers.Dense(24, activation="relu", use_bias=False)(x)
    return keras.Model(inputs, layers.Dense(10)(x))


def digits_cnn() -> keras.Model:
    """SAME, VALID with stride 2, max pooling, Flatten, softmax."""
    x = inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(12, 3, padding="same", activation="relu")(x)
    x = layers.Conv2D(16, 3, strides=2, padding="valid", activation="relu")(x)
    x = layers.MaxPooling2D(2, strides=1)(x)
    x = layers.Dense(32, activation="relu")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Softmax()(layers.Dense(10)(x)))


def digits_dscnn() -> keras.Model:
    """Depthwise separable with RELU6, strides 2 SAME, average pooling."""
    x = inputs = keras.Input((8, 8, 1))
    x = layers.ReLU(6.0)(_conv(x, 16, 3, padding="same"))
    x = _separable(_separable(x, 24), 24, strides=2)
    x = _separable(x, 32)
    x = layers.Flatten()(layers.AveragePooling2D(4)(x))
    return keras.Model(inputs, layers.Softmax()(layers.Dense(10)(x)))


def digits_resnet() -> keras.Model:
    """Residual: ADD with and without projection, PAD before a VALID stride, MAXPOOL, MEAN."""
    x = inputs = keras.Input((8, 8, 1))
    x = layers.ReLU()(_conv(x, 12, 3, padding="same"))
    y = layers.ReLU()(_conv(x, 12, 3, padding="same"))
    x = layers.ReLU()(layers.Add()([x, _conv(y, 12, 3, padding="same")]))
    y = layers.ReLU()(_conv(layers.ZeroPadding2D(((1, 1), (1, 1)))(x), 20, 3, strides=2))
    y = _conv(y, 20, 3, padding="same")
    x = layers.ReLU()(layers.Add()([_conv(layers.MaxPooling2D(2)(x), 20, 1), y]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Softmax()(layers.Dense(10)(x)))


def keyword_dscnn() -> keras.Model:
    """Spectrograms of 16 frames and 12 bands to 6 words; every layer has a rate-coded form."""
    x = inputs = keras.Input((16, 12, 1))
    x = layers.ReLU()(_conv(x, 12, 3, strides=2, padding="same"))
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.ReLU()(_conv(x, 16, 1))
    x = layers.Flatten()(layers.AveragePooling2D((1, 3))(x))
    return keras.Model(inputs, layers.Softmax()(layers.Dense(6)(x)))


def vibration_mlp() -> keras.Model:
    """48 amplitudes of a machine's vibration to 5 states."""
    inputs = keras.Input((48,))
    x = layers.Dense(32, activation="relu")(inputs)
    x = layers.Dense(16, activation="relu")(x)
    return keras.Model(inputs, layers.Softmax()(layers.Dense(5)(x)))
