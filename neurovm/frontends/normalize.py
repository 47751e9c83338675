# SPDX-License-Identifier: Apache-2.0
"""Normalisation: values divided by their own peak or spread, of a window, a block or so far."""

from __future__ import annotations

import math
from typing import Literal

from neurovm.encoders.ranges import check_above, check_count, check_flag
from neurovm.errors import EventError
from neurovm.frontends.base import Array, Front, FrontEnd, as_float
from neurovm.frontends.pieces import Pieces

MOST_BLOCK = 1 << 24


class Normalize(FrontEnd, frozen=True, tag="normalize"):
    """Blocks of `block_length` rows, each divided by a level of its own; with level_k of block k

        peak            y = x / max(level_k, floor),  level_k = max(max |x|, decay · level_(k − 1))
        mean_variance   y = (x − mean_k) / max(√variance_k, floor),  where each of mean and variance
                        is decay · that of block k − 1 + (1 − decay) · that of block k

    decay: 0 … 1. 0 (default): each block by itself. With more the level remembers (an automatic
    gain); with 1 `peak` is the largest so far. The first block counts for itself alone.
    block_length: 1 … 2^24 rows; a block's rows come out together when its last is there. None
    (default): the whole window, for `whole` alone, as the gain of a growing stream is not known.
    by_channel: a level for every element of a row, else one for all.
    floor: above 0, in the values' units; what is weaker is not raised further.
    """

    method: Literal["peak", "mean_variance"] = "peak"
    block_length: int | None = None
    decay: float = 0.0
    by_channel: bool = False
    floor: float = 1e-6

    def __post_init__(self) -> None:
        if self.method not in ("peak", "mean_variance"):
            accepted = "peak or mean_variance"
            raise EventError(f"method: found {self.method!r:.60}; accepted: {accepted}")
        if self.block_length is not None:
            check_count("block_length", self.block_length, 1, MOST_BLOCK)
        if self.decay != 0:
            check_above("decay", self.decay, 0, 1)
            if self.block_length is None:
                raise EventError("decay: found it without block_length; accepted: 0, or both")
        check_flag("by_channel", self.by_channel)
        check_above("floor", self.floor, 0)

    def stream(self, shape: tuple[int, ...], rate_hz: float | None = None) -> Front:
        return NormalizeFront(self, shape, rate_hz)


class NormalizeFront(Front):
    """Keeps the rows of a block that is not full, and the level of the last that was."""

    def __init__(self, front_end: Normalize, shape: tuple[int, ...], rate_hz: float | None) -> None:
        super().__init__(shape, shape, rate_hz)
        self._parameters = front_end
        self._block = front_end.block_length or 0
        self.needs_whole = not self._block
        if self._block:
            self.first = self._block
            self.steady = self._block == 1
            # A block's first row waits for its last, and its last depends on its first.
            self.span = math.inf if front_end.decay else 2 * self._block - 1
        self.reset()

    @property
    def state_bytes(self) -> int:
        elements = math.prod(self.shape)
        return 8 * elements * (max(0, self._block - 1) + 2)

    def reset(self) -> None:
        self._waiting = Pieces()
        self._level: tuple[Array, Array] | None = None

    def advance(self, rows: Array) -> Array:
        import numpy as np

        rows = as_float(rows)
        if self._waiting.rows + len(rows) < self._block:
            self._waiting.add(rows)
            return rows[:0]
        rows = self._waiting.take(rows)
        full = len(rows) - len(rows) % self._block
        made = np.empty((full, *self.shape))
        for at in range(0, full, self._block):
            made[at : at + self._block] = self._normalized(rows[at : at + self._block])
        self._waiting.add(rows[full:])
        return made

    def advance_whole(self, rows: Array) -> Array:
        if self._block or not len(rows):
            return self.advance(rows) if self._block else as_float(rows)
        return self._normalized(as_float(rows))

    def _normalized(self, rows: Array) -> Array:
        """The rows of one block."""
        import numpy as np

        parameters = self._parameters
        axis = 0 if parameters.by_channel else None
        if parameters.method == "peak":
            level = np.abs(rows).max(axis=axis)
            if self._level is not None:
                level = np.maximum(level, parameters.decay * self._level[0])
            self._level = (level, level)
            return rows / np.maximum(level, parameters.floor)
        mean, variance = rows.mean(axis=axis), rows.var(axis=axis)
        if self._level is not None:
            kept = parameters.decay
            mean = kept * self._level[0] + (1 - kept) * mean
            variance = kept * self._level[1] + (1 - kept) * variance
        self._level = (mean, variance)
        return (rows - mean) / np.maximum(np.sqrt(variance), parameters.floor)
