# SPDX-License-Identifier: Apache-2.0
"""Small networks in real units that several tests use."""

from __future__ import annotations

import numpy as np

from neurovm.spiking.network import Network
from neurovm.spiking.neurons import IF, LI, LIF, CubaLIF, LoihiCuba, SpeckIF, TrueNorth
from neurovm.spiking.synapses import Convolution, Dense, Pool, Procedural, Sparse, Wires


def native() -> Network:
    """Two inputs, an image, a recurrent population, a readout; every form of synapses."""
    rng = np.random.default_rng(7)
    net = Network(dt_us=500.0, name="native")
    image, extra = net.input((2, 6, 6), "image"), net.input(5, "extra")
    a = net.population((3, 6, 6), LIF(tau_us=10e3, r=20.0), "a")
    b = net.population((3, 3, 3), IF(v_threshold=0.5, reset="subtract", spikes="many"), "b")
    c = net.population(12, CubaLIF(tau_syn_us=4e3, tau_mem_us=10e3, r=9.0, bias=0.1), "c")
    y = net.population(4, LI(tau_us=20e3), "y")
    net.project(image, a, Convolution(rng.normal(0.1, 0.4, (3, 2, 3, 3)), padding=(1, 1)))
    net.project(a, b, Pool((2, 2), weight=0.25))
    net.project(b, c, Dense(rng.normal(0.2, 0.5, (12, 27))))
    net.project(extra, c, Sparse(np.arange(5), np.arange(5) * 2, np.full(5, 0.7)), delay_us=1500.0)
    net.project(c, c, Procedural(seed=5, fan_out=3, low=-4, high=2, scale=0.05), delay_us=500.0)
    net.project(c, y, Wires(0.5, np.arange(12) % 4))
    net.output(b)
    net.output(y)
    return net


def drawn_alone() -> Network:
    """`native` gives all its synapses into one population one unit; these keep theirs."""
    net = Network(dt_us=1000.0, name="drawn")
    x, a = net.input(30, "x"), net.population(20, LIF(tau_us=10e3, r=4.0), "a")
    net.project(
        x, a, Procedural(seed=9, fan_out=6, low=-20, high=60, scale=0.05, delay_high_us=3e3)
    )
    net.output(a)
    return net


def chip(kind: str) -> Network:
    """loihi, speck or truenorth."""
    rng = np.random.default_rng(8)
    net = Network(dt_us=1000.0, name=kind)
    neurons = {
        "loihi": LoihiCuba(current_decay=900, voltage_decay=300, threshold=400, bias_mantissa=9),
        "speck": SpeckIF(threshold=200, v_min=-200, bias=1),
        "truenorth": TrueNorth(leak=-2, threshold=300, negative_threshold=-50, reset_mode=1),
    }
    x, h = net.input(24, "x"), net.population(20, neurons[kind], "h")
    y = net.population(6, neurons[kind], "y")
    net.project(x, h, Dense(rng.integers(-60, 127, (20, 24))))
    net.project(h, y, Dense(rng.integers(-60, 127, (6, 20))))
    net.output(h)
    net.output(y)
    return net


NETWORKS = {
    "native": native,
    "drawn": drawn_alone,
    "loihi": lambda: chip("loihi"),
    "speck": lambda: chip("speck"),
    "truenorth": lambda: chip("truenorth"),
}
