# SPDX-License-Identifier: Apache-2.0
"""Rate coding: the kernel equals the NumPy model bit for bit, and both approach the exact codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from operator_cases import CASES, Case

import neurovm
from neurovm import bundle, records
from neurovm.arithmetic import PROFILES
from neurovm.backends.rate import MOST_STEPS, spike_tables
from neurovm.converters import tflite
from neurovm.description import RateInfo
from neurovm.passes import prepare
from neurovm.rate import calibration, compile_rate
from neurovm.reference import rate as oracle

TOP = Path(__file__).resolve().parents[2]
FIXTURES = TOP / "tests" / "fixtures"
PUMP = TOP / "examples" / "pump" / "pump.tflite"
NETWORKS = [
    FIXTURES / "digits_mlp.tflite",
    FIXTURES / "digits_dscnn.tflite",
    FIXTURES / "pump_window_dscnn.tflite",
    PUMP,
]


def rate_model(path: Path, steps: int = 16) -> neurovm.Model:
    return neurovm.convert_tflite(path, coding="rate", steps=steps)


def digit_codes() -> np.ndarray:
    pixels = np.load(FIXTURES / "digits_x.npy")
    return (np.rint(pixels / 16 * 255) - 128).astype(np.int8)


def answers(model: neurovm.Model, codes: np.ndarray, way: str = "auto") -> np.ndarray:
    session = model.session(way=way)
    return np.array([session.step(row).tolist() for row in codes])


def rated(case: Case) -> neurovm.Model | None:
    """The case as a rate-coded model; None where it has no such form and is refused by name."""
    try:
        return neurovm.convert_tflite(case.model, name=case.name, coding="rate", steps=16)
    except neurovm.UnsupportedOperatorError as error:
        assert "encoding: graded" in str(error)
        return None
    except neurovm.ModelError as error:
        assert "encoding: rate" in str(error)
        return None


def test_inputs_spike_as_often_as_their_codes_say_and_evenly() -> None:
    tables = spike_tables(510)
    codes = np.arange(-128, 128, dtype=np.int8)
    sent = np.array([list(codes.tobytes().translate(table)) for table in tables])
    assert (sent == np.stack([oracle.spikes(codes, t, (-128, 255)) for t in range(510)])).all()
    assert (sent.sum(axis=0) == 2 * (codes.astype(int) + 128)).all()
    pauses = [np.diff(np.nonzero(column)[0]) for column in sent.T if column.sum() > 1]
    assert all(pause.max() - pause.min() <= 1 for pause in pauses)


@pytest.mark.parametrize("sent", [(-1, 128), (5, 40), (127, 255), (0, 1)])
def test_codes_below_the_zero_point_spike_negatively(sent: tuple[int, int]) -> None:
    zero, span = sent
    steps = 2 * span
    codes = np.arange(-128, 128, dtype=np.int8)
    tables = [codes.tobytes().translate(table) for table in spike_tables(steps, sent)]
    found = np.array([np.frombuffer(row, np.int8) for row in tables])
    assert (found == np.stack([oracle.spikes(codes, t, sent) for t in range(steps)])).all()
    offset = codes.astype(int) - zero
    assert (found.sum(axis=0) == 2 * np.clip(offset, -span, span)).all()
    assert (np.sign(found) * np.sign(offset) >= 0).all()


@pytest.mark.parametrize("path", NETWORKS, ids=lambda p: p.stem)
@pytest.mark.parametrize("way", ["events", "dense", "auto"])
def test_the_kernel_equals_the_numpy_model(path: Path, way: str) -> None:
    graph = prepare(tflite.read(path, name=None))
    content = compile_rate(graph, PROFILES["xnnpack"], 23)
    pairs = content.golden()  # computed by the NumPy model
    with neurovm.convert_tflite(path, coding="rate", steps=23) as model:
        session = model.session(way=way)
        for codes, wanted, _ in pairs:
            assert session.step(codes).tobytes() == wanted.tobytes()


def test_every_operator_form_approaches_the_exact_codes_or_is_refused() -> None:
    done = set()
    for case in CASES:
        model = rated(case)
        if model is None:
            continue
        exact = neurovm.convert_tflite(case.model, name=case.name)
        long, graded = model.with_steps(MOST_STEPS).session(), exact.session()
        for row in case.inputs[0][:2]:
            codes = exact.to_codes(row)
            found, wanted = (np.array(s.step(codes).tolist()) for s in (long, graded))
            assert np.abs(found - wanted).mean() < 4, case.name
        done |= {layer.kind for layer in model.explain()}
    assert {"DENSE", "CONV", "DWCONV"} <= done


def test_accuracy_grows_with_the_steps() -> None:
    codes = digit_codes()
    with neurovm.convert_tflite(NETWORKS[0]) as graded, rate_model(NETWORKS[0]) as model:
        exact = answers(graded, codes)
        gaps = []
        for steps in (8, 32, 128, 512):
            found = answers(model.with_steps(steps), codes)
            gaps.append(np.abs(found - exact).mean())
            agreement = (found.argmax(axis=1) == exact.argmax(axis=1)).mean()
        assert gaps == sorted(gaps, reverse=True)
        assert gaps[-1] < 1
        assert agreement > 0.98


def test_calibrated_the_kernel_equals_the_numpy_model_and_exits_early() -> None:
    codes = digit_codes()
    rows = codes.reshape(-1, 8, 8, 1)
    path = NETWORKS[0]
    known = calibration(prepare(tflite.read(path, name=None)), PROFILES["xnnpack"], codes[::2])
    with (
        neurovm.convert_tflite(path, coding="rate", steps=64, calibrate=rows[::2]) as model,
        neurovm.convert_tflite(path) as graded,
    ):
        rate = model.manifest.rate
        assert rate.calibrated == 64
        assert rate.exits
        for distance in known.seen.values():
            assert 0 <= distance <= 255
        exact, found = answers(graded, codes), answers(model, codes)
        session = model.session(way="events")
        for row, wanted in zip(codes, found, strict=True):
            assert session.step(row).tolist() == wanted.tolist()
        taken = session.counters.steps / len(codes)
        assert taken < 16  # of 64
        others = slice(1, None, 2)  # rows that it was not calibrated on
        same = found[others].argmax(axis=1) == exact[others].argmax(axis=1)
        assert same.mean() > 0.95
        whole = model.with_steps(64)
        assert whole.manifest.rate.exits is msgspec.UNSET
        session = whole.session()
        session.step(codes[0])
        assert session.counters.steps == 64
        late = answers(whole, codes[::2])  # no row of the calibration left with another class
        assert (late.argmax(axis=1) == found[::2].argmax(axis=1)).all()


def test_the_kernel_leaves_by_the_exits_of_the_numpy_model(monkeypatch) -> None:
    made = []

    def pack(layers, ports, **options):
        made.append(layers)
        return records.pack(layers, ports, **options)

    monkeypatch.setattr("neurovm.rate.pack", pack)
    codes = digit_codes()
    rows = codes[::2].reshape(-1, 8, 8, 1)
    with neurovm.convert_tflite(NETWORKS[0], coding="rate", steps=32, calibrate=rows) as model:
        rate = model.manifest.rate
        assert len(rate.looks) > 3
        assert (answers(model, codes) == oracle.run(made[0], rate, codes)).all()


def test_calibration_without_rows_or_with_others_is_refused() -> None:
    with pytest.raises(neurovm.ModelError, match="found no rows"):
        neurovm.convert_tflite(
            NETWORKS[0], coding="rate", calibrate=np.zeros((0, 8, 8, 1), np.int8)
        )
    for wrong in (np.zeros((3, 9), np.int8), np.zeros((3, 8, 8, 1), np.float64)):
        with pytest.raises(neurovm.ShapeError):
            neurovm.convert_tflite(NETWORKS[0], coding="rate", calibrate=wrong)


def test_figures_of_older_bundles_mean_what_they_did() -> None:
    """Rates from the lowest to the highest code, and nothing more in the manifest."""
    old = msgspec.json.decode(
        b'{"steps":9,"head":1,"lo":-100,"hi":90,"theta":77,"tail":false}', type=RateInfo
    )
    assert (old.of_inputs, old.of_head, old.looks) == ((-128, 255), (-100, 190), {})
    assert b"sent" not in msgspec.json.encode(old)
    potentials = np.array([[0, 77 * 9, 77 * 9 // 2, -5, 10**6]])
    assert oracle.decode(old, potentials, 9).tolist() == [[-100, 90, -5, -100, 90]]


def test_a_pool_and_a_mean_spike_too() -> None:
    with rate_model(FIXTURES / "pump_window_dscnn.tflite") as model:
        assert model.approximate
        assert (model.coding, model.neuron) == ("rate", "sif")
        kinds = [layer.kind for layer in model.explain()]
        assert kinds.count("DWCONV") == 3  # two convolutions and the average pool
        assert kinds[-1] == "SOFTMAX"


def test_what_has_no_form_is_refused_by_name_with_a_way_out() -> None:
    with pytest.raises(neurovm.UnsupportedOperatorError) as caught:
        rate_model(FIXTURES / "digits_cnn.tflite")
    assert caught.value.operator == "MAX_POOL_2D"
    assert "encoding: graded" in caught.value.needed
    with pytest.raises(neurovm.UnsupportedOperatorError, match="ADD"):
        rate_model(FIXTURES / "digits_resnet.tflite")


@pytest.mark.parametrize("steps", [0, MOST_STEPS + 1])
def test_steps_are_bounded(steps: int) -> None:
    with pytest.raises(neurovm.ModelError, match=f"found {steps}; accepted: 1 to"):
        rate_model(NETWORKS[0], steps)


def test_steps_updates_and_predictions_are_one(tmp_path: Path) -> None:
    codes = digit_codes()[:6]
    with neurovm.load(rate_model(NETWORKS[0]).save(tmp_path / "x.nvm")) as model:
        wanted = answers(model, codes)
        assert (model.predict(codes.reshape(-1, 8, 8, 1)) == wanted).all()
        session = model.session()
        for row, answer in zip(codes, wanted, strict=True):
            index = np.arange(64, dtype=np.uint32)
            assert session.update(index, row).tolist() == answer.tolist()
            assert session.output.tolist() == answer.tolist()
        before = session.counters
        session.update(np.zeros(0, np.uint32), np.zeros(0, np.int8))
        session.step(row)
        assert not session.changed
        assert session.counters == before  # nothing changed, nothing is computed
        session.update(5, int(row.reshape(-1)[5]))
        assert session.counters == before
        other = codes[0].reshape(-1)
        for place in range(64):
            session.update(place, int(other[place]))
        assert session.output.tolist() == wanted[0].tolist()
        session.reset()
        assert session.output.tolist() == model.session().output.tolist()
        for wrong in ((index + 1, row), (index[:3], row), (64, 0), (-1, 0), (0, 128)):
            with pytest.raises(neurovm.ShapeError):
                session.update(*wrong)
        with pytest.raises(neurovm.ShapeError):
            session.step(row[:3])


def test_a_session_counts_spikes_and_weights() -> None:
    with rate_model(NETWORKS[0], 10) as model:
        session = model.session()
        session.step(digit_codes()[0])
        counters = session.counters
        assert counters.steps == 10
        assert counters.dense_macs == 10 * model.manifest.macs
        assert 0 < counters.sops < counters.dense_macs
        assert counters.events_in > 0


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"steps": 10**6},
        {"head": 99},
        {"theta": 0},
        {"lo": 5, "hi": 5},
        {"sent": (0, 0)},
        {"sent": (-129, 5)},
        {"read": (0, 256)},
        {"exits": ((0, 1),)},
        {"exits": ((16, 1),)},
        {"exits": ((3, -1),)},
        {"exits": ((4, 1), (3, 1))},
    ],
)
def test_a_bundle_with_impossible_figures_is_refused(change: dict[str, int], tmp_path) -> None:
    path = rate_model(NETWORKS[0]).save(tmp_path / "x.nvm")
    content = bundle.read(path)
    info = msgspec.structs.replace(content.manifest.rate, **change)
    broken = msgspec.structs.replace(content.manifest, rate=info)
    bundle.write(path, bundle.serialize(broken, content.tensors))
    with pytest.raises(neurovm.BundleError, match="rate coding"):
        neurovm.load(path)


def test_other_bundles_do_not_know_of_rates() -> None:
    with neurovm.convert_tflite(NETWORKS[0]) as model:
        assert not model.approximate
        assert b'"rate"' not in model.manifest.encode()
        with pytest.raises(ValueError, match="rate-coded"):
            model.with_steps(4)


def test_running_needs_no_numpy(tmp_path: Path) -> None:
    path = rate_model(NETWORKS[3]).save(tmp_path / "x.nvm")
    code = (
        "import neurovm, sys\n"
        "m = neurovm.load(sys.argv[1]); s = m.session()\n"
        "print(len(s.step(bytes(m.inputs[0].size))), 'numpy' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=TOP, capture_output=True, text=True
    )
    assert ran.stdout == "8 False\n", ran.stderr
