# SPDX-License-Identifier: Apache-2.0
"""Smoothing, scores and scaling against NumPy's own, or the equation written out slowly."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from step_outputs import is_fine, vector

from neurovm.errors import StepError
from neurovm.steps import (
    Anomaly,
    Classify,
    Deadband,
    Ema,
    Labels,
    Mean,
    Median,
    Reading,
    Reconstruction,
    Regression,
    Round,
    Select,
    Sigmoid,
    Softmax,
    Step,
    TopK,
    chain,
)
from neurovm.steps.forms import MOST_VALUE

SIZE = 3
reals = st.floats(-1e6, 1e6, width=32)
wild = st.floats(allow_nan=False, allow_infinity=False, width=32)
rows = st.lists(st.lists(reals, min_size=SIZE, max_size=SIZE), min_size=1, max_size=30)
wild_rows = st.lists(st.lists(wild, min_size=SIZE, max_size=SIZE), min_size=1, max_size=30)
times = st.lists(st.integers(0, 10**7), min_size=30, max_size=30)


def pushed(step: Step, found: list[list[float]], each_us: int = 10_000) -> list:
    stream = chain([step], vector(SIZE))
    return [stream.push(each_us * at, row) for at, row in enumerate(found)]


@given(rows, st.integers(1, 9), st.data())
def test_mean_is_the_exact_mean_rounded_once(found: list, n: int, data: st.DataObject) -> None:
    least = data.draw(st.integers(1, n))
    for at, got in enumerate(pushed(Mean(n=n, least=least), found)):
        window = found[max(0, at - n + 1) : at + 1]
        if len(window) < least:
            assert got is None
            continue
        exact = [sum(map(Fraction, column)) / len(window) for column in zip(*window, strict=True)]
        assert got == pytest.approx([float(x) for x in exact], rel=1e-15, abs=1e-300)


@given(rows, st.integers(1, 9))
def test_median_is_numpys(found: list, n: int) -> None:
    for at, got in enumerate(pushed(Median(n=n), found)):
        assert got == np.median(found[max(0, at - n + 1) : at + 1], axis=0).tolist()


@given(rows, st.floats(0.001, 1))
def test_ema_is_the_sum_of_its_weights(found: list, alpha: float) -> None:
    """As a weighted sum over all results, instead of step by step."""
    for at, got in enumerate(pushed(Ema(alpha=alpha), found)):
        weights = np.array([alpha * (1 - alpha) ** (at - k) for k in range(at + 1)])
        weights[0] = (1 - alpha) ** at
        assert got == pytest.approx((weights @ np.array(found[: at + 1])).tolist(), abs=1e-3)


@given(rows, times, st.floats(0.001, 100))
def test_ema_by_time_forgets_as_a_first_order_lag(found: list, gaps: list, tau_s: float) -> None:
    stream = chain([Ema(time_constant_s=tau_s)], vector(SIZE))
    now_us, mean = 0, np.array(found[0])
    for row, gap_us in zip(found, gaps, strict=False):
        now_us += gap_us
        got = stream.push(now_us, row)
        left = math.exp(-gap_us / 1e6 / tau_s)
        mean = left * mean + (1 - left) * np.array(row)
        assert got == pytest.approx(mean.tolist(), abs=1e-3)


def test_ema_by_time_does_not_mind_how_often_it_is_asked() -> None:
    once, often = (chain([Ema(time_constant_s=0.7)], vector(1)) for _ in range(2))
    for stream in (once, often):
        stream.push(0, [1.0])
    for t_us in range(1000, 1_000_000, 1000):
        often.push(t_us, [0.0])
    assert once.push(1_000_000, [0.0]) == pytest.approx(often.push(1_000_000, [0.0]))


@given(wild_rows, st.floats(1e-3, 1e6))
def test_softmax_adds_up_to_one_in_order(found: list, temperature: float) -> None:
    for row, got in zip(found, pushed(Softmax(temperature=temperature), found), strict=True):
        assert is_fine(got)
        assert math.fsum(got) == pytest.approx(1.0)
        assert all(got[a] <= got[b] for a in range(3) for b in range(3) if row[a] < row[b])


@given(rows)
def test_softmax_and_sigmoid_are_numpys(found: list) -> None:
    small = [[x / 1e4 for x in row] for row in found]
    x = np.array(small)
    powers = np.exp(x - x.max(1, keepdims=True))
    assert np.allclose(pushed(Softmax(), small), powers / powers.sum(1, keepdims=True))
    assert np.allclose(pushed(Sigmoid(), small), 1 / (1 + np.exp(-x)), rtol=1e-12)


@given(rows, st.integers(1, 5))
def test_top_k_is_the_sorted_beginning(found: list, k: int) -> None:
    for row, got in zip(found, pushed(TopK(k=k, least=0.0), found), strict=True):
        order = np.argsort(-np.array(row), kind="stable")[:k]
        assert got == [(at, row[at]) for at in order if row[at] >= 0]


@given(rows, st.floats(-10, 10))
def test_classify_is_the_first_largest(found: list, least: float) -> None:
    for row, got in zip(found, pushed(Classify(least=least), found), strict=True):
        best = int(np.argmax(row))
        assert got == (best if row[best] >= least else -1, max(row))


def test_classify_says_none_where_nothing_is_sure() -> None:
    stream = chain([Classify(least=0.5)], vector(SIZE))
    assert stream.fields(stream.push(0, [0.1, 0.4, 0.2])) == {"class": None, "score": 0.4}
    said = {"class": {"index": 1, "label": "b"}, "score": 0.5}
    assert stream.fields(stream.push(1, [0.1, 0.5, 0.5])) == said


@given(rows, st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(-1e5, 1e5), st.floats(0, 1e5))
def test_regression_is_numpys_clip(
    found: list, scale: float, offset: float, low: float, width: float
) -> None:
    step = Regression(scale=scale, offset=offset, low=low, high=low + width, unit="mm")
    wanted = np.clip(scale * np.array(found) + offset, low, low + width)
    assert np.array_equal(pushed(step, found), wanted)


def test_a_single_value_is_shown_with_its_unit() -> None:
    stream = chain([Select(elements=["b"]), Regression(scale=2, unit="mm")], vector(SIZE))
    assert stream.fields(stream.push(0, [1.0, 2.0, 3.0])) == {"value": 4.0, "unit": "mm"}


@given(rows, st.integers(0, 12))
def test_round_is_pythons_without_minus_zero(found: list, digits: int) -> None:
    for row, got in zip(found, pushed(Round(digits=digits), found), strict=True):
        assert got == [round(x, digits) for x in row]
        assert not any(x == 0 and math.copysign(1, x) < 0 for x in got)


@given(rows, st.floats(0.001, 1e5), st.one_of(st.none(), st.floats(0.01, 0.1)))
def test_deadband_never_hides_a_move(found: list, by: float, most_s: float | None) -> None:
    said, at_us = None, 0
    for at, (row, got) in enumerate(
        zip(found, pushed(Deadband(by=by, most_s=most_s), found), strict=True)
    ):
        moved = said is None or max(abs(np.array(row) - said)) >= by
        overdue = most_s is not None and 10_000 * at - at_us >= round(most_s * 1e6)
        assert (got is not None) == (moved or overdue)
        if got is not None:
            assert got == row
            said, at_us = np.array(row), 10_000 * at


@given(rows, st.sampled_from(["mse", "rmse", "mae"]))
def test_reconstruction_is_numpys(found: list, measure: str) -> None:
    infos = vector(SIZE)
    stream = chain([Reconstruction(measure=measure)], infos, infos)
    for at, row in enumerate(found):
        other = found[-1 - at]
        away = np.array(row) - np.array(other)
        wanted = {"mse": np.mean(away**2), "rmse": np.sqrt(np.mean(away**2))}
        wanted["mae"] = np.mean(abs(away))
        (got,) = stream.push(at, Reading([row], [other]))
        assert got == pytest.approx(wanted[measure])


@given(rows, st.integers(2, 12), st.booleans())
def test_anomaly_by_the_normal_baseline_is_numpys(found: list, learn: int, both: bool) -> None:
    got = pushed(Anomaly(learn=learn, floor=1e-3, both_sides=both), found)
    assert got[:learn] == [None] * min(learn, len(found))
    first = np.array(found[:learn])
    for row, scores in zip(found[learn:], got[learn:], strict=True):
        unit = np.maximum(first.std(axis=0, ddof=1), 1e-3)
        wanted = (np.array(row) - first.mean(axis=0)) / unit
        assert scores == pytest.approx((abs(wanted) if both else wanted).tolist(), rel=1e-6)


@given(rows, st.integers(2, 12), st.floats(0, 1))
def test_anomaly_by_quantile_is_numpys(found: list, learn: int, share: float) -> None:
    got = pushed(Anomaly(learn=learn, baseline="quantile", quantile=share, floor=1e-3), found)
    first = np.array(found[:learn])
    for row, scores in zip(found[learn:], got[learn:], strict=True):
        unit = np.maximum(np.quantile(first, share, axis=0), 1e-3)
        assert scores == pytest.approx((np.array(row) / unit).tolist(), rel=1e-6)


def test_a_given_baseline_learns_nothing() -> None:
    assert pushed(Anomaly(mean=1.0, deviation=2.0), [[5.0, 1.0, -1.0]]) == [[2.0, 0.0, -1.0]]
    level = Anomaly(level=2.0, baseline="quantile")
    assert pushed(level, [[5.0, 1.0, -1.0]]) == [[2.5, 0.5, -0.5]]


def test_what_was_learned_is_forgotten_with_reset() -> None:
    stream = chain([Anomaly(learn=2)], vector(1))
    answers = [stream.push(t, [x]) for t, x in enumerate([1.0, 3.0, 2.0])]
    assert answers == [None, None, [0.0]]
    stream.reset()
    assert stream.push(9, [7.0]) is None


def test_labels_come_as_a_list_or_as_text() -> None:
    for labels in (["x", "y", "z"], "x\ny \nz\n"):
        stream = chain([Labels(labels=labels), TopK()], vector(SIZE))
        assert stream.fields(stream.push(0, [1.0, 3.0, 2.0]))["top"][0]["label"] == "y"
    with pytest.raises(StepError, match=r"labels: found 2 labels; accepted: 3"):
        chain([Labels(labels="x\ny")], vector(SIZE))


ALL = [
    Mean(n=3),
    Median(n=4),
    Ema(alpha=0.3),
    Ema(time_constant_s=0.01),
    Softmax(temperature=1e-3),
    Sigmoid(),
    Regression(scale=1e30, offset=-1e30, low=-1e30),
    Round(digits=12),
    Deadband(by=1e-9),
    Anomaly(learn=2, floor=1e-30),
    Anomaly(learn=3, baseline="quantile", floor=1e-30),
]


@settings(max_examples=30)
@given(wild_rows, st.permutations(ALL), st.integers(1, 6))
def test_no_chain_leaves_the_finite_numbers(found: list, steps: list[Step], count: int) -> None:
    stream = chain(steps[:count], vector(SIZE))
    for at, row in enumerate(found):
        got = stream.push(10_000 * at, row)
        assert is_fine(got)
        assert got is None or all(abs(x) <= MOST_VALUE * (1 + 1e-15) for x in got)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Mean(n=3, least=4),
        lambda: Mean(n=0),
        lambda: Mean(n=5000),
        Ema,
        lambda: Ema(alpha=0.0),
        lambda: Ema(alpha=0.5, time_constant_s=1),
        lambda: Regression(low=2, high=1),
        lambda: Regression(scale=float("inf")),
        Anomaly,
        lambda: Anomaly(learn=5, level=1.0, baseline="quantile"),
        lambda: Anomaly(mean=1.0),
        lambda: Anomaly(level=1.0),
        lambda: Anomaly(learn=3, baseline="quantile", both_sides=True),
        lambda: Deadband(by=0.0),
        lambda: Softmax(temperature=0.0),
        lambda: chain([Mean(n=4096)], vector(300)),
        lambda: chain([Anomaly(learn=65536)], vector(20)),
    ],
)
def test_wrong_parameters_are_refused(make: object) -> None:
    with pytest.raises(StepError, match=r"found .*; accepted: "):
        make()  # type: ignore[operator]  # one of the above
