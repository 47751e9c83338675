# SPDX-License-Identifier: Apache-2.0
"""Neurons in real units, as a user or a file describes them.

A parameter is one number, or an array of the population's shape. S_j is the number of spikes that
source j sent in the tick, I = Σ_j w_j S_j + bias. `decay` is how a time constant becomes a factor
for one tick of dt:

    euler        λ = 1 − dt / τ,     κ = dt / τ      (what NIR's files and its users mean)
    exponential  λ = exp(−dt / τ),   κ = 1 − λ       (the exact solution; any τ > 0)

A neuron fires where v > v_threshold, or ≥ with `fires_at=">="`. Then v ← v_reset (`value`), 0
(`zero`) or v − v_subtract (`subtract`); with `spikes="many"` as often as the threshold is in it,
at most 127 times. For `refractory_us` after the tick it fired in, v stays and no spike leaves.

The last three are chips' neurons and take integers, weights included: what they do is exact.

Source of the names: Pedersen et al., Neuromorphic intermediate representation, Nature
Communications 15 (2024) 8122.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values: TypeAlias = "float | Sequence[float] | NDArray[np.generic]"

FiresAt = Literal[">", ">="]
Reset = Literal["zero", "value", "subtract"]
Spikes = Literal["one", "many"]
Decay = Literal["euler", "exponential"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IF:
    """v ← v + r·I a tick."""

    r: Values = 1.0
    v_threshold: Values = 1.0
    v_reset: Values = 0.0
    v_subtract: Values | None = None
    """What `subtract` takes away, 0 and more; None: v_threshold, as it is with `spikes="many"`."""
    v_initial: Values = 0.0
    bias: Values = 0.0
    fires_at: FiresAt = ">"
    reset: Reset = "value"
    spikes: Spikes = "one"
    refractory_us: float = 0.0
    v_min: float | None = None
    """v is never below it; at most 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class I:  # noqa: E742 - NIR's name of it
    """IF that never fires: a readout, whose answer is v."""

    r: Values = 1.0
    v_initial: Values = 0.0
    bias: Values = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LIF:
    """τ dv/dt = (v_leak − v) + r·I:  v ← λ·v + κ·(v_leak + r·I) a tick."""

    tau_us: Values
    r: Values = 1.0
    v_leak: Values = 0.0
    v_threshold: Values = 1.0
    v_reset: Values = 0.0
    v_subtract: Values | None = None
    """What `subtract` takes away, 0 and more; None: v_threshold, as it is with `spikes="many"`."""
    v_initial: Values | None = None
    """None: v_leak."""
    bias: Values = 0.0
    fires_at: FiresAt = ">"
    reset: Reset = "value"
    spikes: Spikes = "one"
    refractory_us: float = 0.0
    v_min: float | None = None
    decay: Decay = "euler"


@dataclass(frozen=True, slots=True, kw_only=True)
class LI:
    """LIF that never fires: a readout, whose answer is v."""

    tau_us: Values
    r: Values = 1.0
    v_leak: Values = 0.0
    v_initial: Values | None = None
    bias: Values = 0.0
    decay: Decay = "euler"


@dataclass(frozen=True, slots=True, kw_only=True)
class CubaLIF:
    """A current with a time constant of its own, then LIF:

    τ_syn di/dt = −i + w_in·I:          i ← λ_syn·i + κ_syn·w_in·I
    τ_mem dv/dt = (v_leak − v) + r·i:   v ← λ_mem·v + κ_mem·(v_leak + r·i), with the new i
    """

    tau_syn_us: Values
    tau_mem_us: Values
    r: Values = 1.0
    w_in: Values = 1.0
    v_leak: Values = 0.0
    v_threshold: Values = 1.0
    v_reset: Values = 0.0
    v_subtract: Values | None = None
    """What `subtract` takes away, 0 and more; None: v_threshold, as it is with `spikes="many"`."""
    v_initial: Values | None = None
    bias: Values = 0.0
    """Of the current: it is added to the weights' sum."""
    fires_at: FiresAt = ">"
    reset: Reset = "value"
    spikes: Spikes = "one"
    refractory_us: float = 0.0
    v_min: float | None = None
    decay: Decay = "euler"


@dataclass(frozen=True, slots=True, kw_only=True)
class CubaLI:
    """CubaLIF that never fires: a readout, whose answer is v."""

    tau_syn_us: Values
    tau_mem_us: Values
    r: Values = 1.0
    w_in: Values = 1.0
    v_leak: Values = 0.0
    v_initial: Values | None = None
    bias: Values = 0.0
    decay: Decay = "euler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Fires where I is above the threshold in this very tick; nothing is remembered."""

    v_threshold: Values = 1.0
    bias: Values = 0.0
    fires_at: FiresAt = ">"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoihiCuba:
    """Loihi's fixed-point CUBA LIF, in the chip's registers (`neurovm.spiking.plan`).

    Weights are integers and stored as the chip would: clipped to the range of `sign_mode` and
    truncated to `num_weight_bits`. A projection into it arrives one tick later at the earliest.
    """

    current_decay: Values
    """du, 0 … 4095."""
    voltage_decay: Values
    """dv, 0 … 4095."""
    threshold: Values
    """vth mantissa, 0 … 2^17 − 1; it fires above vth · 64."""
    bias_mantissa: Values = 0
    """−4096 … 4095."""
    bias_exponent: int = 0
    """−7 … 7."""
    weight_exponent: int = 0
    """−8 … 7."""
    num_weight_bits: int = 8
    sign_mode: Literal["mixed", "excitatory", "inhibitory"] = "mixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeckIF:
    """Speck's neuron: v ← v + bias + Σ w S; z = max(v // threshold, 0) spikes; v ← v − z·threshold,
    at least v_min. Weights and biases are int8, v has 16 bits.
    """

    threshold: int
    """1 … 32767."""
    v_min: int
    """−32768 … 0."""
    bias: Values = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueNorth:
    """TrueNorth's deterministic neuron (`neurovm.spiking.plan`); weights −255 … 255."""

    leak: Values
    threshold: Values
    """α ≥ 1."""
    negative_threshold: Values
    """−β ≤ 0."""
    reset_to: Values = 0
    reset_mode: int = 0
    floor_mode: int = 0


Neuron: TypeAlias = (
    IF | I | LIF | LI | CubaLIF | CubaLI | Threshold | LoihiCuba | SpeckIF | TrueNorth
)
CHIPS: dict[type, str] = {LoihiCuba: "loihi", SpeckIF: "speck", TrueNorth: "truenorth"}
"""Neurons of a chip, whose numerics a network with them has."""
