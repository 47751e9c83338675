# SPDX-License-Identifier: Apache-2.0
"""Many rows, many steps, many sessions with one call: each as if it were alone."""

from __future__ import annotations

import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from operator_cases import CASES
from random_graphs import graphs
from random_memories import random_memory
from random_models import random_model
from test_session_properties import compiled, oracle, stream
from test_wide import mixed

import neurovm
from neurovm import _kernel
from neurovm.errors import ShapeError
from neurovm.graph import Graph
from neurovm.model import Model

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.tflite"))
PLACELESS = {_kernel.KINDS["CONST"], _kernel.KINDS["STATE"]}

ROWS = 150
"""More than two blocks of the kernel, and a part."""

slow = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def codes_of(model: Model, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of random bytes, which are codes of any width."""
    return rng.integers(-128, 128, (rows, sum(t.bytes for t in model.inputs))).astype(np.int8)


def values_of(model: Model, rows: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    made = {}
    for info in model.inputs:
        shape = (rows, *info.shape[info.shape[:1] == (1,) :])
        if info.dtype == "float32":
            made[info.name] = rng.normal(0, 2, shape).astype(np.float32)
        elif info.dtype == "bool":
            made[info.name] = rng.random(shape) < 0.5
        else:
            kind = np.iinfo(info.dtype)
            low, high = max(kind.min, -(1 << 15)), min(kind.max, (1 << 15) - 1)
            made[info.name] = rng.integers(low, high, shape, endpoint=True).astype(info.dtype)
    return made


def arrays(answer: object) -> list[np.ndarray]:
    return list(answer.values()) if isinstance(answer, dict) else [np.asarray(answer)]


def assert_rows_alone(model: Model, rng: np.random.Generator, rows: int) -> None:
    values = values_of(model, rows, rng)
    together = arrays(model.predict(values))
    for row in range(rows):
        alone = arrays(model.predict({name: x[row] for name, x in values.items()}))
        for whole, one in zip(together, alone, strict=True):
            np.testing.assert_array_equal(whole[row], one)


@slow
@given(graph=graphs(), seed=st.integers(0, 1 << 30))
def test_rows_steps_and_sessions_equal_the_oracle(graph: Graph, seed: int) -> None:
    model = compiled(graph)
    rng = np.random.default_rng(seed)
    codes = stream(graph, int(rng.choice([1, 9, 70, ROWS])), rng)
    wanted = oracle(graph, model, codes)
    assert np.array_equal(np.asarray(model.session().run(codes)).reshape(wanted.shape), wanted)
    out = np.empty_like(wanted)
    sessions = [model.session() for _ in codes]
    assert model.step_sessions(sessions, codes, out) is out
    assert np.array_equal(out, wanted)
    assert [s.output.tobytes() for s in sessions] == [row.tobytes() for row in wanted]
    program = model.session().state
    assert np.array_equal(np.asarray(program.run(codes[:1])), wanted[0])


@slow
@given(graph=graphs(), seed=st.integers(0, 1 << 30))
def test_many_updates_equal_one_after_the_other(graph: Graph, seed: int) -> None:
    model = compiled(graph)
    rng = np.random.default_rng(seed)
    n = sum(t.size for t in model.inputs)
    events = int(rng.integers(0, 60))
    indices = rng.integers(0, n, events).astype(np.uint32)
    codes = rng.integers(-128, 128, events).astype(np.int8)
    ends = np.sort(rng.integers(0, events + 1, int(rng.integers(1, 20)))).astype(np.uint32)
    ends[-1] = events
    one, many = model.session(), model.session()
    wanted, first = [], 0
    for end in ends.tolist():
        wanted.append(one.update(indices[first:end], codes[first:end]).tobytes())
        first = end
    assert bytes(many.run_updates(indices, codes, ends)) == b"".join(wanted)
    assert many.counters == one.counters
    singles = model.session()
    wanted = [singles.update(int(i), int(c)).tobytes() for i, c in zip(indices, codes, strict=True)]
    assert bytes(model.session().run_updates(indices, codes)) == b"".join(wanted)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_rows_of_a_trained_network_are_as_alone(path: Path) -> None:
    model = neurovm.convert_tflite(path)
    assert_rows_alone(model, np.random.default_rng(1), 70 if model.manifest.macs < 1 << 20 else 5)


@pytest.mark.parametrize("seed", range(12))
def test_rows_of_a_random_network_are_as_alone(seed: int) -> None:
    model = neurovm.convert_tflite(random_model(seed).model)
    assert_rows_alone(model, np.random.default_rng(seed), 40)


SOME = {case.name: case for case in CASES[::7]}


@pytest.mark.parametrize("name", SOME)
def test_rows_of_every_kind_of_operator_are_as_alone(name: str) -> None:
    try:
        model = neurovm.convert_tflite(SOME[name].model)
    except neurovm.UnsupportedOperatorError as error:
        pytest.skip(f"refused: {error}")
    assert_rows_alone(model, np.random.default_rng(3), 9)


@pytest.mark.parametrize("seed", range(6))
def test_rows_of_a_stateful_network_are_first_steps_and_runs_go_on(seed: int) -> None:
    case = random_memory(seed)
    model = neurovm.convert_tflite(case.model)
    assert model.stateful
    codes = np.ascontiguousarray(case.inputs[0]).reshape(len(case.inputs[0]), -1)
    session = model.session()
    walked = b"".join(session.step(row).tobytes() for row in codes)
    assert bytes(model.session().run(codes)) == walked
    firsts = b"".join(model.session().step(row).tobytes() for row in codes)
    sessions = [model.session() for _ in codes]
    assert bytes(model.step_sessions(sessions, codes)) == firsts
    assert_rows_alone(model, np.random.default_rng(seed), 20)


def test_wide_and_narrow_ports_go_as_bytes() -> None:
    model = neurovm.convert_tflite(mixed())
    rng = np.random.default_rng(2)
    codes = codes_of(model, 9, rng)
    session = model.session()
    wanted = b"".join(session.step(row).tobytes() for row in codes)
    assert bytes(model.session().run(codes)) == wanted
    assert_rows_alone(model, rng, 30)


@slow
@given(graph=graphs(most_operators=8))
def test_codes_that_live_at_the_same_time_share_no_byte(graph: Graph) -> None:
    model = compiled(graph)
    records = [
        struct.unpack_from("<B3x4I", model.content.layers, 128 * i)
        for i in range(len(model.explain()))
    ]
    last = list(range(len(records)))
    for i, (_, n_in, *layers, _) in enumerate(records):
        for k in layers[:n_in]:
            last[k] = i
    used, places = _kernel.Program(model.content.layers, model.content.arena).plan()
    for i, (start, size) in enumerate(places):
        assert size == (0 if records[i][0] in PLACELESS else records[i][4])
        assert start % 64 == 0
        assert start + size <= used
        for k in range(i):
            other, length = places[k]
            apart = start + size <= other or other + length <= start
            assert apart or last[k] < i or 0 in (size, length)
    # never more than without sharing, never less than what the busiest moment holds
    padded = [-(-size // 64) * 64 for _, size in places]
    live = [sum(padded[k] for k in range(i + 1) if last[k] >= i) for i in range(len(places))]
    assert max(live) <= used <= sum(padded)


def small() -> Model:
    return neurovm.convert_tflite(random_model(1).model)


def test_what_does_not_fit_is_refused_before_any_effect() -> None:
    model, other = small(), small()
    session = model.session()
    n, outputs = sum(t.bytes for t in model.inputs), sum(t.bytes for t in model.outputs)
    row = bytes(n)
    before = session.output.tobytes(), session.counters
    wrong = [
        lambda: session.run(bytes(n + 1)),
        lambda: session.run(bytes(2 * n), bytearray(outputs)),
        lambda: session.run(row, bytes(outputs)),
        lambda: session.run_updates(np.array([0, n], np.uint32), b"\1\1"),
        lambda: session.run_updates(np.array([0, 1], np.uint32), b"\1"),
        lambda: session.run_updates(np.array([0, 1], np.uint32), b"\1\1", np.array([1], "u4")),
        lambda: session.run_updates(np.array([0, 1], np.uint32), b"\1\1", np.array([2, 1], "u4")),
        lambda: session.run_updates(np.array([0], np.uint32), b"\1", np.array([], "u4")),
        lambda: model.step_sessions([], b""),
        lambda: model.step_sessions([session], bytes(2 * n)),
        lambda: model.step_sessions([session, session], bytes(2 * n)),
        lambda: model.step_sessions([session, other.session()], bytes(2 * n)),
        lambda: model.step_sessions([session], row, bytearray(outputs + 1)),
    ]
    for call in wrong:
        with pytest.raises(ShapeError):
            call()
    assert (session.output.tobytes(), session.counters) == before
    assert bytes(session.run(b"")) == b""
    assert (
        bytes(session.run_updates(np.array([], "u4"), b"", np.array([0, 0], "u4"))) == 2 * before[0]
    )


def test_no_rows_are_no_answers() -> None:
    model = small()
    info = model.inputs[0]
    x = np.empty((0, *info.shape[1:]), info.dtype)
    assert model.predict(x).shape == (0, *model.outputs[0].shape[1:])


def test_threads_predict_at_the_same_time() -> None:
    model = neurovm.convert_tflite(FIXTURES[0])
    rng = np.random.default_rng(4)
    values = [values_of(model, 30, rng) for _ in range(4)]
    wanted = [arrays(model.predict(v)) for v in values]
    found: dict[int, list[list[np.ndarray]]] = {}

    def run(i: int) -> None:
        found[i] = [arrays(model.predict(values[i])) for _ in range(10)]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, answers in found.items():
        for answer in answers:
            for a, b in zip(answer, wanted[i], strict=True):
                np.testing.assert_array_equal(a, b)
    assert len(found) == 4
