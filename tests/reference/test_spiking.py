# SPDX-License-Identifier: Apache-2.0
"""The oracle against models that know one neuron each, written with plain Python integers."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from random_plans import random_plan

from neurovm.reference.spiking import Oracle
from neurovm.reference.spiking_neurons import leak_over
from neurovm.spiking.plan import (
    Dense,
    LoihiNeurons,
    Neurons,
    Plan,
    Population,
    Projection,
    Sparse,
    TrueNorthNeurons,
    Wires,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.spiking.plan import Kind


def one(value: int) -> NDArray[np.int32]:
    return np.array([value], np.int32)


def powers(leak: int) -> NDArray[np.uint32]:
    """(32, 1): λ, λ², λ⁴, … in Q0.31, each rounded."""
    rows = [leak]
    for _ in range(31):
        rows.append((rows[-1] * rows[-1] + (1 << 30)) >> 31)
    return np.array(rows, np.uint32)[:, None]


def lif(**changes: object) -> Neurons:
    values: dict[str, object] = {
        "theta": one(1000),
        "reset_to": one(0),
        "leak": powers(1_900_000_000),
        "gain": one(1),
        "bias": one(0),
        "initial": one(0),
    }
    return Neurons(**(values | changes))  # type: ignore[arg-type] # values of every field's type


def single(kind: Kind, neurons: Neurons | LoihiNeurons | TrueNorthNeurons, weight: int) -> Plan:
    """One input, one neuron."""
    return Plan(
        (Population("x", 1, "input"), Population("n", 1, kind, neurons, is_output=True)),
        (Projection(0, 1, Dense(np.array([[weight]], np.int16))),),
        dt_us=1000.0,
    )


def trains(seed: int, count: int = 200, rate: float = 0.3) -> list[int]:
    return [int(s) for s in np.random.default_rng(seed).random(count) < rate]


def answers(plan: Plan, x: list[int]) -> list[tuple[int, int]]:
    """(spikes, v) of every tick."""
    run = Oracle(plan).run(np.array(x)[:, None])
    return [(int(s), int(v)) for s, v in zip(run.spikes[:, 0], run.potentials[:, 0], strict=True)]


@pytest.mark.parametrize("weight", [254, -77, 31])
def test_loihi_neuron(weight: int) -> None:
    neurons = LoihiNeurons(one(900), one(300), one(12), one(640), weight_exponent=1)
    u = v = 0
    wanted = []
    for s in trains(1):
        a = (weight * s) * 2
        u = int(u * 3195 / 4096) + a * 64  # exact: below 2^53
        v = max(min(int(v * 3796 / 4096) + u + 640, 2**23 - 1), 1 - 2**23)
        fired = v > 12 * 64
        v = 0 if fired else v
        wanted.append((int(fired), v))
    assert answers(single("loihi", neurons, weight), trains(1)) == wanted
    assert weight < 0 or any(s for s, _ in wanted)


def test_loihi_current_wraps_at_24_bits() -> None:
    neurons = LoihiNeurons(one(0), one(4095), one(131071), one(0), weight_exponent=7)
    oracle = Oracle(single("loihi", neurons, 254))
    seen = []
    u = 0
    for _ in range(20):
        oracle.step(np.array([1]))
        u = int(u * 4095 / 4096) + 254 * 128 * 64
        while u > 2**23:
            u -= 2**24
        while u <= -(2**23):
            u += 2**24
        seen.append(u)
        state = oracle.states[1]
        assert state is not None
        assert int(state.current[0]) == u
    assert min(seen) < 0 < max(seen)


@pytest.mark.parametrize("reset_mode", [0, 1, 2])
@pytest.mark.parametrize("floor_mode", [0, 1])
@pytest.mark.parametrize("weight", [60, -60])
def test_truenorth_neuron(reset_mode: int, floor_mode: int, weight: int) -> None:
    leak, alpha, beta, reset = -7 if weight > 0 else 5, 100, 40, 11
    neurons = TrueNorthNeurons(
        one(leak), one(alpha), one(-beta), one(reset), reset_mode, floor_mode
    )
    v = 0
    wanted = []
    for s in trains(2):
        v += weight * s + leak
        fired = v >= alpha
        if fired:
            v = {0: reset, 1: v - alpha, 2: v}[reset_mode]
        elif v < -beta:
            v = -beta if floor_mode else {0: -reset, 1: v + beta, 2: v}[reset_mode]
        wanted.append((int(fired), v))
    assert answers(single("truenorth", neurons, weight), trains(2)) == wanted


def test_speck_neuron() -> None:
    neurons = lif(
        theta=one(90),
        reset_to=one(90),
        leak=powers(1 << 31),
        fire="many",
        reset="subtract",
        v_min=-90,
        bias=one(3),
    )
    weights = [250, -200, 120]
    x = np.random.default_rng(3).random((200, 3)) < 0.3
    plan = Plan(
        (Population("x", 3, "input"), Population("n", 1, "lif", neurons, is_output=True)),
        (Projection(0, 1, Dense(np.array(weights, np.int16)[:, None])),),
        dt_us=1000.0,
    )
    v, wanted = 0, []
    for row in x:
        v += 3 + sum(w for w, s in zip(weights, row, strict=True) if s)
        z = max(v // 90, 0)
        v = max(v - 90 * z, -90)
        wanted.append((z, v))
    run = Oracle(plan).run(x)
    found = list(zip(run.spikes[:, 0].tolist(), run.potentials[:, 0].tolist(), strict=True))
    assert found == wanted
    assert max(z for z, _ in wanted) > 2


def rounded(x: Fraction) -> int:
    """To the nearest whole number, halves up."""
    return (2 * x + 1).__floor__() // 2


@pytest.mark.parametrize(("reset", "reset_to"), [("value", 0), ("value", -50), ("subtract", 1000)])
@pytest.mark.parametrize("refractory", [0, 1, 3])
def test_awake_lif_neuron(reset: str, reset_to: int, refractory: int) -> None:
    """With a bias every tick is stepped, so that the leak is rounded in each."""
    neurons = lif(bias=one(21), reset=reset, reset_to=one(reset_to), refractory=refractory)
    v, rest, wanted = 0, 0, []
    for s in trains(4):
        fired = 0
        if rest:
            rest -= 1
        else:
            v = rounded(Fraction(1_900_000_000, 2**31) * v) + 300 * s + 21
            if v >= 1000:
                fired, rest = 1, refractory
                v = v - 1000 if reset == "subtract" else reset_to
        wanted.append((fired, v))
    assert answers(single("lif", neurons, 300), trains(4)) == wanted
    assert any(s for s, _ in wanted)


def test_lazy_lif_neuron() -> None:
    """Without a bias the leak between two spikes is one rounding of one product."""
    v, stamp, wanted = 0, -1, []
    leak = powers(1_900_000_000)
    x = trains(5, rate=0.1)
    for t, s in enumerate(x):
        factor = Fraction(int(leak_over(leak, t - stamp)[0]), 2**31)
        shown = rounded(factor * v) + 300 * s
        if s:
            v, stamp = shown, t
        wanted.append((0, shown))
    assert answers(single("lif", lif(theta=one(1 << 30)), 300), x) == wanted


def test_cuba_neuron() -> None:
    neurons = lif(leak_current=powers(1_500_000_000), coupling=one(700_000_000), theta=one(1 << 30))
    i, v, wanted = 0, 0, []
    for s in trains(6, rate=0.9):
        i = int(Fraction(1_500_000_000, 2**31) * i) + 300 * s
        v = rounded(Fraction(1_900_000_000, 2**31) * v) + rounded(Fraction(700_000_000, 2**31) * i)
        wanted.append((0, v))
    assert answers(single("cuba", neurons, 300), trains(6, rate=0.9)) == wanted


def test_leak_over_many_ticks_follows_its_bits() -> None:
    leak = powers(2_147_000_000)
    for ticks in (0, 1, 5, 1000, 2**20, 2**32 + 5):
        exact = (2_147_000_000 / 2**31) ** ticks
        assert abs(int(leak_over(leak, ticks)[0]) / 2**31 - exact) < 1e-5


def test_delays_and_recurrence() -> None:
    """A ring of three neurons that hand one spike on, 2, 3 and 4 ticks late."""
    relay = lif(theta=one(1))
    ring = Sparse(
        row=np.array([0, 1, 2, 3], np.uint64),
        target=np.array([1, 2, 0], np.uint32),
        weight=np.array([1, 1, 1], np.int8),
        delays=np.array([1, 2, 3], np.uint16),
    )
    first = Wires(np.array([0], np.int32), np.array([5], np.int16))
    plan = Plan(
        (Population("x", 1, "input"), Population("n", 3, "lif", relay, is_output=True)),
        (Projection(0, 1, first), Projection(1, 1, ring, delay=1)),
        dt_us=1000.0,
    )
    out = Oracle(plan).advance([(10, 0)], until=60)
    assert out == [(10, 0), (12, 1), (15, 2), (19, 0), (21, 1), (24, 2)] + [
        (t + 18, i) for t, i in [(10, 0), (12, 1), (15, 2), (19, 0), (21, 1), (24, 2)]
    ] + [(46, 0), (48, 1), (51, 2), (55, 0), (57, 1)]


def test_steps_and_time_stamps_agree() -> None:
    for seed in range(12):
        plan = random_plan(seed)
        rng = np.random.default_rng(seed)
        n_in = Oracle(plan).n_in
        x = (rng.random((80, n_in)) < 0.02).astype(np.int64)
        events = [(int(t), int(a)) for t, a in np.argwhere(x)]
        steps, timed = Oracle(plan), Oracle(plan)
        counts = steps.run(x).spikes
        found = timed.advance([e for e in events if e[0] < 50], until=50)
        found += timed.advance([e for e in events if e[0] >= 50], until=80)
        wanted = [(int(t), int(a)) for t, a in np.argwhere(counts) for _ in range(counts[t, a])]
        assert found == wanted
        assert (timed.potentials() == steps.potentials()).all()
