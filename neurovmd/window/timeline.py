# SPDX-License-Identifier: Apache-2.0
"""The samples of one stream as rows in their order: waited for, put right, filled, on a grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neurovmd.window.block import Block, Budget, Rows, Tally, Ticks
from neurovmd.window.collect import Collect, Merge
from neurovmd.window.fill import Fill, Gaps
from neurovmd.window.grid import Join, Points
from neurovmd.window.order import BLOCK_BYTES, MOST_BLOCKS, MOST_HELD, SET_BACK_US, Order
from neurovmd.window.rule import Window


@dataclass(frozen=True, slots=True)
class Course:
    """What the rows of a stream are: `width` values each, parts of them by themselves where
    `partial`; by the payload's clock where `stamped`. `span_us`: how long a window lasts, as
    far as that is known.
    """

    rule: Window
    ticks: Ticks
    width: int
    partial: bool
    stamped: bool
    span_us: int | None

    @property
    def back(self) -> int:
        """How far back a time is one of a clock that was set anew, in ticks: by arrival, which is
        in order, any.
        """
        if not self.stamped:
            return 0
        span_us = max(self.span_us or 0, SET_BACK_US)
        return (span_us + self.rule.late_us) * self.ticks.scale

    @property
    def late(self) -> int:
        return self.rule.late_us * self.ticks.scale

    def gaps(self) -> Gaps:
        """The rule of gaps in ticks."""
        scale, after_us = self.ticks.scale, self.rule.gap_us
        after = None if after_us is None else after_us * scale
        period = self.ticks.period
        if after is None and self.ticks.grid is not None and period is not None:
            after = period * 3 // 2
        most = (self.span_us or 0) * scale
        if self.span_us is None or after is not None:
            most = max(most, after or SET_BACK_US * scale)
        return Gaps(self.rule.gap, after, most, self.back)

    @property
    def most_bytes(self) -> int:
        """The most that samples of a stream may take while they wait."""
        held = 8 * MOST_HELD + BLOCK_BYTES * MOST_BLOCKS
        waits = (self.rule.late is not None) + (self.partial and self.rule.rate_hz is not None)
        return 16 * self.width + waits * held


class Timeline:
    """The state of one stream; `tally` counts what became of its samples."""

    def __init__(self, course: Course) -> None:
        self.tally = Tally()
        self._course, self._joined = course, None
        rule, ticks, width = course.rule, course.ticks, course.width
        gaps, tally = course.gaps(), self.tally
        grid, timed = ticks.grid is not None, rule.is_timed
        series = width if course.partial and grid else 1
        self._orders: list[Order] = []
        self._points: list[Points] = []
        self._merge: Merge | Collect | None = None
        self._fill = Fill(width, gaps, ticks, tally) if timed and not grid else None
        if course.partial and not grid:
            back, hold = course.back, rule.gap == "hold"
            stamped = course.stamped and timed
            self._merge = (
                Merge(width, course.late, back, tally, hold=hold) if stamped else Collect(width)
            )
        elif timed:
            self._orders = [Order(course.late, course.back, tally, series) for _ in range(series)]
        if grid:
            self._points = [Points(width // series, gaps, ticks, tally) for _ in range(series)]
            self._join = Join(series, ticks, tally)
        self._begun = False

    @property
    def holds(self) -> bool:
        """Whether samples wait for others that may still come."""
        merge = self._merge
        held = isinstance(merge, Merge) and merge.holds
        return held or any(order.holds for order in self._orders)

    def push(self, block: Block, budget: Budget) -> Iterator[Rows]:
        """The rows that a block completes, oldest first."""
        if self._merge is not None:
            yield from self._steady(self._merge.push(block.at, self._parts(block)), budget)
        elif self._orders:
            series = block.column or 0 if len(self._orders) > 1 else 0
            yield from self._ordered(series, self._orders[series].push(block), budget)
        else:
            yield self._as_it_is(block)

    def drain(self, budget: Budget) -> Iterator[Rows]:
        """The rows of all that waits."""
        if isinstance(self._merge, Merge):
            yield from self._steady(self._merge.drain(), budget)
        for series, order in enumerate(self._orders):
            yield from self._ordered(series, order.drain(), budget)

    def _parts(self, block: Block) -> Iterator[tuple[int, float]]:
        if block.column is not None:
            return iter([(block.column, block.values[0])])
        return iter(enumerate(block.values))

    def _ordered(self, series: int, blocks: list[Block], budget: Budget) -> Iterator[Rows]:
        if not self._points:
            yield from self._steady(blocks, budget)
            return
        for block in blocks:
            yield from self._join.push(series, self._points[series].push(block, budget))

    def _steady(self, blocks: list[Block], budget: Budget) -> Iterator[Rows]:
        for block in blocks:
            if self._fill is None:
                yield self._as_it_is(block)
            else:
                yield from self._fill.push(block, budget)

    def _as_it_is(self, block: Block) -> Rows:
        """Rows in the order of their arrival."""
        us, anew = self._course.ticks.us, not self._begun
        self._begun = True
        last = block.at + (block.n - 1) * (self._course.ticks.period or 0)
        first_us, last_us = us(block.at), us(last)
        return Rows(first_us, last_us, block.n, block.values, anew=anew, shape=block.shape)
