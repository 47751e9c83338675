# SPDX-License-Identifier: Apache-2.0
"""Compressed rows are read back as they were given, however many are compressed at a time."""

from __future__ import annotations

import numpy as np
import pytest

from neurovm.errors import ModelError
from neurovm.spiking import compressed
from neurovm.spiking.compressed import GAP_ONLY, Compressed, compress
from neurovm.spiking.plan import Sparse


def read_back(packed: Compressed) -> list[list[tuple[int, int]]]:
    """(target, weight) of every segment."""
    segments = []
    for first, end in zip(packed.rows[:-1].tolist(), packed.rows[1:].tolist(), strict=True):
        count = (end - first) // 3
        gaps = packed.entries[first : first + 2 * count].view("<u2")
        weights = packed.entries[first + 2 * count : first + 3 * count].view(np.int8)
        at, synapses = 0, []
        for gap, weight in zip(gaps.tolist(), weights.tolist(), strict=True):
            at += gap
            if gap != GAP_ONLY:
                synapses.append((at, weight))
        segments.append(synapses)
    return segments


def random_synapses(seed: int) -> tuple[Sparse, int]:
    rng = np.random.default_rng(seed)
    n_out = int(rng.choice([5, 100, 300_000]))
    rows = [
        np.sort(rng.integers(0, n_out, rng.integers(0, 12))) for _ in range(rng.integers(1, 20))
    ]
    target = np.concatenate(rows).astype(np.uint32)
    row = np.concatenate([[0], np.cumsum([part.size for part in rows])]).astype(np.uint64)
    weight = rng.integers(-128, 128, target.size).astype(np.int8)
    delays = rng.integers(0, 4, target.size).astype(np.uint16) if seed % 2 else None
    return Sparse(row, target, weight, delays), n_out


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
@pytest.mark.parametrize("seed", range(20))
def test_every_synapse_is_read_back(seed: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    synapses, n_out = random_synapses(seed)
    monkeypatch.setattr(compressed, "BLOCK", block)
    packed = compress(synapses, n_out)
    expected = []
    for j in range(synapses.row.size - 1):
        part = slice(int(synapses.row[j]), int(synapses.row[j + 1]))
        pairs = list(
            zip(synapses.target[part].tolist(), synapses.weight[part].tolist(), strict=True)
        )
        late = np.zeros(len(pairs), int) if synapses.delays is None else synapses.delays[part]
        expected += [
            [pair for pair, each in zip(pairs, late, strict=True) if each == delay]
            for delay in packed.delays.tolist()
        ]
    assert read_back(packed) == expected


def test_rows_that_contradict_themselves_are_refused() -> None:
    target, weight = np.array([3, 1], np.uint32), np.ones(2, np.int8)
    with pytest.raises(ModelError, match="ascending in every row"):
        compress(Sparse(np.array([0, 2], np.uint64), target, weight), 5)
    with pytest.raises(ModelError, match="found 3; accepted: 0 to 2"):
        compress(Sparse(np.array([0, 1, 2], np.uint64), target, weight), 3)
    with pytest.raises(ModelError, match="ascending from 0 to 2"):
        compress(Sparse(np.array([0, 1], np.uint64), target, weight), 5)
