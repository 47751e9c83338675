# SPDX-License-Identifier: Apache-2.0
"""What the enumerated cases are made with: `Net` writes a small int8 model and draws its inputs.

Weights, codes and scales come from a generator seeded with the case's name.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tflite_writer import ModelWriter

SAMPLES = 6
ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")


@dataclass(frozen=True)
class Case:
    """A model and the inputs to try it on, each (SAMPLES, *shape)."""

    name: str
    model: bytes
    inputs: list[np.ndarray]

    @property
    def operator(self) -> str:
        """TFLite's name of the operator it is about."""
        return self.name.split(":", maxsplit=1)[0]


class Net:
    """A model in the making; `x` are its inputs, each operator method returns its output's
    index.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.writer = ModelWriter()
        self.others: list[ModelWriter] = []
        self.inputs: list[int] = []
        self.samples: list[np.ndarray] = []

    def scale(self, low: float = 0.01, high: float = 0.3) -> float:
        return float(np.float32(self.rng.uniform(low, high)))

    def zero(self, dtype: str = "int8") -> int:
        """A zero point, the ends of the range among them."""
        middle = 128 if dtype == "uint8" else 0
        ends = [-128, 127, 0] if self.rng.random() < 0.2 else self.rng.integers(-60, 61, 3)
        return int(self.rng.choice(ends)) + middle

    def input(
        self,
        shape: Sequence[int],
        *,
        dtype: str = "int8",
        scale: float | None = None,
        zero_point: int | None = None,
        signature: Sequence[int] | None = None,
    ) -> int:
        if dtype == "float32":
            index = self.writer.tensor(
                f"x{len(self.inputs)}", shape, dtype=dtype, signature=signature
            )
            x = self.rng.normal(0, 8, (SAMPLES, *shape)).astype(np.float32)
        else:
            index = self.writer.tensor(
                f"x{len(self.inputs)}",
                shape,
                dtype=dtype,
                scale=self.scale() if scale is None else scale,
                zero_point=self.zero(dtype) if zero_point is None else zero_point,
                signature=signature,
            )
            x = self.codes((SAMPLES, *shape), dtype)
        self.inputs.append(index)
        self.samples.append(x)
        return index

    def codes(self, shape: Sequence[int], dtype: str = "int8") -> np.ndarray:
        """Codes over the whole range, the last rows at its ends."""
        limits = np.iinfo(dtype)
        x = self.rng.integers(limits.min, limits.max + 1, shape)
        if len(x) > 2:
            x[-1], x[-2] = limits.min, limits.max
        return x.astype(dtype)

    def output(self, shape: Sequence[int], **quantization: Any) -> int:
        quantization = {"scale": self.scale(), "zero_point": self.zero()} | quantization
        return self.writer.tensor(f"y{len(self.writer.tensors)}", shape, **quantization)

    def like(self, source: int, shape: Sequence[int]) -> int:
        """An output with the type, scale and zero point of another tensor."""
        t = self.writer.tensors[source]
        return self.output(shape, dtype=t.dtype, scale=t.scale[0], zero_point=t.zero_point[0])

    def integers(self, name: str, values: Any) -> int:
        """A constant of int32."""
        return self.writer.constant(name, np.array(values, np.int32))

    def weights(
        self, shape: Sequence[int], axis: int | None, *, zero_channel: bool = False
    ) -> tuple[int, np.ndarray]:
        """int8 weights, per channel along `axis` or per tensor; their index and scales.

        Scaled so that sums over the latest tensor's codes are reals of about 8, which activations
        cut.
        """
        channels = 1 if axis is None else shape[axis]
        depthwise = len(shape) == 4 and shape[0] == 1
        taps = int(np.prod(shape[1:3] if depthwise else shape[1:]))
        scale_in = next(t.scale[0] for t in reversed(self.writer.tensors) if t.scale)
        middle = 8 / (scale_in * 74 * 74 * taps**0.5)
        scale = (middle * self.rng.uniform(0.4, 1.6, channels)).astype(np.float32)
        if zero_channel:
            scale[0] = 0
        data = self.rng.integers(-127, 128, shape).astype(np.int8)
        index = self.writer.constant(
            "w", data, scale=scale, zero_point=[0] * channels, axis=axis or 0
        )
        return index, scale

    def legacy_weights(self, shape: Sequence[int], zero_point: int) -> tuple[int, np.ndarray]:
        """uint8 weights of one scale and a zero point; their index and scale."""
        index, scale = self.weights(shape, None)
        t = self.writer.tensors[index]
        data = self.rng.integers(0, 256, shape).astype(np.uint8)
        t.dtype, t.data, t.zero_point = "uint8", data.tobytes(), (zero_point,)
        return index, scale

    def narrow_weights(self, shape: Sequence[int], axis: int | None) -> tuple[int, np.ndarray]:
        """int4 weights, two a byte; their index and scales, 18 times those of int8."""
        index, _ = self.weights(shape, axis)
        t = self.writer.tensors[index]
        t.scale = tuple(float(np.float32(18 * s)) for s in t.scale)
        data = self.rng.integers(-7, 8, shape).reshape(-1) & 15
        data = np.append(data, [0] * (data.size % 2)).astype(np.uint8)
        t.dtype, t.data = "int4", (data[0::2] | data[1::2] << 4).tobytes()
        return index, np.array(t.scale, np.float32)

    def bias(self, channels: int, scale_in: float, scales: np.ndarray, spread: int) -> int:
        data = self.rng.integers(-spread, spread + 1, channels).astype(np.int32)
        scale = (np.float32(scale_in) * scales).astype(np.float32)
        return self.writer.constant("b", data, scale=scale, zero_point=[0] * len(scale))

    def linear_out(
        self, shape: Sequence[int], scale_in: float, scales: np.ndarray, taps: int, gain: float
    ) -> int:
        """An output whose codes spread well for sums over `taps` weights; gain > 1 saturates."""
        typical = scale_in * float(scales.mean() or 0.01) * 74 * 74 * taps**0.5
        return self.output(shape, scale=float(np.float32(typical / 50 / gain)))

    def case(self, *outputs: int) -> Case:
        model = self.writer.model(inputs=self.inputs, outputs=outputs, others=self.others)
        return Case(self.name, model, self.samples)


def scale_of(net: Net, index: int) -> float:
    return float(net.writer.tensors[index].scale[0])


def image_shape(
    shape: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    padding: str,
    channels: int,
) -> tuple[int, ...]:
    sizes = [
        -(-n // s) if padding == "SAME" else (n - (k - 1) * d - 1) // s + 1
        for n, k, s, d in zip(shape[1:3], kernel, stride, dilation, strict=True)
    ]
    return (shape[0], *sizes, channels)
