# SPDX-License-Identifier: Apache-2.0
"""The kernel's spiking networks against the oracle, over random plans: no bit may differ."""

from __future__ import annotations

import numpy as np
import pytest
from random_plans import leak_powers, random_plan

from neurovm import _kernel
from neurovm.reference.spiking import Oracle
from neurovm.spiking.plan import Dense, Neurons, Plan, Population, Projection
from neurovm.spiking.records import pack

TICKS = 40


@pytest.mark.parametrize("seed", range(40))
def test_steps_equal_the_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plan = random_plan(seed)
    oracle = Oracle(plan)
    program = _kernel.SpikingProgram(*pack(plan))
    assert (program.n_in, program.n_out) == (oracle.n_in, oracle.n_out)
    session = program.session()
    spikes = (rng.random((TICKS, oracle.n_in)) < rng.choice([0.02, 0.2])).astype(np.uint8)
    spikes *= rng.choice([1, 1, 1, 2, 127], size=spikes.shape).astype(np.uint8)
    wanted = oracle.run(spikes)
    for tick in range(TICKS):
        out = session.step(spikes[tick])
        assert np.array_equal(np.asarray(out), wanted.spikes[tick]), (seed, tick)
        assert np.array_equal(np.asarray(session.potentials), wanted.potentials[tick]), (seed, tick)
    again = program.session()
    found = np.zeros(wanted.spikes.shape, np.int8)
    potentials = np.zeros(wanted.spikes.shape, np.int32)
    again.run(spikes, found, potentials)
    assert np.array_equal(found, wanted.spikes)
    assert np.array_equal(potentials, wanted.potentials)
    assert again.counters == session.counters
    for index, population in enumerate(plan.populations):
        if population.kind == "input":
            continue
        _, v, current = again.population(index)
        state = oracle.states[index]
        assert state is not None
        assert np.array_equal(np.asarray(v), state.potentials(TICKS - 1))
        assert (current is not None) == (population.kind in {"cuba", "loihi"})


@pytest.mark.parametrize("isa", _kernel.isas())
@pytest.mark.parametrize("reset", ["value", "subtract"])
@pytest.mark.parametrize("entries", [1, 150])
def test_sums_that_leave_32_bits(isa: str, reset: str, entries: int) -> None:
    """Potentials that climb to both limits, fall back and climb again, in every instruction set."""
    rng = np.random.default_rng(5)
    n = 150
    theta = np.resize([2**31 - 1, 5 << 28, 3 << 26], entries).astype(np.int32)
    leak = leak_powers(np.array([rng.choice([1 << 31, (1 << 31) - (1 << 26)])]))
    gain, none = np.array([90_000], np.int32), np.zeros(1, np.int32)
    neurons = Neurons(theta, theta // 2, leak, gain, none, none, reset=reset)  # type: ignore[arg-type] # a Reset
    weights = rng.integers(-128, 128, (20, n)).astype(np.int8)
    plan = Plan(
        (Population("x", 20, "input"), Population("y", n, "lif", neurons, is_output=True)),
        (Projection(0, 1, Dense(weights)),),
        dt_us=1000.0,
    )
    spikes = (rng.random((150, 20)) < 0.5).astype(np.uint8) * np.uint8(9)
    spikes[60:90] = 0
    wanted = Oracle(plan).run(spikes)
    assert wanted.potentials.max() > 2**30
    assert wanted.potentials.min() == -(2**31)
    assert 0 < wanted.spikes.sum() < wanted.spikes.size / 2
    packed = pack(plan)
    _kernel.choose_isa(isa)
    try:
        session = _kernel.SpikingProgram(*packed).session()
    finally:
        _kernel.choose_isa(None)
    found, potentials = np.zeros((150, n), np.int8), np.zeros((150, n), np.int32)
    session.run(spikes, found, potentials)
    assert np.array_equal(found, wanted.spikes)
    assert np.array_equal(potentials, wanted.potentials)
