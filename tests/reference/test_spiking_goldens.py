# SPDX-License-Identifier: Apache-2.0
"""The oracle against recordings of the chips' own simulators: every array, every step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from shared_files import ROOT

from neurovm.reference.spiking import Oracle
from neurovm.spiking.plan import (
    Convolution,
    Dense,
    LoihiNeurons,
    Neurons,
    Plan,
    Population,
    Projection,
    TrueNorthNeurons,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

GOLDEN = ROOT / "golden"
pytestmark = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="recordings of the chips' simulators are not at hand (shared/)"
)


def loihi_weights(weights: NDArray[np.int32]) -> NDArray[np.int16]:
    """(targets, sources) as stored, to what the chip keeps: clipped, even, (sources, targets)."""
    return (np.clip(weights, -256, 255) >> 1 << 1).T.astype(np.int16)


def loihi(name: str, n: int, du: int, dv: int, vth: int, bias: NDArray[np.int32]) -> Population:
    one = [np.array([v], np.int32) for v in (du, dv, vth)]
    return Population(name, n, "loihi", LoihiNeurons(*one, bias.astype(np.int32)), is_output=True)


def loihi_run(plan: Plan, x: NDArray[np.uint8]) -> dict[str, NDArray[np.int64]]:
    """u, v and spikes of every population but the first, (T, n) each."""
    oracle = Oracle(plan)
    rows: dict[str, list[NDArray[np.int64]]] = {}
    for spikes in x.T:
        sent, at = oracle.step(spikes), 0
        for population, state in zip(plan.populations[1:], oracle.states[1:], strict=True):
            assert state is not None
            arrays = (state.current, state.v, sent[at : at + population.n])
            for part, array in zip(("u", "v", "s_out"), arrays, strict=True):
                rows.setdefault(f"{population.name}_{part}", []).append(array.copy())
            at += population.n
    return {name: np.array(values) for name, values in rows.items()}


def test_loihi_feed_forward() -> None:
    data = np.load(GOLDEN / "loihi/ff_32_64_10.npz")
    meta = json.loads(bytes(data["meta"]))
    layers = [
        loihi(
            name,
            len(data[f"bias_mant{k}"]),
            meta[name]["du"],
            meta[name]["dv"],
            meta[name]["vth"],
            data[f"bias_mant{k}"] << meta[name]["bias_exp"],
        )
        for k, name in ((1, "l1"), (2, "l2"))
    ]
    plan = Plan(
        (Population("x", 32, "input"), *layers),
        (
            Projection(0, 1, Dense(loihi_weights(data["W1"])), delay=1),
            Projection(1, 2, Dense(loihi_weights(data["W2"])), delay=1),
        ),
        dt_us=1000.0,
    )
    found = loihi_run(plan, data["x"])
    differing = {name: int((found[name] != data[name]).sum()) for name in found}
    assert differing == dict.fromkeys(("l1_u", "l1_v", "l1_s_out", "l2_u", "l2_v", "l2_s_out"), 0)


def test_loihi_recurrent() -> None:
    data = np.load(GOLDEN / "loihi/recurrent_16_48_8.npz")
    meta = json.loads(bytes(data["meta"]))
    none = np.zeros(1, np.int32)
    layers = [
        loihi(name, n, meta[name]["du"], meta[name]["dv"], meta[name]["vth"], none)
        for name, n in (("rec", 48), ("out", 8))
    ]
    plan = Plan(
        (Population("x", 16, "input"), *layers),
        (
            Projection(0, 1, Dense(loihi_weights(data["Wi"])), delay=1),
            Projection(1, 1, Dense(loihi_weights(data["Wr"])), delay=1),
            Projection(1, 2, Dense(loihi_weights(data["Wo"])), delay=1),
        ),
        dt_us=1000.0,
    )
    found = loihi_run(plan, data["x"])
    differing = {name: int((found[name] != data[name]).sum()) for name in found}
    assert differing == dict.fromkeys(
        ("rec_u", "rec_v", "rec_s_out", "out_u", "out_v", "out_s_out"), 0
    )


def speck(name: str, n: int, threshold: int, v_min: int) -> Population:
    def one(value: int) -> NDArray[np.int32]:
        return np.array([value], np.int32)

    neurons = Neurons(
        theta=one(threshold),
        reset_to=one(threshold),
        leak=np.full((32, 1), 1 << 31, np.uint32),
        gain=one(1),
        bias=one(0),
        initial=one(0),
        fire="many",
        reset="subtract",
        v_min=v_min,
    )
    return Population(name, n, "lif", neurons, is_output=True)


def test_speck() -> None:
    """Convolutions of 3 by 3 and 4 by 4, a sum over 2 by 2 spikes before the second and the third:
    the same as kernels with every weight written four times, in strides of 2.
    """
    data = np.load(GOLDEN / "speck/conv_conv_dense.npz")
    shapes = [(16, 16, 2)]
    populations = [Population("x", 512, "input")]
    projections = []
    for k, pool in enumerate((1, 2, 2)):
        weights = data[f"W{k}"].transpose(2, 3, 1, 0).repeat(pool, axis=0).repeat(pool, axis=1)
        pad = 0 if k == 2 else pool
        extent = (shapes[k][0] + 2 * pad - len(weights)) // pool + 1
        shapes.append((extent, extent, weights.shape[3]))
        n = extent * extent * weights.shape[3]
        populations.append(speck(f"l{k}", n, int(data["thr"][k]), int(data["vmin"][k])))
        synapses = Convolution(
            np.ascontiguousarray(weights),
            shapes[k],
            shapes[k + 1],
            (pool, pool),
            (pad, pad),
            transposed_input=k == 0,
        )
        projections.append(Projection(k, k + 1, synapses))
    plan = Plan(tuple(populations), tuple(projections), dt_us=1000.0)
    found, potentials = Oracle(plan).run(data["x"].reshape(30, -1))
    assert shapes[-1] == (1, 1, 10)
    assert int((found[:, -10:] != data["y"].reshape(30, 10)).sum()) == 0
    assert int(np.abs(potentials).max()) < 1 << 15, "the chip keeps 16 bits"


def test_truenorth() -> None:
    data = np.load(GOLDEN / "truenorth/linear_reset.npz")
    meta = json.loads(str(data["meta"]))
    weights = data["conn"].T * data["W"][:, data["axon_type"]].T
    neurons = TrueNorthNeurons(
        leak=data["leak"],
        threshold=data["thr"].astype(np.int32),
        negative_threshold=data["neg"].astype(np.int32),
        reset_to=data["reset"].astype(np.int32),
        reset_mode=meta["reset_mode"],
        floor_mode=meta["reset_type"],
    )
    plan = Plan(
        (
            Population("axons", 256, "input"),
            Population("core", 256, "truenorth", neurons, is_output=True),
        ),
        (Projection(0, 1, Dense(weights.astype(np.int16))),),
        dt_us=1000.0,
    )
    # The recording begins one tick before the first input and ends two after the last.
    x = np.concatenate([data["X"], np.zeros((2, 256), np.uint8)])
    found, _ = Oracle(plan).run(x)
    assert not data["spikes"][0].any()
    assert int((found != data["spikes"][1:]).sum()) == 0
