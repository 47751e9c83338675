# SPDX-License-Identifier: Apache-2.0
"""How far spiking networks in integers are from the same networks in float64.

    python benchmarks/spiking_error.py [--ticks 1000] [--seed 0]

Every network is run in float64 with its weights as given (`neurovm.reference.spiking_float`) and by
the kernel with weights of int8 and int16. A spike that differs changes what comes after it, so two
kinds of figures stand side by side: the first tick with another spike, the largest error of a
potential until then (in thresholds); and over the whole run the share of spikes that have no
counterpart in the same tick, and by how much the number of spikes is off.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np

import neurovm
from neurovm.reference import spiking_float
from neurovm.spiking.network import Network
from neurovm.spiking.neurons import IF, LIF, CubaLIF
from neurovm.spiking.synapses import Dense

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

DRAWN, GRID = "drawn from a normal distribution", "multiples of 1/64"


def layered(neuron: Any, sizes: tuple[int, ...], weights: str, rng: np.random.Generator) -> Network:
    """Dense layers one after the other; all but the input are outputs."""
    net = Network(dt_us=1000.0, name="layers")
    before = net.input(sizes[0], "x")
    for k, n in enumerate(sizes[1:]):
        here = net.population(n, neuron, f"l{k}")
        w = rng.normal(1.0, 3.0, (n, before.n)) / np.sqrt(before.n)
        net.project(before, here, Dense(np.round(w * 64) / 64 if weights == GRID else w))
        net.output(here)
        before = here
    return net


def recurrent(neuron: Any, n: int, rng: np.random.Generator) -> Network:
    """One population of which everyone hears a tenth, 2 ms late; a fifth inhibits."""
    net = Network(dt_us=1000.0, name="recurrent")
    x, r = net.input(n, "x"), net.population(n, neuron, "r")
    net.project(x, r, Dense(np.eye(n) * 1.5))
    w = rng.normal(0.6, 0.2, (n, n)) * (rng.random((n, n)) < 0.1)
    w[:, rng.random(n) < 0.2] *= -4
    net.project(r, r, Dense(w / np.sqrt(n / 10)), delay_us=2000.0)
    net.output(r)
    return net


CASES: dict[str, tuple[Callable[[np.random.Generator], Network], float]] = {
    f"LIF 100-80-40-10, {DRAWN}": (
        lambda r: layered(LIF(tau_us=20e3, r=12.0), (100, 80, 40, 10), DRAWN, r),
        0.05,
    ),
    f"LIF 100-80-40-10, {GRID}": (
        lambda r: layered(LIF(tau_us=20e3, r=12.0), (100, 80, 40, 10), GRID, r),
        0.05,
    ),
    f"LIF, by subtraction, 100-80-40-10, {DRAWN}": (
        lambda r: layered(LIF(tau_us=20e3, r=8.0, reset="subtract"), (100, 80, 40, 10), DRAWN, r),
        0.05,
    ),
    f"IF 100-80-40-10, {GRID}": (
        lambda r: layered(IF(r=0.5), (100, 80, 40, 10), GRID, r),
        0.05,
    ),
    f"CubaLIF 100-80-40-10, {DRAWN}": (
        lambda r: layered(
            CubaLIF(tau_syn_us=5e3, tau_mem_us=20e3, r=12.0), (100, 80, 40, 10), DRAWN, r
        ),
        0.05,
    ),
    f"LIF 784-512-256-10, {DRAWN}": (
        lambda r: layered(LIF(tau_us=20e3, r=12.0), (784, 512, 256, 10), DRAWN, r),
        0.075,
    ),
    "recurrent LIF 200, 10 %": (
        lambda r: recurrent(LIF(tau_us=20e3, r=20.0, refractory_us=2000.0), 200, r),
        0.01,
    ),
}


def compared(net: Network, x: NDArray[np.int8], weights: str) -> dict[str, float]:
    """The figures of one network and one width of weights."""
    model = neurovm.convert_network(net, weights=weights)  # type: ignore[arg-type] # a width
    spikes, potentials = (np.asarray(a) for a in model.session().run(x, potentials=True))
    real = spiking_float.run(net, [x])
    scale = np.concatenate(
        [
            np.full(t.size, s)
            for t, (s, _) in zip(model.outputs, model.potential_scales, strict=True)
        ]
    )
    wanted = np.concatenate([real[t.name].spikes for t in model.outputs], axis=1)
    wanted_v = np.concatenate([real[t.name].potentials for t in model.outputs], axis=1)
    other = spikes != wanted
    rows = np.flatnonzero(other.any(axis=1))
    first = int(rows[0]) if rows.size else len(x)
    error = np.abs(potentials * scale - wanted_v)[:first].max(initial=0.0)
    snr = [p.snr_db for p in model.spiking.projections if p.snr_db is not None]
    return {
        "snr_db": min(snr, default=np.inf),
        "first": first,
        "error": float(error),
        "other": float(other.sum() / (2 * max(wanted.sum(), 1))),
        "rate": float(abs(int(spikes.sum()) - wanted.sum()) / max(wanted.sum(), 1)),
        "spikes": float(wanted.sum()),
    }


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ticks", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(
        "| network | weights | SNR | spikes | first other | error | without counterpart | count |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, (build, rate) in CASES.items():
        for weights in ("int8", "int16"):
            rng = np.random.default_rng(options.seed)
            net = build(rng)
            x = (rng.random((options.ticks, net.nodes[0].n)) < rate).astype(np.int8)
            found = compared(net, x, weights)
            snr = "exact" if np.isinf(found["snr_db"]) else f"{found['snr_db']:.0f} dB"
            first = "none" if found["first"] == options.ticks else f"tick {found['first']}"
            print(
                f"| {name} | {weights} | {snr} | {found['spikes']:,.0f} | {first} "
                f"| {found['error']:.1e} | {100 * found['other']:.2f} % "
                f"| {100 * found['rate']:.2f} % |"
            )


if __name__ == "__main__":
    main()
