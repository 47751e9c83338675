# SPDX-License-Identifier: Apache-2.0
"""Requantisers against exact rational arithmetic, their order, and the ladder of thresholds."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neurovm.arithmetic import (
    NEVER,
    NoExactRuleError,
    Requantizer,
    ladder,
    multiplier,
    multipliers,
    sum_range,
    thresholds,
    wrap32,
)

INT32 = st.integers(-(1 << 31), (1 << 31) - 1)
EDGES = st.sampled_from([-(1 << 31), -(1 << 30), -3, -2, -1, 0, 1, 2, 3, 1 << 30, (1 << 31) - 1])
SUMS = st.lists(INT32 | EDGES | st.integers(-5000, 5000), min_size=1, max_size=50)
REALS = st.floats(2.0**-40, 255.0) | st.sampled_from([0.0, 0.5, 1.0, 2.0**-5, 0.75, 1 / 3, 128.0])
INTEGER_KINDS = ("double", "single", "halfup")


def floor(x: Fraction) -> int:
    return math.floor(x)


def half_away(x: Fraction) -> int:
    return math.floor(x + Fraction(1, 2)) if x >= 0 else -math.floor(-x + Fraction(1, 2))


def half_even(x: Fraction) -> int:
    return round(x)


def wrap(x: int) -> int:
    return (x + (1 << 31)) % (1 << 32) - (1 << 31)


def f32(x: Fraction | float) -> Fraction:
    """The nearest float32 by exact arithmetic, halves to even (normal range only)."""
    x = Fraction(x)
    if x == 0:
        return x
    exponent = math.frexp(float(abs(x)))[1]
    unit = Fraction(2) ** (exponent - 24)
    return half_even(x / unit) * unit


def exact(kind: str, a: int, real: float, bits: int = 1) -> int:
    """R(a) by rational numbers, from the written equations of the rules."""
    m, e = multiplier(real)
    left, right = max(e, 0), max(-e, 0)
    if kind == "single":
        return floor(Fraction(a * m + (1 << (30 - e)), 1 << (31 - e)))
    if kind == "fp32":
        return half_even(f32(f32(a) * Fraction(float(np.float32(real)))))
    if kind == "shift":
        return floor(Fraction(a, 1 << bits) + Fraction(1, 2))
    high = floor(Fraction(wrap(a << left) * m, 1 << 31) + Fraction(1, 2))
    quotient = Fraction(high, 1 << right)
    return half_away(quotient) if kind == "double" else floor(quotient + Fraction(1, 2))


def make(
    kind: str, real: float, bits: int = 1, zero: int = 0, lo: int = 0, hi: int = 0
) -> Requantizer:
    unbounded = lo == hi
    return Requantizer(
        kind=kind,
        zero_out=zero,
        lo=-(1 << 62) if unbounded else lo,
        hi=1 << 62 if unbounded else hi,
        scale=np.array([real], np.float32) if kind == "fp32" else None,
        multipliers=multipliers([real]) if kind in INTEGER_KINDS else None,
        bits=bits if kind == "shift" else 0,
    )


@given(st.floats(0, 1e30) | REALS)
@example(1.0 - 2.0**-33)
def test_multiplier_is_the_nearest_31_bit_number(real: float) -> None:
    m, e = multiplier(real)
    assert m == 0 or (1 << 30 <= m < 1 << 31 and e >= -31)
    if m:
        error = abs(Fraction(m) * Fraction(2) ** (e - 31) - Fraction(real))
        assert error <= Fraction(2) ** (e - 32)
    else:
        assert real < 2.0**-31


@pytest.mark.parametrize("real", [-1.0, math.inf, math.nan])
def test_multiplier_refuses_what_is_no_size(real: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        multiplier(real)


@pytest.mark.parametrize("kind", [*INTEGER_KINDS, "fp32"])
@given(SUMS, REALS)
def test_equals_exact_arithmetic(kind: str, sums: list[int], real: float) -> None:
    found = make(kind, real).codes(np.array(sums)[:, None])[:, 0]
    assert found.tolist() == [exact(kind, a, real) for a in sums]


@given(SUMS, st.integers(1, 31))
def test_shift_equals_exact_arithmetic(sums: list[int], bits: int) -> None:
    found = make("shift", 0, bits).codes(np.array(sums))
    assert found.tolist() == [exact("shift", a, 0, bits) for a in sums]


@given(SUMS, st.floats(2.0**-20, 64, width=32), st.floats(-300, 300, width=32))
def test_affine_rounds_product_and_sum_each(sums: list[int], scale: float, offset: float) -> None:
    q = Requantizer(
        kind="affine", zero_out=0, lo=-(1 << 62), hi=1 << 62,
        scale=np.array([scale], np.float32), offset=np.array([offset], np.float32),
    )  # fmt: skip
    expected = [half_even(f32(f32(f32(a) * Fraction(scale)) + Fraction(offset))) for a in sums]
    assert q.codes(np.array(sums)).tolist() == expected


@given(st.lists(st.integers(-(1 << 62), 1 << 62), min_size=1))
def test_wrap32_is_twos_complement(values: list[int]) -> None:
    assert wrap32(np.array(values)).tolist() == [wrap(v) for v in values]


@given(st.sampled_from([*INTEGER_KINDS, "fp32", "shift"]), REALS, st.integers(1, 31), st.data())
def test_no_sum_rises_and_its_code_falls(
    kind: str, real: float, bits: int, data: st.DataObject
) -> None:
    q = make(kind, real, bits, 3, -128, 127)
    lowest, highest = sum_range(q)
    near = st.integers(-2000, 2000).map(lambda a: max(lowest, min(a, highest)))
    sums = data.draw(st.lists(st.integers(lowest, highest) | near, min_size=2, max_size=60))
    codes = q.codes(np.sort(np.array(sums))[:, None])
    assert (np.diff(codes, axis=0) >= 0).all()


@settings(deadline=None)
@given(
    st.sampled_from([*INTEGER_KINDS, "fp32", "shift"]), REALS, st.integers(1, 31),
    st.integers(-128, 127), st.integers(-128, 126), st.integers(1, 255), st.data(),
)  # fmt: skip
def test_the_ladder_is_the_requantizer(
    kind: str, real: float, bits: int, zero: int, lo: int, span: int, data: st.DataObject
) -> None:
    q = make(kind, real, bits, zero, lo, min(lo + span, 127))
    steps = thresholds(q)
    assert steps.shape == (1, q.hi - q.lo)
    assert (np.diff(steps) >= 0).all()
    lowest, highest = sum_range(q)
    reached = steps[(steps != NEVER) & (steps > lowest)]
    sums = data.draw(st.lists(st.integers(lowest, highest), min_size=1, max_size=40))
    sums = np.concatenate([sums, reached, reached - 1, [lowest, highest]]).astype(np.int64)
    assert np.array_equal(ladder(sums[:, None], steps, q.lo), q.codes(sums[:, None]))


def test_the_ladder_keeps_channels_apart() -> None:
    reals = [0.001, 0.02, 1.0, 0.0]
    q = Requantizer(kind="fp32", zero_out=-5, lo=-128, hi=127, scale=np.array(reals, np.float32))
    sums = np.random.default_rng(1).integers(-200000, 200000, (4000, 4))
    assert np.array_equal(ladder(sums, thresholds(q), q.lo), q.codes(sums))
    assert (thresholds(q)[3, : -5 + 128] == -(1 << 31)).all()
    assert (thresholds(q)[3, -5 + 128 :] == NEVER).all()


def test_a_tail_takes_the_last_channels() -> None:
    head = Requantizer(
        kind="halfup", zero_out=0, lo=-128, hi=127, multipliers=multipliers([0.25] * 3)
    )
    both = Requantizer(
        kind="halfup", zero_out=0, lo=-128, hi=127, multipliers=head.multipliers, tail_from=2,
        tail=Requantizer(kind="double", zero_out=0, lo=-128, hi=127, multipliers=head.multipliers),
    )  # fmt: skip
    sums = np.array([[-6, -6, -6], [6, 6, 6]])
    assert head.codes(sums).tolist() == [[-1, -1, -1], [2, 2, 2]]
    assert both.codes(sums).tolist() == [[-1, -1, -2], [2, 2, 2]]


@pytest.mark.parametrize("real", [-1.0, float("inf"), float("nan")])
def test_a_factor_that_is_none_is_refused(real: float) -> None:
    with pytest.raises(NoExactRuleError, match="its scales make a factor of"):
        multipliers([0.5, real])
