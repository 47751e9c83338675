# SPDX-License-Identifier: Apache-2.0
"""The kernel's spiking networks against the oracle, over random plans: no bit may differ."""

from __future__ import annotations

import numpy as np
import pytest
from random_plans import random_plan

from neurovm import _kernel
from neurovm.reference.spiking import Oracle
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
