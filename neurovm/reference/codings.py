# SPDX-License-Identifier: Apache-2.0
"""The NumPy model of the codings `bitplane` and `ttfs`: what is sent, what receivers make of it.

A layer whose codes went from q to q' sends, in a window of its own,

    bitplane   eight phases k = 7 … 0: s = b_k(q') − b_k(q) of every neuron, worth c_7 = −128,
               c_k = 2^k, as q = −128 b_7 + Σ 2^k b_k
    ttfs       256 ticks τ = 0 … 255: a neuron with q' ≠ q spikes once, at τ = 127 − q'; its worth
               is by how many ticks that is earlier than the spike before, q' − q

and synapses add w times the worth of each spike to A, so that A ends at b + Σ w (q' − z) from
b + Σ w (q − z). With fewer than eight planes a layer sends `kept` codes in place of its own, and
`bounds` says what its readers' codes can be once all are sent.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators.builder import requantizer_of
from neurovm.reference.weighted_sums import sums

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from neurovm.operators.builder import Layer

    Codes = NDArray[np.int8]

PLANES = 8
TICKS = 256
WORTH = tuple(-128 if k == 7 else 1 << k for k in range(PLANES))
"""What a spike of plane k adds to a code."""


def bitplane(before: Codes, after: Codes) -> Iterator[NDArray[np.int64]]:
    """The worth of every neuron's spike in each of 8 phases, 0 where it sends none; as `before`."""
    old, new = (codes.view(np.uint8).astype(np.int64) for codes in (before, after))
    for plane in reversed(range(PLANES)):
        yield ((new >> plane & 1) - (old >> plane & 1)) * WORTH[plane]


def ttfs(before: Codes, after: Codes) -> Iterator[NDArray[np.int64]]:
    """The worth of every neuron's spike at each of 256 ticks, 0 where it sends none."""
    old, new = before.astype(np.int64), after.astype(np.int64)
    for tick in range(TICKS):
        yield np.where((127 - new == tick) & (new != old), new - old, 0)


WINDOWS = {"bitplane": bitplane, "ttfs": ttfs}


def spikes(coding: str, before: Codes, after: Codes) -> int:
    """How many spikes a window takes."""
    return sum(int(np.count_nonzero(phase)) for phase in WINDOWS[coding](before, after))


def received(
    layer: Layer, coding: str, acc: NDArray[np.int64], before: Codes, after: Codes
) -> NDArray[np.int64]:
    """The sums of a DENSE, CONV or DWCONV layer after its source's window, modulo 2^32, (N, n)."""
    total = acc.copy()
    for phase in WINDOWS[coding](before, after):
        total += sums(layer, phase)
    wrapped: NDArray[np.int64] = total.astype(np.int32).astype(np.int64)
    return wrapped


def rest(layer: Layer, codes: Codes) -> NDArray[np.int64]:
    """The sums of the graded network for these codes of its source: b + Σ w (q − z), (N, n)."""
    bias = np.asarray(layer.bias, np.int64)
    drive = sums(layer, codes.astype(np.int64) - layer.zero_in)
    return drive + np.tile(bias, layer.n // bias.size)


def fired(layer: Layer, acc: NDArray[np.int64]) -> Codes:
    """Codes of sums (N, n), by the layer's requantizer."""
    channels = np.asarray(layer.bias).size
    codes = requantizer_of(replace(layer, wide=False)).codes(acc.reshape(-1, channels))
    return codes.astype(np.int8).reshape(acc.shape)


def kept(codes: Codes, planes: int) -> Codes:
    """The nearest codes that `planes` of 8 planes can say: multiples of 2^(8 − planes)."""
    step = 1 << (PLANES - planes)
    return (np.minimum(codes.astype(np.int64) + step // 2, 127) // step * step).astype(np.int8)


def meant(sent: Codes, planes: int) -> tuple[Codes, Codes]:
    """The lowest and the highest code that `kept` sends as `sent`."""
    every = np.arange(-128, 128).astype(np.int8)
    said = kept(every, planes)
    low = np.array([every[said == code].min() for code in every[:: 1 << (PLANES - planes)]])
    high = np.array([every[said == code].max() for code in every[:: 1 << (PLANES - planes)]])
    place = (sent.astype(np.int64) + 128) >> (PLANES - planes)
    return low[place], high[place]


def bounds(layer: Layer, low: Codes, high: Codes) -> tuple[Codes, Codes]:
    """The lowest and highest codes of a DENSE, CONV or DWCONV layer for codes in [low, high].

    R does not fall with A, so the ends of A give those of the code; sums must not wrap.
    """
    weights = np.asarray(layer.weights, np.int64)
    rising, falling = np.maximum(weights, 0), np.minimum(weights, 0)
    bottom, top = (codes.astype(np.int64) - layer.zero_in for codes in (low, high))
    bias = np.asarray(layer.bias, np.int64)
    own = np.tile(bias, layer.n // bias.size)
    least = own + sums(layer, bottom, rising) + sums(layer, top, falling)
    most = own + sums(layer, top, rising) + sums(layer, bottom, falling)
    return fired(layer, least), fired(layer, most)
