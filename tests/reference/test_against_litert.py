# SPDX-License-Identifier: Apache-2.0
"""The oracle against LiteRT, element by element in every tensor, on every enumerated operator
form.
"""

from functools import cache

import litert
import numpy as np
import pytest
from operator_cases import CASES, Case, Net
from random_chains import random_chain
from random_models import random_model
from streams import Values, every_tensor

from neurovm import reference
from neurovm.arithmetic import PROFILES
from neurovm.converters import tflite
from neurovm.operators import (
    REGISTRY,
    Decode,
    Encode,
    EncodeReal,
    Lookup,
    LookupPair,
    Operator,
)
from neurovm.passes import prepare

pytestmark = pytest.mark.skipif(not litert.INSTALLED, reason=litert.MISSING)

XNNPACK = PROFILES["xnnpack"]


@cache
def oracle_of(name: str) -> Values:
    return oracle(next(c for c in CASES if c.name == name))


def oracle(case: Case) -> Values:
    """The values of the file's own tensors (passes add others); samples are steps of one stream."""
    source = tflite.read(case.model, name=case.name)
    values = every_tensor(prepare(source), XNNPACK, case.inputs)
    count = len(source.tensors)
    # Of float32 variables the codes are kept: what READ_VARIABLE gives has another type there.
    return {i: v for i, v in values.items() if i < count and v.dtype == source.tensors[i].dtype}


@pytest.fixture(scope="module")
def answers() -> dict[str, tuple[Values, litert.Answer]]:
    """All cases through both: one LiteRT child."""
    ours = [oracle_of(case.name) for case in CASES]
    jobs = [
        litert.Job(case.model, case.inputs, sorted(values))
        for case, values in zip(CASES, ours, strict=True)
    ]
    theirs = litert.run_all(jobs)
    return {c.name: (o, t) for c, o, t in zip(CASES, ours, theirs, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_every_tensor_equals_litert(
    case: Case, answers: dict[str, tuple[Values, litert.Answer]]
) -> None:
    ours, theirs = answers[case.name]
    assert theirs.refused is None, theirs.refused
    for index, values in ours.items():
        expected = theirs.values[index]
        assert values.dtype == expected.dtype
        differing = int((values.reshape(-1) != expected.reshape(-1)).sum())
        assert differing == 0, f"tensor {index}: {differing} of {values.size} differ"


def test_every_operator_has_cases_and_a_rule() -> None:
    seen = set()
    for case in CASES:
        seen |= {type(o) for o in tflite.read(case.model).operators}
    assert seen == set(REGISTRY.values())
    seen |= {Decode, Encode, EncodeReal, Lookup, LookupPair}  # Passes write these, no source does.
    assert set(reference.RULES) == {o for o in seen if o.lower is not Operator.lower}


def test_cases_do_not_saturate() -> None:
    """A comparison of constants proves nothing: outputs must take several values.

    Not asked of QUANTIZE, where the ends of the scales are the point.
    """
    judged = [c.name for c in CASES if c.operator != "QUANTIZE" and "zero-scale" not in c.name]
    values = [next(reversed(oracle_of(name).values())) for name in judged]
    assert sum(len(np.unique(v)) < 3 for v in values) < 0.1 * len(judged)


@pytest.mark.parametrize("activation", ["RELU6", "RELU_N1_TO_1"])
def test_bounds_at_halves(activation: str) -> None:
    """XNNPACK rounds bound / scale + zero point, TFLite's own kernels bound / scale alone."""
    bound = 6 if activation == "RELU6" else 1
    cases = []
    for steps in (2.5, 10.5, 11.5, 126.5):
        scale = float(np.float32(bound / steps))
        for zero in (-6, -5, 0, 33):
            for operator in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
                net = Net(f"{operator}:{steps}-{zero}-{activation}")
                x = net.input((1, 6, 6, 3), scale=scale, zero_point=zero)
                y = net.output((1, 6, 6, 3), scale=scale, zero_point=zero)
                net.writer.operator(
                    operator, [x], [y], Padding="SAME", StrideH=1, StrideW=1,
                    FilterHeight=1, FilterWidth=1, FusedActivationFunction=activation,
                )  # fmt: skip
                cases.append((net.case(y), y))
    theirs = litert.run_all([litert.Job(c.model, c.inputs, [y]) for c, y in cases])
    for (case, y), answer in zip(cases, theirs, strict=True):
        assert np.array_equal(oracle(case)[y], answer.values[y]), case.name


def test_random_networks_equal_litert_in_every_tensor_and_as_everybody_runs_them() -> None:
    cases = [random_model(seed) for seed in range(40)]
    ours = [oracle(case) for case in cases]
    last = [max(values) for values in ours]
    jobs = [litert.Job(c.model, c.inputs, sorted(v)) for c, v in zip(cases, ours, strict=True)]
    fused = [
        litert.Job(c.model, c.inputs, [i], fused=True) for c, i in zip(cases, last, strict=True)
    ]
    answers = litert.run_all(jobs + fused)
    for case, values, answer in zip(cases * 2, ours * 2, answers, strict=True):
        assert answer.refused is None, f"{case.name}: {answer.refused}"
        for index, expected in answer.values.items():
            assert np.array_equal(values[index], expected), f"{case.name}, tensor {index}"
    varied = [len(np.unique(v[i])) > 3 for v, i in zip(ours, last, strict=True)]
    assert sum(varied) > 0.7 * len(cases)


def test_outputs_equal_litert_as_everybody_runs_it() -> None:
    """Operators merged and rewritten: of every fifth form, and of random chains."""
    cases = [*CASES[::5], *(random_chain(seed) for seed in range(60))]
    graphs = [prepare(tflite.read(case.model, name=case.name)) for case in cases]
    ours = [reference.Stream(g, XNNPACK).run(c.inputs) for g, c in zip(graphs, cases, strict=True)]
    jobs = [
        litert.Job(c.model, c.inputs, list(g.outputs), fused=True)
        for c, g in zip(cases, graphs, strict=True)
    ]
    for case, values, answer in zip(cases, ours, litert.run_all(jobs), strict=True):
        assert answer.refused is None, f"{case.name}: {answer.refused}"
        for index, expected in answer.values.items():
            flat = values[index].reshape(-1)
            assert np.array_equal(flat, expected.reshape(-1)), f"{case.name}, tensor {index}"
