# SPDX-License-Identifier: Apache-2.0
"""Plan: a spiking network in integers, exactly as the kernel runs it.

Time is a count of ticks of `dt_us` microseconds. In every tick the populations are stepped in
their order; a population's drive is the sum, modulo 2^32, over its projections

    a_i = Σ w_ij s_j(t − delay)

where s_j is the number of spikes neuron j sent in that tick. A projection without delay therefore
leads to a later population; a cycle needs a delay of at least one tick.

**When a group is stepped.** The neurons of a population are divided into groups of `group`
neurons, each group with one time stamp. In a tick, a group is stepped if it is reached by a spike
(whatever its weight), or if it is awake; otherwise nothing of it is touched. When it is stepped
after Δ ticks, what leaks has leaked for Δ of them, rounded once:

    D(x, λ, Δ) = (x · λ_Δ + 2^30) >> 31,   64-bit product, arithmetic shift
    λ_Δ = Q0.31 product, in ascending k, of leak[k] over the bits k set in Δ,
          each product rounded the same way: (p · leak[k] + 2^30) >> 31; Δ ≥ 2^32 − 1 counts as that

so that running in steps and running by time stamps hold the same bits. The initial state is that
of tick −1. A group is awake after a tick, and is stepped in the next, if one of its neurons would
do more than leak by itself: its bias is not 0, its current is not 0, it fires and max(v, 0) ≥
theta, or it is refractory in the next tick while v is not 0. Currents leak towards 0 and reach it:

    C(x, λ, Δ) = (x · λ_Δ + (x < 0 ? 2^31 − 1 : 0)) >> 31

The potentials that an answer or a picture shows are those of every group leaked to the last tick,
D(v, λ, Δ), which changes neither the group nor its time stamp.

`loihi` and `truenorth` groups (always the whole population) are awake while any state, bias or
leak is not 0; they know Δ = 1 alone: asleep, all of their state is 0.

**Kinds**, sat() saturates at the int32 limits, each line one rounding:

    lif        v ← sat(D(v, λ, Δ) + a·gain + b)                        IF: λ = 1 (2^31)
    cuba       i ← sat(C(i, λ_syn, Δ) + a·gain)
               v ← sat(D(v, λ, Δ) + ((i·coupling + 2^30) >> 31) + b)   with the new i
    both       v ← max(v, v_min), then fires where v ≥ theta:
      fire none   never: a readout, whose answer is v
      fire one    s = 1; v ← reset_to, or v ← sat(v − reset_to) where reset is subtract
      fire many   (subtract only, reset_to ≥ 1) s = min(1 + (v − theta) / reset_to, 127),
                  v ← sat(v − s·reset_to)
               a refractory neuron (for `refractory` ticks after the one it fired in) holds
               v at what the reset left, ignores drive and bias, and does not fire; its current
               goes on

    loihi      a' = a << weight_exponent, or a >> −weight_exponent where that is negative
               u ← T(u · (4095 − current_decay)) + (a' << 6), taken modulo 2^24 into (−2^23, 2^23]
               v ← clip(T(v · (4096 − voltage_decay)) + u + bias, ±(2^23 − 1)), T: / 4096 towards 0
               v > threshold << 6: s = 1; v ← 0
    truenorth  v ← v + a + leak, saturated at 20 bits (−2^19 … 2^19 − 1)
               v ≥ threshold: s = 1; by reset_mode  0: v ← reset_to  1: v ← v − threshold  2: v
               else v < negative_threshold: floor_mode 1: v ← negative_threshold; floor_mode 0, by
               reset_mode  0: v ← −reset_to  1: v ← v − negative_threshold  2: v

Spikes that come from outside are counted 0 … 127 a neuron and tick.

Sources: Davies et al., Loihi: a neuromorphic manycore processor with on-chip learning, IEEE Micro
38 (2018) 82; Cassidy et al., Cognitive computing building block: a versatile and efficient digital
neuron model for neurosynaptic cores, IJCNN 2013; PyNN for population and projection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["input", "lif", "cuba", "loihi", "truenorth"]
Fire = Literal["none", "one", "many"]
Reset = Literal["value", "subtract"]

LEAK_POWERS = 32
"""Entries of a leak: entry k is λ^(2^k) in Q0.31, 0 … 2^31."""


@dataclass(frozen=True, slots=True)
class Neurons:
    """The parameters of a `lif` or `cuba` population; arrays of 1 (shared) or n entries."""

    theta: NDArray[np.int32]
    reset_to: NDArray[np.int32]
    leak: NDArray[np.uint32]
    """(32, 1) or (32, n): see LEAK_POWERS."""
    gain: NDArray[np.int32]
    bias: NDArray[np.int32]
    initial: NDArray[np.int32]
    """v before the first tick."""
    leak_current: NDArray[np.uint32] | None = None
    """cuba only, as `leak`."""
    coupling: NDArray[np.int32] | None = None
    """cuba only: Q0.31, −2^31 … 2^31 − 1."""
    fire: Fire = "one"
    reset: Reset = "value"
    refractory: int = 0
    """Ticks, 0 … 65535."""
    v_min: int = -(1 << 31)
    """At most 0."""


@dataclass(frozen=True, slots=True)
class LoihiNeurons:
    """Registers of Loihi's CUBA LIF: integers as the chip takes them."""

    current_decay: NDArray[np.int32]
    """du, 0 … 4095 (1 or n entries, as below)."""
    voltage_decay: NDArray[np.int32]
    """dv, 0 … 4095."""
    threshold: NDArray[np.int32]
    """vth mantissa, 0 … 2^17 − 1."""
    bias: NDArray[np.int32]
    """mantissa << exponent."""
    weight_exponent: int = 0
    """−8 … 7, of the sum of the weights."""


@dataclass(frozen=True, slots=True)
class TrueNorthNeurons:
    """Parameters of TrueNorth's deterministic neuron; (n,) each."""

    leak: NDArray[np.int32]
    threshold: NDArray[np.int32]
    """α ≥ 1."""
    negative_threshold: NDArray[np.int32]
    """−β ≤ 0."""
    reset_to: NDArray[np.int32]
    reset_mode: int
    """What happens at α: 0, 1 or 2 (γ)."""
    floor_mode: int
    """What happens below −β: 0 or 1 (κ)."""


@dataclass(frozen=True, slots=True)
class Population:
    """n neurons of one kind. `group` divides n."""

    name: str
    n: int
    kind: Kind
    neurons: Neurons | LoihiNeurons | TrueNorthNeurons | None = None
    """None for inputs."""
    group: int = 0
    """Neurons that share a time stamp; 0: all of them."""
    is_output: bool = False
    scale: float = 1.0
    """Real value of one unit of v; what readouts and plots are shown in: scale · v + offset."""
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Dense:
    """weights[j, i] of source j and target i; int8 or int16."""

    weights: NDArray[np.int8] | NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Sparse:
    """Compressed rows: the synapses of source j are entries row[j] … row[j + 1].

    `target` ascends within a row (within one delay of a row, if there are delays); the kernel
    stores gaps in u16. `delays` (u16 ticks, one an entry) adds to the projection's own.
    """

    row: NDArray[np.uint64]
    target: NDArray[np.uint32]
    weight: NDArray[np.int8]
    delays: NDArray[np.uint16] | None = None


@dataclass(frozen=True, slots=True)
class Convolution:
    """Correlation with shared kernels: HWC on both sides.

    weights[k_h, k_w, in_c / groups, out_c]; output (y, x) reads row y·stride − pad + i·dilation.
    `transposed_input`: the source counts its neurons as CHW.
    """

    weights: NDArray[np.int8] | NDArray[np.int16]
    source_shape: tuple[int, int, int]
    target_shape: tuple[int, int, int]
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    """Top, left."""
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    transposed_input: bool = False


@dataclass(frozen=True, slots=True)
class SumPool:
    """Every spike of a window counts `weight`; HWC, channel by channel."""

    source_shape: tuple[int, int, int]
    target_shape: tuple[int, int, int]
    window: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int] = (0, 0)
    weight: int = 1
    transposed_input: bool = False


@dataclass(frozen=True, slots=True)
class Wires:
    """Source j reaches target[j] alone, with weight[j] (int16, 1 or n entries); −1: nobody."""

    target: NDArray[np.int32]
    weight: NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Procedural:
    """Synapses that are computed, not stored: `fan_out` a source neuron, drawn from the seed.

    With h(x) the finalizer of SplitMix64 (x ^= x >> 30, × 0xBF58476D1CE4E5B9, x ^= x >> 27,
    × 0x94D049BB133111EB, x ^= x >> 31) synapse k of source j draws u = h(seed + (j·fan_out + k + 1)
    · 0x9E3779B97F4A7C15); its target is (low 32 bits · n) >> 32, its weight `low` + (((u >> 32)
    mod 2^16) · (high − low + 1) >> 16), its delay `delay_low` + ((u >> 48) · (delay_high −
    delay_low + 1) >> 16), all int; targets may repeat.
    Source: Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.
    """

    seed: int
    fan_out: int
    low: int
    high: int
    delay_low: int = 0
    delay_high: int = 0


Synapses = Dense | Sparse | Convolution | SumPool | Wires | Procedural


@dataclass(frozen=True, slots=True)
class Projection:
    """Synapses from one population (by index) to another, all `delay` ticks late."""

    source: int
    target: int
    synapses: Synapses
    delay: int = 0
    """Ticks, 0 … 65535."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A network; populations in the order in which a tick steps them."""

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    dt_us: float
    """Microseconds of a tick, > 0, finite."""
