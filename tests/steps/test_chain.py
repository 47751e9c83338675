# SPDX-License-Identifier: Apache-2.0
"""Chains of output steps: what fits what, time, codes and values, and messages of what is wrong."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import msgspec
import pytest
from step_outputs import tensor, vector

import neurovm
from neurovm.errors import ShapeError, StepError
from neurovm.steps import (
    AnyStep,
    Classify,
    Ema,
    Event,
    Mean,
    Nms,
    Reconstruction,
    Select,
    Softmax,
    Threshold,
    TopK,
    chain,
)
from neurovm.steps.chain import LATE_US, MOST_STEPS


def test_codes_and_values_give_the_same() -> None:
    outputs = vector(3)
    by_codes, by_values = chain([Softmax()], outputs), chain([Softmax()], outputs)
    codes = bytes([0, 100, 200])
    values = [outputs[0].real(code) for code in memoryview(codes).cast("b")]
    assert by_codes.push(0, codes) == by_values.push(0, values)
    assert by_codes.push(0, memoryview(codes).cast("b")) == by_values.push(0, tuple(values))


def test_wide_codes_are_read_as_int16() -> None:
    info = msgspec.structs.replace(tensor(2), codes="int16", zero_point=0)
    assert chain([Select()], (info,)).push(0, b"\x00\x01\x00\xff") == [1.0, -1.0]


def test_without_steps_the_reading_comes_out() -> None:
    stream = chain([], vector(2))
    assert stream.fields(stream.push(0, [0.25, 0.5])) == {"values": [[0.25, 0.5]]}


def test_several_outputs_are_chosen_by_number_or_name() -> None:
    outputs = (tensor(2, name="left"), tensor(3, name="right"))
    rows = [[1.0, 2.0], [3.0, 4.0, 5.0]]
    assert chain([Select(tensor="right")], outputs).push(0, rows) == rows[1]
    assert chain([Select(tensor=1, elements=[2, 0])], outputs).push(0, rows) == [5.0, 3.0]
    assert chain([Mean(n=1)], outputs).push(0, rows) == rows[0]


def test_elements_keep_their_labels() -> None:
    stream = chain([Select(elements=["c", 0]), TopK(k=2)], vector(3))
    ranked = stream.push(0, [0.1, 0.2, 0.3])
    assert [entry["label"] for entry in stream.fields(ranked)["top"]] == ["c", "a"]


@pytest.mark.parametrize(
    ("steps", "key", "found"),
    [
        ([TopK(), Ema(alpha=0.5)], "[1].kind", "ema where a ranking comes"),
        ([Event()], "[0].kind", "event where the model's 1 outputs comes"),
        ([Nms()], "[0].kind", "nms"),
        ([Classify(), Threshold(above=1.0)], "[1].kind", "threshold where a class comes"),
        ([Ema(alpha=1.0), Reconstruction()], "[1].kind", "reconstruction where a vector"),
        ([Reconstruction()], "[0].kind", "reconstruction without inputs"),
        ([Select(elements=["z"])], "[0].elements[0]", "'z'"),
        ([Select(elements=[3])], "[0].elements[0]", "3"),
        ([Select(tensor="z")], "[0].tensor", "'z'"),
        ([Softmax(), Select(tensor=0)], "[1].tensor", "0"),
        ([Softmax()] * (MOST_STEPS + 1), "", "17 steps"),
    ],
)
def test_what_does_not_fit_is_named(steps: list[Any], key: str, found: str) -> None:
    with pytest.raises(StepError) as caught:
        chain(steps, vector(3))
    assert caught.value.key == key
    assert found in caught.value.found
    assert caught.value.accepted


@pytest.mark.parametrize(
    "bad",
    [
        [1.0],
        [1.0, 2.0, 3.0],
        [1.0, float("nan")],
        [1.0, float("inf")],
        [1.0, 1e39],
        [[1.0, 2.0], [3.0]],
        [],
        b"\x00",
        b"\x00\x00\x00",
    ],
)
def test_a_wrong_answer_is_refused(bad: Any) -> None:
    stream = chain([Mean(n=2)], vector(2))
    stream.push(0, [0.0, 1.0])
    with pytest.raises(ShapeError, match="accepted"):
        stream.push(1, bad)
    assert stream.push(1, [1.0, 1.0]) == [0.5, 1.0]


def test_time_stands_while_late_and_goes_on_when_the_clock_was_set_back() -> None:
    stream = chain([Threshold(above=0.5, for_s=1.0)], vector(1))
    times_s = [100.0, 99.0, 100.5, 100.9, 101.0]
    found = [stream.push(round(t * 1e6), [1.0]).active[0] for t in times_s]
    assert found == [False, False, False, False, True]
    stream.reset()
    set_back_us = 100_000_000 - LATE_US - 1
    times_us = [100_000_000, set_back_us, set_back_us + 500_000, set_back_us + 1_000_000]
    found = [stream.push(t_us, [1.0]).active[0] for t_us in times_us]
    assert found == [False, False, False, True]


def test_reset_is_the_beginning() -> None:
    stream = chain([Ema(alpha=0.5), Threshold(above=0.4)], vector(1))
    first = [stream.push(t, [x]) for t, x in enumerate([0.0, 1.0, 1.0])]
    stream.reset()
    assert [stream.push(t, [x]) for t, x in enumerate([0.0, 1.0, 1.0])] == first


def test_every_step_says_what_it_is_and_what_it_takes() -> None:
    kinds = set()
    for step in get_args(AnyStep):
        assert step.takes
        assert step.__doc__
        assert step.__doc__.count("\n") >= 3
        kinds.add(step.__struct_config__.tag)
    assert len(kinds) == len(get_args(AnyStep))


def test_parameters_are_checked_in_python_as_in_files() -> None:
    with pytest.raises(StepError, match=r"alpha: found 3 .*; accepted: above 0 to 1"):
        Ema(alpha=3)
    with pytest.raises(StepError, match=r"above: found nan; accepted: a finite number"):
        Threshold(above=float("nan"))
    with pytest.raises(msgspec.ValidationError, match="alpha"):
        msgspec.convert({"kind": "ema", "alpha": 3}, AnyStep)


def test_a_step_error_is_a_value_error_of_the_tree() -> None:
    assert issubclass(neurovm.StepError, (neurovm.NeurovmError, ValueError))


def test_no_numpy() -> None:
    code = "import sys, neurovm.steps; assert 'numpy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
