# SPDX-License-Identifier: Apache-2.0
"""What a tick and an event cost in the spiking kernel: `python benchmarks/spiking_kernel.py [set]`.

One thread; every figure is the best of many short repetitions, so that a busy machine disturbs it
little. Weights are random, thresholds such that some per cent of the neurons fire in a tick.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from neurovm import _kernel
from neurovm.spiking.plan import Dense, Neurons, Plan, Population, Projection
from neurovm.spiking.records import pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

TICKS = 100


def one(value: int) -> NDArray[np.int32]:
    return np.array([value], np.int32)


def lif(theta: int, leak: float = 0.95, bias: int = 0) -> Neurons:
    """Potentials of 8 more bits than weights have."""
    powers = [round(leak ** (1 << k) * (1 << 31)) for k in range(32)]
    shared = np.array(powers, np.uint32)[:, None]
    return Neurons(one(theta << 8), one(0), shared, one(256), one(bias << 8), one(0))


def layered(sizes: list[int], thetas: list[int]) -> Plan:
    """Fully connected layers; the last is the output."""
    rng = np.random.default_rng(1)
    populations = [Population("in", sizes[0], "input")]
    projections = []
    for i, (n, theta) in enumerate(zip(sizes[1:], thetas, strict=True), 1):
        last = i == len(sizes) - 1
        populations.append(Population(f"layer{i}", n, "lif", lif(theta), is_output=last))
        weights = np.clip(rng.normal(2, 40, (sizes[i - 1], n)), -127, 127).astype(np.int8)
        projections.append(Projection(i - 1, i, Dense(weights)))
    return Plan(tuple(populations), tuple(projections), 1000.0)


def recurrent(n: int) -> Plan:
    """Every neuron driven by its own bias, 10 % of all pairs connected, one tick late."""
    rng = np.random.default_rng(2)
    weights = rng.integers(-40, 40, (n, n)).astype(np.int8)
    weights[rng.random((n, n)) >= 0.1] = 0
    neurons = lif(2000, leak=0.995, bias=15)
    start = rng.integers(0, 2000 << 8, n).astype(np.int32)
    neurons = Neurons(
        neurons.theta, neurons.reset_to, neurons.leak, neurons.gain, neurons.bias, start
    )
    population = Population("all", n, "lif", neurons, is_output=True)
    return Plan((population,), (Projection(0, 0, Dense(weights), delay=1),), 1000.0)


def best(call: Callable[[], object], seconds: float = 1.0) -> float:
    """Seconds of one call, the least of all within so many seconds."""
    end = time.perf_counter() + seconds
    least = float("inf")
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        least = min(least, time.perf_counter() - start)
    return least


def show(name: str, plan: Plan, rate: float) -> None:
    """µs a tick of `run`."""
    session = _kernel.SpikingProgram(*pack(plan)).session()
    n_in = sum(p.n for p in plan.populations if p.kind == "input")
    n_out = sum(p.n for p in plan.populations if p.is_output)
    spikes = (np.random.default_rng(3).random((TICKS, n_in)) < rate).astype(np.uint8)
    out = np.zeros((TICKS, n_out), np.int8)
    session.run(spikes, out)
    before = session.counters
    session.run(spikes, out)
    events, sops = session.counters[2] - before[2], session.counters[3] - before[3]
    seconds = best(lambda: session.run(spikes, out)) / TICKS
    neurons = sum(p.n for p in plan.populations if p.kind != "input")
    print(
        f"{name:34} {seconds * 1e6:8.3f} µs a tick  {sops / TICKS / seconds / 1e9:6.1f} GSOP/s  "
        f"{events / TICKS / neurons:6.1%} fire"
    )


def show_events() -> None:
    """ns an event, one at a time and in batches."""
    plan = layered([256, 128, 64, 10], [1000, 700, 500])
    session = _kernel.SpikingProgram(*pack(plan)).session()
    addresses = [int(a) for a in np.random.default_rng(4).integers(0, 256, 1000)]

    def each() -> None:
        for a in addresses:
            session.event(a)

    print(f"{'256-128-64-10, event()':34} {best(each) / 1000 * 1e9:8.1f} ns an event")
    for batch in (64, 1000):
        at = np.array(addresses[:batch], np.uint32)
        ticks, out = (
            np.zeros(batch, np.int64),
            (np.zeros(4096, np.int64), np.zeros(4096, np.uint32)),
        )
        for gap in (1, 3):
            steps = np.arange(1, batch + 1, dtype=np.int64) * gap

            def advance(at=at, steps=steps, ticks=ticks, out=out) -> None:
                start = session.tick
                np.add(steps, start, out=ticks)
                session.advance(ticks, at, int(ticks[-1]) + 1, *out)

            name = f"256-128-64-10, advance({batch}), every {gap}"
            print(f"{name:34} {best(advance) / batch * 1e9:8.1f} ns an event")
    packed = layered([256, 128, 10], [1000, 700])
    session = _kernel.SpikingProgram(*pack(packed)).session()
    at = np.random.default_rng(5).integers(0, 256, 4096).astype(np.uint32)
    steps = np.arange(4096, dtype=np.int64)
    out = np.zeros(65536, np.int64), np.zeros(65536, np.uint32)

    def aer() -> None:
        start = session.tick
        session.advance(steps + start, at, start + 4096, *out)

    print(f"{'256-128-10, time-stamped, one a tick':34} {4096 / best(aer) / 1e6:8.2f} M events/s")


def main() -> None:
    if len(sys.argv) > 1:
        _kernel.choose_isa(sys.argv[1])
    print(_kernel.isa())
    show("784-512-256-10, 7.5 % input", layered([784, 512, 256, 10], [1500, 1000, 600]), 0.075)
    show("recurrent 1000, 10 %, driven", recurrent(1000), 0)
    show("recurrent 4000, 10 %, driven", recurrent(4000), 0)
    show_events()


if __name__ == "__main__":
    main()
