# SPDX-License-Identifier: Apache-2.0
"""What the stages of a window hand on: blocks of rows with their time."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, Union

Flat = Union["array[float]", "array[int]"]
"""Numbers of rows, one row after the other."""

MOST_MADE = 1 << 20
MOST_MADE_ROWS = 1 << 16
"""Values and rows that may be made up for one message where there are no samples; beyond, all
begins anew."""


class Block(NamedTuple):
    """`n` rows that follow one another at the source's own rate; `at` is the first one's time, in
    ticks. `column`: they are single values of that column (None: whole rows). `shape`: of the one
    row of a picture, which each may have its own.
    """

    at: int
    n: int
    values: Flat
    column: int | None = None
    shape: tuple[int, ...] | None = None


class Rows(NamedTuple):
    """`n` rows in their final order; `first_us` and `last_us` are the times of the ends.

    `filled` of them were made up. `anew`: what was before them is no part of the same window.
    """

    first_us: int
    last_us: int
    n: int
    values: Flat
    filled: int = 0
    anew: bool = False
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Ticks:
    """Time as whole numbers: `scale` ticks are a microsecond.

    `period` is that of the source's rows, `grid` that of the rows wanted, in ticks; exact for every
    rate that can be written.
    """

    scale: int
    period: int | None
    grid: int | None

    @classmethod
    def of(cls, source_hz: float | None, wanted_hz: float | None) -> Ticks:
        """For rows of these rates; None: unknown, or as they come."""
        period, grid = _period_us(source_hz), _period_us(wanted_hz)
        scale = math.lcm(*(each.denominator for each in (period, grid) if each is not None))
        return cls(
            scale,
            None if period is None else int(period * scale),
            None if grid is None else int(grid * scale),
        )

    def us(self, at: int) -> int:
        """Whole µs, rounded down."""
        return at // self.scale


def _period_us(rate_hz: float | None) -> Fraction | None:
    """The period as it was written: 0.1 is a tenth."""
    return None if rate_hz is None else 1_000_000 / Fraction(repr(rate_hz))


@dataclass(slots=True)
class Tally:
    """What became of samples, counted in rows (of single columns: values)."""

    late: int = 0
    duplicates: int = 0
    reordered: int = 0
    gaps: int = 0


@dataclass(slots=True)
class Budget:
    """How much may still be made up for one message."""

    values: int = MOST_MADE
    rows: int = MOST_MADE_ROWS

    def take(self, rows: int, width: int) -> bool:
        """Whether there was room for so many more rows of `width` values."""
        if rows > self.rows or rows * width > self.values:
            return False
        self.rows -= rows
        self.values -= rows * width
        return True
