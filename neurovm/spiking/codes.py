# SPDX-License-Identifier: Apache-2.0
"""Weights in real units become int8 or int16 codes that share one unit a target population."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from neurovm.errors import ModelError
from neurovm.spiking.synapses import Dense, Pool, Procedural, Sparse, Wires

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from neurovm.spiking.network import Edge

    Reals = NDArray[np.float64]

Weights = Literal["auto", "int8", "int16"]
DENSE_FROM = 0.04
"""Share of synapses from which rows are kept dense while they stay in a core's caches."""
DENSE_BEYOND = 0.15
"""The same for matrices above CACHED bytes."""
CACHED = 16 << 20
WIDE_ROWS = 4 << 20
"""Weights up to which few synapses are kept in dense int16 rows where int8 is not exact."""
_NARROW, _WIDE = 127, 32767


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightError:
    """What became of the weights of one projection.

    `bits` 8 or 16; `unit`: real value of code 1; `max_error` in real units; `snr_db` 10 log10 of
    signal / noise, None where all weights are exact.
    """

    projection: str
    stored: str
    bits: int
    unit: float
    weights: int
    max_error: float
    snr_db: float | None

    @property
    def exact(self) -> bool:
        return self.snr_db is None


def real_weights(edge: Edge) -> Reals:
    """All weights of a projection, in any order."""
    synapses = edge.synapses
    if isinstance(synapses, Procedural):
        return np.array([synapses.low, synapses.high]) * synapses.scale
    found = synapses.weight if isinstance(synapses, Pool) else synapses.weights
    return np.asarray(found, np.float64).reshape(-1)


def exact_unit(weights: Reals) -> float:
    """The largest power of two that all weights are whole multiples of; 1 where all are 0."""
    live = weights[weights != 0]
    if not live.size:
        return 1.0
    mantissa, exponent = np.frexp(np.abs(live))
    digits = (mantissa * 2.0**53).astype(np.int64)
    lowest = np.log2((digits & -digits).astype(np.float64)).astype(np.int64)
    return math.ldexp(1.0, int((exponent + lowest).min()) - 53)


def most_code(edge: Edge, weights: Weights) -> int:
    """The largest code that a projection may have."""
    synapses = edge.synapses
    if isinstance(synapses, (Wires, Pool)) or one_target_each(edge):
        return _WIDE
    large = edge.source.n * edge.target.n > WIDE_ROWS and few(edge)
    narrow = weights == "int8" or large or isinstance(synapses, Procedural) or own_delays(edge)
    return _NARROW if narrow else _WIDE


def own_delays(edge: Edge) -> bool:
    """Whether synapses of a projection differ in their delays."""
    return isinstance(edge.synapses, Sparse) and edge.synapses.delays_us is not None


def few(edge: Edge) -> bool:
    """Whether compressed rows are the faster form, if 8 bits are enough."""
    synapses = edge.synapses
    if isinstance(synapses, Sparse):
        count = np.size(synapses.weights)
    elif isinstance(synapses, Dense):
        count = int(np.count_nonzero(synapses.weights))
    else:
        return False
    size = edge.source.n * edge.target.n
    return count < size * (DENSE_FROM if size <= CACHED else DENSE_BEYOND)


def one_target_each(edge: Edge) -> bool:
    """Whether every source of a matrix or a list of synapses reaches one neuron at most."""
    synapses = edge.synapses
    if isinstance(synapses, Dense):
        return bool((np.count_nonzero(synapses.weights, axis=0) <= 1).all())
    if isinstance(synapses, Sparse) and synapses.delays_us is None:
        source = np.asarray(synapses.source, np.int64)
        return bool((np.bincount(source, minlength=1) <= 1).all())
    return False


def form_of(edge: Edge, unit: float) -> Literal["wires", "compressed", "dense"]:
    """How a matrix or a list of synapses is kept."""
    if one_target_each(edge):
        return "wires"
    narrow = own_delays(edge) or (few(edge) and fits(real_weights(edge), unit, _NARROW))
    return "compressed" if narrow else "dense"


def shared_unit(edges: Sequence[Edge], weights: Weights, where: str) -> float:
    """The real value of code 1 in all projections into one population.

    Exact where a power of two makes all weights whole and small enough; drawn weights bring their
    own.
    """
    drawn = {e.synapses.scale for e in edges if isinstance(e.synapses, Procedural)}
    if len(drawn) > 1:
        raise ModelError(f"{where}: drawn weights in units of {sorted(drawn)}; one unit is needed")
    if drawn:
        return drawn.pop()
    parts = [(real_weights(e), most_code(e, weights)) for e in edges]
    unit = exact_unit(np.concatenate([np.zeros(0), *(part for part, _ in parts)]))
    if all(fits(part, unit, most) for part, most in parts):
        return unit
    largest = (float(np.abs(part).max(initial=0.0)) / most for part, most in parts)
    return max(largest) or 1.0


def fits(part: Reals, unit: float, most: int) -> bool:
    """Whether weights are, to the nearest, codes up to `most`, or −most − 1."""
    low, high = (-most - 1.5) * unit, (most + 0.5) * unit
    return bool(part.size == 0 or (low < part.min() and part.max() < high))


def codes(
    real: NDArray[np.generic], unit: float, most: int, where: str
) -> NDArray[np.int8] | NDArray[np.int16]:
    """Weights in units, to the nearest (halves to even): int8 where that holds all of them."""
    found = np.rint(np.asarray(real, np.float64) / unit)
    if found.size and (found.max() > most or found.min() < -most - 1):
        raise ModelError(
            f"{where}: a weight of {np.abs(found).max():.0f} units; at most {most} are accepted"
        )
    narrow = not found.size or (found.max() <= _NARROW and found.min() >= -_NARROW - 1)
    return found.astype(np.int8) if narrow else found.astype(np.int16)


def weight_error(edge: Edge, made: NDArray[np.generic], unit: float, stored: str) -> WeightError:
    """The report of one projection; `made` are the codes in the order of `real_weights`."""
    real = real_weights(edge)
    noise = real - made.reshape(-1).astype(np.float64) * unit
    # What float64 cannot tell from the weight itself is no noise.
    noise[np.abs(noise) <= 2.0**-50 * np.abs(real)] = 0.0
    power = float((noise * noise).sum())
    signal = float((real * real).sum())
    return WeightError(
        projection=f"{edge.source.name} → {edge.target.name}",
        stored=stored,
        bits=8 * made.dtype.itemsize,
        unit=unit,
        weights=int(made.size),
        max_error=float(np.abs(noise).max(initial=0.0)),
        snr_db=round(10 * math.log10(signal / power), 1) if power else None,
    )
