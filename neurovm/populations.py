# SPDX-License-Identifier: Apache-2.0
"""What the manifest of a spiking network says beside what every manifest says."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

Numerics = Literal["native", "loihi", "speck", "truenorth"]

MOST_GOLDEN_SYNAPSES = 2_000_000
"""Synapses of a network that has golden trains: the oracle writes each one out, and a bundle cannot
make loading it take longer than that.
"""


class PopulationInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Neurons of one kind, in the order in which a tick steps them.

    `kind` is the kernel's; `neuron` what it was called before. `shape` is that of the neurons as
    they are numbered: an image is (height, width, channels), the input of one (channels, height,
    width). Real potential = `scale` · v + `offset`. `threshold`: the least integer v that fires, of
    the first neuron; `headroom_bits`: above it and above one tick's full drive, up to where v
    saturates; `bounded`: v cannot get there, however the sources fire.
    """

    name: str
    kind: Literal["input", "lif", "cuba", "loihi", "truenorth"]
    neuron: str
    shape: tuple[int, ...]
    output: bool
    fires: bool
    scale: float
    offset: float
    threshold: int | None = None
    headroom_bits: float | None = None
    bounded: bool = True

    @property
    def size(self) -> int:
        """Neurons."""
        return math.prod(self.shape)


class ProjectionInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Synapses from one population to another, by index, `delay` ticks late.

    `stored` as the kernel has its `weights` (their number), `bits` of one, `unit` its real value of
    1; `max_error` in real units and `snr_db` (None: exact) of all.
    """

    source: int
    target: int
    stored: str
    weights: int
    delay: int
    bits: int
    unit: float
    max_error: float
    snr_db: float | None


class SpikingInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network in time: ticks of `dt_us` microseconds.

    Its golden vectors are spike trains of `golden_ticks` ticks: counts of every input tick by tick,
    and of every output, followed by the outputs' potentials (int32, little-endian).
    """

    dt_us: float
    numerics: Numerics
    populations: tuple[PopulationInfo, ...]
    projections: tuple[ProjectionInfo, ...]
    golden_ticks: int

    @property
    def n_in(self) -> int:
        return sum(p.size for p in self.populations if p.kind == "input")

    @property
    def n_out(self) -> int:
        return sum(p.size for p in self.populations if p.output)

    def fault(self) -> str | None:
        """What cannot be true of it; None where nothing is."""
        if not (0 < self.dt_us < math.inf and 0 <= self.golden_ticks <= 1 << 20):
            return f"a tick of {self.dt_us} µs, {self.golden_ticks} golden ticks"
        for p in self.populations:
            real = 0 < p.scale < math.inf and math.isfinite(p.offset)
            if min(p.shape, default=0) < 1 or not real or (p.output and p.kind == "input"):
                return f"population {p.name!r} of shape {p.shape}, scale {p.scale} + {p.offset}"
        count = len(self.populations)
        for e in self.projections:
            if not (0 <= e.source < count and 0 <= e.target < count):
                return f"a projection from population {e.source} to {e.target} of {count}"
        return None
