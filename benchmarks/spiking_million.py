# SPDX-License-Identifier: Apache-2.0
"""A million neurons, a thousand synapses each, in steps of 1 ms: milliseconds a tick, and memory.

    python benchmarks/spiking_million.py [neurons] [fan_out]

Every neuron is driven by its own bias to fire 1.4 times a second; targets and weights are random,
every spike arrives one tick later. Rows are written as the kernel reads them, in three bytes a
synapse.
"""

from __future__ import annotations

import mmap
import resource
import sys
import time

import numpy as np

from neurovm import _kernel
from neurovm.spiking.plan import Neurons, Plan, Population, Procedural, Projection
from neurovm.spiking.records import pack

RATE_HZ = 1.4
THETA = 1 << 20


def one(value: int) -> np.ndarray:
    return np.array([value], np.int32)


def network(n: int, seed: int) -> Plan:
    """All neurons, their state spread over a period; the synapses follow."""
    period = round(1000 / RATE_HZ)
    start = np.random.default_rng(seed).integers(0, THETA, n).astype(np.int32)
    none = np.full((32, 1), 1 << 31, np.uint32)
    neurons = Neurons(
        one(THETA), one(THETA), none, one(1), one(THETA // period), start, reset="subtract"
    )
    population = Population("all", n, "lif", neurons)
    return Plan((population,), (Projection(0, 0, Procedural(1, 1, 0, 0), 1),), 1000.0)


def rows(n: int, fan_out: int, base: bytes) -> tuple[memoryview, int, int, int]:
    """An arena that begins with `base`; where its offsets, delays and entries stand."""
    stride = 3 * fan_out + fan_out % 2
    at_rows = len(base)
    at_delays = at_rows + -(-8 * (n + 1) // 64) * 64
    at_entries = at_delays + 64
    memory = mmap.mmap(-1, at_entries + n * stride)
    if "huge" in sys.argv:
        memory.madvise(mmap.MADV_HUGEPAGE)
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


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    fan_out = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    plan = network(n, 3)
    packed = pack(plan)
    arena, at_rows, at_delays, at_entries = rows(n, fan_out, packed.arena)
    projection = bytearray(128)
    projection[0] = 2  # NVM_SYNAPSES_SPARSE
    projection[2] = 1  # ticks
    projection[12] = 1  # one delay in a row
    for place, value in ((80, at_entries), (88, at_rows), (96, at_delays)):
        projection[place : place + 8] = value.to_bytes(8, "little")
    start = time.perf_counter()
    session = _kernel.SpikingProgram(packed.populations, projection, arena).session()
    print(f"checked {n * fan_out:.3g} synapses in {time.perf_counter() - start:.2f} s")
    best = float("inf")
    session.step(b"")  # nothing arrives in the first
    for _ in range(200):
        before = session.counters
        start = time.perf_counter()
        session.step(b"")
        seconds = time.perf_counter() - start
        spikes, sops = (session.counters[i] - before[i] for i in (2, 3))
        if seconds < best:
            best = seconds
            text = f"{spikes} spikes, {sops / seconds / 1e9:.2f} GSOP/s"
    print(f"{best * 1e3:.2f} ms a tick ({text})")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"arena {len(arena) / 1e9:.3f} GB, peak of this process {peak * 1024 / 1e9:.3f} GB")


if __name__ == "__main__":
    main()
