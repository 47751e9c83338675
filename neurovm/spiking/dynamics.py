# SPDX-License-Identifier: Apache-2.0
"""What a neuron in real units does in one tick: factors, not time constants.

    i ← λ_i·i + g·(Σ w S + b_i)        only with a current of its own
    v ← λ_v·v + c·i + b,   or          λ_v·v + g·Σ w S + b

All numbers count from v_leak where that is one number for the whole population: then a neuron at
rest is at 0, and nothing has to be done for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from neurovm.errors import ModelError
from neurovm.spiking.neurons import (
    IF,
    LIF,
    CubaLI,
    CubaLIF,
    Decay,
    FiresAt,
    I,
    Reset,
    Spikes,
    Threshold,
)
from neurovm.spiking.shapes import is_number, whole_ticks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.spiking.network import Node
    from neurovm.spiking.neurons import LI, Values
    from neurovm.spiking.plan import Fire

    Reals = NDArray[np.float64]

MAX_REFRACTORY = 65535
"""Ticks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """When a neuron fires and what then; arrays of 1 or n entries."""

    theta: Reals
    reset_to: Reals
    """The value, or what is subtracted."""
    fire: Fire = "one"
    subtract: bool = False
    strict: bool = True
    """Fires above theta; False: at it, too."""
    refractory: int = 0
    v_min: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """The current of a neuron that has one."""

    leak: Reals
    coupling: Reals
    bias: Reals


@dataclass(frozen=True, slots=True, kw_only=True)
class Dynamics:
    """One tick of a population; arrays of 1 or n entries, images with the channel last."""

    leak: Reals
    gain: Reals
    bias: Reals
    initial: Reals
    firing: Firing
    current: Current | None = None
    offset: float = 0.0
    """What v counts from."""


def values(node: Node, found: Values, name: str, where: str) -> Reals:
    """A parameter as 1 or n numbers in the order of the neurons; ModelError names it."""
    array = np.asarray(found)
    if array.dtype.kind not in "fiub" or not array.size or not np.isfinite(array).all():
        raise ModelError(f"{where}: {name} is {found!r}; finite numbers are accepted")
    real = array.astype(np.float64)
    if (real == real.flat[0]).all():
        return real.reshape(-1)[:1]
    if real.shape not in (node.shape, (node.n,)):
        raise ModelError(
            f"{where}: {name} has shape {real.shape}; one number, or {node.shape}, is accepted"
        )
    real = real.reshape(node.shape)
    return (real.transpose(1, 2, 0) if node.hwc else real).reshape(-1)


def decay_of(
    tau_us: Reals, dt_us: float, name: str, where: str, *, euler: bool
) -> tuple[Reals, Reals]:
    """λ and κ of a time constant; ModelError where a tick is too long for it."""
    if tau_us.min() <= 0:
        raise ModelError(f"{where}: {name} is {tau_us.min()}; more than 0 is accepted")
    if not euler:
        return np.exp(-dt_us / tau_us), -np.expm1(-dt_us / tau_us)
    if tau_us.min() < dt_us:
        raise ModelError(
            f"{where}: {name} of {tau_us.min()} µs is shorter than a tick of {dt_us} µs; a shorter "
            f"tick or decay='exponential' is needed"
        )
    return 1 - dt_us / tau_us, dt_us / tau_us


def dynamics(node: Node, dt_us: float, where: str) -> Dynamics:
    """The tick of a population of IF, I, LIF, LI, CubaLIF, CubaLI or Threshold neurons.

    Raises ModelError where a parameter is no number or has no meaning.
    """
    where = f"{where}: {node.name!r}"
    neuron = node.neuron
    if isinstance(neuron, Threshold):
        return Dynamics(
            leak=np.zeros(1),
            gain=np.ones(1),
            bias=values(node, neuron.bias, "bias", where),
            initial=np.zeros(1),
            firing=Firing(
                theta=values(node, neuron.v_threshold, "v_threshold", where),
                reset_to=np.zeros(1),
                strict=_one_of(neuron.fires_at, FiresAt, "fires_at", where) == ">",
            ),
        )
    if isinstance(neuron, (IF, I)):
        return _integrator(node, neuron, dt_us, where)
    if isinstance(neuron, (CubaLIF, CubaLI)):
        return _with_current(node, neuron, dt_us, where)
    return _leaky(node, neuron, dt_us, where)  # type: ignore[arg-type] # those that are left


def _integrator(node: Node, neuron: IF | I, dt_us: float, where: str) -> Dynamics:
    r = values(node, neuron.r, "r", where)
    return Dynamics(
        leak=np.ones(1),
        gain=r,
        bias=r * values(node, neuron.bias, "bias", where),
        initial=values(node, neuron.v_initial, "v_initial", where),
        firing=_firing(node, neuron, dt_us, 0.0, where),
    )


def _leaky(node: Node, neuron: LIF | LI, dt_us: float, where: str) -> Dynamics:
    tau_us = values(node, neuron.tau_us, "tau_us", where)
    euler = _one_of(neuron.decay, Decay, "decay", where) == "euler"
    leak, kept = decay_of(tau_us, dt_us, "tau_us", where, euler=euler)
    gain = kept * values(node, neuron.r, "r", where)
    offset, pull, initial = _rest(node, neuron, kept, where)
    return Dynamics(
        leak=leak,
        gain=gain,
        bias=gain * values(node, neuron.bias, "bias", where) + pull,
        initial=initial,
        firing=_firing(node, neuron, dt_us, offset, where),
        offset=offset,
    )


def _with_current(node: Node, neuron: CubaLIF | CubaLI, dt_us: float, where: str) -> Dynamics:
    euler = _one_of(neuron.decay, Decay, "decay", where) == "euler"
    tau_syn_us = values(node, neuron.tau_syn_us, "tau_syn_us", where)
    tau_mem_us = values(node, neuron.tau_mem_us, "tau_mem_us", where)
    leak_current, kept_current = decay_of(tau_syn_us, dt_us, "tau_syn_us", where, euler=euler)
    leak, kept = decay_of(tau_mem_us, dt_us, "tau_mem_us", where, euler=euler)
    offset, pull, initial = _rest(node, neuron, kept, where)
    return Dynamics(
        leak=leak,
        gain=kept_current * values(node, neuron.w_in, "w_in", where),
        bias=pull,
        current=Current(
            leak=leak_current,
            coupling=kept * values(node, neuron.r, "r", where),
            bias=values(node, neuron.bias, "bias", where),
        ),
        initial=initial,
        firing=_firing(node, neuron, dt_us, offset, where),
        offset=offset,
    )


def _rest(
    node: Node, neuron: LIF | LI | CubaLIF | CubaLI, kept: Reals, where: str
) -> tuple[float, Reals, Reals]:
    """What v counts from, what pulls it each tick, and where it begins."""
    rest = values(node, neuron.v_leak, "v_leak", where)
    shared = rest.size == 1
    offset = float(rest[0]) if shared else 0.0
    start = neuron.v_initial
    initial = rest if start is None else values(node, start, "v_initial", where)
    return offset, np.zeros(1) if shared else kept * rest, initial - offset


def _firing(
    node: Node,
    neuron: IF | I | LIF | LI | CubaLIF | CubaLI,
    dt_us: float,
    offset: float,
    where: str,
) -> Firing:
    """When it fires and what then; `offset`: what v counts from."""
    if not isinstance(neuron, (IF, LIF, CubaLIF)):
        return Firing(fire="none", theta=np.zeros(1), reset_to=np.zeros(1))
    reset = _one_of(neuron.reset, Reset, "reset", where)
    many = _one_of(neuron.spikes, Spikes, "spikes", where) == "many"
    theta = values(node, neuron.v_threshold, "v_threshold", where)
    if many and (reset != "subtract" or theta.min() <= 0):
        raise ModelError(
            f"{where}: several spikes a tick need reset='subtract' and thresholds above 0"
        )
    subtracted = theta
    if neuron.v_subtract is not None:
        subtracted = values(node, neuron.v_subtract, "v_subtract", where)
        if many or subtracted.min() < 0:
            raise ModelError(
                f"{where}: v_subtract of {subtracted.min()}; 0 and more, and one spike a tick, are "
                f"accepted"
            )
    v_min = neuron.v_min
    if v_min is not None and not (is_number(v_min) and v_min - offset <= 0):
        accepted = f"one number, at most {offset} (rest),"
        raise ModelError(f"{where}: v_min is {v_min!r:.60}; {accepted} is accepted")
    refractory = whole_ticks(neuron.refractory_us, dt_us, f"{where}: a refractory period")
    if refractory > MAX_REFRACTORY:
        raise ModelError(f"{where}: refractory for {refractory} ticks; at most {MAX_REFRACTORY}")
    target = {
        "subtract": subtracted,
        "zero": np.zeros(1) - offset,
        "value": values(node, neuron.v_reset, "v_reset", where) - offset,
    }[reset]
    return Firing(
        fire="many" if many else "one",
        theta=theta - offset,
        reset_to=target,
        subtract=reset == "subtract",
        strict=_one_of(neuron.fires_at, FiresAt, "fires_at", where) == ">",
        refractory=refractory,
        v_min=None if v_min is None else v_min - offset,
    )


def _one_of(found: str, accepted: object, name: str, where: str) -> str:
    """The word itself; ModelError where it is none of a Literal's."""
    words = get_args(accepted)
    if found not in words:
        raise ModelError(f"{where}: {name} is {found!r}; accepted: {', '.join(map(repr, words))}")
    return found
