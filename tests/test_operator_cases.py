# SPDX-License-Identifier: Apache-2.0
"""Every enumerated operator form from file to kernel, against the oracle."""

import numpy as np
import pytest
from operator_cases import CASES, Case
from random_models import random_model

import neurovm
from neurovm import reference
from neurovm.arithmetic import PROFILES
from neurovm.converters import tflite
from neurovm.passes import prepare


def expected(case: Case) -> np.ndarray:
    graph = prepare(tflite.read(case.model, name=case.name))
    values = reference.run(graph, PROFILES["xnnpack"], case.inputs)
    return values[graph.outputs[0]]


@pytest.mark.parametrize("case", CASES + [random_model(s) for s in range(30)], ids=lambda c: c.name)
def test_predict_and_sessions_equal_the_oracle(case: Case) -> None:
    y = expected(case)
    samples = [list(row) for row in zip(*case.inputs, strict=True)]
    with neurovm.convert_tflite(case.model, name=case.name) as model:
        ways = [model.session(way=way) for way in ("events", "dense", "auto")]
        for row, wanted in zip(samples, y, strict=True):
            x = (
                row[0]
                if len(row) == 1
                else dict(zip((i.name for i in model.inputs), row, strict=True))
            )
            found = np.asarray(model.predict(x)).reshape(wanted.shape)
            assert found.dtype == wanted.dtype
            assert np.array_equal(found, wanted)
            codes = model.to_codes(x)
            for session in ways:
                stepped = np.asarray(model.from_codes(session.step(codes)))
                assert np.array_equal(stepped.reshape(wanted.shape), wanted)
