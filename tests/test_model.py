# SPDX-License-Identifier: Apache-2.0
"""The public way in: values to codes and back, predict, sessions, what is refused and how."""

from __future__ import annotations

import array
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import neurovm
from neurovm.errors import BackendError, ModelError, ShapeError

FIXTURES = Path(__file__).parent / "fixtures"
ALL = sorted(FIXTURES.glob("*.tflite"))


@pytest.fixture(scope="module", params=ALL, ids=lambda p: p.stem)
def model(request: pytest.FixtureRequest) -> neurovm.Model:
    return neurovm.convert_tflite(request.param)


def inputs(model: neurovm.Model, n: int, seed: int = 3) -> np.ndarray:
    """Rows of inputs in the model's own dtype."""
    info = model.inputs[0]
    codes = np.random.default_rng(seed).integers(-128, 128, (n, *info.shape[1:]))
    if info.dtype == "float32":
        return ((codes - info.zero_point) * info.scale).astype(np.float32)
    return (codes + (128 if info.dtype == "uint8" else 0)).astype(info.dtype)


def test_predict_equals_a_session_on_every_row(model: neurovm.Model) -> None:
    x = inputs(model, 12)
    predicted = model.predict(x)
    session = model.session()
    for row, wanted in zip(x, predicted, strict=True):
        found = model.from_codes(session.step(model.to_codes(row)))
        np.testing.assert_array_equal(found.reshape(-1), wanted.reshape(-1))
        assert found.dtype == wanted.dtype == np.dtype(model.outputs[0].dtype)


def test_shapes_of_predict(model: neurovm.Model) -> None:
    x = inputs(model, 3)
    many = model.predict(x)
    assert many.shape == (3, *model.outputs[0].shape[1:])
    one = model.predict(x[1])
    assert one.shape == model.outputs[0].shape[1:]
    np.testing.assert_array_equal(one, many[1])
    assert model.predict(x[:0]).shape == (0, *model.outputs[0].shape[1:])


def test_updates_equal_steps(model: neurovm.Model) -> None:
    x = inputs(model, 2)
    first, second = (np.frombuffer(model.to_codes(row), np.int8) for row in x)
    stepped, updated = model.session(), model.session()
    for session in (stepped, updated):
        session.step(first)
    half = np.arange(0, first.size, 2, dtype=np.uint32)
    mixed = first.copy()
    mixed[half] = second[half]
    assert stepped.step(mixed).tobytes() == updated.update(half, second[half]).tobytes()
    assert updated.changed == stepped.changed


def test_an_equal_step_sends_nothing(model: neurovm.Model) -> None:
    session = model.session()
    codes = model.to_codes(inputs(model, 1)[0])
    session.step(codes)
    before = session.counters
    session.step(codes)
    after = session.counters
    assert after.steps == before.steps + 1
    assert after[1:4] == before[1:4]
    assert after.dense_macs == before.dense_macs + model.manifest.macs
    assert not session.changed


def test_reset_is_the_beginning(model: neurovm.Model) -> None:
    session = model.session()
    fresh = session.output.tobytes()
    session.step(model.to_codes(inputs(model, 1)[0]))
    session.reset()
    assert session.output.tobytes() == fresh
    zero = np.full(model.inputs[0].size, model.inputs[0].zero_point, np.int8)
    assert session.step(zero).tobytes() == fresh
    assert not session.changed


def test_counters_go_straight_into_the_callers_block(model: neurovm.Model) -> None:
    block = array.array("Q", [0] * 5)
    session = model.session(counters=block)
    session.step(model.to_codes(inputs(model, 1)[0]))
    assert tuple(block) == session.counters
    assert block[0] == 1
    assert block[3] > 0


def test_top_k(model: neurovm.Model) -> None:
    codes = model.session().step(model.to_codes(inputs(model, 1)[0]))
    flat = np.frombuffer(codes, np.int8)
    best = model.top_k(codes, 3)
    order = np.argsort(-flat.astype(int), kind="stable")[:3]
    assert [i for i, _, _ in best] == order.tolist()
    values = np.asarray(model.from_codes(codes)).reshape(-1)
    for i, code, value in best:
        assert code == flat[i]
        assert value == values[i]
    assert len(model.top_k(codes, 10_000)) == flat.size


def test_wrong_values_are_refused_in_words(model: neurovm.Model) -> None:
    info = model.inputs[0]
    x = inputs(model, 2)
    with pytest.raises(ShapeError, match=info.name.split(":")[0]):
        model.to_codes(x)
    with pytest.raises(ShapeError, match="takes shape"):
        model.predict(np.zeros((2, 3, 5, 7, 9), info.dtype))
    with pytest.raises(ShapeError):
        model.to_codes(np.zeros(info.size, np.int32))
    with pytest.raises(ShapeError, match="no buffer"):
        model.to_codes(object())
    with pytest.raises(ShapeError):
        model.from_codes(bytes(3))
    with pytest.raises(ShapeError, match="are needed"):
        model.to_codes({"other": x[0]})


def test_nan_is_refused_and_infinity_saturates() -> None:
    model = next(
        (m for m in map(neurovm.convert_tflite, ALL) if m.inputs[0].dtype == "float32"), None
    )
    assert model is not None, "a fixture with float32 inputs is part of the project"
    x = np.zeros(model.inputs[0].size, np.float32)
    x[0] = np.nan
    with pytest.raises(ShapeError, match="NaN"):
        model.to_codes(x)
    x[0], x[1] = np.inf, -np.inf
    codes = np.frombuffer(model.to_codes(x), np.int8)
    assert codes[0] == 127
    assert codes[1] == -128


def test_a_closed_model_says_so(tmp_path: Path) -> None:
    with neurovm.convert_tflite(ALL[0]) as model:
        session = model.session()
    with pytest.raises(ValueError, match="closed"):
        model.session()
    with pytest.raises(ValueError, match="closed"):
        model.save(tmp_path / "x.nvm")
    assert session.step(bytes(model.inputs[0].size)).nbytes == model.outputs[0].size


def test_wrong_names_are_answered_with_the_right_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="xnnpack"):
        neurovm.convert_tflite(ALL[0], profile="fast")
    with pytest.raises(ModelError, match="graded"):
        neurovm.convert_tflite(ALL[0], coding="morse")
    with pytest.raises(ModelError, match="3 labels"):
        neurovm.convert_tflite(ALL[0], labels=["a", "b", "c"])
    path = neurovm.convert_tflite(ALL[0]).save(tmp_path / "m.nvm")
    with pytest.raises(BackendError, match="available: cpu"):
        neurovm.load(path, backend="abacus")
    with pytest.raises(ValueError, match="golden"):
        neurovm.load(path, check="none")


RUN_PATH = """
import sys, neurovm
model = neurovm.load(sys.argv[1])
info = model.inputs[0]
session = model.session()
values = [0.5] * info.size if info.dtype == "float32" else [3] * info.size
first = model.from_codes(session.step(model.to_codes(values))).tolist()
index, code, value = model.top_k(session.output, 1)[0]
assert model.quantize(0, values[:1], count=1) == model.to_codes(values)[:1]
session.update(memoryview(bytes(4)).cast("I"), b"\\x05")
heavy = {"numpy", "click", "rich", "tflite", "safetensors"} & set(sys.modules)
assert not heavy, heavy
import json; print(json.dumps(first))
"""


def test_the_run_path_needs_no_numpy(model: neurovm.Model, tmp_path: Path) -> None:
    path = model.save(tmp_path / "m.nvm")
    run = subprocess.run(
        [sys.executable, "-c", RUN_PATH, str(path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    info = model.inputs[0]
    fill = 0.5 if info.dtype == "float32" else 3
    wanted = model.predict(np.full(info.shape, fill, info.dtype))
    assert json.loads(run.stdout) == wanted.reshape(-1).tolist()


def test_sessions_run_in_parallel_threads(model: neurovm.Model) -> None:
    """One program, many sessions, one thread each: every thread gets its own answers."""
    x = inputs(model, 8)
    wanted = model.predict(x)
    wrong: list[int] = []

    def run(worker: int) -> None:
        session = model.session()
        for i in range(worker, worker + 40):
            found = model.from_codes(session.step(model.to_codes(x[i % 8])))
            if not np.array_equal(found.reshape(-1), wanted[i % 8].reshape(-1)):
                wrong.append(worker)

    threads = [threading.Thread(target=run, args=(w,)) for w in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
