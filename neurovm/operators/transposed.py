# SPDX-License-Identifier: Apache-2.0
"""TransposeConv: a convolution that spreads each input pixel over the output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from neurovm.arithmetic import NoExactRuleError
from neurovm.errors import ModelError
from neurovm.operators.base import Activation, Operator, Padding, Shape, register
from neurovm.operators.builder import Layer, Window, gather
from neurovm.operators.repetition import constant
from neurovm.operators.weights import int8_weights, weighted, with_tail
from neurovm.operators.window import MAX_WINDOW, axis, emit_each_sample, taps

if TYPE_CHECKING:
    from neurovm.arithmetic import LinearOperator
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder, Value


MAX_SPREAD = 1 << 24
"""Codes of an input whose pixels were moved apart."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class TransposeConv(Operator):
    """y[p, o] = act(Σ_{q, t: stride·q − pad + t = p} Σ_i w[o, t, i] · x[q, i] + b[o]).

    Inputs: x (N, H, W, C), weights (O, kH, kW, C), bias (O) or absent, the shape of y (constant
    once shapes are folded). Pairs are (vertical, horizontal); the padding is that of a convolution
    from the output back to the input.
    """

    name: ClassVar[str] = "TransposeConv"
    channel_axis: ClassVar[int] = 0
    rule: ClassVar[LinearOperator] = "TRANSPOSE_CONV"
    padding: Padding
    fixed: bool = True
    """Whether the source gives the shape of y as a constant."""
    stride: tuple[int, int] = (1, 1)
    activation: Activation = "NONE"

    def size(self, tensors: Sequence[Tensor]) -> tuple[int, int]:
        """Height and width of the output."""
        shape = constant(self, tensors, 3, "output sizes")
        if len(shape) != 4 or shape[:1] != tensors[self.inputs[0]].shape[:1]:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): output shape {shape}; (N, H, W, C) "
                f"is needed, N as in its input"
            )
        return shape[1], shape[2]

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        x, w = (tensors[i].shape for i in self.inputs[:2])
        size = self.size(tensors)
        fits = len(x) == len(w) == 4 and x[3] == w[3] and 0 not in (*x, *w)
        if not fits or min(*self.stride, *size) < 1 or max(*self.stride, *w[1:3]) > MAX_WINDOW:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): weights {w}, strides {self.stride} "
                f"and size {size} do not fit input {x}; (O, kH, kW, C) and (N, H, W, C), "
                f"strides and windows of 1 to {MAX_WINDOW} are needed"
            )
        spread = math.prod((n - 1) * s + 1 for n, s in zip(x[1:3], self.stride, strict=True))
        if spread * x[3] > MAX_SPREAD:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): input {x} moved apart by strides "
                f"{self.stride} takes {spread * x[3]} codes; {MAX_SPREAD} at most are accepted"
            )
        sizes = [
            axis(n, k, s, 1, self.padding).size
            for n, k, s in zip(size, w[1:3], self.stride, strict=True)
        ]
        if sizes != list(x[1:3]):
            raise ModelError(
                f"operator {self.index} ({self.source_name}): a convolution of output "
                f"{size} makes {sizes}, not the input {x}"
            )
        return ((x[0], *size, w[0]),)

    def before(self, tensors: Sequence[Tensor]) -> tuple[int, int]:
        """What is cut off before the first output: rows, columns."""
        x, w = (tensors[i].shape for i in self.inputs[:2])
        vertical, horizontal = (
            max((n - 1) * s + k - m, 0) // 2
            for n, k, s, m in zip(x[1:3], w[1:3], self.stride, self.size(tensors), strict=True)
        )
        return vertical, horizontal

    def lower(self, builder: Builder) -> None:
        """Codes move apart by the stride; a convolution with the weights turned round follows.

        What stands between them is real 0.0 and never sends, so that a changed code adds one row
        of weights a tap as in a convolution.
        """
        x, w = builder.tensors[self.inputs[0]].shape, builder.tensors[self.inputs[1]].shape
        apart = tuple((n - 1) * s + 1 for n, s in zip(x[1:3], self.stride, strict=True))
        cut = self.before(builder.tensors)
        window = Window(
            in_shape=(apart[0], apart[1], x[3]),
            out_shape=(*self.size(builder.tensors), w[0]),
            kernel=(w[1], w[2]),
            stride=(1, 1),
            dilation=(1, 1),
            before=(w[1] - 1 - cut[0], w[2] - 1 - cut[1]),
        )
        parts = weighted(self, builder, w[0], np.s_[:, ::-1, ::-1, :])
        if parts.wide:
            raise NoExactRuleError("its uint8 weights span more than int8 around their zero point")
        layer = Layer(
            kind="CONV",
            inputs=(),
            n=math.prod(window.out_shape),
            window=window,
            weights=int8_weights(parts.weights.transpose(1, 2, 3, 0)),
            macs=taps(window) * w[3] * w[0],
            **parts.fields,
        )

        def finished(value: Value) -> Layer:
            moved = replace(layer, inputs=(self._apart(builder, value),))
            return with_tail(builder, self, parts, moved)

        emit_each_sample(builder, self, finished)

    def _apart(self, builder: Builder, value: Value) -> Value:
        """One sample with stride − 1 codes of real 0.0 between its pixels."""
        if self.stride == (1, 1):
            return value
        x = builder.tensors[self.inputs[0]]
        _, height, width, channels = x.shape
        vertical, horizontal = self.stride
        size = ((height - 1) * vertical + 1, (width - 1) * horizontal + 1, channels)
        index = np.full(size, -1)
        index[::vertical, ::horizontal] = np.arange(x.size // x.shape[0]).reshape(x.shape[1:])
        zero = x.codes.as_int8.zero_point
        layer = gather((value,), index, x.size // x.shape[0], zero)
        return builder.emit(self.outputs[0], layer)
