# SPDX-License-Identifier: Apache-2.0
"""What ways cost decides which of them a layer takes, and nothing else: the codes stay the same."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from random_graphs import graphs

import neurovm
from neurovm.arithmetic import PROFILES
from neurovm.errors import BundleError, UnsupportedOperatorError
from neurovm.graph import Graph
from neurovm.model import Model
from neurovm.program import compile_graph

WAYS = ("auto", "events", "tiles", "dense")
RECORD = struct.Struct("<8f")
HEADER_BYTES = 32


def absurd(model: Model, rng: np.random.Generator) -> bytes:
    """Costs of this program as no machine has them: the header is that of measured ones."""
    program = model._executable().costs
    blank = program.calibrate(0.0)
    sizes = np.array([0, 1e-30, 0.5, 1, 40, 1e3, 1e12])
    records = rng.choice(sizes, (program.n_layers, 8))
    records[:, 1] = np.maximum(records[:, 0], records[:, 1])
    records[:, 7] = 0
    return blank[:HEADER_BYTES] + records.astype("<f4").tobytes()


def stream(n: int, steps: int, rng: np.random.Generator) -> list[bytes]:
    """Codes from nothing changed to everything changed, anywhere or next to each other."""
    codes = rng.integers(-128, 128, n).astype(np.int8)
    rows = []
    for _ in range(steps):
        count = int(n * rng.choice([0.0, 0.01, 0.05, 0.3, 1.0]))
        first = int(rng.integers(0, n - count + 1))
        where = np.arange(first, first + count)
        if rng.random() < 0.5:
            where = rng.permutation(n)[:count]
        codes[where] = rng.integers(-128, 128, count)
        rows.append(codes.tobytes())
    return rows


def assert_any_choice_answers_alike(model: Model, seed: int, steps: int) -> None:
    """Sessions whose layers go by absurd costs, or are sent any way at every step, beside a dense
    one.
    """
    rng = np.random.default_rng(seed)
    dense = model.session(way="dense")
    program = model._executable().costs
    program.use_costs(absurd(model, rng))
    priced, forced = model.session(), model.session()
    program.use_costs(None)
    n_layers = len(model.explain())
    for codes in stream(sum(t.bytes for t in model.inputs), steps, rng):
        for layer, way in enumerate(rng.choice(WAYS, n_layers)):
            forced._state.force(str(way), layer)
        wanted = dense.step(codes).tobytes()
        assert priced.step(codes).tobytes() == wanted
        assert forced.step(codes).tobytes() == wanted
        if rng.random() < 0.2:  # looking at a layer brings its sums up to date
            forced.layer(int(rng.integers(n_layers)))


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(graph=graphs(), seed=st.integers(0, 1 << 30))
def test_any_choice_gives_the_same_codes_on_random_graphs(graph: Graph, seed: int) -> None:
    try:
        model = Model(compile_graph(graph, PROFILES["xnnpack"], "graded"))
    except UnsupportedOperatorError:
        reject()
    assert_any_choice_answers_alike(model, seed, 8)


FIXTURES = Path(__file__).with_name("fixtures")


@pytest.mark.parametrize("name", ["digits_mlp", "digits_cnn", "digits_dscnn", "digits_resnet"])
def test_any_choice_gives_the_same_codes_on_trained_networks(name: str) -> None:
    model = neurovm.convert_tflite(FIXTURES / f"{name}.tflite")
    for seed in range(4):
        assert_any_choice_answers_alike(model, seed, 30)


@pytest.fixture(name="bundle")
def _bundle(tmp_path: Path) -> Path:
    return neurovm.convert_tflite(FIXTURES / "digits_dscnn.tflite").save(tmp_path / "digits.nvm")


def test_loading_measures_unless_told_otherwise(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*, calibrate: bool | None = None) -> bool:
        with neurovm.load(bundle, calibrate=calibrate) as model:
            return any(cost.measured for cost in model.costs())

    monkeypatch.delenv("NEUROVM_CALIBRATE", raising=False)
    assert measured()
    assert not measured(calibrate=False)
    for off in ("0", "no", "OFF"):
        monkeypatch.setenv("NEUROVM_CALIBRATE", off)
        assert not measured()
        assert measured(calibrate=True)


def test_measured_costs_are_times(bundle: Path) -> None:
    with neurovm.load(bundle, calibrate=False) as model:
        estimated = model.costs()
        assert model.calibrate(10.0)
        costs = model.costs()
    for layer, (before, after) in enumerate(zip(estimated, costs, strict=True)):
        assert not before.measured
        assert after.measured == (before.full_ns > 0), layer
        assert after.keep_ns >= after.full_ns >= 0
        assert after.even >= 0


def test_costs_of_others_are_refused(bundle: Path) -> None:
    with neurovm.load(bundle, calibrate=False) as model:
        program = model._executable().costs
        costs = program.calibrate(0.01)
        nan = struct.pack("<f", float("nan"))
        for wrong in (b"", costs[:-1], costs + b"\0", costs[:-32] + nan + costs[-28:]):
            with pytest.raises(BundleError, match=r"^costs: .*accepted"):
                program.use_costs(wrong)
        with pytest.raises(BundleError, match="costs"):
            program.use_costs(b"\xff" * len(costs))
        program.use_costs(costs)
        with pytest.raises(TypeError):
            program.use_costs(7)
        for budget_s in (-1.0, float("nan"), float("inf")):
            with pytest.raises(ValueError, match="budget_s"):
                program.calibrate(budget_s)
        with pytest.raises(IndexError, match="layer"):
            program.cost(len(model.explain()))
