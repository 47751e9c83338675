# SPDX-License-Identifier: Apache-2.0
"""Samples in any order, late, twice, with gaps, in packets: rows as the oracle has them."""

from __future__ import annotations

import random
import tracemalloc
from array import array
from fractions import Fraction
from typing import Any

import pytest
import window_oracle as oracle

from neurovmd.window.block import MOST_MADE, MOST_MADE_ROWS, Block, Budget, Rows, Ticks
from neurovmd.window.order import MOST_BLOCKS
from neurovmd.window.rule import Window
from neurovmd.window.timeline import Course, Timeline

Message = tuple[int, list[oracle.Row]]


def scenario(seed: int) -> tuple[Window, Course, oracle.Rule, list[Message]]:
    """A rule and messages for it, drawn at random."""
    draw = random.Random(seed)
    source_hz = draw.choice([None, 100.0, 44.1, 30.0])
    wanted_hz = draw.choice([None, None, 50.0, 33.3, 250.0])
    known = source_hz is not None or wanted_hz is not None
    late_us = draw.choice([0, 30_000, 200_000])
    gap = draw.choice(["reset", "hold", "interpolate"] if known else ["reset"])
    gap_us = draw.choice([None, 25_000, 300_000])
    size = draw.randint(1, 9)
    rows_hz = wanted_hz or source_hz
    span_us = None if rows_hz is None else -int(-size * 1e6 // rows_hz)
    given = {"late": late_us / 1e6} if late_us else {}
    given |= {} if gap_us is None else {"gap_after": gap_us / 1e6}
    rule = Window(size=size, gap=gap, rate_hz=wanted_hz, time="payload", **given)
    width = draw.randint(1, 3)
    ticks = Ticks.of(source_hz, wanted_hz)
    course = Course(rule, ticks, width, False, True, span_us)
    wanted = oracle.Rule(
        size=size,
        late_us=rule.late_us,
        gap=gap,
        gap_us=gap_us,
        period_us=None if ticks.period is None else Fraction(ticks.period, ticks.scale),
        grid_us=None if ticks.grid is None else Fraction(ticks.grid, ticks.scale),
        span_us=span_us,
    )
    period_us = 1e6 / (source_hz or 40.0)
    return rule, course, wanted, messages(draw, period_us, width, packets=source_hz is not None)


def messages(draw: random.Random, period_us: float, width: int, *, packets: bool) -> list[Message]:
    """Messages in the order of their arrival."""
    at, sent = draw.randint(0, 10**9), []
    for _ in range(draw.randint(1, 60)):
        n = draw.randint(1, 5) if packets and draw.random() < 0.5 else 1
        rows = [tuple(draw.uniform(-1, 1) for _ in range(width)) for _ in range(n)]
        chance = draw.random()
        shown = round(at + draw.choice([0, 0, 0, draw.gauss(0, period_us / 3)]))
        sent.append((shown, rows))
        if chance < 0.05:
            sent.append(sent[-1])  # delivered twice
        elif chance < 0.1:
            sent.append((shown - draw.randint(1, 10**6), rows))  # an old one
        if chance > 0.995:
            at -= draw.randint(0, 10**8)  # a clock that is set back, or not quite
        at += n * period_us
        if draw.random() < 0.1:
            at += draw.choice([0.4, 1, 3, 10, 400]) * period_us
    for _ in range(draw.choice([0, 0, 3, 20])):  # out of order
        i = draw.randrange(len(sent))
        j = min(len(sent) - 1, i + draw.randint(1, 3))
        sent[i], sent[j] = sent[j], sent[i]
    return sent


def flat(rows: list[oracle.Row]) -> array[float]:
    return array("d", [value for row in rows for value in row])


def rows_of(timeline: Timeline, scale: int, sent: list[Message]) -> list[Rows]:
    found: list[Rows] = []
    for at, rows in sent:
        found += timeline.push(Block(at * scale, len(rows), flat(rows)), Budget())
    found += timeline.drain(Budget())
    return found


def singly(found: list[Rows], width: int) -> list[tuple[Any, ...]]:
    """(values, anew, filled) row by row."""
    return [
        (
            tuple(rows.values[j * width : (j + 1) * width]),
            rows.anew and j == 0,
            j < rows.filled,
        )
        for rows in found
        for j in range(rows.n)
    ]


@pytest.mark.parametrize("block", range(8))
def test_rows_are_the_oracles(block: int) -> None:
    for seed in range(block * 100, (block + 1) * 100):
        _, course, wanted, sent = scenario(seed)
        timeline = Timeline(course)
        found = rows_of(timeline, course.ticks.scale, sent)
        seen = oracle.in_order(wanted, sent)
        steady = oracle.steady if wanted.grid_us is None else oracle.on_grid
        placed = steady(wanted, seen.passed)
        assert singly(found, course.width) == [(p.row, p.anew, p.made_up) for p in placed], seed
        assert timeline.tally.duplicates == seen.duplicates, seed
        if wanted.grid_us is None:
            assert timeline.tally.late == seen.late, seed
            times = [(rows.first_us, rows.last_us) for rows in found]
            assert all(first <= last for first, last in times), seed
        else:
            assert [rows.first_us for rows in found] == [int(p.at // 1) for p in placed], seed


def test_what_is_made_up_is_bounded() -> None:
    rule = Window(size=10, gap="interpolate", rate_hz=1000.0, gap_after="1 h", time="payload")
    course = Course(rule, Ticks.of(None, 1000.0), 64, False, True, 10_000)
    timeline, budget = Timeline(course), Budget()
    made = 0
    for at in range(0, 10**9, 10**6):  # a message of a thousand samples, a second apart
        made += sum(r.n for r in timeline.push(Block(at, 1, array("d", bytes(512))), budget))
    assert MOST_MADE // 2 < made * 64 <= MOST_MADE + 64 * 1000


def test_rows_that_are_made_up_are_bounded() -> None:
    rule = Window(size=10, rate_hz=1000.0, gap_after="1 h", time="payload")
    course = Course(rule, Ticks.of(None, 1000.0), 1, False, True, 10_000)
    timeline, budget, one = Timeline(course), Budget(), array("d", [1.0])
    made = 0
    for at in range(0, 10**10, 3 * 10**6):  # of one message
        made += sum(r.n for r in timeline.push(Block(at, 1, one), budget))
    assert MOST_MADE_ROWS // 2 < made <= MOST_MADE_ROWS + 4000


def test_a_million_late_samples_wait_nowhere() -> None:
    rule = Window(size=4, late="1 s", time="payload")
    course = Course(rule, Ticks.of(None, None), 1, False, True, None)
    timeline, one = Timeline(course), array("d", [1.0])
    list(timeline.push(Block(9_000_000, 1, one), Budget()))
    list(timeline.push(Block(11_000_000, 1, one), Budget()))
    for at in range(200_000):
        assert not list(timeline.push(Block(5_000_000 + at, 1, one), Budget()))
    assert timeline.tally.late == 200_000


def test_samples_that_wait_are_bounded() -> None:
    rule = Window(size=4, late="10000 s", time="payload")
    course = Course(rule, Ticks.of(None, None), 1, False, True, None)
    timeline, one = Timeline(course), array("d", [1.0])
    tracemalloc.start()
    gone = 0
    for at in range(3 * MOST_BLOCKS):
        gone += len(list(timeline.push(Block(at, 1, one[:]), Budget())))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert gone == 2 * MOST_BLOCKS
    assert held <= course.most_bytes


def test_columns_that_wait_for_one_that_is_silent_are_bounded() -> None:
    rule = Window(size=4, rate_hz=100.0, time="payload")
    course = Course(rule, Ticks.of(None, 100.0), 8, True, True, None)
    timeline, one = Timeline(course), array("d", [1.0])
    tracemalloc.start()
    for k in range(3 * MOST_BLOCKS // 7):
        for column in range(7):
            assert not list(timeline.push(Block(k * 10_000, 1, one[:], column), Budget()))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held <= course.most_bytes
    assert timeline.tally.gaps > 0


def test_a_clock_that_was_set_ends_no_stream() -> None:
    rule = Window(size=4, late="1 s", time="payload")
    course = Course(rule, Ticks.of(None, None), 1, False, True, None)
    timeline, one = Timeline(course), array("d", [1.0])
    year = 10**6 * 86400 * 365
    list(timeline.push(Block(80 * year, 1, one), Budget()))
    found = []
    for at in range(20):
        found += timeline.push(Block(55 * year + at * 10**6, 1, one), Budget())
    assert len(found) >= 18
    assert [rows.anew for rows in found[:3]] == [True, True, False]
