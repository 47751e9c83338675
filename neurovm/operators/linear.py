# SPDX-License-Identifier: Apache-2.0
"""Operators that are linear in their input codes: FullyConnected, Conv2D, DepthwiseConv2D."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from neurovm.errors import ModelError
from neurovm.operators.base import Activation, Operator, Padding, Shape, register
from neurovm.operators.builder import Layer, Window
from neurovm.operators.weights import doubled, halved, int8_weights, weighted, with_tail
from neurovm.operators.window import emit_each_sample, output_size, taps, window_of

if TYPE_CHECKING:
    from neurovm.arithmetic import LinearOperator
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder, Value


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class FullyConnected(Operator):
    """y[r, o] = act(Σ_k w[o, k] · x[r, k] + b[o]).

    Inputs: x (…, K) flattened to rows of K, weights (O, K), bias (O) or absent.
    `keep_num_dims` keeps the leading axes of x in the output, else it is (rows, O).
    """

    name: ClassVar[str] = "FullyConnected"
    channel_axis: ClassVar[int] = 0
    rule: ClassVar[LinearOperator] = "FULLY_CONNECTED"
    activation: Activation = "NONE"
    keep_num_dims: bool = False
    bias_type: str = ""
    """The type its bias would have; asked where it has none and its codes are int16."""

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        x, w = tensors[self.inputs[0]], tensors[self.inputs[1]]
        if len(w.shape) != 2 or w.shape[1] == 0 or x.size % w.shape[1]:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): weights {w.shape} do not fit "
                f"input {x.shape}; "
                f"(outputs, inputs) with inputs dividing {x.size} is needed"
            )
        if self.keep_num_dims and x.shape[-1] != w.shape[1]:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): input {x.shape} keeps its axes; its "
                f"last must be the {w.shape[1]} inputs of weights {w.shape}"
            )
        if self.keep_num_dims:
            return ((*x.shape[:-1], w.shape[0]),)
        return ((x.size // w.shape[1], w.shape[0]),)

    def lower(self, builder: Builder) -> None:
        """A changed code adds one row of weights to the sums, which are then requantized.

        One row of inputs is a DENSE layer; several share their weights as a 1 × 1 convolution.
        """
        outputs, inputs = builder.tensors[self.inputs[1]].shape
        rows = builder.tensors[self.inputs[0]].size // inputs
        parts = weighted(self, builder, outputs, np.s_[:, :])
        value, weights = builder.value(self.inputs[0]), parts.weights.T
        if parts.wide:
            value, weights = doubled(builder, self, value, rows * inputs), halved(weights)
        weights, inputs = int8_weights(weights), len(weights)
        if rows == 1:
            layer = Layer(
                kind="DENSE",
                inputs=(value,),
                n=outputs,
                in_c=inputs,
                out_c=outputs,
                weights=weights,
                macs=weights.size,
                **parts.fields,
            )
        else:
            window = Window(
                in_shape=(rows, 1, inputs),
                out_shape=(rows, 1, outputs),
                kernel=(1, 1),
                stride=(1, 1),
                dilation=(1, 1),
                before=(0, 0),
            )
            layer = Layer(
                kind="CONV",
                inputs=(value,),
                n=rows * outputs,
                window=window,
                weights=weights,
                macs=rows * weights.size,
                **parts.fields,
            )
        builder.emit(self.outputs[0], layer)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Conv2D(Operator):
    """y[p, o] = act(Σ_{taps t, channels i} w[o, t, i] · x[stride·p − pad + dilation·t, i] + b[o]).

    Inputs: x (1, H, W, C), weights (O, kH, kW, C / groups), bias (O) or absent. Pairs are
    (vertical, horizontal). Taps outside x contribute nothing.
    """

    name: ClassVar[str] = "Conv2D"
    channel_axis: ClassVar[int] = 0
    rule: ClassVar[LinearOperator] = "CONV_2D"
    padding: Padding
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    activation: Activation = "NONE"

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        x, w = tensors[self.inputs[0]], tensors[self.inputs[1]]
        if len(x.shape) != 4 or len(w.shape) != 4 or x.shape[3] % w.shape[3]:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): weights {w.shape} do not fit "
                f"input {x.shape}; "
                f"(O, kH, kW, C / groups) and (N, H, W, C) are needed"
            )
        if w.shape[0] % (x.shape[3] // w.shape[3]):
            raise ModelError(
                f"operator {self.index} ({self.source_name}): {w.shape[0]} output channels do not "
                f"divide into {x.shape[3] // w.shape[3]} groups"
            )
        height, width = output_size(self, x.shape[1:3], w.shape[1:3], self.dilation)
        return ((x.shape[0], height, width, w.shape[0]),)

    def lower(self, builder: Builder) -> None:
        """A changed code adds one row of weights a tap; only touched pixels are requantized.

        The weights are stored as (kH, kW, C / groups, O).
        """
        x, w = builder.tensors[self.inputs[0]], builder.tensors[self.inputs[1]]
        groups = x.shape[3] // w.shape[3]
        window = window_of(self, builder.tensors, w.shape[1:3], self.dilation, groups)
        parts = weighted(self, builder, w.shape[0], np.s_[:, :, :, :])
        weights = parts.weights.transpose(1, 2, 3, 0)
        wide = parts.wide
        if wide:
            window = replace(window, in_shape=(x.shape[1], x.shape[2], 2 * x.shape[3]))
            weights = halved(weights)
        layer = Layer(
            kind="CONV",
            inputs=(),
            n=math.prod(window.out_shape),
            window=window,
            weights=int8_weights(weights),
            macs=taps(window) * weights.shape[2] * w.shape[0],
            **parts.fields,
        )

        def finished(value: Value) -> Layer:
            source = doubled(builder, self, value, math.prod(x.shape[1:])) if wide else value
            return replace(layer, inputs=(source,))

        emit_each_sample(builder, self, finished)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DepthwiseConv2D(Operator):
    """y[p, c] = act(Σ_taps w[0, t, c] · x[stride·p − pad + dilation·t, c // M] + b[c]), M =
    multiplier.

    Inputs: x (1, H, W, C), weights (1, kH, kW, C·M), bias (C·M) or absent.
    """

    name: ClassVar[str] = "DepthwiseConv2D"
    channel_axis: ClassVar[int] = -1
    rule: ClassVar[LinearOperator] = "DEPTHWISE_CONV_2D"
    padding: Padding
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    activation: Activation = "NONE"

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        x, w = tensors[self.inputs[0]], tensors[self.inputs[1]]
        if len(x.shape) != 4 or len(w.shape) != 4 or w.shape[0] != 1 or w.shape[3] % x.shape[3]:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): weights {w.shape} do not fit "
                f"input {x.shape}; "
                f"(1, kH, kW, C·multiplier) and (N, H, W, C) are needed"
            )
        height, width = output_size(self, x.shape[1:3], w.shape[1:3], self.dilation)
        return ((x.shape[0], height, width, w.shape[3]),)

    def lower(self, builder: Builder) -> None:
        """A changed code adds M weights a tap; only touched pixels are requantized.

        The weights are stored as (kH, kW, C·M).
        """
        x, w = builder.tensors[self.inputs[0]], builder.tensors[self.inputs[1]]
        multiplier = w.shape[3] // x.shape[3]
        window = window_of(self, builder.tensors, w.shape[1:3], self.dilation, multiplier)
        parts = weighted(self, builder, w.shape[3], np.s_[0, :, :, :])
        wide, weights = parts.wide, int8_weights(parts.weights)
        if wide:  # A group of two equal inputs a channel.
            weights = halved(parts.weights[:, :, None])
            shape = (x.shape[1], x.shape[2], 2 * x.shape[3])
            window = replace(window, in_shape=shape, groups=x.shape[3])
        layer = Layer(
            kind="CONV" if wide else "DWCONV",
            inputs=(),
            n=math.prod(window.out_shape),
            window=window,
            weights=weights,
            macs=taps(window) * w.shape[3] * (2 if wide else 1),
            **parts.fields,
        )

        def finished(value: Value) -> Layer:
            source = doubled(builder, self, value, math.prod(x.shape[1:])) if wide else value
            return with_tail(builder, self, parts, replace(layer, inputs=(source,)))

        emit_each_sample(builder, self, finished)
