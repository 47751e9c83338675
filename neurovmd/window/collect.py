# SPDX-License-Identifier: Apache-2.0
"""Whole rows from messages that hold single columns, where no grid is laid over them."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterator

from neurovmd.window.block import Block, Tally
from neurovmd.window.order import MOST_BLOCKS, MOST_HELD

Parts = list[float | None]


class Merge:
    """Columns that were taken at the same time make a row.

    A row that is whole goes on as soon as it is older than the newest by `late` ticks, one that is
    not when something newer has come as well: it is let go, or, with `hold`, has the
    values of the row before where its own are missing. Late, duplicate and set back: as in `Order`.
    """

    def __init__(self, width: int, late: int, back: int, tally: Tally, *, hold: bool) -> None:
        self._width, self._late, self._back, self._tally = width, late, back, tally
        self._hold = hold
        self._rows: dict[int, Parts] = {}
        self._times: list[int] = []
        self._newest: int | None = None
        self._gone: int | None = None
        self._last: Parts = [None] * width

    @property
    def holds(self) -> bool:
        """Whether anything waits."""
        return bool(self._rows)

    def push(self, at: int, parts: Iterator[tuple[int, float]]) -> list[Block]:
        """The whole rows that go on, oldest first."""
        gone: list[Block] = []
        if self._newest is not None and at < self._newest - self._back:
            gone = self.drain()
            self._newest = self._gone = None
        if self._gone is not None and at <= self._gone:
            self._tally.late += 1
            return gone
        row = self._rows.get(at)
        if row is None:
            row = self._rows[at] = [None] * self._width
            heapq.heappush(self._times, at)
        for column, value in parts:
            if row[column] is None:
                row[column] = value
            else:
                self._tally.duplicates += 1
        self._tally.reordered += self._newest is not None and at < self._newest
        self._newest = at if self._newest is None else max(at, self._newest)
        return gone + self._release(self._newest)

    def drain(self) -> list[Block]:
        """Everything that waits."""
        found = [self._pop() for _ in range(len(self._times))]
        return [block for block in found if block is not None]

    def _release(self, newest: int) -> list[Block]:
        gone: list[Block] = []
        while self._times:
            at = self._times[0]
            whole = None not in self._rows[at]
            waiting = len(self._times)
            crowded = waiting * self._width > MOST_HELD or waiting > MOST_BLOCKS
            if not crowded and (at > newest - self._late or not (whole or at < newest)):
                break
            block = self._pop()
            if block is not None:
                gone.append(block)
        return gone

    def _pop(self) -> Block | None:
        at = heapq.heappop(self._times)
        self._gone = at
        row = self._rows.pop(at)
        if None in row:
            self._tally.gaps += 1
            row = [
                now if now is not None else was for now, was in zip(row, self._last, strict=True)
            ]
            if not self._hold or None in row:
                return None
        self._last = row
        return Block(at, 1, array("d", [value for value in row if value is not None]))


class Collect:
    """A row whenever every column has come anew; of one that came twice the newest value counts."""

    def __init__(self, width: int) -> None:
        self._row = array("d", bytes(8 * width))
        self._missing = set(range(width))

    def push(self, at: int, parts: Iterator[tuple[int, float]]) -> list[Block]:
        """The row, where it is whole now; its time is that of the last part."""
        for column, value in parts:
            self._row[column] = value
            self._missing.discard(column)
        if self._missing:
            return []
        self._missing = set(range(len(self._row)))
        return [Block(at, 1, array("d", self._row))]
