# SPDX-License-Identifier: Apache-2.0
"""What a network refuses, and in which order its populations are stepped."""

from __future__ import annotations

import numpy as np
import pytest

from neurovm.errors import ModelError
from neurovm.spiking.network import Network
from neurovm.spiking.neurons import IF, LIF, LoihiCuba, SpeckIF
from neurovm.spiking.synapses import (
    Convolution,
    Dense,
    Pool,
    Procedural,
    Sparse,
    Wires,
    pooled_convolution,
)


@pytest.mark.parametrize("dt_us", [0.0, -1.0, float("nan"), float("inf")])
def test_a_tick_is_above_zero(dt_us: float) -> None:
    with pytest.raises(ModelError, match="a tick of"):
        Network(dt_us=dt_us)


def test_order_follows_the_projections_without_delay() -> None:
    net = Network(dt_us=1000.0)
    c = net.population(3, IF(), "c")
    b = net.population(3, IF(), "b")
    x = net.input(3, "x")
    net.project(x, b, Wires())
    net.project(b, c, Wires())
    net.project(c, b, Wires(), delay_us=1000.0)
    assert [node.name for node in net.ordered()] == ["x", "b", "c"]


def test_a_cycle_without_delay_is_named() -> None:
    net = Network(dt_us=1000.0, name="ring")
    a, b, c = (net.population(2, IF(), name) for name in "abc")
    for source, target in ((a, b), (b, c), (c, b)):
        net.project(source, target, Wires())
    with pytest.raises(ModelError, match="ring: a cycle without delay: 'b' → 'c' → 'b'"):
        net.ordered()


def test_loihi_delays_every_projection_by_itself() -> None:
    net = Network(dt_us=1000.0)
    a = net.population(2, LoihiCuba(current_decay=0, voltage_decay=0, threshold=1), "a")
    net.project(a, a, Dense(np.zeros((2, 2))))
    assert net.ordered() == [a]


def test_chips_are_not_mixed() -> None:
    net = Network(dt_us=1000.0)
    net.population(2, SpeckIF(threshold=1, v_min=0), "a")
    assert net.numerics() == "speck"
    net.population(2, IF(), "b")
    with pytest.raises(ModelError, match="native, speck in one network"):
        net.numerics()


BAD = {
    "NaN": (Dense(np.full((3, 2), np.nan)), "6 weights are not finite"),
    "infinite": (Wires(np.array([np.inf])), "1 weights are not finite"),
    "words": (Dense(np.array([["a"] * 2] * 3)), "numbers are accepted"),
    "transposed": (Dense(np.zeros((2, 3))), r"\(3, 2\) are needed"),
    "beyond the target": (Sparse(np.array([0]), np.array([3]), np.ones(1)), "outside 0 … 2"),
    "before the source": (Sparse(np.array([-1]), np.array([0]), np.ones(1)), "outside 0 … 1"),
    "unequal lists": (Sparse(np.array([0]), np.array([0, 1]), np.ones(1)), r"targets are \(2,\)"),
    "wires that do not fit": (Wires(), "one to one"),
    "wires that lead outside": (Wires(1.0, np.array([0, 3])), "outside −1 … 2"),
    "no image": (Convolution(np.zeros((1, 1, 1, 1))), r"\(channels, height, width\) is needed"),
    "nothing drawn": (Procedural(seed=1, fan_out=0, low=0, high=1), "fan-out"),
    "wide codes": (Procedural(seed=1, fan_out=2, low=0, high=200), "high ≤ 127"),
}


@pytest.mark.parametrize("case", BAD)
def test_synapses_that_do_not_fit(case: str) -> None:
    synapses, message = BAD[case]
    net = Network(dt_us=1000.0)
    x, a = net.input(2, "x"), net.population(3, IF(), "a")
    with pytest.raises(ModelError, match=message) as error:
        net.project(x, a, synapses)
    assert "'x' → 'a'" in str(error.value)
    assert net.edges == []


@pytest.mark.parametrize(
    ("synapses", "shape", "message"),
    [
        (Convolution(np.zeros((4, 2, 3, 3))), (5, 4, 4), "channels of the target are"),
        (Convolution(np.zeros((4, 3, 3, 3))), (4, 4, 4), "input channels"),
        (Convolution(np.zeros((4, 2, 3, 3)), stride=(0, 1)), (4, 4, 4), "sizes of 1"),
        (Convolution(np.zeros((4, 2, 3, 3))), (4, 9, 4), "longer than the source's"),
        (Pool((2, 2)), (3, 3, 3), "channels of the target are"),
    ],
)
def test_images_that_do_not_fit(
    synapses: Convolution | Pool, shape: tuple[int, int, int], message: str
) -> None:
    net = Network(dt_us=1000.0)
    x, a = net.input((2, 6, 6), "x"), net.population(shape, IF(), "a")
    with pytest.raises(ModelError, match=message):
        net.project(x, a, synapses)


@pytest.mark.parametrize("delay_us", [-1.0, float("nan"), 1500.0, 65536e3])
def test_delays_are_whole_ticks(delay_us: float) -> None:
    net = Network(dt_us=1000.0)
    a = net.population(3, LIF(tau_us=1e4), "a")
    with pytest.raises(ModelError, match="delay"):
        net.project(a, a, Wires(), delay_us=delay_us)


def test_other_mistakes() -> None:
    net = Network(dt_us=1000.0)
    x = net.input(2, "x")
    with pytest.raises(ModelError, match="there twice"):
        net.population(2, IF(), "x")
    with pytest.raises(ModelError, match="shape"):
        net.population((2, 0), IF(), "a")
    with pytest.raises(ModelError, match="cannot be an output"):
        net.output(x)
    with pytest.raises(ModelError, match="driven from outside"):
        net.project(x, x, Wires())
    with pytest.raises(ModelError, match="another network"):
        Network(dt_us=1.0).project(x, x, Wires())


def test_sums_become_part_of_a_kernel() -> None:
    kernel = np.arange(12.0).reshape(1, 3, 2, 2)
    one = pooled_convolution(Convolution(kernel, (1, 1), (1, 1)), Pool((2, 2), weight=0.25))
    assert one.weights.shape == (1, 3, 4, 4)
    assert one.weights[0, 1, 2, 1] == kernel[0, 1, 1, 0] / 4
    assert (one.stride, one.padding) == ((2, 2), (2, 2))
    with pytest.raises(ValueError, match="side by side"):
        pooled_convolution(Convolution(kernel), Pool((2, 2), (1, 1)))


def test_synapses_of_one_pair_add_up_before_they_become_codes() -> None:
    net = Network(dt_us=1000.0)
    x, h = net.input(2, "x"), net.population(2, LIF(tau_us=2000.0), "h")
    given = Sparse(np.array([0, 0, 1]), np.array([1, 1, 0]), np.array([0.25, 0.5, 0.25]))
    kept = net.project(x, h, given).synapses
    assert isinstance(kept, Sparse)
    assert list(zip(kept.source, kept.target, kept.weights, strict=True)) == [
        (0, 1, 0.75),
        (1, 0, 0.25),
    ]


def test_synapses_of_one_pair_with_delays_of_their_own_stay() -> None:
    net = Network(dt_us=1000.0)
    x, h = net.input(1, "x"), net.population(1, LIF(tau_us=2000.0), "h")
    late = np.array([0.0, 1000.0])
    given = Sparse(np.zeros(2, int), np.zeros(2, int), np.ones(2), late)
    assert net.project(x, h, given).synapses is given


def test_what_is_no_neuron_no_synapses_or_no_population_is_named() -> None:
    net = Network(dt_us=1000.0)
    x = net.input((1, 4, 4), "x")
    h = net.population((1, 4, 4), LIF(tau_us=2000.0), "h")
    kernel = np.ones((1, 1, 3, 3))
    with pytest.raises(ModelError, match="a population of 'LIF'; one of IF, "):
        net.population(3, "LIF")  # type: ignore[arg-type]  # the wrong kind is the point
    with pytest.raises(ModelError, match="synapses 'dense'; one of Dense, "):
        net.project(x, h, "dense")  # type: ignore[arg-type]  # the wrong kind is the point
    with pytest.raises(ModelError, match="to or from None; what input"):
        net.project(x, None, Wires())  # type: ignore[arg-type]  # the wrong kind is the point
    for wrong in ({"stride": 1}, {"padding": "same"}, {"dilation": (1.5, 1)}):
        with pytest.raises(ModelError, match="two whole numbers"):
            net.project(x, h, Convolution(kernel, **wrong))
    with pytest.raises(ModelError, match="a tick of 'x' µs"):
        Network(dt_us="x")  # type: ignore[arg-type]  # the wrong kind is the point
