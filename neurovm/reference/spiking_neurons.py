# SPDX-License-Identifier: Apache-2.0
"""How the oracle steps each kind of neuron; the equations are those of `neurovm.spiking.plan`.

The chips' models:

* `loihi`: Davies et al., Loihi: a neuromorphic manycore processor with on-chip learning, IEEE Micro
  38 (2018) 82, in the fixed-point form of Intel's public bit-accurate simulator.
* `truenorth`: Cassidy et al., Cognitive computing building block: a versatile and efficient digital
  neuron model for neurosynaptic cores, IJCNN 2013, equations 1 to 11 without their stochastic terms
  and with a leak that does not depend on the sign of V. The paper gives 20-bit potentials but not
  what happens beyond them: they saturate here, which no published vector proves.
* Speck's integrate-and-fire neuron is `lif` without leak, `fire many` and `v_min`. The chip keeps
  16 bits of state; this one 32, so that both agree as long as no potential leaves 16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.spiking.plan import LEAK_POWERS, LoihiNeurons, TrueNorthNeurons

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.spiking.plan import Neurons, Population

    Ints = NDArray[np.int64]

_LOW, _HIGH = -(1 << 31), (1 << 31) - 1
_HALF = 1 << 30
MOST_SPIKES = 127
"""Spikes that one neuron can send in a tick."""


def saturated(x: Ints) -> Ints:
    """x within the int32 limits."""
    limited: Ints = np.clip(x, _LOW, _HIGH)
    return limited


def leak_over(leak: NDArray[np.uint32], ticks: int) -> Ints:
    """λ_Δ (Q0.31) of a (32, 1 or n) leak after `ticks`."""
    ticks = min(ticks, (1 << 32) - 1)
    product = np.full(leak.shape[1], 1 << 31, np.int64)
    for k in range(LEAK_POWERS):
        if ticks >> k & 1:
            product = (product * leak[k].astype(np.int64) + _HALF) >> 31
    return product


def decayed(x: Ints, factor: Ints) -> Ints:
    """D of the plan: rounded to the nearest, halves up."""
    return (x * factor + _HALF) >> 31


def decayed_to_zero(x: Ints, factor: Ints) -> Ints:
    """C of the plan: rounded towards 0."""
    up: Ints = np.where(x < 0, _HIGH, 0)
    return (x * factor + up) >> 31


class State:
    """The state of one population that is stepped."""

    def __init__(self, population: Population) -> None:
        self.n = population.n
        self.v: Ints = np.zeros(self.n, np.int64)
        self.current: Ints = np.zeros(self.n, np.int64)

    def step(self, tick: int, drive: Ints, reached: NDArray[np.bool_]) -> Ints:
        """The spikes of one tick."""
        raise NotImplementedError  # each kind of neuron has its own

    def potentials(self, tick: int) -> Ints:  # noqa: ARG002 - what leaks by itself needs the tick
        """v of every neuron, leaked to `tick`."""
        shown: Ints = self.v.copy()
        return shown

    def awake(self) -> bool:
        """Whether the next tick is to be stepped though no spike reaches it."""
        return True


class _FixedPoint(State):
    """`lif` and `cuba`."""

    def __init__(self, population: Population, parameters: Neurons) -> None:
        super().__init__(population)
        group = population.group or self.n
        self.p = parameters
        self.v[:] = parameters.initial
        self.refractory: Ints = np.zeros(self.n, np.int64)
        """Ticks it will still be refractory, counted from the group's stamp."""
        self.theta = self._all(parameters.theta)
        self.reset_to = self._all(parameters.reset_to)
        self.gain = self._all(parameters.gain)
        self.bias = self._all(parameters.bias)
        self._factors: dict[int, dict[int, Ints]] = {}
        """λ_Δ of each leak by Δ, once it was needed."""
        self.groups = [slice(at, at + group) for at in range(0, self.n, group)]
        self.stamp = [-1] * len(self.groups)

    def step(self, tick: int, drive: Ints, reached: NDArray[np.bool_]) -> Ints:
        spikes: Ints = np.zeros(self.n, np.int64)
        for g, at in enumerate(self.groups):
            if reached[at].any() or self._awake(at):
                spikes[at] = self._stepped(at, tick - self.stamp[g], drive[at])
                self.stamp[g] = tick
        return spikes

    def potentials(self, tick: int) -> Ints:
        shown = np.empty_like(self.v)
        for stamp, at in zip(self.stamp, self.groups, strict=True):
            shown[at] = decayed(self.v[at], self._leak(self.p.leak, at, tick - stamp))
        return shown

    def awake(self) -> bool:
        return any(self._awake(at) for at in self.groups)

    def _all(self, values: NDArray[np.int32]) -> Ints:
        """A parameter of 1 or n entries, for every neuron."""
        entries: Ints = np.broadcast_to(values.astype(np.int64), self.n)
        return entries

    def _leak(self, leak: NDArray[np.uint32], at: slice, ticks: int) -> Ints:
        known = self._factors.setdefault(id(leak), {})
        if ticks not in known:
            known[ticks] = np.broadcast_to(leak_over(leak, ticks), self.n)
        return known[ticks][at]

    def _awake(self, at: slice) -> bool:
        moves = (self.bias[at] != 0) | (self.current[at] != 0)
        if self.p.fire != "none":
            moves |= np.maximum(self.v[at], 0) >= self.theta[at]
        moves |= (self.refractory[at] > 0) & (self.v[at] != 0)
        return bool(moves.any())

    def _stepped(self, at: slice, ticks: int, drive: Ints) -> Ints:
        """The spikes of one group, stepped `ticks` after the time before."""
        p = self.p
        held = self.refractory[at] >= ticks
        came = drive * self.gain[at]
        if p.leak_current is not None and p.coupling is not None:
            factor = self._leak(p.leak_current, at, ticks)
            self.current[at] = saturated(decayed_to_zero(self.current[at], factor) + came)
            came = (self.current[at] * self._all(p.coupling)[at] + _HALF) >> 31
        leaked = decayed(self.v[at], self._leak(p.leak, at, ticks))
        v = np.maximum(saturated(leaked + came + self.bias[at]), p.v_min)
        spikes, after = _fired(p, v, self.theta[at], self.reset_to[at])
        spikes = np.where(held, 0, spikes)
        self.v[at] = np.where(held, self.v[at], after)
        rest = np.maximum(self.refractory[at] - ticks, 0)
        self.refractory[at] = np.where(spikes > 0, p.refractory, rest)
        return spikes


class _Loihi(State):
    def __init__(self, population: Population, parameters: LoihiNeurons) -> None:
        super().__init__(population)
        self.p = parameters

    def step(self, tick: int, drive: Ints, reached: NDArray[np.bool_]) -> Ints:  # noqa: ARG002 - it is stepped always
        p, exponent = self.p, self.p.weight_exponent
        scaled = drive << exponent if exponent > 0 else drive >> -exponent
        u = _shortened(self.current * (4095 - p.current_decay.astype(np.int64)))
        u = u + (scaled << 6)
        self.current = (u + (1 << 23) - 1) % (1 << 24) - (1 << 23) + 1
        v = _shortened(self.v * (4096 - p.voltage_decay.astype(np.int64)))
        limit = (1 << 23) - 1
        v = np.clip(v + self.current + p.bias.astype(np.int64), -limit, limit)
        fires = v > p.threshold.astype(np.int64) << 6
        self.v = np.where(fires, 0, v)
        return _counts(fires)


class _TrueNorth(State):
    def __init__(self, population: Population, parameters: TrueNorthNeurons) -> None:
        super().__init__(population)
        self.p = parameters

    def step(self, tick: int, drive: Ints, reached: NDArray[np.bool_]) -> Ints:  # noqa: ARG002 - it is stepped always
        p, limit = self.p, 1 << 19
        v = np.clip(self.v + drive + p.leak.astype(np.int64), -limit, limit - 1)
        threshold, floor = p.threshold.astype(np.int64), p.negative_threshold.astype(np.int64)
        reset = p.reset_to.astype(np.int64)
        fires = v >= threshold
        sinks = ~fires & (v < floor)
        above = (reset, v - threshold, v)[p.reset_mode]
        below = floor if p.floor_mode else (-reset, v - floor, v)[p.reset_mode]
        self.v = np.where(fires, above, np.where(sinks, below, v))
        return _counts(fires)


def state_of(population: Population) -> State | None:
    """The state of a population at the start; None for inputs."""
    parameters = population.neurons
    if parameters is None:
        return None
    if isinstance(parameters, LoihiNeurons):
        return _Loihi(population, parameters)
    if isinstance(parameters, TrueNorthNeurons):
        return _TrueNorth(population, parameters)
    return _FixedPoint(population, parameters)


def _shortened(x: Ints) -> Ints:
    """x / 4096 towards 0."""
    short: Ints = np.sign(x) * (np.abs(x) >> 12)
    return short


def _counts(fires: NDArray[np.bool_]) -> Ints:
    return fires.astype(np.int64)


def _fired(p: Neurons, v: Ints, theta: Ints, reset_to: Ints) -> tuple[Ints, Ints]:
    """Spikes, and v after the reset."""
    fires = v >= theta
    if p.fire == "none":
        return np.zeros_like(v), v
    if p.fire == "many":
        count = np.minimum(1 + (v - theta) // reset_to, MOST_SPIKES)
        spikes: Ints = np.where(fires, count, 0)
        return spikes, saturated(v - spikes * reset_to)
    left = saturated(v - reset_to) if p.reset == "subtract" else reset_to
    return _counts(fires), np.where(fires, left, v)
