# SPDX-License-Identifier: Apache-2.0
"""What the operators that multiply by constant weights share: checks, requantiser, bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from neurovm.arithmetic import NoExactRuleError
from neurovm.errors import ModelError
from neurovm.operators.builder import gather, requantizer_fields

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.arithmetic import Requantizer
    from neurovm.operators.base import Activation
    from neurovm.operators.builder import Builder, Layer


class Multiplying(Protocol):
    """An operator with inputs x, weights, and perhaps a bias."""

    name: ClassVar[str]
    channel_axis: ClassVar[int]
    """The axis of its weights that counts output channels."""
    by_eights: ClassVar[bool]
    """Whether the profile's `depthwise` requantises it, `linear` otherwise."""

    @property
    def index(self) -> int: ...
    @property
    def source_name(self) -> str: ...
    @property
    def inputs(self) -> tuple[int, ...]: ...
    @property
    def outputs(self) -> tuple[int, ...]: ...
    @property
    def activation(self) -> Activation: ...


@dataclass(frozen=True, slots=True)
class Weighted:
    """Weights as the source orders them, the other fields of the layer, and its requantiser."""

    weights: NDArray[np.int8]
    fields: dict[str, Any]
    requantizer: Requantizer


def weighted(operator: Multiplying, builder: Builder, channels: int, pick: Any) -> Weighted:
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
    ask = builder.profile.depthwise if operator.by_eights else builder.profile.linear
    requantizer = ask(
        scale_in=x.scale,
        scale_weights=w.quantization.scale,
        out=builder.tensors[operator.outputs[0]].codes.as_int8,
        activation=operator.activation,
    )
    axis = operator.channel_axis % weights.ndim
    others = tuple(a for a in range(weights.ndim) if a != axis)
    per_channel = np.abs(weights.astype(np.int64)).sum(axis=others)
    largest = max(127 - codes.zero_point, codes.zero_point + 128)
    bound = int((per_channel * largest + np.abs(bias.astype(np.int64))).max())
    _check_reach(requantizer, bound)
    return Weighted(
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


def with_tail(builder: Builder, operator: Multiplying, parts: Weighted, layer: Layer) -> Layer:
    """The layer; where its last channels have another requantiser, two of it and a choice."""
    tail, first = parts.requantizer.tail, parts.requantizer.tail_from
    if tail is None or layer.window is None:
        return layer
    channels = layer.window.out_shape[2]
    other = replace(layer, synapses=0, **requantizer_fields(tail, channels))
    index = np.arange(layer.n)
    index[index % channels >= first] += layer.n
    sources = tuple(builder.emit(operator.outputs[0], part) for part in (layer, other))
    return gather(sources, index, 2 * layer.n)


def _check_reach(requantizer: Requantizer, bound: int) -> None:
    """Refuse sums whose code would leave int32: runtimes convert those as their processor does."""
    if requantizer.scale is not None and bound * float(requantizer.scale.max()) >= 1 << 31:
        raise NoExactRuleError(
            f"sums of up to {bound} times {float(requantizer.scale.max())!r} leave int32; "
            f"smaller weights, bias or scales are needed"
        )


def _bias(operator: Multiplying, builder: Builder, channels: int) -> NDArray[np.int32]:
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
