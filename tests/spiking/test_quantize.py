# SPDX-License-Identifier: Apache-2.0
"""A network in integers against the same network in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from neurovm.errors import ModelError
from neurovm.reference import spiking_float
from neurovm.reference.spiking import Oracle
from neurovm.spiking import plan
from neurovm.spiking.lowering import numbered
from neurovm.spiking.network import Network, Node
from neurovm.spiking.neurons import (
    IF,
    LI,
    LIF,
    CubaLI,
    CubaLIF,
    I,
    LoihiCuba,
    SpeckIF,
    Threshold,
    TrueNorth,
)
from neurovm.spiking.quantize import Quantized, quantized
from neurovm.spiking.synapses import Convolution, Dense, Pool, Procedural, Sparse, Wires

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.spiking.neurons import Neuron
    from neurovm.spiking.synapses import Synapses


class Compared:
    """One network, run by the oracle in integers and in float64."""

    def __init__(self, net: Network, x: NDArray[np.bool_], **options: object) -> None:
        self.made: Quantized = quantized(net, **options)  # type: ignore[arg-type] # options
        run = Oracle(self.made.plan).run(x.reshape(len(x), -1))
        real = spiking_float.run(net, [x])
        nodes = [n for n in self.made.nodes if n in net.outputs]
        units = {p.name: (p.scale, p.offset) for p in self.made.plan.populations}
        self.spikes, self.wanted_spikes = run.spikes, self._flat(real, nodes, 0)
        scale = np.concatenate([np.full(n.n, units[n.name][0]) for n in nodes])
        offset = np.concatenate([np.full(n.n, units[n.name][1]) for n in nodes])
        self.v, self.wanted_v = run.potentials * scale + offset, self._flat(real, nodes, 1)

    def _flat(
        self, real: dict[str, spiking_float.FloatRun], nodes: list[Node], part: int
    ) -> NDArray[np.float64]:
        rows = []
        for node in nodes:
            values = real[node.name][part].reshape(-1, node.n)
            placed = np.empty_like(values)
            placed[:, numbered(node)] = values
            rows.append(placed)
        return np.concatenate(rows, axis=1)


def trains(seed: int, ticks: int, n: int, rate: float = 0.1) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random((ticks, n)) < rate


def two_layers(neuron: Neuron, *, weights: str = "float", seed: int = 0) -> Network:
    """40 → 30 → 10; `weights`: float, or whole eighths."""
    rng = np.random.default_rng(seed)
    net = Network(dt_us=1000.0)
    x, h, y = net.input(40, "x"), net.population(30, neuron, "h"), net.population(10, neuron, "y")
    for source, target in ((x, h), (h, y)):
        w = rng.normal(0.15, 0.5, (target.n, source.n))
        net.project(source, target, Dense(np.round(w * 8) / 8 if weights == "eighths" else w))
    net.output(h)
    net.output(y)
    return net


@pytest.mark.parametrize("fires_at", [">", ">="])
@pytest.mark.parametrize(
    ("reset", "spikes"),
    [("value", "one"), ("zero", "one"), ("subtract", "one"), ("subtract", "many")],
)
@pytest.mark.parametrize("refractory_us", [0.0, 2000.0])
def test_whole_weights_stay_exact(
    fires_at: str, reset: str, spikes: str, refractory_us: float
) -> None:
    """Sums of eighths meet the threshold exactly, again and again."""
    neuron = IF(
        v_threshold=1.0,
        v_reset=-0.25,
        fires_at=fires_at,  # type: ignore[arg-type] # a word of them
        reset=reset,  # type: ignore[arg-type] # a word of them
        spikes=spikes,  # type: ignore[arg-type] # a word of them
        refractory_us=refractory_us,
        v_min=-2.0,
    )
    found = Compared(two_layers(neuron, weights="eighths"), trains(1, 200, 40))
    assert all(w.exact and w.bits == 8 for w in found.made.weights)
    assert (found.spikes == found.wanted_spikes).all()
    assert (found.v == found.wanted_v).all()
    assert found.spikes[:, 30:].any()


NEURONS: dict[str, Neuron] = {
    "LIF": LIF(tau_us=20e3, r=6.0),
    "LIF exponential": LIF(tau_us=20e3, r=6.0, decay="exponential"),
    "LIF at rest elsewhere": LIF(
        tau_us=20e3, r=300.0, v_leak=-65.0, v_threshold=-50.0, v_reset=-70.0
    ),
    "LIF subtract": LIF(tau_us=20e3, r=6.0, reset="subtract", fires_at=">="),
    "LIF subtract another amount": LIF(tau_us=20e3, r=6.0, reset="subtract", v_subtract=0.7),
    "LIF bias": LIF(tau_us=20e3, r=6.0, bias=0.1, refractory_us=3000.0),
    "LIF each its own": LIF(tau_us=20e3, r=6.0, v_leak=np.linspace(-0.2, 0.2, 30)),
    "CubaLIF": CubaLIF(tau_syn_us=5e3, tau_mem_us=20e3, r=8.0),
    "CubaLIF bias": CubaLIF(tau_syn_us=5e3, tau_mem_us=20e3, r=8.0, bias=0.05, w_in=0.7),
    "IF": IF(r=0.3, bias=0.01),
    "Threshold": Threshold(v_threshold=1.0, bias=0.1),
}


@pytest.mark.parametrize("case", NEURONS)
def test_native_follows_float(case: str) -> None:
    """Until two sides of a threshold are taken for each other, potentials stay within 1e-3."""
    neuron = NEURONS[case]
    net = Network(dt_us=1000.0)
    rng = np.random.default_rng(3)
    x, h = net.input(40, "x"), net.population(30, neuron, "h")
    net.project(x, h, Dense(rng.normal(0.15, 0.5, (30, 40))), delay_us=2000.0)
    net.output(h)
    found = Compared(net, trains(5, 200, 40))
    same = (found.spikes == found.wanted_spikes).cumprod(axis=0).astype(bool)
    assert found.wanted_spikes.any()
    assert same.mean() > 0.97
    span = np.ptp(found.wanted_v)
    assert np.abs(found.v - found.wanted_v)[same].max() < 1e-3 * span


@pytest.mark.parametrize(
    "neuron", [LI(tau_us=10e3, r=2.0, v_leak=0.5), CubaLI(tau_syn_us=4e3, tau_mem_us=9e3), I(r=0.3)]
)
def test_readouts(neuron: Neuron) -> None:
    net = Network(dt_us=500.0)
    x, y = net.input(20, "x"), net.population(5, neuron, "y")
    net.project(x, y, Dense(np.random.default_rng(1).normal(size=(5, 20))))
    net.output(y)
    found = Compared(net, trains(2, 150, 20, 0.05))
    assert not found.spikes.any()
    assert np.abs(found.v - found.wanted_v).max() < 2e-4 * np.ptp(found.wanted_v)


def test_images_and_recurrence() -> None:
    rng = np.random.default_rng(4)
    net = Network(dt_us=1000.0)
    x = net.input((2, 8, 8), "x")
    a = net.population((4, 4, 4), IF(v_threshold=1.0, reset="subtract"), "a")
    b = net.population((4, 2, 2), IF(v_threshold=1.0), "b")
    c = net.population(6, IF(v_threshold=2.0), "c")
    eighths = np.round(rng.normal(0.2, 0.5, (4, 2, 3, 3)) * 8) / 8
    net.project(x, a, Convolution(eighths, stride=(2, 2), padding=(1, 1)))
    net.project(a, b, Pool((2, 2), weight=0.25))
    net.project(b, c, Dense(np.round(rng.normal(0.3, 0.5, (6, 16)) * 8) / 8))
    net.project(c, c, Wires(-0.5), delay_us=3000.0)
    net.project(c, b, Wires(-0.25, np.arange(6)), delay_us=1000.0)
    some = (rng.integers(0, 64, 40), rng.integers(0, 6, 40), rng.integers(0, 4, 40) * 1000.0)
    net.project(a, c, Sparse(some[0], some[1], np.full(40, 0.125), some[2]))
    for node in (a, b, c):
        net.output(node)
    found = Compared(net, trains(6, 60, 128, 0.2).reshape(60, 2, 8, 8))
    assert (found.spikes == found.wanted_spikes).all()
    assert (found.v == found.wanted_v).all()
    assert found.spikes[:, -6:].any()


def chip(neuron: Neuron, weights: NDArray[np.int64]) -> plan.Plan:
    net = Network(dt_us=1000.0)
    x, y = net.input(weights.shape[1], "x"), net.population(len(weights), neuron, "y")
    net.project(x, y, Dense(weights))
    net.output(y)
    return quantized(net).plan


def test_loihi_weights_are_stored_as_the_chip_stores_them() -> None:
    neuron = LoihiCuba(
        current_decay=1, voltage_decay=2, threshold=3, bias_mantissa=-5, bias_exponent=2
    )
    found = chip(neuron, np.array([[300, -300, 3, -3], [20] * 4]))
    synapses = found.projections[0].synapses
    assert isinstance(synapses, plan.Dense)
    assert synapses.weights[:, 0].tolist() == [254, -256, 2, -4]
    assert found.projections[0].delay == 1
    parameters = found.populations[1].neurons
    assert isinstance(parameters, plan.LoihiNeurons)
    assert parameters.bias.tolist() == [-20]
    low = LoihiCuba(
        current_decay=1, voltage_decay=2, threshold=3, num_weight_bits=6, sign_mode="inhibitory"
    )
    kept = chip(low, np.array([[300, -300, 3, -3, -9], [-4] * 5])).projections[0].synapses
    assert isinstance(kept, plan.Dense)
    assert kept.weights[:, 0].tolist() == [0, -252, 0, 0, -8]


@pytest.mark.parametrize(
    ("neuron", "weight", "message"),
    [
        (SpeckIF(threshold=9, v_min=-9), 128, "weights 128 … 128"),
        (SpeckIF(threshold=0, v_min=-9), 1, "threshold 0"),
        (SpeckIF(threshold=9, v_min=1), 1, "v_min 1"),
        (SpeckIF(threshold=9, v_min=-9, bias=0.5), 1, "bias is 0.5"),
        (TrueNorth(leak=0, threshold=9, negative_threshold=0), 256, "−?255 … 255"),
        (TrueNorth(leak=0, threshold=0, negative_threshold=0), 1, "threshold is 0"),
        (TrueNorth(leak=0, threshold=1, negative_threshold=0, reset_mode=3), 1, "reset_mode 3"),
        (LoihiCuba(current_decay=4096, voltage_decay=0, threshold=1), 1, "current_decay is 4096"),
        (LoihiCuba(current_decay=0, voltage_decay=0, threshold=1), 0.5, "whole numbers"),
        (LIF(tau_us=0.0), 1, "tau_us is 0.0"),
        (LIF(tau_us=500.0), 1, "shorter than a tick"),
        (LIF(tau_us=float("nan")), 1, "tau_us is nan"),
        (LIF(tau_us=[1e4, 2e4]), 1, "has shape"),
        (LIF(tau_us=1e4, v_threshold=float("inf")), 1, "v_threshold is inf"),
        (LIF(tau_us=1e4, reset="up"), 1, "reset is 'up'"),  # type: ignore[arg-type] # a wrong word
        (LIF(tau_us=1e4, spikes="many"), 1, "need reset='subtract'"),
        (LIF(tau_us=1e4, v_min=0.5), 1, "v_min is 0.5"),
        (LIF(tau_us=1e4, v_min=np.zeros(3)), 1, "one number, at most 0.0"),  # type: ignore[arg-type] # as a user may
        (LIF(tau_us=1e4, refractory_us=[1e3] * 3), 1, "period: found .* one number of µs"),  # type: ignore[arg-type] # as a user may
        (LIF(tau_us=1e4, refractory_us=-1.0), 1, "refractory"),
        (LIF(tau_us=1e4, refractory_us=1e8), 1, "refractory"),
        (LIF(tau_us=1e4, v_threshold=1e30), 1, "do not fit 32 bits"),
    ],
)
def test_what_is_refused(neuron: Neuron, weight: float, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        chip(neuron, np.array([[weight]]))


def into_one(synapses: Synapses, n: int = 64, **options: object) -> Quantized:
    net = Network(dt_us=1000.0)
    x, y = net.input(n, "x"), net.population(n, IF(), "y")
    net.project(x, y, synapses)
    net.output(y)
    return quantized(net, **options)  # type: ignore[arg-type] # options


def test_widths_and_errors() -> None:
    rng = np.random.default_rng(9)
    weights = rng.normal(size=(64, 64))
    narrow, wide = (into_one(Dense(weights), weights=w).weights[0] for w in ("int8", "int16"))
    assert (narrow.bits, wide.bits) == (8, 16)
    assert narrow.snr_db is not None
    assert wide.snr_db is not None
    assert 30 < narrow.snr_db < 50
    assert 80 < wide.snr_db < 110
    assert narrow.max_error <= narrow.unit / 2 * (1 + 1e-9)
    eleven = into_one(Dense(rng.integers(-1000, 1000, (64, 64)) / 1024.0)).weights[0]
    assert (eleven.bits, eleven.exact) == (16, True)
    assert into_one(Dense(weights)).weights[0].bits == 16
    with pytest.raises(ModelError, match="int8, int16"):
        into_one(Dense(weights), weights="int4")


def test_few_synapses_are_kept_compressed() -> None:
    rng = np.random.default_rng(9)
    some = rng.random((64, 64)) < 0.03
    few = into_one(Dense(np.round(rng.normal(size=(64, 64)) * 8) / 8 * some))
    assert few.weights[0].stored == "compressed"
    assert few.weights[0].exact
    assert isinstance(few.plan.projections[0].synapses, plan.Sparse)
    target, source = np.nonzero(rng.random((64, 64)) < 0.2)
    many = into_one(Sparse(source, target, np.full(source.size, 0.5)))
    assert many.weights[0].stored == "dense"
    drawn = rng.normal(size=(64, 64)) * some
    assert [into_one(Dense(drawn), weights=w).weights[0].stored for w in ("auto", "int8")] == [
        "dense",
        "compressed",
    ]


def test_one_target_each_becomes_wires() -> None:
    """An identity costs a word a neuron, and 16 bits, so that what else comes keeps its unit."""
    net = Network(dt_us=1000.0)
    x, y = net.input(64, "x"), net.population(64, IF(v_threshold=2.0), "y")
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(64, 64)) / 10
    net.project(x, y, Dense(np.eye(64)[rng.permutation(64)] * 1.5))
    net.project(y, y, Dense(weights), delay_us=1000.0)
    lone = rng.permutation(64)
    net.project(x, y, Sparse(np.arange(64), lone, np.linspace(-1, 1, 64)))
    net.output(y)
    found = Compared(net, trains(4, 40, 64))
    assert [w.stored for w in found.made.weights] == ["wires", "dense", "wires"]
    assert min(w.snr_db or 99 for w in found.made.weights) > 60
    assert (found.spikes == found.wanted_spikes).mean() > 0.99


def test_drawn_weights_bring_their_unit() -> None:
    made = into_one(Procedural(seed=3, fan_out=4, low=-3, high=9, scale=0.25))
    neurons = made.plan.populations[1].neurons
    assert isinstance(neurons, plan.Neurons)
    assert made.formats[0].unit * int(neurons.gain[0]) == 0.25


@pytest.mark.parametrize(
    ("n", "message"), [(70_000, "do not fit 32 bits"), (140_000, "sums of 32 bits")]
)
def test_sums_that_would_wrap_are_refused(n: int, message: str) -> None:
    net = Network(dt_us=1000.0)
    x, y = net.input(n, "x"), net.population(1, IF(), "y")
    net.project(x, y, Dense(np.linspace(0.3, 1.0, n)[None, :]))
    net.output(y)
    with pytest.raises(ModelError, match=message):
        quantized(net)


def test_headroom_is_stated() -> None:
    weights = np.random.default_rng(2).normal(size=(8, 64))
    forms = {}
    for name, neuron in (("IF", IF()), ("LIF", LIF(tau_us=20e3))):
        net = Network(dt_us=1000.0)
        x, y = net.input(64, "x"), net.population(8, neuron, "y")
        net.project(x, y, Dense(weights))
        net.output(y)
        forms[name] = quantized(net).formats[0]
    assert (forms["IF"].bounded, forms["LIF"].bounded) == (False, True)
    assert min(form.headroom_bits for form in forms.values()) > 5
    assert forms["LIF"].threshold == int(1.0 // forms["LIF"].unit) + 1
