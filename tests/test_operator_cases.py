# SPDX-License-Identifier: Apache-2.0
"""Every enumerated operator form from file to kernel, against the oracle."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from operator_cases import CASES, Case
from random_models import random_model

import neurovm
from neurovm import reference
from neurovm.arithmetic import PROFILES
from neurovm.converters import tflite
from neurovm.errors import UnsupportedOperatorError
from neurovm.passes import prepare


def expected(case: Case, profile: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """All outputs, each (SAMPLES, *shape): of every row by itself, and of the rows as a stream."""
    graph = prepare(tflite.read(case.model, name=case.name))
    rows = reference.run(graph, PROFILES[profile], case.inputs)
    stream = reference.Stream(graph, PROFILES[profile]).run(case.inputs)
    return [rows[i] for i in graph.outputs], [stream[i] for i in graph.outputs]


def same(found: Any, wanted: Sequence[np.ndarray]) -> bool:
    """Whether a result (a dict by name where there are several) has these codes and types."""
    values = list(found.values()) if isinstance(found, dict) else [found]
    return len(values) == len(wanted) and all(
        np.asarray(v).dtype == w.dtype and np.array_equal(np.asarray(v).reshape(w.shape), w)
        for v, w in zip(values, wanted, strict=True)
    )


@pytest.mark.parametrize("case", CASES + [random_model(s) for s in range(30)], ids=lambda c: c.name)
@pytest.mark.parametrize("profile", PROFILES)
def test_predict_and_sessions_equal_the_oracle(case: Case, profile: str) -> None:
    try:
        alone, y = expected(case, profile)
    except UnsupportedOperatorError:
        assert profile != "xnnpack"
        with pytest.raises(UnsupportedOperatorError):
            neurovm.convert_tflite(case.model, name=case.name, profile=profile)
        return
    samples = [list(row) for row in zip(*case.inputs, strict=True)]
    with neurovm.convert_tflite(case.model, name=case.name, profile=profile) as model:
        ways = [model.session(way=way) for way in ("events", "dense", "auto")]
        for i, (row, wanted) in enumerate(zip(samples, zip(*y, strict=True), strict=True)):
            x = (
                row[0]
                if len(row) == 1
                else dict(zip((i.name for i in model.inputs), row, strict=True))
            )
            assert same(model.predict(x), [a[i] for a in alone])
            codes = model.to_codes(x)
            for session in ways:
                assert same(model.from_codes(session.step(codes)), wanted)
