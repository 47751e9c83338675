# SPDX-License-Identifier: Apache-2.0
"""Scale and difference against their equations, written again value by value."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from neurovm.errors import EventError
from neurovm.frontends import AnyFrontEnd, Difference, Mix, Scale, chain


def test_scale_of_one_number() -> None:
    front = chain([Scale(scale=2, offset=-1, low=-1.5, high=4)], (2,))
    made = front.push([[0, 1], [2, 9], [-3, 2.5]])
    assert made.tolist() == [[-1, 1], [3, 4], [-1.5, 4]]
    assert made.dtype == np.float32


def test_scale_by_channel_is_of_the_last_axis() -> None:
    front_end = Scale(scale=(1, 10, 100), offset=(0, 0, 7))
    made = chain([front_end], (2, 3)).push(np.ones((1, 2, 3)))
    assert made.tolist() == [[[1, 10, 107], [1, 10, 107]]]


def test_integers_are_scaled_as_reals() -> None:
    front = chain([Scale(scale=1 / 32768)])
    assert front.push(np.array([-32768, 32767], np.int16)).tolist() == [-1, 32767 / 32768]


def test_mix_is_the_sum_of_channels() -> None:
    front = chain([Mix(weights=(0.5, 0.5))], (2,), 16000)
    assert (front.shape, front.rate_hz) == ((), 16000)
    assert front.push(np.array([[2, 4], [-32768, -32768]], np.int16)).tolist() == [3, -32768]
    rows = np.random.default_rng(3).normal(size=(5, 3, 4))
    made = chain([Mix(weights=(1, 0, -2, 0.5))], (3, 4)).push(rows)
    assert made == pytest.approx(rows @ [1, 0, -2, 0.5], abs=1e-6)
    for shape in ((), (3,), (2, 1)):
        with pytest.raises(EventError, match="weights: found 2 for rows of shape"):
            chain([Mix(weights=(1, 1))], shape)


def test_difference_is_that_of_numpy() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 3))
    made = chain([Difference(lag=1)], (3,)).push(rows)
    assert np.array_equal(made, np.diff(rows, axis=0).astype(np.float32))


def test_difference_with_padding_begins_at_zero() -> None:
    front = chain([Difference(lag=2, padding=True)])
    assert front.push([5.0]).tolist() == [0]
    assert front.push([6, 9, 4]).tolist() == [1, 4, -2]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"kind": "scale", "scale": math.nan}, "scale"),
        ({"kind": "scale", "scale": [1, math.inf]}, "scale"),
        ({"kind": "scale", "scale": []}, "length"),
        ({"kind": "scale", "low": 2, "high": 2}, "high"),
        ({"kind": "scale", "low": math.nan}, "low"),
        ({"kind": "scale", "offset": "1"}, "offset"),
        ({"kind": "mix", "weights": []}, "length"),
        ({"kind": "mix", "weights": [1.0] * 65}, "length"),
        ({"kind": "mix", "weights": [math.nan]}, "weights"),
        ({"kind": "difference", "lag": 0}, "lag"),
        ({"kind": "difference", "lag": 1 << 21}, "lag"),
        ({"kind": "difference", "padding": 1}, "padding"),
    ],
)
def test_wrong_parameters_are_named(settings: dict[str, object], key: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=key):
        msgspec.convert(settings, AnyFrontEnd)


def test_channels_have_to_fit() -> None:
    with pytest.raises(EventError, match=r"front end 0 \(scale\): scale: found 2 numbers"):
        chain([Scale(scale=(1, 2))], (3,))


def test_a_state_too_large_is_refused() -> None:
    with pytest.raises(EventError, match="bytes of state"):
        chain([Difference(lag=1 << 20)], (1 << 10,))
