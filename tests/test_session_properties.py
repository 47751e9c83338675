# SPDX-License-Identifier: Apache-2.0
"""Random networks, random streams: after every step a session holds what the oracle answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from random_graphs import graphs

from neurovm import reference
from neurovm.arithmetic import PROFILES
from neurovm.errors import UnsupportedOperatorError
from neurovm.golden import input_values, oracle_codes
from neurovm.graph import Graph
from neurovm.model import Model
from neurovm.operators.builder import signed_codes
from neurovm.program import compile_graph

PROFILE = PROFILES["xnnpack"]
slow = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def compiled(graph: Graph, coding: str = "graded") -> Model:
    """The model; a draw whose scales have no exact rule does not count."""
    try:
        return Model(compile_graph(graph, PROFILE, coding))
    except UnsupportedOperatorError as error:
        if "scale" not in str(error):
            raise
        reject()


def stream(graph: Graph, steps: int, rng: np.random.Generator) -> np.ndarray:
    """(steps, n) codes: from nothing changed to everything changed."""
    n = sum(graph.tensors[i].size for i in graph.inputs)
    rows = [rng.integers(-128, 128, n)]
    while len(rows) < steps:
        row = rows[-1].copy()
        share = rng.choice([0.0, 0.02, 0.2, 1.0])
        touched = rng.random(n) < share
        row[touched] = rng.integers(-128, 128, int(touched.sum()))
        rows.append(row)
    return np.stack(rows).astype(np.int8)


def oracle(graph: Graph, model: Model, codes: np.ndarray) -> np.ndarray:
    return oracle_codes(graph, PROFILE, model.inputs, codes)


@slow
@given(
    graph=graphs(), seed=st.integers(0, 1 << 30), way=st.sampled_from(["auto", "events", "dense"])
)
def test_every_step_equals_the_oracle(graph: Graph, seed: int, way: str) -> None:
    model = compiled(graph)
    codes = stream(graph, 8, np.random.default_rng(seed))
    wanted = oracle(graph, model, codes)
    session = model.session(way=way)
    for row, answer in zip(codes, wanted, strict=True):
        assert session.step(row).tobytes() == answer.tobytes()
    values = input_values(PROFILE, model.inputs, codes)
    rows = {t.name: v for t, v in zip(model.inputs, values, strict=True)}
    out = model.predict(
        {t.name: rows[t.name].reshape(-1, *t.shape[t.shape[:1] == (1,) :]) for t in model.inputs}
    )
    parts = list(out.values()) if isinstance(out, dict) else [out]
    joined = np.concatenate([p.reshape(len(codes), -1) for p in parts], axis=1)
    np.testing.assert_array_equal(
        joined, wanted.astype(np.int16) + 128 * (joined.dtype == np.uint8)
    )


@slow
@given(graph=graphs(), seed=st.integers(0, 1 << 30))
def test_updates_equal_the_oracle_on_every_layer(graph: Graph, seed: int) -> None:
    model = compiled(graph)
    rng = np.random.default_rng(seed)
    codes = stream(graph, 6, rng)
    session = model.session()
    session.step(codes[0])
    held = codes[0].copy()
    for row in codes[1:]:
        changed = np.flatnonzero(row != held).astype(np.uint32)
        order = rng.permutation(changed)
        session.update(np.repeat(order, 2), np.repeat(row[order], 2))
        held[changed] = row[changed]
        known = reference.run(graph, PROFILE, input_values(PROFILE, model.inputs, held[None]))
        for op, info in zip(graph.operators, model.manifest.operators, strict=True):
            for output, holder in zip(op.outputs, info.holders, strict=True):
                wanted = known[output]
                if holder is not None and wanted.dtype != np.float32:
                    found = np.frombuffer(session.layer(holder).codes, np.int8)
                    wanted = signed_codes(wanted).reshape(-1)
                    np.testing.assert_array_equal(found, wanted, err_msg=op.source_name)


@settings(slow, max_examples=40)
@given(graph=graphs(most_operators=4), seed=st.integers(0, 1 << 30))
def test_unit_spikes_drained_to_rest_have_equal_codes(graph: Graph, seed: int) -> None:
    model = compiled(graph, "unit")
    codes = stream(graph, 4, np.random.default_rng(seed))
    session = model.session()
    for row, answer in zip(codes, oracle(graph, model, codes), strict=True):
        assert session.step(row).tobytes() == answer.tobytes()


@settings(slow, max_examples=25)
@given(graph=graphs(most_operators=3), seed=st.integers(0, 1 << 30))
def test_a_wrong_update_changes_nothing(graph: Graph, seed: int) -> None:
    model = compiled(graph)
    codes = stream(graph, 2, np.random.default_rng(seed))
    session = model.session()
    before = session.step(codes[0]).tobytes()
    steps = session.counters.steps
    with pytest.raises(ValueError, match="indices"):
        session.update(np.array([0, codes.shape[1]], np.uint32), np.array([5, 5], np.int8))
    with pytest.raises(ValueError, match="codes"):
        session.step(codes[1][:-1])
    assert session.step(codes[0]).tobytes() == before
    assert session.counters.steps == steps + 1
