# SPDX-License-Identifier: Apache-2.0
"""What every front end promises: the same rows however they are cut, and errors for bad ones."""

from __future__ import annotations

import itertools
import math
import pickle
import subprocess
import sys
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from front_end_cases import CASES, Case
from hypothesis import given, settings
from hypothesis import strategies as st

from neurovm.errors import EventError, ShapeError
from neurovm.frontends import AnyFrontEnd, Front, FrontEnd, Mfcc, Scale, chain
from neurovm.frontends.log_mel import weights_of
from neurovm.frontends.pieces import Pieces

Array = np.ndarray[Any, Any]
all_cases = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


def front_of(case: Case) -> Front:
    return chain(case.front_ends, case.shape, case.rate_hz)


streaming = [case for case in CASES if not front_of(case).needs_whole]
streaming_cases = pytest.mark.parametrize("case", streaming, ids=[case.name for case in streaming])


def pushed(front: Front, rows: Array, cuts: list[int]) -> Array:
    """What the pieces of `rows` between `cuts` give, one after another."""
    edges = [0, *sorted(cuts), len(rows)]
    parts = [front.push(rows[a:b]) for a, b in itertools.pairwise(edges)]
    return np.concatenate(parts)


def test_every_kind_is_tried() -> None:
    kinds = {kind for case in CASES for kind in map(type, case.front_ends)}
    assert kinds == set(get_args(AnyFrontEnd))


@streaming_cases
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_cut_gives_the_bits_of_the_whole(case: Case, data: st.DataObject) -> None:
    rows = case.samples()
    whole = front_of(case).whole(rows)
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=12))
    front = front_of(case)
    made = pushed(front, rows, cuts)
    assert made.dtype == whole.dtype == np.dtype(front.dtype)
    assert made.shape == whole.shape
    assert made.tobytes() == whole.tobytes()


@streaming_cases
def test_row_by_row_gives_the_bits_of_the_whole(case: Case) -> None:
    rows = case.samples(1)
    front = front_of(case)
    made = pushed(front, rows, list(range(1, len(rows))))
    assert made.tobytes() == front.whole(rows).tobytes()


@streaming_cases
def test_rows_come_when_it_says(case: Case) -> None:
    """The first with row `first`, the others every `step` rows."""
    front = front_of(case)
    counts = [len(front.push(row[None])) for row in case.samples(2)]
    assert sum(counts) > 2
    at = np.flatnonzero(counts) + 1
    if max(counts) == 1:
        assert at[0] == front.first
        assert set(np.diff(at)) <= {front.step}
    else:  # blocks
        assert front.first <= at[0] * max(counts)
        assert at[0] <= front.first
        assert sum(counts) / case.rows == pytest.approx(1 / front.step, rel=0.1)


@streaming_cases
def test_a_row_depends_on_its_span_alone(case: Case) -> None:
    front = front_of(case)
    if math.isinf(front.span):
        pytest.skip("it remembers every row")
    rows = case.samples(3)
    before = front.whole(rows)
    changed = rows.copy()
    changed[: case.rows // 3] = case.samples(4)[: case.rows // 3]
    after = front.whole(changed)
    ends = front.first + front.step * np.arange(len(before))
    late = ends - int(front.span) >= case.rows // 3
    assert late.any()
    assert np.array_equal(before[late], after[late])


@all_cases
def test_whole_leaves_nothing_behind(case: Case) -> None:
    front = front_of(case)
    rows = case.samples(5)
    first = front.whole(rows)
    front.whole(case.samples(6))
    assert np.array_equal(front.whole(rows), first)
    assert first.shape[1:] == front.shape
    assert np.isfinite(first).all()


@streaming_cases
def test_a_refused_push_changes_nothing(case: Case) -> None:
    rows = case.samples(7)
    half = len(rows) // 2
    front = front_of(case)
    first = front.push(rows[:half])
    bad = rows[:4].astype(np.float64)
    for value in (np.nan, np.inf, -np.inf, 1e39):
        bad.flat[1] = value
        with pytest.raises(EventError, match="finite"):
            front.push(bad)
    with pytest.raises(ShapeError, match="accepted"):
        front.push(np.zeros((2, *case.shape, 2)))
    with pytest.raises(ShapeError):
        front.push(np.zeros((2, *case.shape), complex))
    with pytest.raises(ShapeError):
        front.push(["a"])  # type: ignore[list-item]  # what is refused
    made = np.concatenate([first, front.push(rows[half:])])
    assert made.tobytes() == front_of(case).whole(rows).tobytes()


@streaming_cases
def test_no_rows_give_no_rows(case: Case) -> None:
    front = front_of(case)
    made = front.push(np.empty((0, *case.shape)))
    assert made.shape == (0, *front.shape)
    assert made.dtype == np.dtype(front.dtype)


@streaming_cases
def test_state_is_as_small_as_it_says(case: Case) -> None:
    """What a stream holds after many rows, less what it holds of the start."""
    front = front_of(case)
    constant = _held(front)
    front.push(case.samples())
    for row in case.samples(1):
        front.push(row[None])
    assert _held(front) - constant <= front.state_bytes


def _held(front: Front) -> int:
    """Bytes of the arrays in a stream's attributes."""
    held = 0
    for value in vars(front).values():
        if isinstance(value, np.ndarray):
            held += value.nbytes if value.base is None else value.base.nbytes
        elif isinstance(value, Pieces):
            held += sum(piece.nbytes for piece in value._pieces)
        elif isinstance(value, tuple) and value and isinstance(value[0], Front):
            held += sum(map(_held, value))
    return held


def test_single_rows_do_not_pile_up() -> None:
    pieces = Pieces()
    for at in range(10000):
        pieces.add(np.full((1, 2), at))
        pieces.add(np.empty((0, 2)))
    assert len(pieces._pieces) < 32
    assert pieces.rows == 10000
    assert pieces.take(np.full((1, 2), 10000))[:, 0].tolist() == list(range(10001))
    assert pieces.rows == 0


@all_cases
def test_front_ends_are_values(case: Case) -> None:
    """Read from a file and written again; hashable, equal where all parameters are."""
    for front_end in case.front_ends:
        again = msgspec.json.decode(msgspec.json.encode(front_end), type=AnyFrontEnd)
        assert again == front_end
        assert hash(again) == hash(front_end)
        assert pickle.loads(pickle.dumps(front_end)) == front_end


@pytest.mark.parametrize("kind", get_args(AnyFrontEnd))
def test_unknown_keys_are_refused(kind: type[FrontEnd]) -> None:
    tag = kind.__struct_config__.tag
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"kind": tag, "no_such_key": 1}, AnyFrontEnd)


def test_overflow_is_an_error_and_the_stream_begins_anew() -> None:
    front = chain([Scale(scale=1e30)])
    with pytest.raises(EventError, match="not finite"):
        front.push([1e20])
    assert front.push([1.0]).tolist() == [np.float32(1e30)]


def test_too_many_values_are_refused() -> None:
    front = chain([Scale()])
    rows = np.broadcast_to(np.float32(0), ((1 << 24) + 1,))
    with pytest.raises(EventError, match="16777216"):
        front.push(rows)


@pytest.mark.parametrize("shape", [(0,), (-1,), (1 << 25,), (1,) * 9, (2.0,)])
def test_impossible_rows_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(EventError, match=r"front end 0 \(scale\): shape"):
        chain([Scale()], shape)


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, math.nan, math.inf, 1e10])
def test_impossible_rates_are_refused(rate_hz: float) -> None:
    with pytest.raises(EventError, match="rate_hz"):
        chain([Scale()], (), rate_hz)


def test_a_chain_has_an_end() -> None:
    with pytest.raises(EventError, match="33 front ends"):
        chain([Scale()] * 33)


def test_importing_front_ends_loads_no_numpy() -> None:
    code = "import neurovm.frontends, sys; print([m for m in ('numpy', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_streams_share_their_tables() -> None:
    """Sixty-four streams of a front end hold their state alone."""
    front_end = Mfcc(sample_rate=16000, frame_length=480, frame_step=320, n_fft=512)
    first, second = (chain([front_end]) for _ in range(2))
    assert vars(first)["_window"] is vars(second)["_window"]
    assert weights_of(front_end, 16000.0) is weights_of(front_end, 16000.0)
    rows = np.random.default_rng(0).normal(size=2000)
    made = first.push(rows)
    second.push(-3 * rows)
    assert chain([front_end]).push(rows).tobytes() == made.tobytes()
