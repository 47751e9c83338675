# SPDX-License-Identifier: Apache-2.0
"""A spiking and an ordinary input in one program, wherever they stand in the list of layers."""

from __future__ import annotations

import numpy as np
import pytest

from neurovm import _kernel
from neurovm.operators.builder import Layer, gather
from neurovm.records import pack

N = 12


def layers(*, apart: bool) -> list[Layer]:
    """Spikes to IF, codes to a copy; `apart`: the second input after a layer of the first."""
    rng = np.random.default_rng(3)
    spikes = Layer(kind="INPUT", inputs=(), n=N, spikes=True)
    codes = Layer(kind="INPUT", inputs=(), n=N)
    first, second = (0, 2) if apart else (0, 1)
    dense = Layer(
        kind="DENSE",
        inputs=(first,),
        n=N,
        in_c=N,
        out_c=N,
        weights=rng.integers(-60, 60, (N, N)).astype(np.int8),
        bias=np.zeros(N, np.int32),
        neuron="IF",
        theta=100,
        reset="SUBTRACT",
        leak_q16=1 << 16,
    )
    copy = gather((second,), np.arange(N), N)
    return [spikes, dense, codes, copy] if apart else [spikes, codes, dense, copy]


@pytest.mark.parametrize("apart", [False, True], ids=["inputs first", "inputs apart"])
@pytest.mark.parametrize("way", ["events", "dense"])
def test_events_of_one_input_never_overwrite_those_of_another(apart: bool, way: str) -> None:
    made = layers(apart=apart)
    dense = made[1] if apart else made[2]
    assert dense.weights is not None
    records, arena, _ = pack(made, {len(made) - 1}, coding="rate")
    session = _kernel.Session(_kernel.Program(records, arena))
    session.force(way)
    rng = np.random.default_rng(4)
    u = np.zeros(N, np.int64)
    for _ in range(50):
        spikes = rng.integers(0, 2, N)
        codes = rng.integers(-128, 128, N).astype(np.int8)
        session.step(np.concatenate([spikes.astype(np.int8), codes]))
        u += spikes @ dense.weights.astype(np.int64)
        u -= dense.theta * (u >= dense.theta)
        index = 1 if apart else 2
        potentials = session.layer(index)[1]
        assert potentials is not None
        assert potentials.tolist() == u.tolist()
        assert session.output.tolist() == codes.tolist()
