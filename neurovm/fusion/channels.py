# SPDX-License-Identifier: Apache-2.0
"""Channels that never change: their neurons go, what they send for ever goes into the next bias.

A channel of a weighted layer is constant when the lowest and the highest sum that its inputs'
ranges allow have the same code: all its weights are 0, or an activation holds it at one end. Sums
are monotone in each input and requantisers in the sum, so no input makes another code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators.builder import requantizer_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.fusion.draft import Draft
    from neurovm.operators.builder import Layer

INT32 = 1 << 31
LONGEST_SUM = 1 << 22
"""Weights of one output: products of nine bits each then fit float64 and int64 alike."""


def drop_constant_channels(draft: Draft) -> bool:
    """Take constant channels out of DENSE and CONV layers that one such layer alone reads."""
    changed = False
    for index, layer in draft.present():
        readers = draft.readers(index)
        if len(readers) != 1 or not draft.private_to(index, readers[0]):
            continue
        reader = draft.layer(readers[0])
        if not (_plain(layer) and _plain(reader)):
            continue
        constant = constant_codes(layer, _range(draft.layer(layer.inputs[0])))
        gone = _removable(reader, constant)
        if gone.all():
            gone[0] = False  # a layer has one neuron at least
        if not gone.any():
            continue
        draft.layers[index] = _without_outputs(layer, ~gone)
        draft.layers[readers[0]] = _without_inputs(reader, constant, gone)
        draft.thinned.add(index)
        changed = True
    return changed


def _plain(layer: Layer) -> bool:
    """A layer of int8 codes whose weights are [...][inputs][outputs], its inputs held by one."""
    if layer.wide:
        return False
    if layer.kind == "CONV":
        return layer.window is not None and layer.window.groups == 1 and layer.neuron == "SD"
    return layer.kind == "DENSE" and layer.neuron == "SD"


@dataclass(frozen=True, slots=True)
class Constant:
    """For each output channel whether it is constant, and the code it then has."""

    found: NDArray[np.bool_]
    code: NDArray[np.int64]


def constant_codes(layer: Layer, codes: tuple[int, int]) -> Constant:
    """The constant channels of a DENSE or CONV layer whose inputs go from codes[0] to codes[1]."""
    weights = _matrix(layer).astype(np.int64)
    ends = [weights * (code - layer.zero_in) for code in codes]
    low, high = np.minimum(*ends), np.maximum(*ends)
    if layer.kind == "CONV":  # a tap may be outside the image and add nothing
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    bias = np.asarray(layer.bias, np.int64)
    least, most = bias + low.sum(0), bias + high.sum(0)
    rule = requantizer_of(layer)
    left = 0
    if rule.multipliers is not None:
        left = max(int(rule.multipliers.exponent.max()), 0)
    reach = max(-int(least.min()), int(most.max())) << left
    if reach >= INT32 or len(weights) > LONGEST_SUM:
        return Constant(np.zeros(len(bias), bool), np.zeros(len(bias), np.int64))
    first, last = rule.codes(least), rule.codes(most)
    return Constant(first == last, first)


def _range(layer: Layer) -> tuple[int, int]:
    """The codes that a layer can hold."""
    if layer.kind in ("DENSE", "CONV", "DWCONV", "ADD", "MEAN"):
        return layer.bounds
    return -128, 127


def _removable(reader: Layer, constant: Constant) -> NDArray[np.bool_]:
    """Constant channels whose part is the same in every sum of `reader`: a bias can hold it."""
    found = constant.found
    if reader.window is not None and reader.window.in_shape[2] != len(found):
        return np.zeros(len(found), dtype=np.bool_)
    if reader.kind == "DENSE" or _always_inside(reader):
        return np.array(found)
    return found & np.equal(constant.code, reader.zero_in)


def _always_inside(layer: Layer) -> bool:
    """Whether no tap of any window is outside the image."""
    w = layer.window
    if w is None:
        return False
    for a in (0, 1):
        last = (w.out_shape[a] - 1) * w.stride[a] - w.before[a] + (w.kernel[a] - 1) * w.dilation[a]
        if w.before[a] > 0 or last >= w.in_shape[a]:
            return False
    return True


def _without_outputs(layer: Layer, kept: NDArray[np.bool_]) -> Layer:
    weights = np.asarray(layer.weights)[..., kept]
    channels = int(kept.sum())
    fields = {
        name: None if array is None else np.asarray(array)[kept]
        for name, array in (("bias", layer.bias), ("scale", layer.scale), ("shift", layer.shift))
    }
    return _resized(layer, weights, channels, **fields)


def _without_inputs(layer: Layer, constant: Constant, gone: NDArray[np.bool_]) -> Layer:
    """The reader without these channels of its input, which is pixels of channels."""
    weights = np.asarray(layer.weights)
    shape = weights.shape
    channels = len(gone)
    parts = weights.reshape(-1, channels, shape[-1])
    offset = np.where(gone, constant.code - layer.zero_in, 0)
    bias = np.asarray(layer.bias, np.int64)
    bias = bias + np.einsum("tco,c->o", parts.astype(np.int64), offset)
    left = parts[:, ~gone]
    rest = (*shape[:-2], shape[-2] * int((~gone).sum()) // channels, shape[-1])
    return _resized(layer, left.reshape(rest), shape[-1], bias=bias.astype(np.int32))


def _resized(layer: Layer, weights: NDArray[np.generic], channels: int, **fields: object) -> Layer:
    """The layer with these weights and every size that follows from them."""
    before = np.asarray(layer.weights).size
    window = layer.window
    inputs = weights.shape[-2]
    if window is not None:
        window = replace(
            window,
            in_shape=(*window.in_shape[:2], inputs),
            out_shape=(*window.out_shape[:2], channels),
        )
    return replace(
        layer,
        weights=weights,
        window=window,
        n=channels if window is None else math.prod(window.out_shape),
        in_c=inputs if window is None else layer.in_c,
        out_c=channels if window is None else layer.out_c,
        macs=layer.macs * weights.size // before,
        synapses=layer.synapses * weights.size // before,
        **fields,  # type: ignore[arg-type]  # each of its own type
    )


def _matrix(layer: Layer) -> NDArray[np.generic]:
    weights = np.asarray(layer.weights)
    return weights.reshape(-1, weights.shape[-1])
