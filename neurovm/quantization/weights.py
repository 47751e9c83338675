# SPDX-License-Identifier: Apache-2.0
"""Weights and biases as integers: int8, symmetric, one scale a channel; int32 or int64 biases."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.graph import Quantization, Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_CODE = 127
"""Symmetric weights leave −128 out: XNNPACK's ARM kernels add two products in 16 bits."""
LARGEST_BIAS = 1 << 30
_SMALLEST_SHARE = 2.0**-20
"""No channel's scale is a smaller share of the largest one; finer steps than that are noise."""


def quantize_weights(
    tensor: Tensor, axis: int, step: float, bias: NDArray[Any] | None, kept: Tensor | None
) -> Tensor:
    """int8 weights with a scale a channel along `axis`.

    tensor: float32 constants. step: the scale of the operator's input; with it the biases must fit
    an int32, which makes the scale of a channel with tiny weights larger. kept: the same weights as
    the source stores them; they are taken over where they fit.
    """
    data = np.asarray(tensor.data, np.float64)
    others = tuple(a for a in range(data.ndim) if a != axis)
    scale = np.abs(data).max(axis=others, initial=0.0) / LARGEST_CODE
    largest = float(scale.max(initial=0.0)) or 1.0 / LARGEST_CODE
    scale = np.maximum(scale, largest * _SMALLEST_SHARE)
    least = 0.0 if bias is None else np.abs(bias.astype(np.float64)) / (step * LARGEST_BIAS)
    if kept is not None and _fits(kept, axis, least):
        return dataclasses.replace(kept, name=tensor.name)
    scale = np.maximum(scale, least).astype(np.float32)
    shape = [1] * data.ndim
    shape[axis] = -1
    codes = np.rint(data / scale.astype(np.float64).reshape(shape))
    return dataclasses.replace(
        tensor,
        dtype="int8",
        data=np.clip(codes, -LARGEST_CODE, LARGEST_CODE).astype(np.int8),
        quantization=Quantization(
            scale=tuple(float(s) for s in scale), zero_point=(0,) * len(scale), axis=axis
        ),
    )


def _fits(kept: Tensor, axis: int, least: Any) -> bool:
    q = kept.quantization
    if q is None or not (q.per_tensor or q.axis == axis):
        return False
    return bool((np.asarray(q.scale) >= least).all())


def quantize_bias(
    name: str, bias: NDArray[Any] | None, weights: Tensor, axis: int, step: float, bits: int
) -> Tensor:
    """The bias (absent: zeros) in units of input step × weight scale, as its kernel adds it."""
    q = weights.quantization
    if q is None:
        raise ValueError("weights without scales")
    channels = weights.shape[axis]
    scale = np.float32(step) * np.asarray(q.scale, np.float32)
    values = np.zeros(channels) if bias is None else bias.astype(np.float64).reshape(-1)
    codes = np.rint(values / np.broadcast_to(scale.astype(np.float64), (channels,)))
    return Tensor(
        name=name,
        shape=(channels,),
        dtype="int32" if bits == 8 else "int64",
        data=codes.astype(np.int32 if bits == 8 else np.int64),
        quantization=Quantization(
            scale=tuple(float(s) for s in scale), zero_point=(0,) * len(scale)
        ),
    )


def quantize_values(tensor: Tensor, q: Quantization, bits: int) -> Tensor:
    """A constant operand in the codes of one scale."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    codes = np.rint(np.asarray(tensor.data, np.float64) / q.scale[0]) + q.zero_point[0]
    return dataclasses.replace(
        tensor,
        dtype="int8" if bits == 8 else "int16",
        data=np.clip(codes, low, high).astype(np.int8 if bits == 8 else np.int16),
        quantization=q,
    )
