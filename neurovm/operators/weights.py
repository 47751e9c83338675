# SPDX-License-Identifier: Apache-2.0
"""What the operators that multiply by constant weights share: checks, requantiser, bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from neurovm.arithmetic import NoExactRuleError
from neurovm.arithmetic.wide import ABSENT
from neurovm.errors import ModelError
from neurovm.operators.builder import gather, requantizer_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from neurovm.arithmetic import Codes, LinearOperator, Profile, Requantizer
    from neurovm.graph import Tensor
    from neurovm.operators.base import Activation
    from neurovm.operators.builder import Builder, Layer, Value

INT32_MAX = (1 << 31) - 1
MAX_LONG_SUM = (1 << 47) - 1
"""The largest sum that the source multiplies as int64."""
MOST_BIAS = float(1 << 62)
"""A larger one counts as this, far beyond MAX_LONG_SUM."""


class Multiplying(Protocol):
    """An operator with inputs x, weights, and perhaps a bias."""

    name: ClassVar[str]
    channel_axis: ClassVar[int]
    """The axis of its weights that counts output channels."""
    rule: ClassVar[LinearOperator]
    """What the profile knows it as."""

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
    """Weights − zero point as the source orders them, the other fields of the layer, and its
    requantiser.
    """

    weights: NDArray[np.int16]
    fields: dict[str, Any]
    requantizer: Requantizer

    @property
    def wide(self) -> bool:
        """Whether some weight does not fit int8 (uint8 weights around another zero point)."""
        return bool(((self.weights < -128) | (self.weights > 127)).any())


def weighted(operator: Multiplying, builder: Builder, channels: int, pick: Any) -> Weighted:
    """Check weights and bias, ask the profile for the requantizer, bound the accumulators."""
    x, w = builder.tensors[operator.inputs[0]], builder.tensors[operator.inputs[1]]
    weights = centred(w)[pick]
    bias = _bias(operator, builder, channels)
    codes = x.codes.as_int8
    out = builder.tensors[operator.outputs[0]].codes.as_int8
    requantizer = requantizer_of(operator, builder.profile, builder.tensors, out)
    axis = operator.channel_axis % weights.ndim
    others = tuple(a for a in range(weights.ndim) if a != axis)
    per_channel = np.abs(weights.astype(np.int64)).sum(axis=others)
    lowest, highest = codes.limits
    largest = max(highest - codes.zero_point, codes.zero_point - lowest)
    # An int64 bias may be as large as its type; the bound of what is refused must not wrap.
    size = np.minimum(np.abs(bias.astype(np.float64)), MOST_BIAS).astype(np.int64)
    bound = int((per_channel * largest + size).max())
    long = requantizer.long and bound > INT32_MAX
    check_reach(requantizer, bound)
    return Weighted(
        weights,
        {
            "bias": bias.astype(np.int64 if long else np.int32),
            "long": long,
            "zero_in": codes.zero_point,
            "synapses": weights.size,
            "acc_bound": bound,
            **requantizer_fields(requantizer, channels),
        },
        requantizer,
    )


def centred(w: Tensor) -> NDArray[np.int16]:
    """Constant weights − zero point; ModelError for any but int8, int4 and uint8."""
    if w.data is None or w.dtype not in ("int8", "int4", "uint8") or w.quantization is None:
        raise ModelError(
            f"constant int8, int4 or uint8 weights are needed, "
            f"not {w.name!r} ({w.dtype}{', computed at run time' if w.data is None else ''})"
        )
    if w.dtype != "uint8" and any(w.quantization.zero_point):
        raise ModelError(
            f"weights {w.name!r} have a zero point other than 0; int8 weights have none"
        )
    zero = w.zero_point if w.dtype == "uint8" else 0
    result: NDArray[np.int16] = w.data.astype(np.int16) - np.int16(zero)
    return result


def requantizer_of(
    operator: Multiplying, profile: Profile, tensors: Sequence[Tensor], out: Codes
) -> Requantizer:
    """The profile's requantiser of an operator with weights, to the codes `out`."""
    w = tensors[operator.inputs[1]]
    if _absent(operator) and operator.rule in profile.needs_bias:
        raise NoExactRuleError(
            "it has no bias, without which LiteRT does not run it; a bias of zeros is needed (or "
            "profile tflm)"
        )
    return profile.linear(
        scale_in=tensors[operator.inputs[0]].scale,
        scale_weights=w.quantization.scale if w.quantization else (),
        out=out,
        activation=operator.activation,
        operator=operator.rule,
        weight_bits=4 if w.dtype == "int4" else 8,
        inputs=w.shape[-1],
        outputs=w.shape[operator.channel_axis],
        fixed=getattr(operator, "fixed", True),
        bias=_bias_type(operator, tensors),
    )


def doubled(builder: Builder, operator: Multiplying, value: Value, size: int) -> Value:
    """Every code twice, one after the other, for weights that are `halved`."""
    index = np.repeat(np.arange(size), 2)
    return builder.emit(operator.outputs[0], gather((value,), index, size))


def int8_weights(weights: NDArray[np.integer]) -> NDArray[np.int8]:
    """Weights that fit, in memory as the kernel reads them."""
    return np.ascontiguousarray(weights, np.int8)


def halved(weights: NDArray[np.int16]) -> NDArray[np.int8]:
    """Weights (…, inputs, outputs) as sums of two int8, side by side: (…, 2 inputs, outputs)."""
    first = np.clip(weights, -128, 127)
    pairs = np.stack([first, weights - first], axis=-2).astype(np.int8)
    return pairs.reshape(*weights.shape[:-2], 2 * weights.shape[-2], weights.shape[-1])


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


def _bias_type(operator: Multiplying, tensors: Sequence[Tensor]) -> str:
    """See `neurovm.arithmetic.wide.WideRules`."""
    if not _absent(operator):
        return tensors[operator.inputs[2]].dtype
    declared = getattr(operator, "bias_type", "")
    return f"{ABSENT}:{declared}" if declared else ABSENT


def _absent(operator: Multiplying) -> bool:
    """Whether it has no bias."""
    return len(operator.inputs) < 3 or operator.inputs[2] == -1


def check_reach(requantizer: Requantizer, bound: int) -> None:
    """Refuse sums whose code would leave int32: runtimes convert those as their processor does."""
    if requantizer.long and bound > MAX_LONG_SUM:
        raise NoExactRuleError(
            f"sums of up to {bound}; below 2^47 is what the source's 64-bit multiplication takes"
        )
    if requantizer.long and requantizer.multipliers is not None:
        m = requantizer.multipliers
        factor = float((m.mantissa * 2.0 ** (m.exponent - 31)).max())
        if bound * factor >= 1 << 31:
            raise NoExactRuleError(
                f"sums of up to {bound} times {factor!r} leave int32; smaller weights, bias or "
                f"scales are needed"
            )
    if requantizer.scale is not None and bound * float(requantizer.scale.max()) >= 1 << 31:
        raise NoExactRuleError(
            f"sums of up to {bound} times {float(requantizer.scale.max())!r} leave int32; "
            f"smaller weights, bias or scales are needed"
        )


def _bias(operator: Multiplying, builder: Builder, channels: int) -> NDArray[np.integer]:
    if _absent(operator):
        return np.zeros(channels, np.int32)
    bias = builder.tensors[operator.inputs[2]]
    wide = builder.tensors[operator.inputs[0]].dtype == "int16"
    types = (np.int32, np.int64) if wide else (np.int32,)
    if bias.data is None or bias.data.dtype not in types or bias.size != channels:
        raise ModelError(
            f"operator {operator.index} ({operator.source_name}): {channels} constant biases, "
            f"int32 (or int64 with int16 activations) are needed, not {bias.name!r} ({bias.dtype}, "
            f"shape {bias.shape})"
        )
    q = bias.quantization
    fits = q is None or q.per_tensor or bias.shape[q.axis : q.axis + 1] == (len(q.scale),)
    if not fits and builder.profile.checks_bias_axis:
        raise NoExactRuleError(
            f"bias {bias.name!r} of shape {bias.shape} is quantized along axis "
            f"{q.axis if q else 0}, which it has not; LiteRT refuses such models (profile tflm "
            f"takes them)"
        )
    return bias.data.reshape(-1)
