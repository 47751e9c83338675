# SPDX-License-Identifier: Apache-2.0
"""Thresholds, keywords, events and alert rules against definitions that look at all of history."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from step_outputs import is_fine, tensor, vector

from neurovm.errors import StepError
from neurovm.steps import (
    Alert,
    BoxRows,
    Change,
    Ema,
    Event,
    Keyword,
    Plan,
    Select,
    TensorsForm,
    Threshold,
    When,
    chain,
)
from neurovm.steps.forms import VectorForm

levels = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
gaps_us = st.sampled_from([0, 1, 50_000, 100_000, 300_000, 2_000_000])
walks = st.lists(st.tuples(gaps_us, levels), min_size=1, max_size=60)
seconds = st.sampled_from([0.0, 0.1, 0.3, 0.5])


def timed(walk: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Gaps as times."""
    now_us, found = 0, []
    for gap_us, x in walk:
        now_us += gap_us
        found.append((now_us, x))
    return found


def active_by_history(step: Threshold, found: list[tuple[int, float]]) -> list[bool]:
    """Whether it is active after each result: the rows since the last turn are looked at anew."""
    on, since, said = False, 0, []
    for at, (t_us, _) in enumerate(found):
        row = []
        for before_us, x in reversed(found[since : at + 1]):
            if step.above is not None:
                release = step.above if step.release is None else step.release
                turning = x < release if on else x >= step.above
            else:
                release = step.below if step.release is None else step.release
                turning = x > release if on else x <= step.below
            if not turning:
                break
            row.append(before_us)
        count, for_s = (step.release_count, step.release_for_s) if on else (step.count, step.for_s)
        if len(row) >= count and t_us - row[-1] >= round(for_s * 1e6):
            on, since = not on, at + 1
        said.append(on)
    return said


@given(walks, st.booleans(), st.integers(1, 3), seconds, st.integers(1, 3), seconds)
def test_threshold_turns_as_its_history_says(
    walk: list, rises: bool, count: int, for_s: float, release_count: int, release_for_s: float
) -> None:
    limits = {"above": 0.75, "release": 0.5} if rises else {"below": 0.25, "release": 0.5}
    step = Threshold(
        **limits,
        count=count,
        for_s=for_s,
        release_count=release_count,
        release_for_s=release_for_s,
    )
    found = timed(walk)
    stream = chain([step], vector(1))
    got = [stream.push(t_us, [x]).active[0] for t_us, x in found]
    assert got == active_by_history(step, found)


def test_between_the_limits_nothing_turns() -> None:
    stream = chain([Threshold(above=0.8, release=0.4)], vector(1))
    walk = [0.5, 0.79, 0.8, 0.5, 0.4, 0.39, 0.5, 0.79]
    got = [stream.push(t, [x]).active[0] for t, x in enumerate(walk)]
    assert got == [False, False, True, True, True, False, False, False]


def test_flags_are_shown_by_label_or_as_one() -> None:
    stream = chain([Threshold(above=0.5)], vector(3))
    assert stream.fields(stream.push(0, [0.9, 0.1, 0.6])) == {"active": ["a", "c"]}
    stream = chain([Threshold(above=0.5)], (tensor(1),))
    assert stream.fields(stream.push(0, [0.9])) == {"active": True}


def words_by_history(step: Keyword, found: list[tuple[int, list[float]]]) -> list[Any]:
    """The keyword after each result, posteriors made anew from all of history."""
    ignored = {ord(name) - 97 for name in step.ignore}
    release = step.threshold if step.release is None else step.release
    said: list[tuple[int, int] | None] = []
    means: list[np.ndarray] = []
    for at, (t_us, _) in enumerate(found):
        window = [
            row for before_us, row in found[: at + 1] if before_us > t_us - step.average_s * 1e6
        ]
        means.append(np.mean(window, axis=0))
        word = int(np.argmax(means[-1]))
        earlier = [(k, each) for k, each in enumerate(said) if each is not None]
        quiet = not earlier or t_us - earlier[-1][1][0] >= step.suppress_s * 1e6
        own = [k for k, each in earlier if each[1] == word]
        fell = not own or any(mean[word] < release - 1e-12 for mean in means[own[-1] + 1 :])
        fires = means[-1][word] >= step.threshold and len(window) >= step.least
        fires = fires and word not in ignored and quiet and fell
        said.append((t_us, word) if fires else None)
    return said


shares = st.lists(st.sampled_from([0.0, 0.125, 0.5, 0.75, 1.0]), min_size=3, max_size=3)


@given(
    st.lists(st.tuples(st.sampled_from([1, 50_000, 100_000, 400_000]), shares), max_size=50),
    st.sampled_from([0.3, 0.5, 0.8]),
    st.sampled_from([0.2, 0.5]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(1, 3),
    st.sampled_from([None, 0.2]),
    st.sampled_from([[], ["a"], ["b", "c"]]),
)
def test_keywords_are_said_as_history_says(
    walk: list,
    threshold: float,
    average_s: float,
    suppress_s: float,
    least: int,
    release: float | None,
    ignore: list[str],
) -> None:
    step = Keyword(
        threshold=threshold,
        average_s=average_s,
        suppress_s=suppress_s,
        least=least,
        release=release,
        ignore=list(ignore),
    )
    found = timed(walk)
    stream = chain([step], vector(3))
    got = [stream.push(t_us, row) for t_us, row in found]
    wanted = words_by_history(step, found)
    assert [None if each is None else each.number for each in got] == [
        None if each is None else each[1] for each in wanted
    ]


def test_a_word_that_lasts_is_said_once() -> None:
    step = Keyword(threshold=0.6, average_s=0.3, suppress_s=0.1, ignore=["a"])
    stream = chain([step], vector(2))
    word, silence = [0.1, 0.9], [0.9, 0.1]
    rows = [silence] * 5 + [word] * 30 + [silence] * 5 + [word] * 5
    said = [at for at, row in enumerate(rows) if stream.push(100_000 * at, row)]
    assert said == [6, 41]


def lives(changes: list[Change]) -> dict[str, list[Change]]:
    """Turns by id, in order, each checked against the one before."""
    found: dict[str, list[Change]] = {}
    for change in changes:
        turns = found.setdefault(change.id, [])
        assert change.before == (turns[-1].after if turns else None)
        assert (change.type == "new") == (not turns)
        assert not turns or turns[-1].type != "end"
        assert change.after["active"] == (change.type != "end")
        assert is_fine(change.fields())
        turns.append(change)
    return found


class Told(NamedTuple):
    """An event as history tells it; `end_us` None: it has not ended."""

    start_us: int
    end_us: int | None
    best: float


def told_by_history(event: Event, found: list[tuple[int, float]], limit: float) -> list[Told]:
    """Stretches at or beyond the limit that last, outside the time after the one before."""
    told: list[Told] = []
    at = 0
    while at < len(found):
        last = at
        while last < len(found) and found[last][1] >= limit:
            last += 1
        ends = [each.end_us for each in told if each.end_us is not None]
        calm_us = ends[-1] + round(event.cool_down_s * 1e6) if ends else 0
        stretch = [each for each in found[at:last] if each[0] >= calm_us]
        if stretch and stretch[-1][0] - stretch[0][0] >= round(event.least_s * 1e6):
            end_us = found[last][0] if last < len(found) else None
            told.append(Told(stretch[0][0], end_us, max(x for _, x in stretch)))
        at = max(last, at + 1)
    return told


@given(walks, seconds, seconds, st.sampled_from([None, 0.25, 0.5]))
def test_events_are_the_stretches_beyond_the_limit(
    walk: list, least_s: float, cool_down_s: float, update_by: float | None
) -> None:
    found = timed(walk)
    event = Event(least_s=least_s, cool_down_s=cool_down_s, update_by=update_by)
    stream = chain([Threshold(above=0.5), event], vector(1))
    changes: list[Change] = []
    for t_us, x in found:
        changes += stream.push(t_us, [x]) or ()
    turns = list(lives(changes).values())
    got = [Told(t[-1].after["start_us"], t[-1].after.get("end_us"), 0.0) for t in turns]
    wanted = told_by_history(event, found, 0.5)
    assert got == [each._replace(best=0.0) for each in wanted]
    for each, own in zip(turns, wanted, strict=True):
        assert own.end_us is None or each[-1].after["best"] == own.best
        values = [turn.after["value"] for turn in each if turn.type != "end"]
        moves = [abs(b - a) for a, b in itertools.pairwise(values)]
        assert all(move >= (update_by or 9.0) for move in moves)


def test_an_event_tells_each_move_beyond_update_by() -> None:
    stream = chain([Threshold(above=0.5), Event(update_by=0.2)], vector(1))
    walk = [0.1, 0.6, 0.7, 0.8, 0.95, 0.55, 0.2]
    changes = [change for t, x in enumerate(walk) for change in stream.push(t, [x]) or ()]
    told = [(change.type, change.after["value"], change.after["best"]) for change in changes]
    assert told == [
        ("new", 0.6, 0.6),
        ("update", 0.8, 0.8),
        ("update", 0.55, 0.95),
        ("end", 0.2, 0.95),
    ]
    assert [change.after["start_us"] for change in changes] == [1] * 4
    assert changes[-1].after["end_us"] == 6


def test_events_of_what_is_low_know_their_lowest() -> None:
    stream = chain([Threshold(below=0.3), Event()], vector(2))
    changes = [
        change
        for t, x in enumerate([0.9, 0.2, 0.1, 0.25, 0.5])
        for change in stream.push(t, [1.0, x]) or ()
    ]
    assert [(change.type, change.after["label"]) for change in changes] == [
        ("new", "b"),
        ("end", "b"),
    ]
    assert changes[-1].after["best"] == 0.1


def test_no_two_events_of_a_stream_share_an_id() -> None:
    stream = chain([Threshold(above=0.5), Event()], vector(3))
    ids = [
        change.id
        for at in range(60)
        for change in stream.push(at // 10, [float(at % 2), float(at % 3 > 0), 1.0]) or ()
        if change.type == "new"
    ]
    assert len(set(ids)) == len(ids) > 20


def watch(alert: Alert, form: object, values: list) -> list[Change]:
    stream = Plan(alert.steps(form), form).stream()
    return [change for t, x in enumerate(values) for change in stream.push(t, x) or ()]


def test_a_rule_is_a_threshold_and_its_events() -> None:
    form = VectorForm(size=2, labels=("cold", "hot"))
    alert = Alert(name="heat", when=When(label="hot", above=0.5, release=0.3, count=2))
    rows = [[1.0, 0.6], [1.0, 0.4], [1.0, 0.6], [1.0, 0.7], [1.0, 0.4], [0.0, 0.1]]
    changes = watch(alert, form, rows)
    assert [(c.type, c.after["label"], c.after["start_us"]) for c in changes] == [
        ("new", "hot", 3),
        ("end", "hot", 3),
    ]


def test_a_rule_without_a_label_watches_each() -> None:
    form = VectorForm(size=2, labels=("cold", "hot"))
    changes = watch(Alert(name="any", when=When(above=0.5)), form, [[0.6, 0.0], [0.6, 0.9]])
    assert [change.after["label"] for change in changes] == ["cold", "hot"]


def test_a_rule_watches_boxes_and_tensors() -> None:
    start = TensorsForm(outputs=(tensor(1, 2, 6),))
    plan = Plan([BoxRows(labels=["cat", "dog"], least=0.1)], start)
    alert = Alert(name="dog", when=When(label="dog", above=0.5))
    boxes = plan.stream().push(0, [0.5, 0.5, 0.1, 0.1, 0.2, 0.7] + [0.0] * 6)
    changes = watch(alert, plan.watched, [[], boxes, []])
    assert [change.type for change in changes] == ["new", "end"]
    assert changes[0].after["value"] == 0.7
    first = Plan([Threshold(above=1.0)], TensorsForm(outputs=vector(2)))
    assert len(Alert(name="x", when=When(above=1.0)).steps(first.start)) == 3


@pytest.mark.parametrize(
    "make",
    [
        Threshold,
        lambda: Threshold(above=1.0, below=0.0),
        lambda: Threshold(above=1.0, release=1.1),
        lambda: Threshold(below=1.0, release=0.9),
        lambda: Threshold(above=1.0, count=0),
        lambda: Threshold(above=1.0, for_s=-1.0),
        lambda: Keyword(threshold=0.5, release=0.6),
        lambda: Keyword(threshold=0.5, average_s=61.0),
        lambda: chain([Keyword(threshold=0.5, ignore=["z"])], vector(2)),
        lambda: chain([Keyword(threshold=0.5, ignore=["a", 1])], vector(2)),
        lambda: Event(update_by=0.0),
        lambda: Event(least_s=float("nan")),
        When,
        lambda: When(above=1.0, release=2.0),
        lambda: Alert(name="", when=When(above=1.0)),
        lambda: Alert(name="x", when=When(above=1.0, label="c")).steps(VectorForm(size=2)),
    ],
)
def test_wrong_parameters_are_refused(make: object) -> None:
    with pytest.raises(StepError, match=r"found .*; accepted: "):
        make()  # type: ignore[operator]  # one of the above


def test_chosen_elements_keep_their_numbers() -> None:
    """In results, in events, and where later steps and rules name them."""
    alert = Alert(name="x", when=When(above=0.5, label=2))
    form = VectorForm(size=3)
    assert [c.after["index"] for c in watch(alert, form, [[0.0, 0.0, 0.9]])] == [2]
    steps = [Select(elements=[2, 1]), Keyword(threshold=0.5, least=1, ignore=[1])]
    stream = chain(steps, (tensor(1, 3),))
    assert stream.push(0, [0.0, 0.9, 0.1]) is None
    stream.reset()
    assert stream.fields(stream.push(0, [0.0, 0.1, 0.9]))["keyword"] == {"index": 2}
    with pytest.raises(StepError, match=r"ignore: found 0; accepted: 2, 1"):
        chain([Select(elements=[2, 1]), Keyword(threshold=0.5, ignore=[0])], (tensor(1, 3),))


def test_smoothing_before_a_threshold_holds_short_spikes_back() -> None:
    stream = chain([Ema(alpha=0.2), Threshold(above=0.5), Event()], vector(1))
    spikes = [1.0 if at % 5 == 0 else 0.0 for at in range(5, 50)]
    assert not any(stream.push(at, [x]) for at, x in enumerate([0.0, *spikes]))
