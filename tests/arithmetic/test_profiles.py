# SPDX-License-Identifier: Apache-2.0
"""The rules of a profile: which one an operator takes, its tables, its refusals."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovm.arithmetic import PROFILES, Codes, LinearOperator, NoExactRuleError
from neurovm.arithmetic.codes import range_half_away, range_half_even
from neurovm.arithmetic.inverse_root import inverse_root
from neurovm.arithmetic.tables import unary_table_half_even

XNNPACK = PROFILES["xnnpack"]
SCALES = st.floats(2.0**-12, 4.0, width=32)
ZEROS = st.integers(-128, 127)
CODES = st.builds(Codes, SCALES, ZEROS)
ALL = np.arange(-128, 128)


def test_every_profile_stands_under_its_own_name() -> None:
    assert {name: p.name for name, p in PROFILES.items()} == {"xnnpack": "xnnpack", "tflm": "tflm"}


def linear(**changes: object) -> object:
    arguments = {
        "scale_in": 0.1, "scale_weights": [0.01, 0.02], "out": Codes(0.05, 3), "activation": "NONE",
    }  # fmt: skip
    return XNNPACK.linear(**(arguments | changes))


def test_linear_is_fp32_and_halfup_once_a_channel_is_zero() -> None:
    assert linear().kind == "fp32"
    fallback = linear(scale_weights=[0.0, 0.02])
    assert fallback.kind == "halfup"
    sums = np.array([[1000, 1000], [-1000, -1000]])
    assert fallback.codes(sums)[:, 0].tolist() == [3, 3]
    assert fallback.codes(sums)[:, 1].tolist() == [3 + 40, 3 - 40]


def test_linear_refuses_scales_of_256() -> None:
    assert linear(scale_weights=[127.9], out=Codes(0.05, 3)).scale[0] < 256
    with pytest.raises(NoExactRuleError, match="only below 256"):
        linear(scale_weights=[128.0], out=Codes(0.05, 3))


@pytest.mark.parametrize(
    ("channels", "kind", "tail_from"),
    [(1, "double", 0), (7, "double", 0), (8, "halfup", 0), (9, "halfup", 8), (30, "halfup", 24)],
)
def test_depthwise_falls_back_by_eight_channels(channels: int, kind: str, tail_from: int) -> None:
    for scales in ([0.0] + [0.01] * (channels - 1), [0.0]):
        q = XNNPACK.linear(
            operator="DEPTHWISE_CONV_2D", scale_in=0.1, scale_weights=scales,
            out=Codes(0.05, 3), activation="NONE", outputs=channels,
        )  # fmt: skip
        assert q.kind == kind
        assert (q.tail is None) == (tail_from == 0)
        assert q.tail_from == tail_from
        assert q.tail is None or q.tail.kind == "double"


@pytest.mark.parametrize(
    ("operator", "inputs", "kind"),
    [("FULLY_CONNECTED", 8, "fp32"), ("FULLY_CONNECTED", 7, "halfup"), ("CONV_2D", 8, "halfup")],
)
def test_weights_of_4_bits(operator: LinearOperator, inputs: int, kind: str) -> None:
    q = XNNPACK.linear(
        operator=operator, scale_in=0.1, scale_weights=[0.1], out=Codes(0.05, 3),
        activation="NONE", weight_bits=4, inputs=inputs,
    )  # fmt: skip
    assert q.kind == kind


@given(CODES, CODES, CODES, st.data())
def test_add_is_within_a_step_of_the_real_sum(
    a: Codes, b: Codes, out: Codes, data: st.DataObject
) -> None:
    ratios = a.scale / out.scale, b.scale / out.scale
    if max(ratios) >= 256:
        with pytest.raises(NoExactRuleError, match="256"):
            XNNPACK.add(a, b, out, "NONE")
        return
    rule = XNNPACK.add(a, b, out, "NONE")
    assert rule.requantizer.kind == ("shift" if min(ratios) >= 2.0**-10 else "double")
    for table in (rule.table_a, rule.table_b):
        assert abs(table.astype(np.int64)).max() < 1 << 30
    qa = np.array(data.draw(st.lists(ZEROS, min_size=1, max_size=20)))
    qb = np.array(data.draw(st.lists(ZEROS, min_size=len(qa), max_size=len(qa))))
    real = a.scale * (qa - a.zero_point) + b.scale * (qb - b.zero_point)
    exact = np.clip(real / out.scale + out.zero_point, -128, 127)
    assert (abs(rule.codes(qa, qb) - exact) <= 0.51 + 255 * max(ratios) * 2.0**-19).all()


@given(CODES, CODES, st.integers(1, 5000), st.data())
def test_mean_is_within_a_step_of_the_real_mean(
    x: Codes, out: Codes, count: int, data: st.DataObject
) -> None:
    total = data.draw(st.integers(-128 * count, 127 * count))
    real = x.scale * (total / count - x.zero_point) / out.scale + out.zero_point
    code = int(XNNPACK.mean(x, out, count).codes(np.array([total]))[0])
    # float32 holds sums of this size, and offsets of large ratios, to about seven digits only.
    slack = 0.5 + 2.0**-21 * (abs(out.zero_point) + 512 * x.scale / out.scale)
    assert abs(code - min(max(real, -128), 127)) <= slack


@given(
    st.lists(ZEROS, min_size=1, max_size=50),
    st.floats(2.0**-6, 1.0, width=32),
    st.floats(0.5, 2, width=32),
)
def test_softmax_is_close_to_the_real_one(row: list[int], scale: float, beta: float) -> None:
    rule = XNNPACK.softmax(Codes(scale, 0), Codes(1 / 256, -128), beta)
    e = [math.exp(scale * beta * (q - max(row))) for q in row]
    exact = [min(256 * v / sum(e), 255) - 128 for v in e]
    assert np.abs(rule.codes(np.array([row]))[0] - exact).max() <= 0.501


@pytest.mark.parametrize("out", [Codes(1 / 128, -128), Codes(1 / 256, 0)])
def test_softmax_refuses_other_outputs(out: Codes) -> None:
    with pytest.raises(NoExactRuleError, match="1/256"):
        XNNPACK.softmax(Codes(0.1, 0), out, 1.0)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.inf, math.nan])
def test_softmax_refuses_other_betas(beta: float) -> None:
    with pytest.raises(NoExactRuleError, match="beta"):
        XNNPACK.softmax(Codes(0.1, 0), Codes(1 / 256, -128), beta)


def test_softmax_of_a_huge_beta_is_the_maximum() -> None:
    rule = XNNPACK.softmax(Codes(1.0, 0), Codes(1 / 256, -128), 3e38)
    assert rule.codes(np.array([[3, 2, -128]])).tolist() == [[127, -128, -128]]


@given(CODES, CODES, st.integers(1, 200))
def test_requantizing_within_a_type_is_a_table(x: Codes, out: Codes, size: int) -> None:
    rule = XNNPACK.requantize(x, out, size)
    assert rule.head_count == 0
    ratio = float(np.float32(x.scale) / np.float32(out.scale))
    if 2.0**-8 <= ratio <= 2.0**7:
        m = round(Fraction(256) * Fraction(ratio))
        expected = [((q - x.zero_point) * m + 128 >> 8) + out.zero_point for q in range(-128, 128)]
        assert rule.tail.tolist() == np.clip(expected, -128, 127).tolist()
    else:
        real = (ALL - x.zero_point) * x.scale / out.scale + out.zero_point
        assert np.abs(rule.tail - np.clip(real, -128, 127)).max() <= 0.51


@pytest.mark.parametrize(("size", "head"), [(1, 0), (15, 0), (16, 16), (37, 32), (48, 48)])
def test_between_types_the_position_counts(size: int, head: int) -> None:
    x, out = Codes(0.25, 0, "int8"), Codes(1.0, 128, "uint8")
    rule = XNNPACK.requantize(x, out, size)
    assert rule.head_count == head
    codes = rule.codes(np.full((2, size), -6))
    assert codes[:, :head].tolist() == [[-1] * head] * 2
    assert codes[:, head:].tolist() == [[-2] * (size - head)] * 2


def test_between_types_equal_scales_copy() -> None:
    rule = XNNPACK.requantize(Codes(0.5, 3, "int8"), Codes(0.5, 131, "uint8"), 40)
    assert rule.tail.tolist() == ALL.tolist()
    assert rule.head_count == 0


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1), SCALES, st.integers(0, 255))
def test_quantize_saturates_and_rounds_half_to_even(
    reals: list[float], scale: float, zero: int
) -> None:
    out = Codes(scale, zero, "uint8")
    codes = XNNPACK.quantize(np.array(reals, np.float32), out)
    assert codes.min() >= 0
    assert codes.max() <= 255
    for real, code in zip(reals, codes, strict=True):
        if abs(real) < 1e6:
            product = np.float32(real) * (np.float32(1) / np.float32(scale))
            assert code == min(max(round(float(product)) + zero, 0), 255)
        else:
            assert code in {0, 255, zero}


def test_quantize_refuses_nan() -> None:
    with pytest.raises(ValueError, match="NaN"):
        XNNPACK.quantize(np.array([0.0, math.nan], np.float32), Codes(0.1, 0))


@given(CODES)
def test_dequantize_then_quantize_gives_the_code_back(x: Codes) -> None:
    assert XNNPACK.quantize(XNNPACK.dequantize(ALL, x), x).tolist() == ALL.tolist()


@given(st.sampled_from(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]), CODES)
def test_ranges_are_ordered_and_agree_but_at_halves(activation: str, out: Codes) -> None:
    even, away = range_half_even(activation, out), range_half_away(activation, out)
    assert -128 <= even[0] <= even[1] <= 127
    bounds = {"RELU6": [6.0], "RELU_N1_TO_1": [-1.0, 1.0]}.get(activation, [])
    halves = [b for b in bounds if (np.float32(b) / np.float32(out.scale)) % 1 == 0.5]
    assert halves or max(abs(a - b) for a, b in zip(even, away, strict=True)) <= 1
    if activation == "NONE":
        assert even == away == (-128, 127)


def test_a_bound_at_a_half_goes_to_the_even_code() -> None:
    out = Codes(float(np.float32(6 / 10.5)), -5)
    assert range_half_even("RELU6", out) == (-5, 6)
    assert range_half_away("RELU6", out) == (-5, 6)
    assert range_half_even("RELU6", Codes(out.scale, -6)) == (-6, 4)
    assert range_half_away("RELU6", Codes(out.scale, -6)) == (-6, 5)


@given(CODES, CODES)
def test_a_table_of_the_identity_is_the_nearest_code(x: Codes, out: Codes) -> None:
    table = unary_table_half_even(lambda v: v, x, out)
    real = (ALL - x.zero_point) * x.scale / out.scale + out.zero_point
    assert np.abs(table - np.clip(real, -128, 127)).max() <= 0.5 + 2.0**-20 * np.abs(real).max()


def test_an_infinite_slope_is_refused() -> None:
    with pytest.raises(NoExactRuleError, match="alpha"):
        XNNPACK.unary("leaky_relu", Codes(50.0, 0), Codes(0.1, 0), math.inf)


def test_tflm_refuses_what_it_does_not_run() -> None:
    x = Codes(0.1, 0)
    for function in sorted(PROFILES["tflm"].refused):
        with pytest.raises(NoExactRuleError, match="TFLM"):
            PROFILES["tflm"].unary(function, x, x)


def test_the_fixed_point_softmax_sums_to_one() -> None:
    rule = PROFILES["tflm"].softmax(Codes(0.1, 3), Codes(1 / 256, -128), 1.0)
    codes = np.random.default_rng(0).integers(-128, 128, (50, 12))
    total = (rule.codes(codes) + 128).sum(axis=-1) / 256
    assert np.abs(total - 1).max() < 12 * 0.5 / 256


@pytest.mark.parametrize("n", [2, 3, 4, 255, 12345, 255**2 * 3000])
def test_inverse_roots_are_close(n: int) -> None:
    mantissa, exponent = inverse_root(n)
    assert abs(mantissa * 2.0 ** (exponent - 31) * n**0.5 - 1) < 1e-4
