# SPDX-License-Identifier: Apache-2.0
"""Compressed rows as the kernel reads them: three bytes a synapse, grouped by delay in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from neurovm.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from neurovm.spiking.plan import Sparse

GAP_ONLY = 65535
"""The gap of an entry that only leads on, to targets further away than a gap can say."""

BLOCK = 1 << 20
"""Synapses that are compressed at a time."""


class Compressed(NamedTuple):
    """NVM_SYNAPSES_SPARSE of core_c/include/nvm_spiking.h."""

    rows: NDArray[np.uint64]
    """Where segments begin in `entries`: row by row, delay by delay, and the end of the last."""
    delays: NDArray[np.uint16]
    entries: NDArray[np.uint8]


def compress(synapses: Sparse, n_out: int) -> Compressed:
    """Gaps and weights of every row and delay; ModelError where rows contradict themselves.

    Memory beyond the result is bounded: rows are taken BLOCK synapses at a time.
    """
    starts = synapses.row.astype(np.int64)
    count = synapses.target.size
    if starts[0] != 0 or starts[-1] != count or (np.diff(starts) < 0).any():
        raise ModelError(f"rows of sparse synapses: accepted: ascending from 0 to {count}")
    if count and synapses.target.max() >= n_out:
        raise ModelError(
            f"targets of sparse synapses: found {synapses.target.max()}; accepted: 0 to {n_out - 1}"
        )
    delays = np.zeros(1, np.uint16)
    if synapses.delays is not None and count:
        delays = np.unique(synapses.delays.astype(np.uint16))
    blocks = [_block(synapses, starts, rows, delays) for rows in _row_blocks(starts)]
    lengths = np.concatenate([np.zeros(1, np.int64), *(lengths for lengths, _ in blocks)])
    entries = np.concatenate([np.zeros(0, np.uint8), *(entries for _, entries in blocks)])
    return Compressed(np.cumsum(lengths).astype(np.uint64), delays, entries)


def _row_blocks(starts: NDArray[np.int64]) -> Iterator[range]:
    """Ranges of rows with at most BLOCK synapses, or of one row."""
    first, n_rows = 0, starts.size - 1
    while first < n_rows:
        end = int(np.searchsorted(starts, starts[first] + BLOCK, side="right")) - 1
        end = min(max(end, first + 1), n_rows)
        yield range(first, end)
        first = end


def _block(
    synapses: Sparse, starts: NDArray[np.int64], rows: range, delays: NDArray[np.uint16]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Bytes of every segment of some rows, and those bytes."""
    first, end = starts[rows.start], starts[rows.stop]
    target = synapses.target[first:end].astype(np.int64)
    weight = np.asarray(synapses.weight[first:end], np.int8)
    segment = np.repeat(
        np.arange(len(rows)) * delays.size, np.diff(starts[rows.start : rows.stop + 1])
    )
    if delays.size > 1 and synapses.delays is not None:
        segment = segment + np.searchsorted(delays, synapses.delays[first:end])
        order = np.argsort(segment, kind="stable")
        segment, target, weight = segment[order], target[order], weight[order]
    return _packed(segment, target, weight, len(rows) * delays.size)


def _packed(
    segment: NDArray[np.int64],
    target: NDArray[np.int64],
    weight: NDArray[np.int8],
    segments: int,
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Entries sorted by segment, each segment's targets ascending."""
    gap = target.copy()
    same = segment[1:] == segment[:-1]
    gap[1:] -= np.where(same, target[:-1], 0)
    if (gap < 0).any():
        raise ModelError("targets of sparse synapses: accepted: ascending in every row and delay")
    leading = gap // GAP_ONLY  # entries that only lead on, before each
    gap %= GAP_ONLY
    place = np.arange(gap.size) + np.cumsum(leading)
    per_segment = np.bincount(segment, weights=leading + 1, minlength=segments).astype(np.int64)
    all_gaps = np.full(gap.size + int(leading.sum()), GAP_ONLY, "<u2")
    all_weights = np.zeros(all_gaps.size, np.int8)
    all_gaps[place], all_weights[place] = gap, weight
    lengths = 3 * per_segment + per_segment % 2
    ends = np.cumsum(lengths)
    entries = np.zeros(int(lengths.sum()), np.uint8)
    within = np.arange(all_gaps.size) - np.repeat(np.cumsum(per_segment) - per_segment, per_segment)
    base = np.repeat(ends - lengths, per_segment)
    length = np.repeat(per_segment, per_segment)
    entries[base + 2 * within] = all_gaps & 255
    entries[base + 2 * within + 1] = all_gaps >> 8
    entries[base + 2 * length + within] = all_weights.view(np.uint8)
    return lengths, entries
