# SPDX-License-Identifier: Apache-2.0
"""Gaps between blocks of rows that keep the rate of their source."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from neurovmd.window.block import Block, Budget, Flat, Rows, Tally, Ticks


@dataclass(frozen=True, slots=True)
class Gaps:
    """What is a gap, and what is done with it.

    `after`: ticks from one row to the next that are too many (None: one and a half of the source's
    period, where that is known). A gap of more than `most` ticks begins anew, whatever the rule,
    and so does a time that lies back by more than `back`: the clock was set.
    """

    rule: Literal["reset", "hold", "interpolate"]
    after: int | None
    most: int
    back: int


class Fill:
    """Lets rows on as they are, and fills what is missing between them or says that all begins
    anew. `width`: values of a row.
    """

    def __init__(self, width: int, gaps: Gaps, ticks: Ticks, tally: Tally) -> None:
        self._width, self._gaps, self._ticks, self._tally = width, gaps, ticks, tally
        self._last: int | None = None
        self._row: Flat = array("d")

    def push(self, block: Block, budget: Budget) -> Iterator[Rows]:
        """The rows of a block, after those that were missing before it."""
        period = self._ticks.period or 0
        filled: Rows | None = None
        anew = self._last is None
        if self._last is not None:
            away = block.at - self._last
            anew = away < -self._gaps.back
            missing = (2 * away - period) // (2 * period) if period else 0
            if self._is_gap(away, missing):
                self._tally.gaps += 1
                anew = self._ends(away, missing, budget)
                if not anew and missing > 0:
                    filled = self._between(block, away, missing)
        if filled is not None:
            yield filled
        self._last = block.at + (block.n - 1) * period
        self._row = block.values[-self._width :]
        us = self._ticks.us
        first_us, last_us = us(block.at), us(self._last)
        yield Rows(first_us, last_us, block.n, block.values, anew=anew, shape=block.shape)

    def _is_gap(self, away: int, missing: int) -> bool:
        after = self._gaps.after
        return missing > 0 if after is None else away > after

    def _ends(self, away: int, missing: int, budget: Budget) -> bool:
        """Whether a gap is one that nothing fills."""
        if self._gaps.rule == "reset" or away > self._gaps.most:
            return True
        return not budget.take(missing, self._width)

    def _between(self, block: Block, away: int, missing: int) -> Rows:
        """The rows that are missing between the last one and a block."""
        before, after = self._row, block.values[: self._width]
        last = block.at - away
        values = array("d")
        for k in range(1, missing + 1):
            if self._gaps.rule == "hold":
                values.extend(before)
            else:
                values.extend(between(before, after, k / (missing + 1)))
        us = self._ticks.us
        first_us = us(last + away // (missing + 1))
        return Rows(first_us, us(block.at - away // (missing + 1)), missing, values, missing)


def between(before: Flat, after: Flat, share: float) -> list[float]:
    """The row at `share` of the way from one row to another, in a straight line."""
    return [a + (b - a) * share for a, b in zip(before, after, strict=True)]
