# SPDX-License-Identifier: Apache-2.0
"""The networks of the spiking benchmark: each seeded, run by the kernel on its own records."""

from __future__ import annotations

import contextlib
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from roofline import Loads

from neurovm import _kernel
from neurovm.spiking.plan import Dense, Neurons, Plan, Population, Projection, Sparse
from neurovm.spiking.records import pack

UNIT = 1 << 26
"""v of a threshold of 1."""
GRID = 4096
"""Weights are whole multiples of 1 / GRID, so that every simulator holds the same ones."""


@dataclass
class Case:
    """One network; `run` gives microseconds a step (or an event, see `unit`)."""

    name: str
    unit: str
    run: Callable[[], float]
    target: str = ""
    peers: dict[str, tuple[str, str, list[str]]] = field(default_factory=dict)
    """Name → (whose Python, script, its arguments)."""
    compare: Callable[[dict[str, Any]], str] | None = None
    """What a peer's first line says of the spikes; begins with DIFFERENT where they should not."""
    note: Callable[[], str] = str
    more: dict[str, Any] = field(default_factory=dict)


def powers(leak: float) -> np.ndarray:
    return np.array([[round(leak ** (2**k) * 2**31)] for k in range(32)], np.uint32)


def one(x: float) -> np.ndarray:
    return np.array([round(x)], np.int32)


def lif(leak: float, *, unit: int = UNIT, gain: int = UNIT // GRID, **more: Any) -> Neurons:
    """Fires at v ≥ 1, to 0; weights on the grid."""
    given = {"theta": one(unit), "reset_to": one(0), "bias": one(0), "initial": one(0), **more}
    return Neurons(leak=powers(leak), gain=one(gain), **given)


def timed(call: Callable[[], object], count: int) -> float:
    """Microseconds a step of `count`."""
    begun = time.perf_counter()
    call()
    return (time.perf_counter() - begun) / count * 1e6


def first_difference(ours: np.ndarray, theirs: list[list[int]]) -> str:
    mine = [tuple(each) for each in np.argwhere(ours).tolist()]
    other = sorted(tuple(each) for each in theirs)
    if mine == other:
        return f"all {len(mine)} spikes equal"
    place = next((i for i, pair in enumerate(zip(mine, other, strict=False)) if pair[0] != pair[1]),
                 min(len(mine), len(other)))  # fmt: skip
    return f"DIFFERENT from spike {place} of {len(mine)} and {len(other)}"


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


# ---- a million neurons -------------------------------------------------------------------------

MILLION, FAN_OUT = 1_000_000, 1000


def random_rows(n: int, fan_out: int, rng: np.random.Generator) -> Sparse:
    """Targets at uniform random gaps from a random place on, around the ring; 80 % excite, and all
    of a neuron's weights about cancel.
    """
    mean = n // fan_out
    block = max(1, 10_000_000 // fan_out)
    target = np.empty(n * fan_out, np.uint32)
    weight = np.empty(n * fan_out, np.int8)
    for first in range(0, n, block):
        count = min(block, n - first)
        span = slice(first * fan_out, (first + count) * fan_out)
        gaps = rng.integers(1, 2 * mean - 1, (count, fan_out), dtype=np.uint32)
        place = np.cumsum(gaps, axis=1, out=gaps)
        place += rng.integers(0, n, (count, 1), dtype=np.uint32)
        place %= n
        place.sort(axis=1)
        target[span] = place.ravel()
        size = rng.integers(0, 32, (count, fan_out), dtype=np.int8)
        size[max(0, int(0.8 * n) - first) :] *= -4
        weight[span] = size.ravel()
    row = np.arange(n + 1, dtype=np.uint64) * np.uint64(fan_out)
    return Sparse(row, target, weight)


def write_million(folder: Path) -> None:
    """Records and arena of the network as files; packed here, in a process of its own."""
    rng = np.random.default_rng(3)
    leak = 1 - 1 / 1024
    neurons = lif(
        leak, bias=one(2 * (1 - leak) * UNIT), initial=rng.integers(0, UNIT, MILLION, np.int32)
    )
    synapses = random_rows(MILLION, FAN_OUT, rng)
    plan = Plan(
        (Population("net", MILLION, "lif", neurons, is_output=True),),
        (Projection(0, 0, synapses, 1),),
        1000.0,
    )
    for name, content in zip(("populations", "projections", "arena"), pack(plan), strict=True):
        (folder / name).write_bytes(content)


def million(folder: Path) -> Case:
    code = f"import pathlib, snn_cases; snn_cases.write_million(pathlib.Path({str(folder)!r}))"
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    records = [(folder / name).read_bytes() for name in ("populations", "projections")]
    with (folder / "arena").open("rb") as file:
        arena = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    program = _kernel.SpikingProgram(*records, arena)
    session = program.session()
    steps = 50
    out = bytearray(steps * MILLION)
    session.run(b"", out)
    spikes = [np.count_nonzero(np.frombuffer(out, np.int8)) / steps]

    def run() -> float:
        took_us = timed(lambda: session.run(b"", out), steps)
        spikes.append(np.count_nonzero(np.frombuffer(out, np.int8)) / steps)
        return took_us

    size = len(arena) + program.session_bytes
    return Case(
        "10^6 neurons, 10^9 synapses",
        "a step of 1 ms",
        run,
        "≤ 2000 µs, ≤ 3 GB",
        note=lambda: (
            f"{spikes[-1] / MILLION * 1000:.2f} Hz; {size / 1e9:.2f} GB, program and session"
        ),
        more={"bytes": size},
    )


# ---- feed-forward ------------------------------------------------------------------------------

LAYERS = (784, 512, 256, 10)


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
                f"layer {i}", n, "lif", lif(leak, gain=UNIT // 128, unit=UNIT), is_output=last
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
    roof = Loads(_rows_read(plan, given), folder)
    first_sops = session.counters[3]
    sent = [session.counters[1] / steps, session.counters[2] / steps]
    spikes = out.copy()

    shares: list[float] = []

    def run() -> float:
        session.reset()
        took_us = timed(lambda: session.run(given, out), steps)
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

    yield Case("one event into 256-128-64-10", "an event from Python", one_by_one, "< 0.3 µs")
    yield Case("64 events into 256-128-64-10", "an event, a tick each", by_batches, "< 0.025 µs")


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
        yield million(folder)
    elif name == "events":
        yield from events()
    else:
        yield aer()
