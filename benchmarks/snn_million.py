# SPDX-License-Identifier: Apache-2.0
"""A million neurons, a thousand synapses each, in steps of 1 ms.

Every neuron is driven by its own bias to fire about 1.4 times a second; targets and weights are
random, every spike arrives one tick later. Rows are written as the kernel reads them, in three
bytes a synapse: packed from arrays they would need several times the memory.
"""

from __future__ import annotations

import mmap

import numpy as np
from snn_case import UNIT, Case, lif, one, timed

from neurovm import _kernel
from neurovm.spiking.plan import Plan, Population, Procedural, Projection
from neurovm.spiking.records import pack

NEURONS, FAN_OUT = 1_000_000, 1000
STEPS = 50
LEAK = 1 - 1 / 1024
"""With a drive to twice the threshold: from 0 to it in 1024 ln 2 = 710 ms."""
WEIGHT = 1 << 4
"""v of a weight of 1: what arrives about cancels, and moves rates little."""


def network() -> Plan:
    """All neurons, their state spread over a period; the synapses follow."""
    start = np.random.default_rng(3).integers(0, UNIT, NEURONS).astype(np.int32)
    neurons = lif(LEAK, gain=WEIGHT, bias=one(2 * (1 - LEAK) * UNIT), initial=start)
    population = Population("all", NEURONS, "lif", neurons, is_output=True)
    return Plan((population,), (Projection(0, 0, Procedural(1, 1, 0, 0), 1),), 1000.0)


def rows(n: int, fan_out: int, base: bytes) -> tuple[memoryview, int, int, int]:
    """An arena that begins with `base`; where its offsets, delays and entries stand."""
    stride = 3 * fan_out + fan_out % 2
    at_rows = len(base)
    at_delays = at_rows + -(-8 * (n + 1) // 64) * 64
    at_entries = at_delays + 64
    memory = mmap.mmap(-1, at_entries + n * stride)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)  # rows far apart: fewer misses of the page table
    arena = np.frombuffer(memory, np.uint8)
    arena[: len(base)] = np.frombuffer(base, np.uint8)
    arena[at_rows : at_rows + 8 * (n + 1)].view("<u8")[:] = np.arange(n + 1) * np.uint64(stride)
    rng = np.random.default_rng(7)
    widest = int(2 * n / fan_out * (1 - 4 / fan_out**0.5))  # no row comes near its end
    table = arena[at_entries:].reshape(n, stride)
    for j in range(0, n, 2000):
        part = table[j : j + 2000]
        gaps = rng.integers(0, widest, (len(part), fan_out), np.uint16)
        part[:, : 2 * fan_out] = gaps.view(np.uint8)
        weights = np.frombuffer(rng.bytes(len(part) * fan_out), np.uint8)
        part[:, 2 * fan_out : 3 * fan_out] = weights.reshape(len(part), fan_out)
    return memoryview(memory), at_rows, at_delays, at_entries


def million() -> Case:
    packed = pack(network())
    arena, at_rows, at_delays, at_entries = rows(NEURONS, FAN_OUT, packed.arena)
    projection = bytearray(128)
    projection[0] = 2  # NVM_SYNAPSES_SPARSE
    projection[2] = 1  # ticks
    projection[12] = 1  # one delay in a row
    for place, value in ((80, at_entries), (88, at_rows), (96, at_delays)):
        projection[place : place + 8] = value.to_bytes(8, "little")
    program = _kernel.SpikingProgram(packed.populations, projection, arena)
    session = program.session()
    session.step(b"")  # nothing arrives in the first
    rates: list[float] = []

    def run() -> float:
        before = session.counters

        def call() -> None:
            for _ in range(STEPS):
                session.step(b"")

        took_us = timed(call, STEPS)
        rates.append((session.counters[2] - before[2]) / STEPS / NEURONS * 1000)
        return took_us

    size = len(arena) + program.session_bytes
    return Case(
        "10^6 neurons, 10^9 synapses",
        "a step of 1 ms",
        run,
        "≤ 2000 µs, ≤ 3 GB",
        note=lambda: f"{rates[-1]:.2f} Hz; program and session {size / 2**30:.2f} GiB",
        more={"bytes": size},
    )
