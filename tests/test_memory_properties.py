# SPDX-License-Identifier: Apache-2.0
"""Random networks that remember, random streams: after every step a session of any way holds what
the oracle answers, in every tensor, and so does LiteRT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import litert
import micro
import numpy as np
import pytest
from random_memories import random_memory
from streams import Values, every_tensor

import neurovm
from neurovm.arithmetic import PROFILES
from neurovm.converters import tflite
from neurovm.graph import Graph
from neurovm.passes import prepare

if TYPE_CHECKING:
    from case_net import Case

CASES = [random_memory(seed) for seed in range(40)]


def graph_of(case: Case) -> Graph:
    return prepare(tflite.read(case.model, name=case.name))


def outputs(graph: Graph, values: Values) -> np.ndarray:
    """(steps, codes of all outputs)."""
    return np.concatenate([values[i].reshape(len(values[i]), -1) for i in graph.outputs], axis=1)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
@pytest.mark.parametrize("profile", PROFILES)
def test_sessions_of_every_way_equal_the_oracle_after_every_step(case: Case, profile: str) -> None:
    graph = graph_of(case)
    wanted = outputs(graph, every_tensor(graph, PROFILES[profile], case.inputs))
    rows = case.inputs[0].reshape(len(wanted), -1)
    with neurovm.convert_tflite(case.model, name=case.name, profile=profile) as model:
        for way in ("auto", "events", "dense"):
            session = model.session(way=way)
            for row, y in zip(rows, wanted, strict=True):
                assert session.step(row).tobytes() == y.tobytes()
        updated, held = model.session(), rows[0]
        assert updated.step(held).tobytes() == wanted[0].tobytes()
        for row, y in zip(rows[1:], wanted[1:], strict=True):
            changed = np.flatnonzero(row != held).astype(np.uint32)
            assert updated.update(changed, row[changed]).tobytes() == y.tobytes()
            held = row


@pytest.mark.parametrize("case", CASES[:12], ids=lambda c: c.name)
def test_a_reset_session_and_unit_spikes_begin_alike(case: Case) -> None:
    rows = case.inputs[0].reshape(len(case.inputs[0]), -1)[:6]
    with (
        neurovm.convert_tflite(case.model, name=case.name) as model,
        neurovm.convert_tflite(case.model, name=case.name, coding="unit") as unit,
    ):
        session, spikes = model.session(), unit.session()
        first = [session.step(row).tobytes() for row in rows]
        session.reset()
        assert [session.step(row).tobytes() for row in rows] == first
        assert [spikes.step(row).tobytes() for row in rows] == first


@pytest.mark.skipif(not litert.INSTALLED, reason=litert.MISSING)
def test_every_tensor_of_every_step_equals_litert() -> None:
    graphs = [graph_of(case) for case in CASES]
    ours = [
        every_tensor(g, PROFILES["xnnpack"], c.inputs) for g, c in zip(graphs, CASES, strict=True)
    ]
    jobs = [litert.Job(c.model, c.inputs, sorted(v)) for c, v in zip(CASES, ours, strict=True)]
    fused = [
        litert.Job(c.model, c.inputs, list(g.outputs), fused=True)
        for c, g in zip(CASES, graphs, strict=True)
    ]
    answers = litert.run_all(jobs + fused)
    assert all(answer.refused is None for answer in answers[: len(CASES)])
    # Its delegate cannot set up some of these networks where it may merge operators.
    assert sum(answer.refused is not None for answer in answers) < 0.25 * len(CASES)
    for case, values, answer in zip(CASES * 2, ours * 2, answers, strict=True):
        for index, expected in answer.values.items():
            same = np.array_equal(values[index].reshape(-1), expected.reshape(-1))
            assert same, f"{case.name}, tensor {index}"
    varied = [len(np.unique(values[g.outputs[0]])) for values, g in zip(ours, graphs, strict=True)]
    assert sum(n > 20 for n in varied) > 0.6 * len(CASES)


@pytest.mark.skipif(not micro.INSTALLED, reason=micro.MISSING)
def test_outputs_of_every_step_equal_tflm() -> None:
    graphs = [graph_of(case) for case in CASES]
    jobs = [
        micro.Job(c.model, c.inputs, len(g.outputs)) for c, g in zip(CASES, graphs, strict=True)
    ]
    equal = 0
    for case, graph, found in zip(CASES, graphs, micro.run_all(jobs), strict=True):
        if isinstance(found, str):
            continue
        ours = every_tensor(graph, PROFILES["tflm"], case.inputs)
        for index, expected in zip(graph.outputs, found, strict=True):
            assert np.array_equal(ours[index].reshape(-1), expected.reshape(-1)), case.name
        equal += 1
    assert equal > 0.9 * len(CASES)
