# SPDX-License-Identifier: Apache-2.0
"""Difference: what has changed since the row `lag` before."""

from __future__ import annotations

import math

from neurovm.encoders.ranges import check_count, check_flag
from neurovm.frontends.base import Array, Front, FrontEnd, as_float

MOST_LAG = 1 << 20


class Difference(FrontEnd, frozen=True, tag="difference"):
    """y_i = x_i − x_(i − lag), element by element.

    lag: 1 … 2^20 rows. The first `lag` rows of a stream give none; with `padding` they are taken as
    if rows equal to the first had come before them.
    """

    lag: int = 1
    padding: bool = False

    def __post_init__(self) -> None:
        check_count("lag", self.lag, 1, MOST_LAG)
        check_flag("padding", self.padding)

    def stream(self, shape: tuple[int, ...], rate_hz: float | None = None) -> Front:
        return DifferenceFront(self, shape, rate_hz)


class DifferenceFront(Front):
    """Keeps the last `lag` rows."""

    def __init__(
        self, front_end: Difference, shape: tuple[int, ...], rate_hz: float | None
    ) -> None:
        super().__init__(shape, shape, rate_hz)
        self._lag, self._padding = front_end.lag, front_end.padding
        self.first = 1 if self._padding else self._lag + 1
        self.span = self._lag + 1
        self.reset()

    @property
    def state_bytes(self) -> int:
        return 8 * self._lag * math.prod(self.shape)

    def reset(self) -> None:
        self._kept: Array = None

    def advance(self, rows: Array) -> Array:
        import numpy as np

        rows = as_float(rows)
        if self._kept is None:
            if not len(rows):
                return rows
            before = self._lag if self._padding else 0
            self._kept = np.repeat(rows[:1], before, axis=0)
        rows = np.concatenate((self._kept, rows))
        self._kept = rows[-self._lag :].copy()
        return rows[self._lag :] - rows[: -self._lag] if len(rows) > self._lag else rows[:0]
