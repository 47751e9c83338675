# SPDX-License-Identifier: Apache-2.0
"""Parameters and rows that nobody would write: an error of one kind, or rows as promised."""

from __future__ import annotations

import math
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from front_end_cases import CASES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurovm.errors import EventError, ShapeError
from neurovm.frontends import AnyFrontEnd, FrontEnd, Micro, chain

KINDS = {kind.__struct_config__.tag: kind for kind in get_args(AnyFrontEnd)}
# What a sound case says of each kind, of which some keys are then changed.
SOUND = {
    type(front_end).__struct_config__.tag: msgspec.to_builtins(front_end)
    for case in CASES
    for front_end in case.front_ends
}
WORDS = ["hann", "ln", "db", "none", "bgr", "peak", "int8", "slaney", "", "x" * 200]
numbers = (
    st.integers(-3, 70)
    | st.sampled_from([1 << 12, 1 << 16, 1 << 24, 1 << 31, 1 << 64, -(1 << 63)])
    | st.floats(allow_nan=True)
)
values = (
    numbers
    | st.none()
    | st.booleans()
    | st.sampled_from(WORDS)
    | st.lists(numbers, max_size=4)
    | st.dictionaries(st.sampled_from(WORDS), numbers, max_size=1)
)
shapes = st.lists(st.integers(0, 9), max_size=4).map(tuple)
rates = st.none() | st.floats(-1, 1e12) | st.sampled_from([16000.0, math.nan, math.inf])
rows_of = st.sampled_from([0, 1, 2, 500])


@st.composite
def configurations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to three front ends with up to three keys that were changed."""
    made = []
    for kind in draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3)):
        configuration = dict(SOUND[kind])
        keys = sorted(configuration)
        for key in draw(st.lists(st.sampled_from(keys), max_size=3)):
            configuration[key] = draw(values)
        made.append({**configuration, "kind": kind})
    return made


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(listed=configurations(), shape=shapes, rate_hz=rates, count=rows_of)
def test_any_configuration_is_refused_or_works(
    listed: list[dict[str, Any]], shape: tuple[int, ...], rate_hz: float | None, count: int
) -> None:
    try:
        front_ends = msgspec.convert(listed, list[AnyFrontEnd])
    except msgspec.ValidationError as error:
        assert len(str(error)) < 400
        return
    try:
        front = chain(front_ends, shape, rate_hz)
    except EventError as error:
        assert len(str(error)) < 400
        return
    rows = np.random.default_rng(0).normal(0, 100, (count, *(max(1, n) for n in shape)))
    try:
        made = front.whole(rows)
    except EventError:
        return
    assert made.shape[1:] == front.shape
    assert made.dtype == np.dtype(front.dtype)
    assert np.isfinite(made).all()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_any_value_of_any_key_from_python_is_an_event_error(kind: str) -> None:
    """What msgspec would refuse in a file reaches the class from Python."""
    sound = {key: value for key, value in SOUND[kind].items() if key != "kind"}
    for key in sound:
        for value in (-1, math.nan, -math.inf, 1 << 70, "", b"x", [], {}, object()):
            try:
                made = KINDS[kind](**{**sound, key: value})
            except EventError as error:
                assert len(str(error)) < 400
            else:
                assert isinstance(made, FrontEnd)


extremes = st.sampled_from([0.0, -0.0, 5e-324, -1e-300, 1e30, -1e30, 3.4e38, -3.4e38, 32767.5])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CASES), st.lists(extremes, min_size=1, max_size=30), st.integers(0, 99))
def test_extreme_rows_give_finite_rows_or_an_error(case: Any, wild: list[float], seed: int) -> None:
    front = chain(case.front_ends, case.shape, case.rate_hz)
    rows = case.samples(seed).astype(np.float64)
    at = np.random.default_rng(seed).integers(0, rows.size, len(wild))
    rows.flat[at] = wild
    try:
        made = front.whole(rows)
    except EventError as error:
        assert "not finite" in str(error)
    else:
        assert np.isfinite(made).all()
    calm = case.samples(seed)
    fresh = chain(case.front_ends, case.shape, case.rate_hz)
    assert front.whole(calm).tobytes() == fresh.whole(calm).tobytes()


@pytest.mark.parametrize(
    "rows",
    [None, "text", b"bytes", [[1], [2, 3]], {}, object(), [None], 5, [1j], np.array("x"), [[]]],
)
def test_what_is_no_row_is_a_shape_error(rows: Any) -> None:
    for case in CASES[:2]:
        with pytest.raises(ShapeError):
            chain(case.front_ends, case.shape, case.rate_hz).whole(rows)


def test_a_state_of_integers_does_not_overflow() -> None:
    """The noise of each band stays below 2^32 after an hour of the loudest sound."""
    front = chain([Micro(output="uint16", window_step=1000)])
    loud = np.tile(np.array([32767, -32767], np.int16), 8000)
    for _ in range(60):
        made = front.push(loud)
        assert made.max(initial=0) < 1 << 12
