# SPDX-License-Identifier: Apache-2.0
"""The policy against a simulated box: what it promises, what it does when it was wrong."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from neurovmd.power import policy

PRIOR_CORE_W = 2.0


@dataclass(frozen=True, kw_only=True)
class Box:
    """A box that draws ``base_w``, and ``core_w`` for each core its workers keep busy: ``overuse``
    times (>= 1) what is expected of their duty.
    """

    overuse: float = 1.0
    base_w: float
    core_w: float
    cores: int
    limit_w: float
    window_s: float

    def run(
        self, ticks: Iterable[tuple[float, float]], state: policy.State | None = None
    ) -> tuple[list[tuple[float, float]], list[policy.State]]:
        """Run through (seconds, demand 0..1) stretches: the draw of each, and each decision."""
        state = state or policy.start(PRIOR_CORE_W)
        drawn, states = [], []
        for elapsed_s, demand in ticks:
            busy = self.overuse * self.cores * min(state.duty, demand)
            watts = self.base_w + self.core_w * busy
            interval = policy.Interval(
                elapsed_s=elapsed_s, energy_j=watts * elapsed_s, busy_cores=busy
            )
            state = policy.decide(
                state, interval, limit_w=self.limit_w, window_s=self.window_s, cores=self.cores
            )
            drawn.append((elapsed_s, watts))
            states.append(state)
        return drawn, states


def worst_window_w(drawn: list[tuple[float, float]], window_s: float) -> float:
    """The highest mean draw over any ``window_s``, which starts or ends where the draw changes."""
    edges = [0.0, *itertools.accumulate(seconds for seconds, _ in drawn)]

    def energy_j(until_s: float) -> float:
        return sum(
            watts * max(0.0, min(until_s, end_s) - start_s)
            for (_, watts), start_s, end_s in zip(drawn, edges, edges[1:], strict=False)
        )

    starts = [edge for edge in edges if edge + window_s <= edges[-1]]
    starts += [edge - window_s for edge in edges if edge - window_s >= 0]
    return max(
        ((energy_j(start + window_s) - energy_j(start)) / window_s for start in starts), default=0.0
    )


ticks = st.lists(st.tuples(st.floats(0.5, 2.0), st.floats(0, 1)), min_size=5, max_size=60)
boxes = st.builds(
    Box,
    base_w=st.floats(0.5, 9.0),
    core_w=st.floats(0.1, PRIOR_CORE_W),
    cores=st.integers(1, 8),
    limit_w=st.just(10.0),
    window_s=st.floats(4.0, 30.0),
)


@settings(max_examples=200, deadline=None)
@given(box=boxes, ticks=ticks)
def test_no_window_is_above_the_limit(box: Box, ticks: list[tuple[float, float]]) -> None:
    drawn, _ = box.run(ticks)
    # The first stretch runs at the start duty, before anything was measured.
    assert worst_window_w(drawn[1:], box.window_s) <= box.limit_w * (1 + 1e-9)


@settings(max_examples=200, deadline=None)
@given(box=boxes, ticks=ticks, core_w=st.floats(PRIOR_CORE_W, 4 * PRIOR_CORE_W))
def test_a_core_hungrier_than_thought_is_found_out(
    box: Box, ticks: list[tuple[float, float]], core_w: float
) -> None:
    """While it learns that one core draws up to four times the guess, a window may be above by less
    than one rise of the duty; under lasting demand none is any more.
    """
    box = replace(box, core_w=core_w, base_w=min(box.base_w, 8.0))
    assume(box.base_w + box.core_w * box.cores * policy.START_DUTY < box.limit_w)
    drawn, _ = box.run(ticks)
    rise_w = box.core_w * box.cores * policy.RISE
    assert worst_window_w(drawn[1:], box.window_s) <= box.limit_w + rise_w
    drawn, _ = box.run([(1.0, 1.0)] * 100)
    assert worst_window_w(drawn[40:], box.window_s) <= box.limit_w * (1 + 1e-9)


@settings(max_examples=100, deadline=None)
@given(box=boxes, overuse=st.floats(1.0, 2.0))
def test_workers_that_use_more_than_their_duty_are_reined_in(box: Box, overuse: float) -> None:
    drawn, _ = replace(box, overuse=overuse).run([(1.0, 1.0)] * 100)
    assert worst_window_w(drawn[40:], box.window_s) <= box.limit_w * (1 + 1e-9)


@settings(max_examples=200, deadline=None)
@given(box=boxes, ticks=ticks)
def test_the_duty_rises_slowly_where_the_limit_is_near(
    box: Box, ticks: list[tuple[float, float]]
) -> None:
    _, states = box.run(ticks)
    assert all(0 <= state.duty <= 1 for state in states)
    for before, after in itertools.pairwise(states):
        assert after.base_w is not None
        added_w = after.core_w * box.cores * after.duty * policy.CAUTION
        near = after.base_w + added_w > box.limit_w
        assert after.duty - before.duty <= policy.RISE + 1e-12 or not near


def test_far_from_the_limit_nothing_is_held_back() -> None:
    box = Box(base_w=5.0, core_w=2.0, cores=2, limit_w=100.0, window_s=10.0)
    _, states = box.run([(1.0, 1.0)])
    assert states[0].duty == 1.0


@settings(max_examples=100, deadline=None)
@given(box=boxes, core_w=st.floats(PRIOR_CORE_W / 2, PRIOR_CORE_W))
def test_what_the_limit_allows_is_used(box: Box, core_w: float) -> None:
    """Under lasting full demand the draw settles within a tenth of what could be had, on a box
    whose cores draw half the guess or more.
    """
    box = replace(box, core_w=core_w)
    drawn, states = box.run([(1.0, 1.0)] * 150)
    full_w = box.base_w + box.core_w * box.cores
    could_add_w = min(full_w, box.limit_w * (1 - policy.MARGIN)) - box.base_w
    settled_w = sum(watts for _, watts in drawn[-50:]) / 50
    assert settled_w - box.base_w >= 0.9 * could_add_w
    assert not states[-1].infeasible


def test_another_program_that_takes_the_headroom_is_given_way_at_once() -> None:
    box = Box(base_w=3.0, core_w=2.0, cores=1, limit_w=5.0, window_s=10.0)
    _, states = box.run([(1.0, 1.0)] * 30)
    assert states[-1].duty > 0.8
    _, states = replace(box, base_w=4.5).run([(1.0, 1.0)] * 30, states[-1])
    assert states[0].duty < 0.55
    drawn, _ = replace(box, base_w=4.5).run([(1.0, 1.0)] * 30, states[-1])
    assert worst_window_w(drawn, 10.0) <= 5.0


def test_what_was_drawn_too_much_is_made_up_for() -> None:
    """28 J are gone of the window's 30 J, and 2 s are to come: 1 W, less than the base."""
    overdrawn = policy.State(
        guess_core_w=2.0, core_w=2.0, base_w=3.0, duty=0.5, history=((3.0, 24.0),)
    )
    interval = policy.Interval(elapsed_s=1.0, energy_j=4.0, busy_cores=0.5)
    state = policy.decide(overdrawn, interval, limit_w=5.0, window_s=6.0, cores=1)
    assert state.duty == 0
    assert not state.infeasible


def test_what_the_workers_use_in_a_pause_counts_as_base() -> None:
    """Their network side goes on: 0.3 cores that no duty takes away."""
    paused = policy.State(guess_core_w=2.0, core_w=2.0, base_w=3.0, duty=0.0)
    interval = policy.Interval(elapsed_s=1.0, energy_j=3.6, busy_cores=0.3)
    state = policy.decide(paused, interval, limit_w=3.5, window_s=10.0, cores=1)
    assert state.base_w == pytest.approx(3.6)
    assert state.core_w == 2.0
    assert state.infeasible


@pytest.mark.parametrize("seed", range(4))
def test_among_the_spikes_of_other_programs_the_limit_holds(seed: int) -> None:
    """They add 3 W for 1 to 3 s, a quarter of the time; the workers want all they can get."""
    random = Random(seed)
    state, drawn, spike_s = policy.start(PRIOR_CORE_W), [], 0
    for _ in range(400):
        spike_s = spike_s - 1 if spike_s else random.choice([0] * 7 + [1, 2, 3])
        base_w = 5.0 + 3.0 * (spike_s > 0) + random.gauss(0, 0.1)
        box = Box(base_w=base_w, core_w=1.5, cores=4, limit_w=10.0, window_s=10.0)
        stretch, states = box.run([(1.0, 1.0)], state)
        state = states[-1]
        drawn += stretch
    assert worst_window_w(drawn, 10.0) <= 10.0
    assert sum(watts for _, watts in drawn) / 400 > 8.0


def test_a_spike_beside_a_nearly_idle_worker_does_not_slow_it_for_long() -> None:
    """6 W of another program while 0.06 cores are ours do not mean that a core draws 100 W."""
    box = Box(base_w=5.0, core_w=2.0, cores=4, limit_w=10.0, window_s=10.0)
    spike = policy.Interval(elapsed_s=1.0, energy_j=11.12, busy_cores=0.06)
    believed = policy.State(guess_core_w=2.0, core_w=2.0, base_w=5.0, duty=0.4)
    state = policy.decide(believed, spike, limit_w=10.0, window_s=10.0, cores=4)
    _, states = box.run([(1.0, 1.0)] * 40, state)
    assert states[-1].duty > 0.5


def test_a_box_at_its_limit_without_us_is_said_so_and_forgiven_later() -> None:
    box = Box(base_w=6.0, core_w=2.0, cores=2, limit_w=5.0, window_s=10.0)
    _, states = box.run([(1.0, 1.0)] * 5)
    assert states[0].infeasible
    assert states[0].duty == 0
    assert states[-1].infeasible
    _, states = replace(box, base_w=3.0).run([(1.0, 1.0)] * 40, states[-1])
    assert not states[-1].infeasible
    assert states[-1].duty > 0.3


def test_an_unmeasured_stretch_gives_no_credit() -> None:
    """The budget is 50 J in 10 s; the 8 s nobody measured count as 40 J of them."""
    known = policy.State(guess_core_w=2.0, core_w=2.0, base_w=3.0, duty=0.5)
    overdrawn = policy.Interval(elapsed_s=2.0, energy_j=14.0, busy_cores=1.0)
    unknown = policy.Interval(elapsed_s=8.0, energy_j=None, busy_cores=0.0)
    state = known
    for interval in (overdrawn, unknown):
        state = policy.decide(state, interval, limit_w=5.0, window_s=10.0, cores=1)
    # 54 J stand in the window, and the 2 s that leave it next held 14 J: (50 - 40) / 2 s is 5 W.
    assert policy._affordable_w(state.history, 5.0, 10.0) == pytest.approx(5.0)
    assert policy.mean_w(state.history) == pytest.approx(7.0)  # of the 2 s that were measured


def brute_force_affordable_w(history: policy.History, limit_w: float, window_s: float) -> float:
    """The same bound on a fine grid of windows that end within the horizon."""
    covered_s = sum(seconds for seconds, _ in history)
    least = float("inf")
    horizon_s = min(policy.HORIZON_S, window_s)
    for step in range(1, 2001):
        ahead_s = horizon_s * step / 2000
        gone_s = ahead_s - (window_s - covered_s)  # of the oldest intervals
        energy_j = 0.0
        for seconds, joules in history:
            assert joules is not None
            energy_j += joules * (1 - min(1.0, max(0.0, gone_s) / seconds))
            gone_s -= seconds
        least = min(least, (limit_w * window_s - energy_j) / ahead_s)
    return least


@settings(max_examples=100, deadline=None)
@given(
    history=st.lists(st.tuples(st.floats(0.3, 3.0), st.floats(0, 5.0)), min_size=1, max_size=20),
    window_s=st.floats(1.0, 30.0),
)
def test_the_affordable_draw_equals_brute_force(
    history: list[tuple[float, float]], window_s: float
) -> None:
    remembered: policy.History = ()
    for seconds, watts in history:
        interval = policy.Interval(elapsed_s=seconds, energy_j=watts * seconds, busy_cores=0)
        remembered = policy.remember(remembered, interval, window_s)
    assume(sum(joules or 0 for _, joules in remembered) < 5.0 * window_s)
    exact_w = policy._affordable_w(remembered, 5.0, window_s)
    grid_w = brute_force_affordable_w(remembered, 5.0, window_s)
    assert exact_w <= grid_w + 1e-6
    assert exact_w == pytest.approx(grid_w, rel=0.05)


@given(st.floats(0.01, 100), st.floats(0, 100), st.floats(0, 8))
def test_one_decision_is_pure(elapsed_s: float, watts: float, busy: float) -> None:
    state = policy.State(guess_core_w=2.0, core_w=2.0, base_w=3.0, duty=0.5)
    before = repr(state)
    interval = policy.Interval(elapsed_s=elapsed_s, energy_j=watts * elapsed_s, busy_cores=busy)
    first = policy.decide(state, interval, limit_w=5, window_s=10, cores=1)
    assert first == policy.decide(state, interval, limit_w=5, window_s=10, cores=1)
    assert repr(state) == before
