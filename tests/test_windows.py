# SPDX-License-Identifier: Apache-2.0
"""Sessions whose frames go into a sliding window: what they answer, cost, refuse and say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shared_files

import neurovm
from neurovm import BackendError, ShapeError, Window
from neurovm.model import Model

PUMP = Path(__file__).parent / "fixtures" / "pump_window_dscnn.tflite"


@pytest.fixture(scope="module")
def pump() -> Model:
    return neurovm.convert_tflite(PUMP)


def frames(model: Model, count: int, size: int) -> np.ndarray:
    """(count, frame) random codes."""
    width = model.inputs[0].size // size
    return np.random.default_rng(0).integers(-128, 128, (count, width)).astype(np.int8)


def test_pushed_frames_answer_as_whole_windows_do(pump: Model) -> None:
    session = pump.session(window=Window(hop=2))
    size = session.plan.size
    rows = frames(pump, 5 * size, size)
    dense = pump.session(way="dense")
    for end in range(size, len(rows) + 1, 2):
        session.push(rows[end - 2 : end] if end > size else rows[:end])
        assert session.output.tobytes() == dense.step(rows[end - size : end]).tobytes()
        for i in range(len(pump.explain())):
            assert session.layer(i) == dense.layer(i).codes
    assert session.misses == 0
    assert session.counters.sops < session.counters.dense_macs


def test_whole_windows_are_compared_never_trusted(pump: Model) -> None:
    session = pump.session(window=Window(hop=1))
    size = session.plan.size
    rows = frames(pump, 3 * size, size)
    dense = pump.session(way="dense")
    for i, end in enumerate(range(size, 2 * size)):
        window = rows[end - size : end].copy()
        if i % 4 == 3:
            window[size // 2, 0] ^= 1  # no continuation: normalised by itself, say
        assert session.step(window).tobytes() == dense.step(window).tobytes()
    first, broken = 1, size // 4
    assert broken <= session.misses - first <= 2 * broken


def test_a_plan_says_what_a_session_takes(pump: Model) -> None:
    plan = pump.plan(Window(hop=1))
    assert plan.refusal is None
    assert 0 < plan.uncut_macs <= plan.macs < plan.dense_macs == pump.manifest.macs
    assert plan.state_bytes <= plan.session_bytes
    assert len(plan.flows) == len(pump.explain())
    session = pump.session(window=Window(hop=1))
    row = frames(pump, 1, plan.size)
    for _ in range(plan.step + 1):
        before = session.counters.sops
        session.push(row)
    assert session.counters.sops - before == plan.macs


def test_memory_is_a_limit_that_is_kept(pump: Model) -> None:
    free = pump.plan(Window(hop=1))
    plan = pump.plan(Window(hop=1, most_bytes=free.session_bytes - 1))
    assert plan.refusal == "state-limit"
    assert plan.session_bytes < free.session_bytes
    session = pump.session(window=Window(hop=1, most_bytes=free.session_bytes - 1))
    dense = pump.session(way="dense")
    rows = frames(pump, 2 * plan.size, plan.size)
    session.push(rows)
    assert session.output.tobytes() == dense.step(rows[plan.size :]).tobytes()


def test_a_hop_of_the_window_gains_nothing(pump: Model) -> None:
    size = pump.plan(Window()).size
    plan = pump.plan(Window(hop=size))
    assert (plan.refusal, plan.share) == ("no-overlap", 1.0)


def test_reset_forgets_the_frames(pump: Model) -> None:
    session = pump.session(window=Window())
    fresh = session.output.tobytes()
    session.push(frames(pump, session.plan.size, session.plan.size))
    session.reset()
    assert session.output.tobytes() == fresh


@shared_files.needed
@pytest.mark.parametrize(
    ("name", "window", "refusal"),
    [
        ("ad01_int8", Window(size=5), "flattened-at-input"),
        ("kws_ref_model", Window(hop=2), None),
        ("kws_ref_model", Window(hop=40), "not-worth-it"),
        ("str_ww_ref_model", Window(hop=1), None),
        ("micro_speech_quantized", Window(hop=2), None),
    ],
)
def test_refusals_have_names(name: str, window: Window, refusal: str | None) -> None:
    assert neurovm.convert_tflite(shared_files.model(name)).plan(window).refusal == refusal


@shared_files.needed
def test_models_without_a_window_say_why() -> None:
    models = shared_files.ROOT / "models"
    with pytest.raises(BackendError, match="recurrent-restarts"):
        neurovm.convert_tflite(models / shared_files.STATEFUL[2]).plan(Window())
    with pytest.raises(ShapeError, match="time-axis-unknown"):
        neurovm.convert_tflite(shared_files.model("ad01_int8")).plan(Window())


@pytest.mark.parametrize("window", [Window(size=1), Window(size=0), Window(hop=0), Window(size=7)])
def test_windows_that_do_not_fit(pump: Model, window: Window) -> None:
    if window.size == 7:
        window = window._replace(size=pump.inputs[0].size - 1)
    with pytest.raises(ShapeError, match=r"frames|hop"):
        pump.session(window=window)
