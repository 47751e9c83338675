# SPDX-License-Identifier: Apache-2.0
"""Compressed rows as the kernel reads them: three bytes a synapse, grouped by delay in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from neurovm.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.spiking.plan import Sparse

GAP_ONLY = 65535
"""The gap of an entry that only leads on, to targets further away than a gap can say."""


class Compressed(NamedTuple):
    """NVM_SYNAPSES_SPARSE of core_c/include/nvm_spiking.h."""

    rows: NDArray[np.uint64]
    """Where segments begin in `entries`: row by row, delay by delay, and the end of the last."""
    delays: NDArray[np.uint16]
    entries: NDArray[np.uint8]


def compress(synapses: Sparse, n_out: int) -> Compressed:
    """Gaps and weights of every row and delay; ModelError where rows contradict themselves."""
    starts = synapses.row.astype(np.int64)
    target = synapses.target.astype(np.int64)
    weight = np.asarray(synapses.weight, np.int8)
    count, n_in = target.size, starts.size - 1
    if starts[0] != 0 or starts[-1] != count or (np.diff(starts) < 0).any():
        raise ModelError(f"rows of sparse synapses: accepted: ascending from 0 to {count}")
    if count and (target.min() < 0 or target.max() >= n_out):
        raise ModelError(
            f"targets of sparse synapses: found {target.min()} to {target.max()}; accepted: 0 to "
            f"{n_out - 1}"
        )
    delays, which = np.zeros(1, np.uint16), np.zeros(count, np.int64)
    source = np.repeat(np.arange(n_in), np.diff(starts))
    if synapses.delays is not None and count:
        delays, which = np.unique(synapses.delays.astype(np.uint16), return_inverse=True)
        which = which.reshape(count)
    segment = source * delays.size + which
    if count and (np.diff(segment) < 0).any():
        order = np.argsort(segment, kind="stable")
        segment, target, weight = segment[order], target[order], weight[order]
    return _packed(segment, target, weight, n_in * delays.size, delays)


def _packed(
    segment: NDArray[np.int64],
    target: NDArray[np.int64],
    weight: NDArray[np.int8],
    segments: int,
    delays: NDArray[np.uint16],
) -> Compressed:
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
    first = np.concatenate([[0], np.cumsum(per_segment)])
    rows = np.concatenate([[0], np.cumsum(3 * per_segment + per_segment % 2)]).astype(np.uint64)
    entries = np.zeros(int(rows[-1]), np.uint8)
    within = np.arange(all_gaps.size) - np.repeat(first[:-1], per_segment)
    base = np.repeat(rows[:-1].astype(np.int64), per_segment)
    length = np.repeat(per_segment, per_segment)
    entries[base + 2 * within] = all_gaps & 255
    entries[base + 2 * within + 1] = all_gaps >> 8
    entries[base + 2 * length + within] = all_weights.view(np.uint8)
    return Compressed(rows, delays, entries)
