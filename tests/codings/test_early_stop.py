# SPDX-License-Identifier: Apache-2.0
"""Early stop: after k of 8 planes a bound holds the final answer, a certified class is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from operator_cases import CASES
from random_graphs import graphs

import neurovm
from neurovm.arithmetic import PROFILES
from neurovm.converters import tflite
from neurovm.errors import BackendError, UnsupportedOperatorError
from neurovm.golden import oracle_codes
from neurovm.graph import Graph
from neurovm.model import Model
from neurovm.operators.builder import Layer
from neurovm.passes import prepare
from neurovm.ports import open_inputs, open_outputs
from neurovm.program import ProgramBuilder, compile_graph
from neurovm.reference import codings as oracle

TOP = Path(__file__).resolve().parents[2]
FIXTURES = TOP / "tests" / "fixtures"
PUMP = TOP / "examples" / "pump" / "pump.tflite"
NETWORKS = [*sorted(FIXTURES.glob("*.tflite")), PUMP]
PROFILE = PROFILES["xnnpack"]


def digit_codes() -> np.ndarray:
    pixels = np.load(FIXTURES / "digits_x.npy")
    return (np.rint(pixels / 16 * 255) - 128).astype(np.int8)


def held_to(found: neurovm.Answer, exact: np.ndarray, first: int) -> None:
    """The bound holds the exact codes, and what is certified is true."""
    low, high = np.array(found.low), np.array(found.high)
    assert (low <= exact).all()
    assert (exact <= high).all()
    assert found.exact == (low == high).all()
    kept = np.array(found.codes)
    assert (low <= kept).all()
    assert (kept <= high).all()
    if found.certified and first > 1:
        assert found.best == int(np.argmax(exact[:first]))
    if found.certified and first == 1:
        assert found.exact


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(graph=graphs(), seed=st.integers(0, 1 << 30), profile=st.sampled_from(list(PROFILES)))
def test_the_final_answer_of_random_networks_lies_within_every_bound(
    graph: Graph, seed: int, profile: str
) -> None:
    try:
        model = Model(compile_graph(graph, PROFILES[profile], "bitplane"))
    except UnsupportedOperatorError as error:
        if profile == "xnnpack" and "scale" not in str(error):
            raise
        reject()
    rng = np.random.default_rng(seed)
    rows = rng.integers(-128, 128, (3, sum(t.size for t in model.inputs))).astype(np.int8)
    wanted = oracle_codes(graph, PROFILES[profile], model.inputs, rows)
    state = model.session()
    for row, exact in zip(rows, wanted, strict=True):
        for planes in (int(rng.integers(1, 8)), 8):  # what is unsent follows
            state.planes = planes
            state.step(row)
            found = state.answer()
            held_to(found, exact, model.outputs[0].size)
            assert found.planes == planes
        assert found.exact
        assert bytes(found.codes) == exact.tobytes() == state.output.tobytes()


@pytest.mark.parametrize("path", NETWORKS, ids=lambda p: p.stem)
def test_real_networks(path: Path) -> None:
    with neurovm.convert_tflite(path, coding="bitplane") as model:
        n = model.inputs[0].size
        rows = np.random.default_rng(1).integers(-128, 128, (6, n)).astype(np.int8)
        if path.stem.startswith("digits"):
            rows = digit_codes()[:16]
        exact = model.session()
        answers = [np.array(exact.step(row)) for row in rows]
        for planes in range(1, 9):
            state = model.session()
            state.planes = planes
            widths = []
            for row, wanted in zip(rows, answers, strict=True):
                state.step(row)
                found = state.answer()
                held_to(found, wanted, model.outputs[0].size)
                widths.append(int((np.array(found.high).astype(int) - np.array(found.low)).max()))
            assert planes < 8 or set(widths) == {0}


def test_bounds_tighten_and_certify_before_the_last_plane() -> None:
    """So that the tests above do not hold of bounds that say nothing."""
    with neurovm.convert_tflite(FIXTURES / "digits_mlp.tflite", coding="bitplane") as model:
        shares, widths = [], []
        for planes in range(1, 9):
            state = model.session()
            state.planes = planes
            found = []
            for row in digit_codes():
                state.step(row)
                found.append(state.answer())
            shares.append(np.mean([answer.certified for answer in found]))
            widths.append(np.mean([np.array(a.high).astype(int) - np.array(a.low) for a in found]))
    assert widths == sorted(widths, reverse=True)
    assert widths[5] < 64
    assert shares[5] > 0.5
    assert shares[6] > 0.9


# Against NumPy


def weighted(path: Path) -> list[Layer]:
    builder = ProgramBuilder(prepare(tflite.read(path, name=path.stem)), PROFILE)
    open_inputs(builder)
    for operator in builder.graph.operators:
        builder.lower(operator)
    builder.fuse(open_outputs(builder, None)[0])
    return builder.layers


@pytest.mark.parametrize("planes", range(1, 9))
@pytest.mark.parametrize("path", [FIXTURES / "digits_mlp.tflite", FIXTURES / "digits_cnn.tflite"])
def test_what_is_sent_and_its_bound_equal_the_numpy_model(path: Path, planes: int) -> None:
    """Layer by layer up to the first kind that has no NumPy model here."""
    layers = weighted(path)
    row = digit_codes()[3:4]
    with neurovm.convert_tflite(path, coding="bitplane") as model:
        state = model.session()
        state.step(digit_codes()[0])
        state.planes = planes
        state.step(row)
        sent = oracle.kept(row, planes)
        low, high = oracle.meant(sent, planes)
        assert (np.array(state.layer(0).codes) == sent[0]).all()
        met = 0
        for i, layer in enumerate(layers[1:], 1):
            if layer.kind not in ("DENSE", "CONV", "DWCONV") or layer.inputs != (i - 1,):
                break
            codes = oracle.fired(layer, oracle.rest(layer, sent))
            low, high = oracle.bounds(layer, low, high)
            is_last = i == len(layers) - 1
            sent = codes if is_last else oracle.kept(codes, planes)
            assert (np.array(state.layer(i).codes) == sent[0]).all()
            met += 1
            if is_last:
                found = state.answer()
                assert bytes(found.low) == low.tobytes()
                assert bytes(found.high) == high.tobytes()
        assert met > 0


def test_kept_codes_are_the_nearest_and_what_they_mean_is_where_they_come_from() -> None:
    every = np.arange(-128, 128).astype(np.int8)
    for planes in range(1, 9):
        step = 1 << (8 - planes)
        sent = oracle.kept(every, planes)
        assert set(sent.astype(int) % step) == {0}
        gap = np.abs(sent.astype(int) - every)
        grid = np.arange(-128, 128, step)
        assert (gap == np.abs(grid[None] - every.astype(int)[:, None]).min(axis=1)).all()
        low, high = oracle.meant(sent, planes)
        assert (low <= every).all()
        assert (every <= high).all()


# The state of a session


def test_an_answer_depends_on_inputs_and_planes_alone() -> None:
    rows = digit_codes()
    rng = np.random.default_rng(2)
    with neurovm.convert_tflite(FIXTURES / "digits_cnn.tflite", coding="bitplane") as model:
        for way in ("auto", "events", "dense"):
            wanderer = model.session(way=way)
            held = rows[0]
            wanderer.step(held)
            for row in rows[:24]:
                planes = int(rng.integers(1, 9))
                wanderer.planes = planes
                changed = np.flatnonzero(row != held).astype(np.uint32)
                found = wanderer.update(changed, row[changed]).tobytes()
                fresh = model.session()
                fresh.planes = planes
                assert found == fresh.step(row).tobytes()
                assert bytes(wanderer.answer().low) == bytes(fresh.answer().low)
                held = row
            wanderer.reset()
            assert wanderer.answer().exact
            wanderer.step(held)
            assert wanderer.answer().planes == planes


def test_fewer_planes_send_fewer_spikes() -> None:
    rows = digit_codes()
    spent = []
    with neurovm.convert_tflite(FIXTURES / "digits_dscnn.tflite", coding="bitplane") as model:
        for planes in range(1, 9):
            state = model.session(way="events")
            state.planes = planes
            for row in rows[:20]:
                state.step(row)
            spent.append(state.counters.sops)
    assert spent == sorted(spent)
    assert spent[3] < spent[7] / 2


# What has no early stop


@pytest.mark.parametrize("coding", ["graded", "unit", "ttfs", "rate"])
def test_other_codings_send_whole_codes_and_say_so(coding: str) -> None:
    with neurovm.convert_tflite(FIXTURES / "digits_mlp.tflite", coding=coding) as model:
        state = model.session()
        assert state.planes == 8
        state.planes = 8
        with pytest.raises(BackendError, match="accepted: coding bitplane"):
            state.planes = 7
        with pytest.raises(BackendError, match="bounds"):
            state.answer()
        assert state.planes == 8


def test_planes_beyond_their_range_are_refused_and_nothing_changes() -> None:
    with neurovm.convert_tflite(FIXTURES / "digits_mlp.tflite", coding="bitplane") as model:
        state = model.session()
        state.planes = 3
        for wrong in (0, 9, -1, 1 << 40):
            with pytest.raises((ValueError, OverflowError)):
                state.planes = wrong
        with pytest.raises(TypeError):
            state.planes = "3"  # type: ignore[assignment]  # that is the point
        assert state.planes == 3


def test_a_network_with_state_has_none() -> None:
    """Its memory would keep what was only estimated."""
    met = 0
    for case in CASES:
        if not case.name.startswith("NETWORK:") and "LSTM" not in case.name:
            continue
        try:
            model = neurovm.convert_tflite(case.model, name=case.name, coding="bitplane")
        except neurovm.ModelError:
            continue
        if model.stateful:
            state = model.session()
            with pytest.raises(BackendError, match="with state"):
                state.planes = 7
            with pytest.raises(BackendError):
                state.answer()
            met += 1
        if met == 5:
            break
    assert met > 0
