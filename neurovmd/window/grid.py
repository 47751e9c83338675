# SPDX-License-Identifier: Apache-2.0
"""Rows at a steady rate, found by straight lines between samples that come at any time.

Grid point k is at k periods since the beginning of the clock, so that what several columns, topics
or restarts find falls on the same points.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator

from neurovmd.window.block import Block, Budget, Flat, Rows, Tally, Ticks
from neurovmd.window.fill import Gaps, between
from neurovmd.window.order import MOST_BLOCKS

LEAST_WAITING = 64
"""Grid points of a column that may wait for the others, however many these are."""


class Points:
    """The grid points of one series of rows of `width` values."""

    def __init__(self, width: int, gaps: Gaps, ticks: Ticks, tally: Tally) -> None:
        assert ticks.grid is not None  # noqa: S101  # whoever makes it has looked
        self._width, self._gaps, self._grid, self._tally = width, gaps, ticks.grid, tally
        self._period = ticks.period or 0
        self._last: int | None = None
        self._row: Flat = array("d")

    def push(self, block: Block, budget: Budget) -> Iterator[tuple[int, Flat, bool]]:
        """(k, row, whether it was made up for a gap) of every grid point that a block completes."""
        width = self._width
        for j in range(block.n):
            at = block.at + j * self._period
            row = block.values[j * width : (j + 1) * width]
            if self._last is not None and self._last - self._gaps.back <= at <= self._last:
                self._tally.late += 1
                continue
            yield from self._row_at(at, row, budget)
            self._last, self._row = at, row

    def _row_at(self, at: int, row: Flat, budget: Budget) -> Iterator[tuple[int, Flat, bool]]:
        last, grid = self._last, self._grid
        if last is None or not self._goes_on(at, last, budget):
            if at % grid == 0:
                yield at // grid, row, False
            return
        after, rule = self._gaps.after, self._gaps.rule
        is_gap = after is not None and at - last > after
        for k in range(last // grid + 1, at // grid + 1):
            if k * grid == at:
                yield k, row, False
            elif is_gap and rule == "hold":
                yield k, self._row, True
            else:
                share = (k * grid - last) / (at - last)
                yield k, array("d", between(self._row, row, share)), is_gap

    def _goes_on(self, at: int, last: int, budget: Budget) -> bool:
        """Whether there is a line from the last row to this one."""
        away, after = at - last, self._gaps.after
        if away < 0:
            return False  # the clock was set back
        if after is not None and away > after:
            self._tally.gaps += 1
            if self._gaps.rule == "reset":
                return False
        if away > self._gaps.most or not budget.take(away // self._grid, self._width):
            self._tally.gaps += after is None or away <= after
            return False
        return True


class Join:
    """Rows from `columns` series of grid points: a row where all have one. Of a stream at most
    `MOST_BLOCKS` points wait for a column that is behind; then the oldest are let go.
    """

    def __init__(self, columns: int, ticks: Ticks, tally: Tally) -> None:
        self._ticks, self._tally = ticks, tally
        self._most = max(LEAST_WAITING, MOST_BLOCKS // columns)
        self._waiting: list[deque[tuple[int, Flat, bool]]] = [
            deque(maxlen=self._most) for _ in range(columns)
        ]
        self._last: int | None = None

    def push(self, column: int, points: Iterator[tuple[int, Flat, bool]]) -> Iterator[Rows]:
        """The rows that further points of one column complete."""
        queue = self._waiting[column]
        if len(self._waiting) == 1:
            for point in points:
                yield self._row(point[0], point[1], point[2])
            return
        for point in points:
            if queue and point[0] <= queue[-1][0]:
                queue.clear()  # the clock was set back
            self._tally.gaps += len(queue) == self._most
            queue.append(point)
        while all(self._waiting):
            newest = max(each[0][0] for each in self._waiting)
            parts = []
            for each in self._waiting:
                while each and each[0][0] < newest:
                    each.popleft()
                if each and each[0][0] == newest:
                    parts.append(each[0])
            if len(parts) == len(self._waiting):
                for each in self._waiting:
                    each.popleft()
                values = array("d", [value for part in parts for value in part[1]])
                yield self._row(newest, values, any(part[2] for part in parts))

    def _row(self, k: int, values: Flat, filled: bool) -> Rows:
        anew = self._last is None or k != self._last + 1
        self._last = k
        at_us = self._ticks.us(k * (self._ticks.grid or 0))
        return Rows(at_us, at_us, 1, values, int(filled), anew)
