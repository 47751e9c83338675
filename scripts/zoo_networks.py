# SPDX-License-Identifier: Apache-2.0
"""Small networks of the architectures people deploy, with random weights (development only).

`NETWORKS` is a name and a function that builds a `keras.Model` each. Sizes are small: what matters
is which operators an export makes of them and how those follow each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import layers as kl

Values = Any
"""A symbolic Keras tensor."""


def convolution(
    x: Values, filters: int, size: int = 3, stride: int = 1, activation: str | None = "relu6"
) -> Values:
    """Convolution, batch normalization, activation."""
    x = kl.Conv2D(filters, size, strides=stride, padding="same", use_bias=False)(x)
    x = kl.BatchNormalization()(x)
    return kl.Activation(activation)(x) if activation else x


def depthwise(
    x: Values, size: int = 3, stride: int = 1, activation: str | None = "relu6"
) -> Values:
    x = kl.DepthwiseConv2D(size, strides=stride, padding="same", use_bias=False)(x)
    x = kl.BatchNormalization()(x)
    return kl.Activation(activation)(x) if activation else x


def classified(inputs: Values, x: Values, classes: int = 10) -> keras.Model:
    """The usual head: global average, dense, softmax."""
    x = kl.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, kl.Dense(classes, activation="softmax")(x))


def inverted(
    x: Values, filters: int, stride: int = 1, act: str = "relu6", squeeze: bool = False
) -> Values:
    """MobileNetV2's block, with squeeze and excitation where asked."""
    y = convolution(x, 3 * x.shape[-1], 1, activation=act)
    y = depthwise(y, stride=stride, activation=act)
    if squeeze:
        y = squeezed(y)
    y = convolution(y, filters, 1, activation=None)
    return kl.Add()([x, y]) if y.shape == x.shape else y


def squeezed(x: Values, gate: str = "sigmoid") -> Values:
    """Squeeze and excitation."""
    s = kl.GlobalAveragePooling2D(keepdims=True)(x)
    s = kl.Conv2D(max(4, x.shape[-1] // 4), 1, activation="relu")(s)
    return kl.Multiply()([x, kl.Conv2D(x.shape[-1], 1, activation=gate)(s)])


def mobilenet_v1() -> keras.Model:
    i = keras.Input((48, 48, 3))
    x = convolution(i, 8, stride=2)
    for filters, stride in ((16, 1), (24, 2), (24, 1), (32, 2)):
        x = convolution(depthwise(x, stride=stride), filters, 1)
    return classified(i, x)


def mobilenet_v2() -> keras.Model:
    i = keras.Input((48, 48, 3))
    x = convolution(i, 8, stride=2)
    for filters, stride in ((8, 1), (16, 2), (16, 1), (24, 2), (24, 1)):
        x = inverted(x, filters, stride)
    return classified(i, convolution(x, 48, 1))


def mobilenet_v3_small() -> keras.Model:
    i = keras.Input((64, 64, 3))
    full = keras.applications.MobileNetV3Small(
        input_tensor=i, alpha=0.35, minimalistic=False, weights=None, include_top=False,
        include_preprocessing=False,
    )  # fmt: skip
    return classified(i, full.output)


def mobilenet_v3_preprocessed() -> keras.Model:
    """As Keras ships it, its own rescaling at the front."""
    return keras.applications.MobileNetV3Small(
        input_shape=(64, 64, 3), alpha=0.35, weights=None, classes=10, minimalistic=True
    )


def mobilenet_v3_block() -> keras.Model:
    i = keras.Input((32, 32, 3))
    x = convolution(i, 8, stride=2, activation="hard_swish")
    x = inverted(x, 8, act="hard_swish", squeeze=True)
    x = inverted(x, 16, 2, act="relu", squeeze=True)
    return classified(i, x)


def efficientnet_lite() -> keras.Model:
    i = keras.Input((48, 48, 3))
    x = convolution(i, 8, stride=2)
    for filters, stride, size in ((8, 1, 3), (16, 2, 5), (16, 1, 5), (24, 2, 3)):
        y = convolution(x, 4 * x.shape[-1], 1)
        y = depthwise(y, size, stride)
        y = convolution(y, filters, 1, activation=None)
        x = kl.Add()([x, y]) if y.shape == x.shape else y
    return classified(i, x)


def efficientnet_swish() -> keras.Model:
    i = keras.Input((32, 32, 3))
    x = convolution(i, 8, stride=2, activation="swish")
    x = inverted(x, 8, act="swish", squeeze=True)
    return classified(i, inverted(x, 16, 2, act="swish", squeeze=True))


def ssd_heads() -> keras.Model:
    """Boxes and classes of two scales, flattened and joined; without the suppression after it."""
    i = keras.Input((64, 64, 3))
    x = convolution(convolution(i, 8, stride=2), 16, stride=2)
    boxes, classes = [], []
    for filters in (16, 24):
        x = convolution(depthwise(x, stride=2), filters, 1)
        boxes.append(kl.Reshape((-1, 4))(kl.Conv2D(12, 3, padding="same")(x)))
        classes.append(kl.Reshape((-1, 5))(kl.Conv2D(15, 3, padding="same")(x)))
    c = kl.Activation("sigmoid")(kl.Concatenate(1)(classes))
    return keras.Model(i, [kl.Concatenate(1)(boxes), c])


def yolo_head() -> keras.Model:
    """Centres by sigmoid, sizes by exp, scores: sliced and joined again."""
    i = keras.Input((32, 32, 3))
    x = convolution(i, 8, stride=2, activation=None)
    x = kl.LeakyReLU(negative_slope=0.1)(x)
    x = kl.MaxPooling2D()(x)
    x = kl.Reshape((8, 8, 3, 7))(kl.Conv2D(21, 1)(x))
    centre = kl.Activation("sigmoid")(x[..., :2])
    size = tf_layer(tf.exp)(x[..., 2:4])
    return keras.Model(i, [centre, size, kl.Activation("sigmoid")(x[..., 4:])])


class tf_layer(kl.Layer):  # noqa: N801 - reads as a function
    """A function of TensorFlow as a layer."""

    def __init__(self, function: Callable[..., Any], *constants: Any, **named: Any) -> None:
        super().__init__()
        self.function, self.constants, self.named = function, constants, named

    def call(self, x: Values) -> Values:
        return self.function(x, *self.constants, **self.named)


def u_net() -> keras.Model:
    i = keras.Input((32, 32, 1))
    a = convolution(i, 8)
    b = convolution(kl.MaxPooling2D()(a), 16)
    c = convolution(kl.MaxPooling2D()(b), 24)
    x = kl.Conv2DTranspose(16, 2, strides=2, padding="same")(c)
    x = convolution(kl.Concatenate()([x, b]), 16)
    x = kl.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(x)
    x = convolution(kl.Concatenate()([x, a]), 8)
    return keras.Model(i, kl.Conv2D(1, 1, activation="sigmoid")(x))


def u_net_resize() -> keras.Model:
    i = keras.Input((32, 32, 3))
    a = convolution(i, 8)
    b = convolution(a, 12, stride=2)
    c = convolution(b, 16, stride=2)
    x = kl.Concatenate()([kl.UpSampling2D(interpolation="bilinear")(c), b])
    x = kl.Concatenate()([kl.UpSampling2D()(convolution(x, 12)), a])
    return keras.Model(i, kl.Conv2D(4, 1)(x))


def segmentation_argmax() -> keras.Model:
    """DeepLab's way: classes are the index of the largest logit, at full size."""
    i = keras.Input((32, 32, 3))
    x = convolution(convolution(i, 8, stride=2), 16, stride=2)
    x = kl.Conv2D(16, 3, padding="same", dilation_rate=2, activation="relu")(x)
    x = kl.Conv2D(5, 1)(x)
    x = kl.UpSampling2D(4, interpolation="bilinear")(x)
    return keras.Model(i, tf_layer(tf.argmax, -1)(x))


def classifier_argmax() -> keras.Model:
    i = keras.Input((16, 16, 1))
    x = kl.Flatten()(convolution(i, 8, stride=2))
    x = kl.Dense(20)(x)
    return keras.Model(i, tf_layer(tf.argmax, -1, output_type=tf.int32)(x))


def tcn() -> keras.Model:
    i = keras.Input((64, 6))
    x = i
    for d in (1, 2, 4, 8):
        y = kl.Conv1D(12, 3, padding="causal", dilation_rate=d, activation="relu")(x)
        x = kl.Add()([kl.Conv1D(12, 1)(x), y])
    return keras.Model(i, kl.Dense(4, activation="softmax")(kl.Flatten()(x)))


def wavenet() -> keras.Model:
    """Gated dilated convolutions, skips summed."""
    i = keras.Input((48, 4))
    x, skips = kl.Conv1D(8, 1)(i), []
    for d in (1, 2, 4):
        gate = kl.Conv1D(8, 2, padding="causal", dilation_rate=d, activation="sigmoid")(x)
        y = kl.Conv1D(8, 2, padding="causal", dilation_rate=d, activation="tanh")(x)
        y = kl.Multiply()([y, gate])
        skips.append(kl.Conv1D(8, 1)(y))
        x = kl.Add()([x, kl.Conv1D(8, 1)(y)])
    return keras.Model(i, kl.Conv1D(3, 1)(kl.ReLU()(kl.Add()(skips))))


def inception() -> keras.Model:
    i = keras.Input((24, 24, 3))
    x = convolution(i, 8, activation="relu")
    for _ in range(2):
        pooled = kl.MaxPooling2D(3, strides=1, padding="same")(x)
        parts = [convolution(x, 4, 1), convolution(convolution(x, 4, 1), 6),
                 convolution(convolution(x, 4, 1), 6, 5), convolution(pooled, 4, 1)]  # fmt: skip
        x = kl.Concatenate()(parts)
    return classified(i, x)


def densenet() -> keras.Model:
    i = keras.Input((24, 24, 3))
    x = convolution(i, 8, activation="relu")
    for _ in range(3):
        x = kl.Concatenate()([x, convolution(x, 4, activation="relu")])
    x = kl.AveragePooling2D(2)(convolution(x, 8, 1))
    return classified(i, x)


def depth_multiplier() -> keras.Model:
    i = keras.Input((49, 10, 1))
    x = kl.DepthwiseConv2D(
        (10, 8), strides=2, padding="same", depth_multiplier=8, activation="relu"
    )(i)
    return keras.Model(i, kl.Dense(4, activation="softmax")(kl.Flatten()(x)))


def shufflenet() -> keras.Model:
    i = keras.Input((24, 24, 3))
    x = convolution(i, 12, stride=2)
    for _ in range(2):
        y = kl.Conv2D(12, 1, groups=3, use_bias=False)(x)
        h, w, c = y.shape[1:]
        y = kl.Reshape((h, w, 3, c // 3))(kl.ReLU()(kl.BatchNormalization()(y)))
        y = kl.Reshape((h, w, c))(kl.Permute((1, 2, 4, 3))(y))
        x = kl.Add()([x, kl.Conv2D(12, 1, groups=3)(depthwise(y, activation=None))])
    return classified(i, x)


def split_channels() -> keras.Model:
    """ShuffleNetV2: half of the channels pass."""
    i = keras.Input((16, 16, 4))
    x = convolution(i, 16)
    for _ in range(2):
        a, b = tf_layer(tf.split, 2, axis=-1)(x)
        b = convolution(depthwise(convolution(b, 8, 1)), 8, 1)
        x = kl.Reshape((16, 16, 8, 2))(kl.Concatenate()([a, b]))
        x = kl.Reshape((16, 16, 16))(kl.Permute((1, 2, 4, 3))(x))
    return classified(i, x)


def attention() -> keras.Model:
    i = keras.Input((12, 8))
    q, k, v = (kl.Dense(8)(i) for _ in range(3))
    scores = tf_layer(lambda p: tf.nn.softmax(tf.matmul(p[0], p[1], transpose_b=True) / 2.83))(
        [q, k]
    )
    y = tf_layer(lambda p: tf.matmul(p[0], p[1]))([scores, v])
    return keras.Model(i, kl.Dense(4)(kl.Flatten()(y)))


def transformer_encoder() -> keras.Model:
    i = keras.Input((16, 12))
    x = kl.Dense(16)(i)
    for _ in range(2):
        y = kl.MultiHeadAttention(2, 8)(x, x)
        x = kl.LayerNormalization()(kl.Add()([x, y]))
        y = kl.Dense(16)(kl.Dense(32, activation="relu")(x))
        x = kl.LayerNormalization()(kl.Add()([x, y]))
    return keras.Model(i, kl.Dense(5, activation="softmax")(kl.GlobalAveragePooling1D()(x)))


def vision_transformer() -> keras.Model:
    i = keras.Input((16, 16, 3))
    x = kl.Reshape((16, 16))(kl.Conv2D(16, 4, strides=4)(i))
    y = kl.LayerNormalization(epsilon=1e-3)(x)
    x = kl.Add()([x, kl.MultiHeadAttention(2, 8)(y, y)])
    y = kl.LayerNormalization(epsilon=1e-3)(x)
    y = kl.Dense(32, activation="gelu")(y)
    x = kl.Add()([x, kl.Dense(16)(y)])
    return keras.Model(i, kl.Dense(5)(kl.GlobalAveragePooling1D()(x)))


def autoencoder() -> keras.Model:
    i = keras.Input((64,))
    x = i
    for units in (32, 8, 32):
        x = kl.ReLU()(kl.BatchNormalization()(kl.Dense(units)(x)))
    return keras.Model(i, kl.Dense(64)(x))


def autoencoder_conv() -> keras.Model:
    i = keras.Input((32, 32, 1))
    x = convolution(convolution(i, 8, stride=2), 4, stride=2)
    x = kl.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(x)
    return keras.Model(i, kl.Conv2DTranspose(1, 3, strides=2, padding="same")(x))


def autoencoder_1d() -> keras.Model:
    i = keras.Input((64, 2))
    x = kl.Conv1D(8, 5, strides=2, padding="same", activation="relu")(i)
    x = kl.Conv1D(4, 5, strides=2, padding="same", activation="relu")(x)
    x = kl.Conv1D(8, 5, padding="same", activation="relu")(kl.UpSampling1D(2)(x))
    return keras.Model(i, kl.Conv1D(2, 5, padding="same")(kl.UpSampling1D(2)(x)))


def conv_1d() -> keras.Model:
    i = keras.Input((100, 3))
    x = kl.Conv1D(8, 5, activation="relu")(i)
    x = kl.MaxPooling1D()(x)
    x = kl.SeparableConv1D(12, 3, activation="relu")(x)
    return keras.Model(i, kl.Dense(5, activation="softmax")(kl.GlobalMaxPooling1D()(x)))


def gru() -> keras.Model:
    i = keras.Input((12, 6))
    return keras.Model(i, kl.Dense(3)(kl.GRU(8, unroll=True)(i)))


def gru_plain() -> keras.Model:
    """reset_after=False: the gate before the product."""
    i = keras.Input((8, 6))
    return keras.Model(i, kl.Dense(3)(kl.GRU(8, unroll=True, reset_after=False)(i)))


def lstm() -> keras.Model:
    i = keras.Input((12, 6))
    return keras.Model(i, kl.Dense(3, activation="softmax")(kl.LSTM(8, unroll=True)(i)))


def bidirectional() -> keras.Model:
    i = keras.Input((10, 6))
    x = kl.Bidirectional(kl.GRU(6, unroll=True, return_sequences=True))(i)
    return keras.Model(i, kl.Dense(3)(kl.Flatten()(x)))


def simple_rnn() -> keras.Model:
    i = keras.Input((10, 6))
    return keras.Model(i, kl.Dense(3)(kl.SimpleRNN(8, unroll=True)(i)))


def several_inputs() -> keras.Model:
    a, b, c = keras.Input((16, 16, 1)), keras.Input((8,)), keras.Input((4,))
    x = kl.Flatten()(convolution(a, 4, stride=2))
    x = kl.Concatenate()([kl.Dense(8, activation="relu")(x), kl.Dense(8)(b), c])
    x = kl.Dense(12, activation="relu")(x)
    return keras.Model([a, b, c], [kl.Dense(3, activation="softmax")(x), kl.Dense(1)(x)])


def siamese() -> keras.Model:
    """One network on two inputs, and their cosine."""
    a, b = keras.Input((16, 16, 1)), keras.Input((16, 16, 1))
    body = keras.Sequential(
        [kl.Conv2D(8, 3, strides=2, activation="relu"), kl.Flatten(), kl.Dense(8)]
    )
    return keras.Model([a, b], kl.Dot(-1, normalize=True)([body(a), body(b)]))


def embedding_normalized() -> keras.Model:
    i = keras.Input((24, 24, 3))
    x = kl.GlobalAveragePooling2D()(convolution(i, 16, stride=2))
    return keras.Model(i, tf_layer(tf.math.l2_normalize, -1)(kl.Dense(16)(x)))


def crnn() -> keras.Model:
    i = keras.Input((32, 16, 1))
    x = convolution(i, 8, stride=2)
    x = kl.Reshape((16, 64))(x)
    x = kl.GRU(8, unroll=True, return_sequences=True)(x)
    return keras.Model(i, kl.Dense(6, activation="softmax")(x))


def ds_cnn() -> keras.Model:
    i = keras.Input((49, 10, 1))
    x = kl.Conv2D(16, (10, 4), strides=2, padding="same", use_bias=False)(i)
    x = kl.ReLU()(kl.BatchNormalization()(x))
    for _ in range(3):
        x = convolution(depthwise(x, activation="relu"), 16, 1, activation="relu")
    x = kl.AveragePooling2D(x.shape[1:3])(kl.Dropout(0.3)(x))
    return keras.Model(i, kl.Dense(12, activation="softmax")(kl.Flatten()(x)))


def bc_resnet() -> keras.Model:
    """Broadcasted residuals: a mean over frequency, 1-D work, added to all frequencies."""
    i = keras.Input((20, 40, 1))
    x = convolution(i, 8, 5, stride=2, activation="relu")
    for _ in range(2):
        f = depthwise(x, (3, 1), activation=None)
        t = tf_layer(tf.reduce_mean, 1, keepdims=True)(f)
        t = kl.Activation("swish")(
            kl.BatchNormalization()(kl.DepthwiseConv2D((1, 3), padding="same")(t))
        )
        x = kl.ReLU()(kl.Add()([x, f, kl.Conv2D(8, 1)(t)]))
    return classified(i, x)


def matchboxnet() -> keras.Model:
    i = keras.Input((64, 16))
    x = kl.ReLU()(kl.BatchNormalization()(kl.SeparableConv1D(16, 11, strides=2, padding="same")(i)))
    for _ in range(2):
        y = kl.BatchNormalization()(kl.SeparableConv1D(16, 13, padding="same")(x))
        x = kl.ReLU()(kl.Add()([kl.BatchNormalization()(kl.Conv1D(16, 1)(x)), y]))
    x = kl.Conv1D(16, 15, dilation_rate=2, padding="same", activation="relu")(x)
    return keras.Model(i, kl.Softmax()(kl.GlobalAveragePooling1D()(kl.Conv1D(6, 1)(x))))


def res_next() -> keras.Model:
    i = keras.Input((16, 16, 8))
    x = convolution(i, 16)
    y = kl.Conv2D(16, 3, padding="same", groups=4, activation="relu")(x)
    return classified(i, kl.Add()([x, y]))


def normalized_inside() -> keras.Model:
    """Rescaling and a normalization by channel at the front of the network."""
    i = keras.Input((24, 24, 3))
    x = kl.Rescaling(1 / 127.5, -1)(i)
    x = kl.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.5, 1.0, 2.0])(x)
    return classified(i, convolution(x, 8, stride=2))


def prelu() -> keras.Model:
    """MTCNN and face landmarks: slopes by channel."""
    i = keras.Input((24, 24, 3))
    slopes = keras.initializers.RandomUniform(0.05, 0.4)
    x = kl.PReLU(shared_axes=[1, 2], alpha_initializer=slopes)(kl.Conv2D(8, 3)(i))
    x = kl.PReLU(shared_axes=[1, 2], alpha_initializer=slopes)(
        kl.Conv2D(8, 3)(kl.MaxPooling2D()(x))
    )
    return keras.Model(i, kl.Dense(4)(kl.Flatten()(x)))


def blaze() -> keras.Model:
    """BlazeFace: residuals whose channels are padded."""
    i = keras.Input((32, 32, 3))
    x = kl.ReLU()(kl.Conv2D(8, 5, strides=2, padding="same")(i))
    for filters, stride in ((8, 1), (12, 2), (16, 1)):
        y = kl.Conv2D(filters, 1)(kl.DepthwiseConv2D(5, strides=stride, padding="same")(x))
        s = kl.MaxPooling2D()(x) if stride == 2 else x
        s = tf_layer(tf.pad, [[0, 0], [0, 0], [0, 0], [0, filters - s.shape[-1]]])(s)
        x = kl.ReLU()(kl.Add()([y, s]))
    return keras.Model(i, kl.Reshape((-1, 6))(kl.Conv2D(12, 3, padding="same")(x)))


def super_resolution() -> keras.Model:
    i = keras.Input((16, 16, 1))
    x = kl.Conv2D(8, 5, padding="same", activation="tanh")(i)
    x = kl.Conv2D(9, 3, padding="same")(x)
    return keras.Model(i, tf_layer(tf.nn.depth_to_space, 3)(x))


def conv_3d() -> keras.Model:
    i = keras.Input((8, 12, 12, 1))
    x = kl.Conv3D(4, 3, activation="relu")(i)
    return keras.Model(i, kl.Dense(3)(kl.Flatten()(x)))


def statistics_pooling() -> keras.Model:
    """x-vector: mean and spread over time."""
    i = keras.Input((32, 12))
    x = kl.Conv1D(12, 5, activation="relu")(i)
    mean = tf_layer(tf.reduce_mean, 1)(x)
    spread = tf_layer(tf.math.reduce_std, 1)(x)
    return keras.Model(i, kl.Dense(6)(kl.Concatenate()([mean, spread])))


def attention_pooling() -> keras.Model:
    i = keras.Input((24, 8))
    x = kl.Conv1D(12, 3, activation="relu")(i)
    w = kl.Softmax(axis=1)(kl.Dense(1)(x))
    x = tf_layer(tf.reduce_sum, 1)(kl.Multiply()([x, w]))
    return keras.Model(i, kl.Dense(4)(x))


def tiny_regression() -> keras.Model:
    i = keras.Input((4,))
    x = kl.Dense(16, activation="elu")(i)
    return keras.Model(i, kl.Dense(1)(kl.Dense(16, activation="softplus")(x)))


def odd_activations() -> keras.Model:
    i = keras.Input((16,))
    x = i
    for name in ("selu", "gelu", "softsign", "hard_sigmoid", "swish", "mish"):
        x = kl.Dense(16, activation=name)(x)
    return keras.Model(i, kl.Dense(2)(x))


def text() -> keras.Model:
    """Words as numbers: an embedding, a convolution, a mean."""
    i = keras.Input((16,), dtype="int32")
    x = kl.Conv1D(8, 3, activation="relu")(kl.Embedding(100, 8)(i))
    return keras.Model(i, kl.Dense(2, activation="softmax")(kl.GlobalAveragePooling1D()(x)))


NETWORKS: dict[str, Callable[[], keras.Model]] = {
    function.__name__: function
    for function in (
        mobilenet_v1, mobilenet_v2, mobilenet_v3_small, mobilenet_v3_preprocessed,
        mobilenet_v3_block, efficientnet_lite, efficientnet_swish, ssd_heads, yolo_head, u_net,
        u_net_resize, segmentation_argmax, classifier_argmax, tcn, wavenet, inception, densenet,
        depth_multiplier, shufflenet, split_channels, attention, transformer_encoder,
        vision_transformer, autoencoder, autoencoder_conv, autoencoder_1d, conv_1d, gru, gru_plain,
        lstm, bidirectional, simple_rnn, several_inputs, siamese, embedding_normalized, crnn,
        ds_cnn, bc_resnet, matchboxnet, res_next, normalized_inside, prelu, blaze,
        super_resolution, conv_3d, statistics_pooling, attention_pooling, tiny_regression,
        odd_activations, text,
    )
}  # fmt: skip
