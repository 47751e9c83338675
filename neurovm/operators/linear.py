# SPDX-License-Identifier: Apache-2.0
"""Operators that are linear in their input codes: FullyConnected, Conv2D, DepthwiseConv2D."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from neurovm.arithmetic import NoExactRuleError
from neurovm.errors import ModelError
from neurovm.operators.base import Activation, Operator, Padding, Shape, register
from neurovm.operators.builder import Layer, Window, gather, requantizer_fields
from neurovm.operators.window import emit_each_sample, output_size, taps, window_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.arithmetic import Requantizer
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class FullyConnected(Operator):
    """y[r, o] = act(Σ_k w[o, k] · x[r, k] + b[o]).

    Inputs: x (…, K) flattened to rows of K, weights (O, K), bias (O) or absent.
    `keep_num_dims` keeps the leading axes of x in the output, else it is (rows, O).
    """

    name: ClassVar[str] = "FullyConnected"
    activation: Activation = "NONE"
    keep_num_dims: bool = False

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
        parts = _parts(self, builder, outputs, np.s_[:, :])
        weights = np.ascontiguousarray(parts.weights.T)
        if rows == 1:
            layer = Layer(
                kind="DENSE",
                inputs=(builder.value(self.inputs[0]),),
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
                inputs=(builder.value(self.inputs[0]),),
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
    padding: Padding
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    activation: Activation = "NONE"

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        x, w = tensors[self.inputs[0]], tensors[self.inputs[1]]
        if len(x.shape) != 4 or len(w.shape) != 4 or 0 in w.shape or x.shape[3] % w.shape[3]:
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
        parts = _parts(self, builder, w.shape[0], np.s_[:, :, :, :])
        layer = Layer(
            kind="CONV",
            inputs=(),
            n=math.prod(window.out_shape),
            window=window,
            weights=np.ascontiguousarray(parts.weights.transpose(1, 2, 3, 0)),
            macs=taps(window) * w.shape[3] * w.shape[0],
            **parts.fields,
        )
        emit_each_sample(builder, self, lambda value: replace(layer, inputs=(value,)))


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DepthwiseConv2D(Operator):
    """y[p, c] = act(Σ_taps w[0, t, c] · x[stride·p − pad + dilation·t, c // M] + b[c]), M =
    multiplier.

    Inputs: x (1, H, W, C), weights (1, kH, kW, C·M), bias (C·M) or absent.
    """

    name: ClassVar[str] = "DepthwiseConv2D"
    padding: Padding
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    activation: Activation = "NONE"

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        x, w = tensors[self.inputs[0]], tensors[self.inputs[1]]
        if (
            len(x.shape) != 4
            or len(w.shape) != 4
            or w.shape[0] != 1
            or 0 in x.shape
            or 0 in w.shape
            or w.shape[3] % x.shape[3]
        ):
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
        parts = _parts(self, builder, w.shape[3], np.s_[0, :, :, :])
        layer = Layer(
            kind="DWCONV",
            inputs=(),
            n=math.prod(window.out_shape),
            window=window,
            weights=np.ascontiguousarray(parts.weights),
            macs=taps(window) * w.shape[3],
            **parts.fields,
        )
        emit_each_sample(
            builder,
            self,
            lambda value: self._finished(builder, parts, replace(layer, inputs=(value,))),
        )

    def _finished(self, builder: Builder, parts: _Parts, layer: Layer) -> Layer:
        """The layer; where its last channels have another requantizer, two of it and a choice."""
        tail, first = parts.requantizer.tail, parts.requantizer.tail_from
        if tail is None:
            return layer
        channels = parts.weights.shape[-1]
        other = replace(layer, synapses=0, **requantizer_fields(tail, channels))
        index = np.arange(layer.n)
        index[index % channels >= first] += layer.n
        sources = tuple(builder.emit(self.outputs[0], part) for part in (layer, other))
        return gather(sources, index, 2 * layer.n)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the three share: weights as the source orders them, and the other fields."""

    weights: NDArray[np.int8]
    fields: dict[str, Any]
    requantizer: Requantizer


def _parts(
    operator: FullyConnected | Conv2D | DepthwiseConv2D, builder: Builder, channels: int, pick: Any
) -> _Parts:
    """Check weights and bias, ask the profile for the requantizer, bound the accumulators."""
    x, w = builder.tensors[operator.inputs[0]], builder.tensors[operator.inputs[1]]
    if w.data is None or w.data.dtype != np.int8 or w.quantization is None:
        raise ModelError(
            f"operator {operator.index} ({operator.source_name}): constant int8 weights are "
            "needed, "
            f"not {w.name!r} ({w.dtype}{', computed at run time' if w.data is None else ''})"
        )
    if any(w.quantization.zero_point):
        raise ModelError(
            f"weights {w.name!r} have a zero point other than 0; int8 weights have none"
        )
    weights = w.data[pick]
    bias = _bias(operator, builder, channels)
    codes = x.codes.as_int8
    depthwise = isinstance(operator, DepthwiseConv2D)
    ask = builder.profile.depthwise if depthwise else builder.profile.linear
    requantizer = ask(
        scale_in=x.scale,
        scale_weights=w.quantization.scale,
        out=builder.tensors[operator.outputs[0]].codes.as_int8,
        activation=operator.activation,
    )
    per_channel = np.abs(weights.astype(np.int64)).sum(axis=_all_but_channel(operator))
    largest = max(127 - codes.zero_point, codes.zero_point + 128)
    bound = int((per_channel * largest + np.abs(bias.astype(np.int64))).max())
    _check_reach(requantizer, bound)
    return _Parts(
        weights,
        {
            "bias": bias,
            "zero_in": codes.zero_point,
            "synapses": weights.size,
            "acc_bound": bound,
            **requantizer_fields(requantizer, channels),
        },
        requantizer,
    )


def _check_reach(requantizer: Requantizer, bound: int) -> None:
    """Refuse sums whose code would leave int32: runtimes convert those as their processor does."""
    if requantizer.scale is not None and bound * float(requantizer.scale.max()) >= 1 << 31:
        raise NoExactRuleError(
            f"sums of up to {bound} times {float(requantizer.scale.max())!r} leave int32; "
            f"smaller weights, bias or scales are needed"
        )


def _all_but_channel(operator: Operator) -> tuple[int, ...]:
    return {"FullyConnected": (1,), "Conv2D": (1, 2, 3), "DepthwiseConv2D": (0, 1)}[operator.name]


def _bias(operator: Operator, builder: Builder, channels: int) -> NDArray[np.int32]:
    index = operator.inputs[2] if len(operator.inputs) > 2 else -1
    if index == -1:
        return np.zeros(channels, np.int32)
    bias = builder.tensors[index]
    if bias.data is None or bias.data.dtype != np.int32 or bias.size != channels:
        raise ModelError(
            f"operator {operator.index} ({operator.source_name}): a constant int32 bias of "
            f"{channels} "
            f"is needed, not {bias.name!r} ({bias.dtype}, shape {bias.shape})"
        )
    return bias.data.reshape(-1)
