# SPDX-License-Identifier: Apache-2.0
"""Recordings of the chips' simulators, from a network in the chip's terms to the kernel: every
array, every step.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from shared_files import ROOT

import neurovm
from neurovm.spiking.network import Network
from neurovm.spiking.neurons import LoihiCuba, SpeckIF, TrueNorth
from neurovm.spiking.synapses import Convolution, Dense, Pool, pooled_convolution

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.spiking.network import Node

GOLDEN = ROOT / "golden"
pytestmark = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="recordings of the chips' simulators are not at hand (shared/)"
)


def recorded(net: Network, x: NDArray[np.integer], names: list[str]) -> dict[str, Any]:
    """u, v and spikes (T, n) of the named populations, from the kernel."""
    model = neurovm.convert_network(net)
    places = {p.name: i for i, p in enumerate(model.spiking.populations)}
    session = model.session()
    rows: dict[str, list[NDArray[np.int32]]] = {}
    for row in x:
        session.step(np.ascontiguousarray(row, np.int8))
        for name in names:
            state = session.population(places[name])
            for part, values in (("u", state.current), ("v", state.v), ("s_out", state.spikes)):
                if values is not None:
                    rows.setdefault(f"{name}_{part}", []).append(np.array(values))
    return {name: np.array(values) for name, values in rows.items()}


def loihi(meta: dict[str, int], bias: NDArray[np.int32] | int) -> LoihiCuba:
    return LoihiCuba(
        current_decay=meta["du"],
        voltage_decay=meta["dv"],
        threshold=meta["vth"],
        bias_mantissa=bias,
        bias_exponent=meta.get("bias_exp", 0),
    )


def differing(found: dict[str, Any], data: Any) -> dict[str, int]:
    return {name: int((found[name] != data[name]).sum()) for name in found}


def test_loihi_feed_forward() -> None:
    data = np.load(GOLDEN / "loihi/ff_32_64_10.npz")
    meta = json.loads(bytes(data["meta"]))
    net = Network(dt_us=1000.0)
    before: Node = net.input(32, "x")
    for k, name in ((1, "l1"), (2, "l2")):
        here = net.population(len(data[f"W{k}"]), loihi(meta[name], data[f"bias_mant{k}"]), name)
        net.project(before, here, Dense(data[f"W{k}"]))
        net.output(here)
        before = here
    found = recorded(net, data["x"].T, ["l1", "l2"])
    assert len(found) == 6
    assert set(differing(found, data).values()) == {0}


def test_loihi_recurrent() -> None:
    data = np.load(GOLDEN / "loihi/recurrent_16_48_8.npz")
    meta = json.loads(bytes(data["meta"]))
    net = Network(dt_us=1000.0)
    x = net.input(16, "x")
    rec, out = (net.population(n, loihi(meta[k], 0), k) for n, k in ((48, "rec"), (8, "out")))
    for source, target, weights in ((x, rec, "Wi"), (rec, rec, "Wr"), (rec, out, "Wo")):
        net.project(source, target, Dense(data[weights]))
    net.output(out)
    found = recorded(net, data["x"].T, ["rec", "out"])
    assert len(found) == 6
    assert set(differing(found, data).values()) == {0}


def test_speck() -> None:
    data = np.load(GOLDEN / "speck/conv_conv_dense.npz")
    net = Network(dt_us=1000.0)
    before = net.input((2, 16, 16), "x")
    for k, (shape, pool) in enumerate((((8, 16, 16), 1), ((16, 8, 8), 2), ((10, 1, 1), 2))):
        neuron = SpeckIF(threshold=int(data["thr"][k]), v_min=int(data["vmin"][k]))
        here = net.population(shape, neuron, f"l{k}")
        kernel = Convolution(data[f"W{k}"], padding=(0, 0) if k == 2 else (1, 1))
        net.project(before, here, pooled_convolution(kernel, Pool((pool, pool))))
        before = here
    net.output(before)
    found = neurovm.convert_network(net).predict(data["x"])
    assert found.shape == (30, 1, 1, 10)
    assert int((found.reshape(30, 10) != data["y"].reshape(30, 10)).sum()) == 0


def test_truenorth() -> None:
    data = np.load(GOLDEN / "truenorth/linear_reset.npz")
    meta = json.loads(str(data["meta"]))
    neuron = TrueNorth(
        leak=data["leak"],
        threshold=data["thr"],
        negative_threshold=data["neg"],
        reset_to=data["reset"],
        reset_mode=meta["reset_mode"],
        floor_mode=meta["reset_type"],
    )
    net = Network(dt_us=1000.0)
    axons, core = net.input(256, "axons"), net.population(256, neuron, "core")
    net.project(axons, core, Dense(data["conn"] * data["W"][:, data["axon_type"]]))
    net.output(core)
    # The recording begins one tick before the first input and ends two after the last.
    x = np.concatenate([data["X"], np.zeros((2, 256), np.uint8)])
    found = neurovm.convert_network(net).predict(x)
    assert int((found != data["spikes"][1:]).sum()) == 0
