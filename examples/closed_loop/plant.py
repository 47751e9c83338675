# SPDX-License-Identifier: Apache-2.0
"""The plant: a pole on a cart that a force of at most 10 N pushes, 50 times a second.

The equations are those of Barto, Sutton and Anderson, "Neuronlike adaptive elements that can solve
difficult learning control problems" (1983), without friction, with their dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

PERIOD_S = 0.02
SUBSTEPS = 4
FORCE_N = 10.0
GRAVITY, CART_KG, POLE_KG, HALF_POLE_M = 9.81, 1.0, 0.1, 0.5
# What the sensors can say: m, m/s, rad, rad/s. They publish fractions of it, −1 … 1.
RANGES = (2.4, 3.0, 0.5, 3.0)
FALLEN_RAD = 0.5

State = tuple[float, float, float, float]
"""Place and speed of the cart (m, m/s), angle and speed of the pole (rad from upright, rad/s)."""


def advance(state: State, force_n: float, seconds: float = PERIOD_S) -> State:
    """The state after `seconds` of a force."""
    x, v, angle, spin = state
    step_s = seconds / SUBSTEPS
    for _ in range(SUBSTEPS):
        sine, cosine = math.sin(angle), math.cos(angle)
        total_kg = CART_KG + POLE_KG
        push = (force_n + POLE_KG * HALF_POLE_M * spin * spin * sine) / total_kg
        turn = (GRAVITY * sine - cosine * push) / (
            HALF_POLE_M * (4 / 3 - POLE_KG * cosine * cosine / total_kg)
        )
        v += step_s * (push - POLE_KG * HALF_POLE_M * turn * cosine / total_kg)
        spin += step_s * turn
        x += step_s * v
        angle += step_s * spin
    return x, v, angle, spin


def sensed(state: State) -> list[float]:
    """What the sensors publish: fractions of their ranges, held at the ends."""
    return [max(-1.0, min(1.0, s / most)) for s, most in zip(state, RANGES, strict=True)]


@dataclass(frozen=True, slots=True)
class Moment:
    """One period: when it began, the state then, and the force that followed."""

    t_s: float
    state: State
    force_n: float


def run(
    control: Callable[[list[float]], float],
    seconds: float,
    *,
    start: State = (0.0, 0.0, 0.2, 0.0),
    kicks: dict[float, float] | None = None,
) -> Iterator[Moment]:
    """The plant under `control` (sensors to a force in fractions of 10 N) until time is over.

    `kicks`: by time in s, what somebody adds to the speed of the cart (m/s). The plant waits for
    each answer: time is simulated, so that a slow machine does not make the pole fall.
    """
    state = start
    left = sorted((kicks or {}).items())
    for period in range(round(seconds / PERIOD_S)):
        t_s = period * PERIOD_S
        while left and left[0][0] <= t_s:
            x, v, angle, spin = state
            state = x, v + left.pop(0)[1], angle, spin
        force_n = FORCE_N * max(-1.0, min(1.0, control(sensed(state))))
        yield Moment(t_s, state, force_n)
        state = advance(state, force_n)
