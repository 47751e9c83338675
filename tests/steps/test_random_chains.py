# SPDX-License-Identifier: Apache-2.0
"""Chains that nobody would write: each is refused by one clear error or gives finite answers."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, get_args

import msgspec
import pytest
from step_outputs import is_fine, tensor, vector

from neurovm.description import TensorInfo
from neurovm.errors import StepError
from neurovm.steps import Alert, AnyStep, Chain, Plan, Reading, Step, TensorsForm
from neurovm.steps.base import parts_of
from neurovm.steps.chain import MOST_STEPS
from neurovm.steps.forms import MOST_VALUE

NUMBERS: list[Any] = [-1, 0, 1, 2, 3, 0.1, 0.5, 0.9, 1e-9, 1e30, -1e30, 60, 255, None, True]
WORDS: list[Any] = ["a", "b", "y", "x", "", "cat\ndog", "mse", "square", "quantile", "xyxy", "yxhw"]
GRID = {"rows": 1, "columns": 3, "sizes": [[0.2, 0.5]]}
LISTS: list[Any] = [[], ["a"], [0], [0, "b"], [1, 1], [320, 240], [GRID], [{"sizes": [[0.5, 1]]}]]
OUTPUTS: list[tuple[TensorInfo, ...]] = [
    vector(1),
    vector(3),
    (tensor(1, 3, 4, name="y"), tensor(1, 3, 3, name="x")),
    (tensor(1, 2, 2, 7),),
    (tensor(1, 4, 6), tensor(1, 4, name="x")),
]


def some_step(source: random.Random, kind: Any) -> dict[str, Any]:
    """Its required parameters and some others, of any value."""
    made: dict[str, Any] = {"kind": kind.__struct_config__.tag}
    for part in parts_of(kind):
        if part.required or source.random() < 0.3:
            made[part.name] = source.choice(source.choice((NUMBERS, NUMBERS, WORDS, LISTS)))
    return made


def fitting_steps(source: random.Random, each: int) -> list[Step]:
    """So many of every kind whose parameters are right."""
    found: list[Step] = []
    for kind in get_args(AnyStep):
        wanted = len(found) + each
        while len(found) < wanted:
            try:
                found.append(msgspec.convert(some_step(source, kind), AnyStep))
            except msgspec.ValidationError:
                continue
    return found


def some_reading(source: random.Random, outputs: tuple[TensorInfo, ...]) -> Reading:
    pool = [0.0, 1.0, -1.0, 0.3, 0.7, 1e-30, MOST_VALUE, -MOST_VALUE, 88.0, -104.0]
    rows = [[source.choice(pool) for _ in range(info.size)] for info in outputs]
    return Reading(rows, rows)


def drive(source: random.Random, stream: Chain, outputs: tuple[TensorInfo, ...]) -> int:
    """Push readings at odd times; how often something was said."""
    said, t_us = 0, 0
    for _ in range(25):
        t_us += source.choice([0, 1, 100_000, 5_000_000, -1000, -(10**9)])
        value = stream.push(t_us, some_reading(source, outputs))
        if value is not None:
            fields = stream.fields(value)
            assert is_fine(fields)
            msgspec.json.encode(fields)
            said += 1
    return said


def test_any_chain_is_refused_or_finite() -> None:
    """Each chain grows by steps that nobody chose; one that does not fit is left out."""
    source = random.Random(11)
    pool = fitting_steps(source, 30)
    tally: Counter[str] = Counter()
    for _ in range(400):
        outputs = source.choice(OUTPUTS)
        start = TensorsForm(outputs=outputs, inputs=outputs)
        plan, steps = Plan([], start), []
        for _ in range(source.choice((6, 20, 40))):
            step = source.choice(pool)
            try:
                plan = Plan([*steps, step][:MOST_STEPS], start)
            except StepError as error:
                assert error.key.startswith(f"[{len(steps)}]")
                assert error.found
                assert error.accepted
                tally["refused"] += 1
                continue
            if len(steps) < MOST_STEPS:
                steps.append(step)
        said = drive(source, plan.stream(), outputs)
        tally["said" if said else "silent"] += 1
        for kind in {step.kind for step in steps} if said else ():
            tally[kind] += 1
    assert tally["refused"] > 500
    assert tally["said"] > 150
    kinds = {step.__struct_config__.tag for step in get_args(AnyStep)}
    assert kinds <= set(tally), kinds - set(tally)


def test_wrong_steps_are_told_in_one_way() -> None:
    source = random.Random(12)
    refused = 0
    for _ in range(2000):
        made = some_step(source, source.choice(get_args(AnyStep)))
        try:
            msgspec.convert(made, AnyStep)
        except msgspec.ValidationError as error:
            refused += 1
            said = ("found", "Expected", "Invalid", "missing", "unknown")
            assert any(word in str(error) for word in said), error
    assert refused > 500


@pytest.mark.parametrize("outputs", OUTPUTS, ids=len)
def test_any_rule_is_refused_or_finite(outputs: tuple[TensorInfo, ...]) -> None:
    source = random.Random(13)
    bound = 0
    for _ in range(300):
        when = {
            key: source.choice([*NUMBERS, "a", "b"])
            for key in ("label", "above", "below", "release", "count", "for_s")
            if source.random() < 0.4
        }
        try:
            alert = msgspec.convert({"name": "rule", "when": when}, Alert)
            plan = Plan(alert.steps(TensorsForm(outputs=outputs)), TensorsForm(outputs=outputs))
        except (msgspec.ValidationError, StepError):
            continue
        bound += 1
        drive(source, plan.stream(), outputs)
    assert bound > 5
