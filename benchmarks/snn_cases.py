# SPDX-License-Identifier: Apache-2.0
"""The networks of the spiking benchmark: each seeded, run by the kernel on its own records."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from roofline import Loads
from snn_case import GRID, UNIT, Case, first_difference, lif, one, timed
from snn_million import million

from neurovm import _kernel
from neurovm.spiking.plan import Dense, Plan, Population, Projection
from neurovm.spiking.records import pack

# ---- recurrent ---------------------------------------------------------------------------------


def recurrent(n: int, folder: Path, steps: int = 1000) -> Case:
    """80 % excitatory, 20 % inhibitory, 10 % of all pairs, every neuron under constant drive."""
    rng = np.random.default_rng(1)
    linked = rng.random((n, n)) < 0.1
    np.fill_diagonal(linked, val=False)
    source, target = np.nonzero(linked)
    signed = np.where(
        source < 0.8 * n, rng.integers(1, 32, source.size), -rng.integers(4, 128, source.size)
    )
    leak, drive, start = 15 / 16, 0.07, rng.random(n) * 0.9
    file = folder / f"recurrent_{n}.npz"
    np.savez(file, leak=leak, drive=drive, threshold=1.0, v=start, source=source, target=target,
             weight=signed / GRID)  # fmt: skip
    weights = np.zeros((n, n), np.int8)
    weights[source, target] = signed
    neurons = lif(leak, bias=one(drive * UNIT), initial=np.rint(start * UNIT).astype(np.int32))
    plan = Plan(
        (Population("net", n, "lif", neurons, is_output=True),),
        (Projection(0, 0, Dense(weights), 1),),
        1000.0,
    )
    program = _kernel.SpikingProgram(*pack(plan))
    session = program.session()
    out = np.zeros((steps, n), np.int8)
    session.run(b"", out)
    spikes = out.copy()

    def run() -> float:
        session.reset()
        return timed(lambda: session.run(b"", out), steps)

    return Case(
        f"recurrent {n}, 10 %",
        "a step",
        run,
        "Brian2 ≥ 3 ×, NEST ≥ 20 ×",
        {
            "Brian2 C++ standalone": (
                "brian2",
                "brian2_recurrent.py",
                [str(file), str(steps), str(folder / f"b{n}")],
            ),
            "NEST": ("nest", "nest_recurrent.py", [str(file), str(steps)]),
        },
        compare=lambda first: first_difference(spikes, first["spikes"]),
        note=lambda: f"{spikes.mean() * 1000:.1f} Hz, {source.size} synapses",
    )


# ---- feed-forward ------------------------------------------------------------------------------

LAYERS = (784, 512, 256, 10)
FINE = 1 << 20
"""v of a threshold of 1 where many weights of up to 1 meet: with room for their sums in 32 bits."""
RUNS = 10
"""Of 100 steps, at a time: a run takes 0.1 ms, a peer's some 10 ms."""


def layered(
    sizes: tuple[int, ...], leak: float, rng: np.random.Generator, spread: int = 24, shift: int = 0
) -> tuple[Plan, list[np.ndarray]]:
    """Fully connected LIF layers, and their int8 weights (targets, sources)."""
    populations = [Population("in", sizes[0], "input")]
    weights = []
    for i, n in enumerate(sizes[1:]):
        weights.append(np.clip(np.rint(rng.normal(shift, spread, (n, sizes[i]))), -127, 127))
        last = i == len(sizes) - 2
        populations.append(
            Population(
                f"layer {i}", n, "lif", lif(leak, gain=FINE // 128, unit=FINE), is_output=last
            )
        )
    projections = [
        Projection(i, i + 1, Dense(np.ascontiguousarray(w.T, np.int8)))
        for i, w in enumerate(weights)
    ]
    return Plan(tuple(populations), tuple(projections), 1000.0), weights


def feedforward(folder: Path) -> Case:
    rng = np.random.default_rng(5)
    leak, steps = 0.875, 100
    plan, weights = layered(LAYERS, leak, rng, spread=16)
    given = (rng.random((steps, LAYERS[0])) < 0.075).astype(np.uint8)
    file = folder / "feedforward.npz"
    np.savez(
        file,
        leak=leak,
        threshold=1.0,
        spikes=given,
        reset="zero",
        **{f"weight{i}": (w / 128).astype(np.float32) for i, w in enumerate(weights)},
    )
    session = _kernel.SpikingProgram(*pack(plan)).session()
    out = np.zeros((steps, LAYERS[-1]), np.int8)
    session.run(given, out)
    roof = Loads(given, _rows_read(plan, given), folder)
    first_sops = session.counters[3]
    sent = [session.counters[1] / steps, session.counters[2] / steps]
    spikes = out.copy()

    shares: list[float] = []

    def again() -> None:
        for _ in range(RUNS):
            session.reset()
            session.run(given, out)

    def run() -> float:
        again()  # the peer that ran before has taken the caches
        took_us = timed(again, RUNS * steps)
        roof.step_us()
        shares.append(roof.step_us() / took_us)
        return took_us

    names = ("snntorch", "norse", "sinabs", "spikingjelly")
    return Case(
        "784-512-256-10 LIF, 7.5 % input",
        "a step",
        run,
        "≥ 100 × the fastest, ≥ 50 % of the load roofline",
        {name: ("torch", "torch_feedforward.py", [name, str(file)]) for name in names},
        compare=lambda first: (
            first_difference(spikes, first["output"])
            if first.get("equal", True)
            else "other equations"
        ),
        note=lambda: (
            f"{first_sops / steps:.0f} SOPs a step; {sent[0]:.0f} spikes in, "
            f"{sent[1]:.0f} in the layers; {statistics.median(shares):.0%} of the load roofline"
        ),
        more={"sops": first_sops / steps, "of_load_roofline": shares},
    )


def _rows_read(plan: Plan, given: np.ndarray) -> list[tuple[int, int, list[np.ndarray]]]:
    """Of each projection: rows, bytes a row, and the rows that each step of the input reads."""
    session = _kernel.SpikingProgram(*pack(plan)).session()
    read: list[list[np.ndarray]] = [[] for _ in plan.projections]
    for spikes in given:
        session.step(spikes)
        for i, projection in enumerate(plan.projections):
            sent = np.frombuffer(session.population(projection.source)[0], np.int8)
            read[i].append(np.flatnonzero(sent))
    size = [population.n for population in plan.populations]
    return [
        (size[p.source], size[p.target], rows)
        for p, rows in zip(plan.projections, read, strict=True)
    ]


# ---- single events -----------------------------------------------------------------------------


def events() -> Iterator[Case]:
    """256-128-64-10: one event a tick, from Python one by one and 64 in one call."""
    rng = np.random.default_rng(7)
    plan, _ = layered((256, 128, 64, 10), 0.875, rng, spread=30)
    addresses = rng.integers(0, 256, 64 * 200).astype(np.uint32)
    program = _kernel.SpikingProgram(*pack(plan))
    session, batched = program.session(), program.session()
    event, chosen = session.event, addresses.tolist()

    def one_by_one() -> float:
        def call() -> None:
            for address in chosen:
                event(address)

        return timed(call, len(chosen))

    room = 64 * 10
    out_ticks, out_addresses = array("q", bytes(8 * room)), array("I", bytes(4 * room))
    batches = [array("I", addresses[i : i + 64].tobytes()) for i in range(0, addresses.size, 64)]

    def by_batches() -> float:
        first = batched.tick
        stamps = [
            array("q", range(first + i, first + i + 64)) for i in range(0, addresses.size, 64)
        ]

        def call() -> None:
            for batch, stamp in zip(batches, stamps, strict=True):
                batched.advance(stamp, batch, stamp[-1] + 1, out_ticks, out_addresses)

        return timed(call, addresses.size)

    together = program.session()

    def in_one_tick() -> float:
        def call() -> None:
            for batch in batches:
                together.step_events(batch)

        return timed(call, addresses.size)

    yield Case("one event into 256-128-64-10", "an event from Python", one_by_one, "< 0.3 µs")
    yield Case("64 events into 256-128-64-10", "an event, a tick each", by_batches, "< 0.025 µs")
    yield Case("64 events into 256-128-64-10", "an event, all in a tick", in_one_tick, "< 0.025 µs")


def aer() -> Case:
    """256-128-10 by time stamps of 1 µs, events at random times, 4096 in a call."""
    rng = np.random.default_rng(9)
    plan, _ = layered((256, 128, 10), float(np.exp(-1 / 1000)), rng, spread=4)
    session = _kernel.SpikingProgram(*pack(plan)).session()
    count, room = 4096, 1 << 16
    gaps = rng.integers(0, 4, count)
    addresses = array("I", rng.integers(0, 256, count).astype(np.uint32).tobytes())
    out_ticks, out_addresses = array("q", bytes(8 * room)), array("I", bytes(4 * room))

    def run() -> float:
        stamps = [array("q", (session.tick + 1 + np.cumsum(gaps)).astype(np.int64).tobytes())]
        for _ in range(15):
            stamps.append(array("q", (stamps[-1][-1] + 1 + np.cumsum(gaps)).tobytes()))

        def call() -> None:
            for stamp in stamps:
                done = session.advance(stamp, addresses, stamp[-1] + 1, out_ticks, out_addresses)
                assert done[0] == count, done

        return timed(call, count * len(stamps))

    return Case("AER, 256-128-10 by time stamps", "an event", run, "≤ 0.2 µs (5 M events/s)")


CASES = ("feedforward", "recurrent", "million", "events", "aer")


@contextlib.contextmanager
def opened(name: str) -> Iterator[Iterator[Case]]:
    """The cases of that name, and a folder for their files while they are measured."""
    with tempfile.TemporaryDirectory(prefix="neurovm-snn-") as folder:
        yield _cases(name, Path(folder))


def _cases(name: str, folder: Path) -> Iterator[Case]:
    if name == "feedforward":
        yield feedforward(folder)
    elif name == "recurrent":
        yield recurrent(1000, folder)
        yield recurrent(4000, folder)
    elif name == "million":
        yield million()
    elif name == "events":
        yield from events()
    else:
        yield aer()
