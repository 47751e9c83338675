# SPDX-License-Identifier: Apache-2.0
"""The rules of docs/windows.md, slow and obvious: whole lists and fractions, nothing incremental.

It knows nothing of neurovmd's stages. Times are fractions of a microsecond.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

Row = tuple[float, ...]


@dataclass(frozen=True)
class Rule:
    """`period_us` of the source's rows and `grid_us` of those wanted; `span_us` of a window."""

    size: int
    hop: int = 1
    late_us: int = 0
    gap: str = "reset"
    gap_us: int | None = None
    period_us: Fraction | None = None
    grid_us: Fraction | None = None
    span_us: int | None = None
    timed: bool = True

    @property
    def back_us(self) -> int:
        return max(self.span_us or 0, 10_000_000) + self.late_us


@dataclass
class Seen:
    """What goes on, in order, and what became of the rest."""

    passed: list[tuple[int, list[Row]]] = field(default_factory=list)
    late: int = 0
    duplicates: int = 0


def in_order(rule: Rule, messages: list[tuple[int, list[Row]]]) -> Seen:
    """The messages (time, rows) that go on, in the order in which they do."""
    seen, held, newest, gone = Seen(), {}, None, None
    for at, rows in messages:
        if newest is not None and at < newest - rule.back_us:
            seen.passed += sorted(held.items())
            held, newest, gone = {}, None, None
        if at in held or at == gone:
            seen.duplicates += len(rows)
            continue
        if gone is not None and at < gone:
            seen.late += len(rows)
            continue
        held[at] = rows
        newest = at if newest is None else max(newest, at)
        for time in sorted(held):
            if time <= newest - rule.late_us:
                seen.passed.append((time, held.pop(time)))
                gone = time
    seen.passed += sorted(held.items())
    return seen


@dataclass(frozen=True)
class Placed:
    """A row in its place; `anew`: nothing before it belongs to the same window."""

    at: Fraction
    row: Row
    anew: bool = False
    made_up: bool = False


def steady(rule: Rule, passed: list[tuple[int, list[Row]]]) -> list[Placed]:
    """Rows as they are, what is missing between them filled."""
    found: list[Placed] = []
    last: tuple[Fraction, Row] | None = None
    for start, rows in passed:
        at = Fraction(start)
        anew = last is None
        if last is not None and rule.timed:
            away = at - last[0]
            missing = 0
            if rule.period_us is not None:
                missing = math.floor(away / rule.period_us - Fraction(1, 2))
            gap = missing > 0 if rule.gap_us is None else away > rule.gap_us
            anew = away < -rule.back_us
            if gap and (rule.gap == "reset" or away > most_us(rule)):
                anew = True
            elif gap:
                for k in range(1, missing + 1):
                    share = k / (missing + 1) if rule.gap == "interpolate" else 0.0
                    row = tuple(a + (b - a) * share for a, b in zip(last[1], rows[0], strict=True))
                    found.append(Placed(last[0] + away * k / (missing + 1), row, made_up=True))
        for j, row in enumerate(rows):
            here = at + j * (rule.period_us or 0)
            found.append(Placed(here, row, anew and j == 0))
            last = here, row
    return found


def most_us(rule: Rule) -> Fraction | int:
    """The longest gap that is filled."""
    after = rule.gap_us
    if after is None and rule.grid_us is not None and rule.period_us is not None:
        after = math.floor(rule.period_us * 3 / 2)
    most = rule.span_us or 0
    if rule.span_us is None or after is not None:
        most = max(most, after or 10_000_000)
    return most


def on_grid(rule: Rule, passed: list[tuple[int, list[Row]]]) -> list[Placed]:
    """Rows at whole multiples of the grid's period, on straight lines between samples."""
    grid, samples = rule.grid_us, []
    assert grid is not None
    for start, rows in passed:
        for j, row in enumerate(rows):
            samples.append((Fraction(start) + j * (rule.period_us or 0), row))
    points: list[tuple[int, Row, bool]] = []
    last: tuple[Fraction, Row] | None = None
    for at, row in samples:
        if last is not None and last[0] - rule.back_us <= at <= last[0]:
            continue
        after: Fraction | int | None = rule.gap_us
        if after is None and rule.period_us is not None:
            after = rule.period_us * 3 / 2
        gap = last is not None and after is not None and at - last[0] > after
        alone = last is None or at < last[0] or at - last[0] > most_us(rule)
        if alone or (gap and rule.gap == "reset"):
            if (at / grid).denominator == 1:
                points.append((int(at / grid), row, False))
        else:
            assert last is not None
            for k in range(math.floor(last[0] / grid) + 1, math.floor(at / grid) + 1):
                if k * grid == at:
                    points.append((k, row, False))
                elif gap and rule.gap == "hold":
                    points.append((k, last[1], True))
                else:
                    share = float((k * grid - last[0]) / (at - last[0]))
                    between = tuple(a + (b - a) * share for a, b in zip(last[1], row, strict=True))
                    points.append((k, between, gap))
        last = at, row
    found: list[Placed] = []
    for n, (k, row, made_up) in enumerate(points):
        anew = n == 0 or k != points[n - 1][0] + 1
        found.append(Placed(k * grid, row, anew, made_up))
    return found


@dataclass(frozen=True)
class Window:
    """The rows of one window and the times of its ends, in whole µs."""

    rows: tuple[Row, ...]
    t0_us: int
    t1_us: int
    made_up: int


def windows(rule: Rule, placed: list[Placed]) -> list[Window]:
    """Every window: the first of `size` rows, then one each `hop` rows, anew where all is."""
    found, begin = [], 0
    for end, row in enumerate(placed, 1):
        if row.anew:
            begin = end - 1
        count = end - begin
        if count >= rule.size and (count - rule.size) % rule.hop == 0:
            part = placed[end - rule.size : end]
            found.append(
                Window(
                    tuple(each.row for each in part),
                    math.floor(part[0].at),
                    math.floor(part[-1].at),
                    sum(each.made_up for each in part),
                )
            )
    return found


def all_windows(rule: Rule, messages: list[tuple[int, list[Row]]]) -> list[Window]:
    """From messages in the order of their arrival to windows."""
    passed = in_order(rule, messages).passed if rule.timed else messages
    placed = steady(rule, passed) if rule.grid_us is None else on_grid(rule, passed)
    return windows(rule, placed)
