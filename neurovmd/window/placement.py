# SPDX-License-Identifier: Apache-2.0
"""When the rows of a message were taken: by their own clock, or by their arrival."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from neurovmd.window.block import Block

if TYPE_CHECKING:
    from neurovmd.window.inputs import FrameInputs
    from neurovmd.window.reading import Piece


class Placement:
    """The arrivals of one stream.

    By arrival, packets of a known rate follow one another without a gap, however unevenly they
    come, unless no packet came for more than `gap_after` beyond what the last one holds.
    """

    def __init__(self, inputs: FrameInputs) -> None:
        course, self._stamped = inputs.course, inputs.stamped
        self._ticks, self._width, self._partial = course.ticks, course.width, course.partial
        gap_us = inputs.rule.gap_us
        self._after = None if gap_us is None else gap_us * self._ticks.scale
        self._series: dict[int | None, tuple[int, int]] = {}

    def blocks(self, pieces: list[Piece], arrived_us: int) -> Iterator[Block]:
        """The pieces of a message as blocks with their time, in the form the timeline takes."""
        for piece in pieces:
            if self._stamped and piece.t_us is not None:
                at = piece.t_us * self._ticks.scale
            else:
                at = self._arrived(piece, arrived_us * self._ticks.scale)
            block = Block(at, piece.n, piece.values, piece.column, piece.shape)
            yield from self._split(block) if self._partial else (block,)

    def _arrived(self, piece: Piece, now: int) -> int:
        """The time of a piece's first row."""
        period = self._ticks.period
        if period is None:
            return now
        lasts = piece.n * period
        known = self._series.get(piece.column)
        at = now - lasts
        if known is not None:
            expected, before = known
            silence = now - before - lasts
            at = expected + (silence if self._after is not None and silence > self._after else 0)
        self._series[piece.column] = (at + lasts, now)
        return at

    def _split(self, block: Block) -> Iterator[Block]:
        """Single columns for a grid, single rows (or values of a column) for where rows meet."""
        width, period = self._width, self._ticks.period or 0
        if self._ticks.grid is not None:
            if block.column is not None:
                yield block
                return
            for column in range(width):
                yield Block(block.at, block.n, block.values[column::width], column)
            return
        each = 1 if block.column is not None else width
        for j in range(block.n):
            part = block.values[j * each : (j + 1) * each]
            yield Block(block.at + j * period, 1, part, block.column)
