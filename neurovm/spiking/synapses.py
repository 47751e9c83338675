# SPDX-License-Identifier: Apache-2.0
"""Synapses with real (or integer) weights, between populations of a network.

Weights and shapes are laid out as in NIR and PyTorch: a matrix is (targets, sources), images are
(channels, height, width), kernels (out, in / groups, height, width).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Reals: TypeAlias = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Dense:
    """weights[i, j] from source j to target i; kept dense or compressed, by the share of zeros."""

    weights: Reals


@dataclass(frozen=True, slots=True)
class Sparse:
    """Synapse k leads from source[k] to target[k]; `delays_us` add to the projection's own."""

    source: NDArray[np.integer]
    target: NDArray[np.integer]
    weights: Reals
    delays_us: Reals | None = None


@dataclass(frozen=True, slots=True)
class Convolution:
    """weights[out, in / groups, k_h, k_w], as PyTorch's Conv2d: a correlation."""

    weights: Reals
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    """Rows above and columns to the left; below and to the right as far as the target needs."""
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True, slots=True)
class Pool:
    """Every spike of a window counts `weight`; channel by channel. An average has 1 / (h·w)."""

    window: tuple[int, int]
    stride: tuple[int, int] | None = None
    """None: the window."""
    padding: tuple[int, int] = (0, 0)
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Wires:
    """Source j reaches neuron j alone, or target[j] (−1: nobody), with weights or weights[j]."""

    weights: Reals | float = 1.0
    target: NDArray[np.integer] | None = None


@dataclass(frozen=True, slots=True)
class Procedural:
    """Synapses drawn from a seed and never stored (`neurovm.spiking.plan.Procedural`).

    A weight is a whole number low … high (int8) times `scale`.
    """

    seed: int
    fan_out: int
    low: int
    high: int
    scale: float = 1.0
    delay_low_us: float = 0.0
    delay_high_us: float = 0.0


Synapses: TypeAlias = Dense | Sparse | Convolution | Pool | Wires | Procedural


def merged(synapses: Sparse) -> Sparse:
    """One synapse a pair, with the sum of its weights, in the order in which pairs come first.

    Synapses with delays of their own stay as they are.
    """
    if synapses.delays_us is not None:
        return synapses
    pairs = np.stack([np.asarray(synapses.source), np.asarray(synapses.target)])
    unique, first, which = np.unique(pairs, axis=1, return_index=True, return_inverse=True)
    if unique.shape[1] == pairs.shape[1]:
        return synapses
    sums = np.bincount(which.reshape(-1), weights=np.asarray(synapses.weights, np.float64))
    order = np.argsort(first)
    return Sparse(unique[0, order], unique[1, order], sums[order])


def pooled_convolution(convolution: Convolution, pool: Pool) -> Convolution:
    """One convolution that does what summing windows (without overlap) and convolving the sums do.

    Every weight is written once for each place of the window. ValueError for windows that overlap
    or are padded.
    """
    stride = pool.window if pool.stride is None else pool.stride
    if stride != pool.window or pool.padding != (0, 0) or convolution.dilation != (1, 1):
        raise ValueError("only windows side by side, without padding, become part of a kernel")
    h, w = pool.window
    weights = np.array(convolution.weights).repeat(h, axis=2).repeat(w, axis=3)
    return Convolution(
        np.multiply(weights, pool.weight) if pool.weight != 1 else weights,
        (convolution.stride[0] * h, convolution.stride[1] * w),
        (convolution.padding[0] * h, convolution.padding[1] * w),
        groups=convolution.groups,
    )
