# SPDX-License-Identifier: Apache-2.0
"""Neurons in real units become integers: which unit v counts in, and what that leaves.

The unit of v is a power of two below what one unit of weight adds to it, so that adding is exact;
the power is as great as the largest |v| to be expected allows (`MOST`). Thresholds are rounded so
that an integer v fires exactly where the real v that it stands for does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from neurovm.errors import ModelError
from neurovm.spiking.plan import LEAK_POWERS, Neurons

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.spiking.dynamics import Dynamics, Reals

_TOP = (1 << 31) - 1
_BITS = 30
"""|v| is to stay below 2^30 units: one bit of headroom for one tick's drive."""
MOST = 1024.0
"""A potential is expected within what a thousand ticks of full drive add up to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How one population counts. `unit`: real value of one unit of v.

    `headroom_bits`: between the larger of threshold and one tick's full drive, and the int32 limit,
    where v saturates. `bounded`: v cannot get there, however the sources fire.
    """

    population: str
    unit: float
    current_unit: float | None
    threshold: int | None
    """The least integer v that fires (of the first neuron)."""
    headroom_bits: float
    bounded: bool


def powers(leak: Reals) -> NDArray[np.uint32]:
    """(32, 1 or n): λ^(2^k) in Q0.31, each rounded once from float64."""
    rows, factor = [], leak.astype(np.float64)
    for _ in range(LEAK_POWERS):
        rows.append(np.floor(factor * 2.0**31 + 0.5))
        factor = factor * factor
    return np.stack(rows).astype(np.uint32)


def least_firing(theta: Reals, unit: Fraction, *, strict: bool) -> NDArray[np.int32]:
    """The smallest integer that fires: v > theta (strict) or v ≥ theta, exactly."""
    found = []
    for value in theta.tolist():
        steps = Fraction(value) / unit
        found.append(math.floor(steps) + 1 if strict else math.ceil(steps))
    return np.array([min(max(v, -_TOP - 1), _TOP) for v in found], np.int32)


def whole(real: Reals, unit: float, what: str) -> NDArray[np.int32]:
    """Real numbers in units, to the nearest; ModelError beyond int32."""
    codes = np.rint(np.asarray(real) / unit)
    if np.abs(codes).max() > _TOP:
        raise ModelError(f"{what} is {np.abs(codes).max():.3g} units of v; at most {_TOP} fit")
    return codes.astype(np.int32)


def fixed_point(
    tick: Dynamics, weight_unit: float, drive: float, name: str, where: str
) -> tuple[Neurons, Format]:
    """The integer neuron of a population whose weights count in `weight_unit`.

    `drive`: the largest |Σ w S| that one tick can bring. ModelError where no format fits.
    """
    where = f"{where}: {name!r}"
    if drive > _TOP * weight_unit:
        raise ModelError(
            f"{where}: one tick can bring {drive / weight_unit:.3g} units of weight to a neuron; "
            f"sums of 32 bits are accepted"
        )
    gain = float(np.abs(tick.gain).max())
    own = tick.current
    if own is None:
        least, most = _largest(tick, gain * drive)
        unit, shift = _unit(weight_unit * (gain or 1.0), least, most, where)
        return _neurons(tick, unit, shift, None, where), _format(
            tick, name, unit, None, most, drive
        )
    current = gain * drive * _after_many(float(own.leak.max()))
    current_unit, shift = _unit(weight_unit * (gain or 1.0), gain * drive, current or 1.0, where)
    coupling = float(np.abs(own.coupling).max()) or 1.0
    _, most = _largest(tick, coupling * current)
    step = Fraction(coupling) * current_unit
    # One unit of current is worth at most half a unit of v: the coupling is below 1 in Q0.31.
    lower = max(1, math.ceil(math.log2(most) - _BITS - math.log2(step)))
    unit = step * Fraction(2) ** lower
    neurons = _neurons(tick, unit, shift, 2.0**-lower, where)
    return neurons, _format(tick, name, unit, current_unit, most, drive)


def _after_many(leak: float) -> float:
    """What one unit a tick adds up to."""
    return min(1 / (1 - leak) if leak < 1 else math.inf, MOST)


def _largest(tick: Dynamics, came: float) -> tuple[float, float]:
    """The largest |v| that drive `came` leads to in one tick, and in many; more than 0."""
    firing = tick.firing
    levels = [firing.reset_to, tick.initial, firing.theta]
    level = max(float(np.abs(array).max()) for array in levels)
    came += float(np.abs(tick.bias).max())
    least = max(level + came, abs(firing.v_min or 0.0)) or 1.0
    if firing.fire == "many" and firing.v_min is not None:
        # What is left of v lies between its floor and the threshold: nothing adds up over ticks.
        held = max(level, abs(firing.v_min)) + came
        return held, held
    return least, max(least, came * _after_many(float(tick.leak.max())))


def _unit(step: float, least: float, most: float, where: str) -> tuple[Fraction, int]:
    """A unit and the power of two by which `step`, what a weight's unit adds, is above it.

    `most` is to stay below 2^30 units, `least` has to.
    """
    if least > step * (1 << _BITS):
        raise ModelError(
            f"{where}: values up to {least:.3g} in steps of {step:.3g} do not fit 32 bits; larger "
            f"weights or smaller thresholds are needed"
        )
    shift = math.floor(_BITS + math.log2(step) - math.log2(most))
    shift = min(max(shift, 0), _BITS)
    return Fraction(step) / (1 << shift), shift


def _neurons(
    tick: Dynamics, unit: Fraction, shift: int, coupling: float | None, where: str
) -> Neurons:
    real = float(unit)
    gain = np.abs(tick.gain).max() or 1.0
    floor = -(1 << 31)
    firing = tick.firing
    if firing.v_min is not None:
        floor = max(floor, round(Fraction(firing.v_min) / unit))
    coupled = current = None
    if coupling is not None and tick.current is not None:
        share = tick.current.coupling / (np.abs(tick.current.coupling).max() or 1.0)
        coupled = np.rint(share * coupling * 2.0**31).astype(np.int32)
        current = powers(tick.current.leak)
    reset_to = whole(firing.reset_to, real, f"{where}: the reset")
    return Neurons(
        theta=least_firing(firing.theta, unit, strict=firing.strict),
        reset_to=np.maximum(reset_to, 1) if firing.fire == "many" else reset_to,
        leak=powers(tick.leak),
        gain=np.rint(tick.gain / gain * (1 << shift)).astype(np.int32),
        bias=whole(tick.bias, real, f"{where}: the bias"),
        initial=whole(tick.initial, real, f"{where}: the initial value"),
        leak_current=current,
        coupling=coupled,
        fire=firing.fire,
        reset="subtract" if firing.subtract else "value",
        refractory=firing.refractory,
        v_min=floor,
    )


def _format(
    tick: Dynamics, name: str, unit: Fraction, current: Fraction | None, most: float, drive: float
) -> Format:
    firing, own = tick.firing, tick.current
    fires = firing.fire != "none"
    gain = float(np.abs(tick.gain).max()) * (
        1.0 if own is None else float(np.abs(own.coupling).max())
    )
    level = max(float(np.abs(firing.theta).max()), gain * drive) or most
    leaks = [tick.leak] if own is None else [tick.leak, own.leak]
    first = least_firing(firing.theta[:1], unit, strict=firing.strict)[0]
    return Format(
        population=name,
        unit=float(unit),
        current_unit=None if current is None else float(current),
        threshold=int(first) if fires else None,
        headroom_bits=round(31 - math.log2(level / float(unit)), 1),
        bounded=most <= unit * (1 << _BITS) and all(1 - leak.max() >= 1 / MOST for leak in leaks),
    )
