# SPDX-License-Identifier: Apache-2.0
"""Random small int8 networks as .tflite: what single operators cannot show, their composition.

The source runtime fuses and rewrites operators of a chain; `random_model(seed)` draws chains with
residual sums, paddings before convolutions, requantizations, and a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from operator_cases import ACTIVATIONS, Case, Net, image_shape, scale_of

BODY = ("CONV_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "ADD", "PAD", "POOL", "QUANTIZE")
CLASSES = 7


@dataclass
class Chain:
    """A network in the making: the tensor the next operator reads, and the earlier ones."""

    net: Net
    value: int
    shape: tuple[int, ...]
    earlier: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)

    @property
    def scale(self) -> float:
        return scale_of(self.net, self.value)

    def pick(self, *choices: object) -> object:
        return choices[int(self.net.rng.integers(len(choices)))]

    def pair(self, low: int, high: int) -> tuple[int, int]:
        vertical, horizontal = self.net.rng.integers(low, high + 1, 2)
        return int(vertical), int(horizontal)

    def activation(self) -> str:
        return str(self.net.rng.choice(ACTIVATIONS, p=[0.35, 0.35, 0.25, 0.05]))

    def like(self, shape: Sequence[int]) -> int:
        """An output with the scale and zero point of the current value."""
        t = self.net.writer.tensors[self.value]
        return self.net.output(shape, scale=t.scale[0], zero_point=t.zero_point[0])

    def advance(self, output: int, shape: Sequence[int]) -> None:
        self.earlier.append((self.value, self.shape))
        self.value, self.shape = output, tuple(shape)


def window(chain: Chain) -> tuple[str, tuple[int, int], tuple[int, int]]:
    padding, kernel, stride = str(chain.pick("SAME", "VALID")), chain.pair(1, 3), chain.pair(1, 2)
    fits = all(k <= n for k, n in zip(kernel, chain.shape[1:3], strict=True))
    return padding if fits else "SAME", kernel, stride


def convolve(chain: Chain, operator: str) -> None:
    net = chain.net
    padding, kernel, stride = window(chain)
    channels = chain.shape[3]
    depthwise = operator == "DEPTHWISE_CONV_2D"
    multiplier = int(net.rng.integers(1, 3))
    outputs = channels * multiplier if depthwise else int(net.rng.integers(1, 9))
    weights = (1, *kernel, outputs) if depthwise else (outputs, *kernel, channels)
    axis = (3 if depthwise else 0) if net.rng.random() < 0.8 else None
    w, scales = net.weights(weights, axis)
    b = net.bias(outputs, chain.scale, scales, 2000)
    shape = image_shape(chain.shape, kernel, stride, (1, 1), padding, outputs)
    taps = int(np.prod(kernel)) * (1 if depthwise else channels)
    y = net.linear_out(shape, chain.scale, scales, taps, float(chain.pick(0.7, 1.0, 3.0)))
    options = {"DepthMultiplier": multiplier} if depthwise else {}
    net.writer.operator(
        operator, [chain.value, w, b], [y], Padding=padding, StrideH=stride[0], StrideW=stride[1],
        DilationHFactor=1, DilationWFactor=1, FusedActivationFunction=chain.activation(), **options,
    )  # fmt: skip
    chain.advance(y, shape)


def add(chain: Chain) -> None:
    net = chain.net
    partners = [i for i, shape in chain.earlier if shape == chain.shape] or [chain.value]
    other = partners[int(net.rng.integers(len(partners)))]
    largest = max(chain.scale, scale_of(net, other))
    y = net.output(chain.shape, scale=float(np.float32(largest * net.rng.uniform(0.8, 2))))
    net.writer.operator(
        "ADD", [chain.value, other], [y], FusedActivationFunction=chain.activation()
    )
    chain.advance(y, chain.shape)


def pad(chain: Chain) -> None:
    margins = [(0, 0), chain.pair(0, 2), chain.pair(0, 2), (0, 0)]
    shape = [n + sum(m) for n, m in zip(chain.shape, margins, strict=True)]
    y = chain.like(shape)
    paddings = chain.net.writer.constant("paddings", np.array(margins, np.int32))
    chain.net.writer.operator("PAD", [chain.value, paddings], [y])
    chain.advance(y, shape)


def pool(chain: Chain) -> None:
    padding, kernel, stride = window(chain)
    shape = image_shape(chain.shape, kernel, stride, (1, 1), padding, chain.shape[3])
    y = chain.like(shape)
    chain.net.writer.operator(
        str(chain.pick("AVERAGE_POOL_2D", "MAX_POOL_2D")), [chain.value], [y], Padding=padding,
        StrideH=stride[0], StrideW=stride[1], FilterHeight=kernel[0], FilterWidth=kernel[1],
        FusedActivationFunction=chain.activation(),
    )  # fmt: skip
    chain.advance(y, shape)


def requantize(chain: Chain) -> None:
    scale = float(np.float32(chain.scale * chain.net.rng.uniform(0.5, 2)))
    y = chain.net.output(chain.shape, scale=scale)
    chain.net.writer.operator("QUANTIZE", [chain.value], [y])
    chain.advance(y, chain.shape)


def flatten(chain: Chain) -> None:
    """To (1, n): by the mean of the image, or as it is."""
    w = chain.net.writer
    if chain.net.rng.random() < 0.5:
        shape = (1, chain.shape[3])
        y = chain.net.output(shape, scale=float(np.float32(chain.scale * 0.6)))
        axes = w.constant("axes", np.array([1, 2], np.int32))
        w.operator("MEAN", [chain.value, axes], [y])
    else:
        shape = (1, int(np.prod(chain.shape)))
        y = chain.like(shape)
        wanted = w.constant("shape", np.array([1, -1], np.int32))
        w.operator("RESHAPE", [chain.value, wanted], [y], NewShape=[1, -1])
    chain.advance(y, shape)


def classify(chain: Chain) -> None:
    net = chain.net
    inputs = chain.shape[1]
    w, scales = net.weights((CLASSES, inputs), 0 if net.rng.random() < 0.7 else None)
    b = net.bias(CLASSES, chain.scale, scales, 2000)
    y = net.linear_out((1, CLASSES), chain.scale, scales, inputs, 1.0)
    net.writer.operator(
        "FULLY_CONNECTED", [chain.value, w, b], [y], FusedActivationFunction=chain.activation()
    )
    chain.advance(y, (1, CLASSES))
    if net.rng.random() < 0.6:
        y = net.output(chain.shape, scale=1 / 256, zero_point=-128)
        net.writer.operator("SOFTMAX", [chain.value], [y], Beta=1.0)
        chain.advance(y, chain.shape)


def random_model(seed: int) -> Case:
    """A network of 3 to 8 operators on an image of 4 to 9 by 4 to 9, and a head of classes."""
    net = Net(f"NETWORK:random-{seed}")
    height, width = (int(n) for n in net.rng.integers(4, 10, 2))
    shape = (1, height, width, int(net.rng.integers(1, 6)))
    chain = Chain(net, net.input(shape, scale=float(np.float32(0.06))), shape)
    for _ in range(int(net.rng.integers(3, 9))):
        operator = BODY[int(net.rng.integers(len(BODY)))]
        if operator.endswith("CONV_2D"):
            convolve(chain, operator)
        else:
            {"ADD": add, "PAD": pad, "POOL": pool, "QUANTIZE": requantize}[operator](chain)
    flatten(chain)
    classify(chain)
    return net.case(chain.value)
