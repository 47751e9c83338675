# SPDX-License-Identifier: Apache-2.0
"""Quantising float networks: every operator, every storage, and what comes out is exact again."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import shared_files
from float_networks import CASES, Net, network
from tflite_writer import ModelWriter

import neurovm
from neurovm.backends.runtime import Runtime
from neurovm.convert import convert_quantized
from neurovm.converters import tflite_plain, tflite_writer
from neurovm.errors import BackendError, ModelError, ShapeError, UnsupportedOperatorError
from neurovm.quantization import quantize, ranges
from neurovm.quantization.limits import check_size
from neurovm.quantization.rules import RULES
from neurovm.verify import verify

pytestmark = pytest.mark.skipif(
    find_spec("ai_edge_litert") is None,
    reason="ai-edge-litert is not installed; there are wheels for x86_64 and aarch64 only",
)

ROUGH = {"EXP": 25.0, "LOG": 25.0, "SQRT": 25.0, "DIV": 20.0, "L2_NORMALIZATION": 25.0}
"""SNR in dB that an operator keeps at least where it is less than what rounding to 8 bits costs."""
FINE_DB = 30.0


def made(source: bytes, rows: list[np.ndarray]) -> neurovm.quantization.Quantized:
    return quantize(source, by_name(source, rows))


def by_name(source: bytes, rows: list[np.ndarray]) -> dict[str, np.ndarray]:
    model = tflite_plain.read(source)
    return {model.tensors[i].name: r for i, r in zip(model.inputs, rows, strict=True)}


def prove(quantized: neurovm.quantization.Quantized, folder: Path, rows: list[np.ndarray]) -> None:
    """The bundle answers what LiteRT answers for the int8 file, in every layer."""
    path = folder / quantized.name
    path.write_bytes(quantized.data)
    with convert_quantized(quantized) as model:
        given = {t.name: r for t, r in zip(model.inputs, rows, strict=True)}
        proof = verify(path, model=model, inputs=[given], count=20, walk=20)
    assert proof.identical, proof.first_difference
    assert proof.predict.elements > 0


def test_every_rule_has_a_case() -> None:
    assert set(CASES) == set(RULES)


@pytest.mark.parametrize("operator", sorted(CASES))
def test_operator(operator: str, tmp_path: Path) -> None:
    source, rows = CASES[operator]()
    quantized = made(source, rows)
    prove(quantized, tmp_path, rows)
    for layer in quantized.info.layers:
        least = ROUGH.get(layer.source_op, FINE_DB)
        assert layer.snr_db is None or layer.snr_db > least, layer


@pytest.mark.parametrize("storage", ["float32", "float16", "hybrid"])
def test_storage(storage: str, tmp_path: Path) -> None:
    source, rows = network(storage)
    quantized = made(source, rows)
    assert quantized.info.number_format == storage
    prove(quantized, tmp_path, rows)
    (path := tmp_path / "float.tflite").write_bytes(source)
    with Runtime(path) as lite, convert_quantized(quantized) as model:
        exact = lite.run(rows).outputs[0].reshape(len(rows[0]), -1)
        found = model.predict(rows[0]).reshape(exact.shape)
    assert (exact.argmax(1) == found.argmax(1)).mean() > 0.9
    assert np.abs(exact - found).max() < 0.05


def test_hybrid_weights_keep_their_codes() -> None:
    """What was rounded to int8 once is not rounded again."""
    source, rows = network("hybrid")
    before = tflite_plain.read(source)
    after = tflite_plain.read(made(source, rows).data)
    stored = {t.name: t for t in before.tensors if t.dtype == "int8"}
    kept = [t for t in after.tensors if t.name in stored]
    assert len(kept) == len(stored) == 3
    for tensor in kept:
        assert np.array_equal(tensor.data, stored[tensor.name].data)
        assert tensor.quantization == stored[tensor.name].quantization


@pytest.mark.parametrize("profile", ["xnnpack", "tflm"])
def test_python_interface(profile: str, tmp_path: Path) -> None:
    source, rows = network("float32")
    with neurovm.convert_tflite(source, profile=profile, calibrate=rows[0], name="n") as model:
        approx = model.manifest.approx
        assert approx.rows == len(rows[0])
        assert approx.sha256 == model.manifest.source.sha256
        assert approx.source.bytes == len(source)
        assert any("approximate" in note for note in model.manifest.notes)
        assert [i.dtype for i in (*model.inputs, *model.outputs)] == ["float32"] * 2
        path = model.save(tmp_path / "n.nvm")
        answers = model.predict(rows[0])
    with neurovm.load(path) as again:
        assert again.manifest.approx == approx
        assert np.array_equal(again.predict(rows[0]), answers)


def test_same_rows_same_bytes() -> None:
    source, rows = network("float32")
    assert made(source, rows).data == made(source, rows).data
    other = [r * np.float32(0.5) for r in rows]
    assert made(source, other).info.rows_sha256 != made(source, rows).info.rows_sha256


def test_answers_are_counted() -> None:
    source, rows = network("float32")
    name = tflite_plain.read(source).tensors[0].name
    with neurovm.convert_tflite(source, calibrate=rows[0]) as model:
        right = model.predict(rows[0]).reshape(len(rows[0]), -1).argmax(1)
    info = quantize(source, {name: rows[0]}, answers=right).info
    assert info.accuracy is not None
    assert info.accuracy[1] == 1.0
    with pytest.raises(ShapeError, match=r"answers: .*24 whole numbers"):
        quantize(source, {name: rows[0]}, answers=right[:-1])


REFUSED = {
    "shape": (lambda r: r[:, :7], r"shape \(24, 7, 8, 3\); \(8, 8, 3\), or \(n, 8, 8, 3\)"),
    "NaN": (lambda r: np.where(r == r[3, 2, 1, 0], np.nan, r), r"row 3, element \[2, 1, 0\]: NaN"),
    "infinity": (lambda r: np.where(r == r[0, 0, 0, 0], np.inf, r), "row 0, element .*infinity"),
    "constant": (lambda r: np.full_like(r, 2.5), "every value of all 24 rows is 2.5"),
    "empty": (lambda r: r[:0], "no rows"),
    "text": (lambda r: r.astype(str), "numbers are needed"),
    "too large": (lambda r: r.astype(np.float64) * 1e300, "infinity"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_wrong_rows(case: str) -> None:
    source, rows = network("float32")
    change, words = REFUSED[case]
    with pytest.raises(ShapeError, match=words) as caught:
        neurovm.convert_tflite(source, calibrate=change(rows[0]))
    assert "\n" not in str(caught.value)


def test_wrong_names() -> None:
    net = Net()
    a, b = net.input(4), net.input(4)
    source, rows = net.made(net.apply("ADD", [a, b], 1, 4))
    with pytest.raises(ShapeError, match="mapping with rows for x0, x1"):
        neurovm.convert_tflite(source, calibrate=rows[0])
    with pytest.raises(ShapeError, match=r"'z'.* x0, x1 are needed"):
        neurovm.convert_tflite(source, calibrate={"x0": rows[0], "z": rows[1]})
    with pytest.raises(ShapeError, match="different numbers of rows"):
        neurovm.convert_tflite(source, calibrate={"x0": rows[0], "x1": rows[1][:5]})


@pytest.mark.parametrize("storage", ["float32", "float16", "hybrid"])
def test_without_rows_it_says_what_to_give(storage: str) -> None:
    with pytest.raises(ModelError, match=r"--calibrate FILE .*calibrate=rows"):
        neurovm.convert_tflite(network(storage)[0])


def test_a_float_network_without_weights_is_refused_too() -> None:
    with pytest.raises(ModelError, match="--calibrate"):
        neurovm.convert_tflite(CASES["ADD"]()[0])


def test_int8_networks_take_no_rows() -> None:
    path = Path(__file__).parents[1] / "fixtures" / "digits_mlp.tflite"
    with pytest.raises(ModelError, match="quantized already"):
        neurovm.convert_tflite(path, calibrate=np.zeros((3, 64)))


def test_unknown_operators_are_named() -> None:
    net = Net()
    x = net.input(4)
    source, rows = net.made(net.apply("SIN", [x], 1, 4))
    with pytest.raises(UnsupportedOperatorError, match=r"operator 0 \(SIN\)"):
        neurovm.convert_tflite(source, calibrate=rows[0])


def test_weights_at_run_time_are_named() -> None:
    net = Net()
    x, w = net.input(4), net.input(4)
    source, rows = net.made(net.apply("FULLY_CONNECTED", [x, w, -1], 1, 1))
    with pytest.raises(UnsupportedOperatorError, match="constant weights; 'x1'"):
        made(source, rows)


def test_networks_quantized_in_part_are_named() -> None:
    w = ModelWriter()
    x = w.tensor("x", (1, 4), scale=0.1)
    y = w.tensor("y", (1, 4), dtype="float32")
    z = w.tensor("z", (1, 4), dtype="float32")
    w.operator("DEQUANTIZE", [x], [y])
    w.operator("TANH", [y], [z])
    with pytest.raises(ModelError, match="input 'x' is int8"):
        neurovm.convert_tflite(w.model(inputs=[x], outputs=[z]), calibrate=np.ones((2, 4)))


def test_nan_inside_the_float_network_is_located() -> None:
    net = Net()
    x = net.input(4, low=-1, high=1)
    y = net.apply("LOG", [x], 1, 4)
    source, rows = net.made(net.apply("TANH", [y], 1, 4))
    with pytest.raises(ModelError, match=r"operator 0 \(LOG\): NaN .* row 0"):
        made(source, rows)


def test_dead_outputs_get_a_step_that_works(tmp_path: Path) -> None:
    """A layer that gives 0.0 for all rows, one tiny channel, and a bias far beyond the weights."""
    net = Net()
    x = net.input(8, low=100, high=200)
    w = np.zeros((3, 8), np.float32)
    w[0] = -1.0
    w[1, 0] = 1e-12
    weights, bias = net.writer.constant("w", w), net.writer.constant("b", np.float32([0, 0, 9]))
    y = net.apply("FULLY_CONNECTED", [x, weights, bias], 1, 3, FusedActivationFunction="RELU")
    z = net.apply("FULLY_CONNECTED", [y, net.weights(2, 3), -1], 1, 2)
    source, rows = net.made(z)
    prove(made(source, rows), tmp_path, rows)
    dead = Net()
    x = dead.input(8, low=100, high=200)
    weights = dead.writer.constant("w", -np.ones((3, 8), np.float32))
    source, rows = dead.made(
        dead.apply("FULLY_CONNECTED", [x, weights, -1], 1, 3, FusedActivationFunction="RELU")
    )
    prove(made(source, rows), tmp_path, rows)


def test_written_again_it_is_the_same_network(tmp_path: Path) -> None:
    """Reading and writing a file changes no answer, whatever its numbers."""
    fixtures = sorted((Path(__file__).parents[1] / "fixtures").glob("*.tflite"))
    assert fixtures
    for path in fixtures:
        model = tflite_plain.read(path)
        (again := tmp_path / path.name).write_bytes(tflite_writer.write(model))
        rng = np.random.default_rng(1)
        with Runtime(path) as one, Runtime(again) as other:
            rows = [rng.integers(-128, 128, (4, *p.row_shape)).astype(p.dtype) for p in one.inputs]
            for a, b in zip(one.run(rows).outputs, other.run(rows).outputs, strict=True):
                assert np.array_equal(a, b)
            assert [dataclasses.astuple(p) for p in one.inputs] == [
                dataclasses.astuple(p) for p in other.inputs
            ]


def test_a_missing_runtime_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    source, rows = network("float32")

    def absent(*_args: object, **_settings: object) -> None:
        raise BackendError("neither LiteRT nor tflite-runtime can be imported")

    monkeypatch.setattr("neurovm.quantization.probe.Runtime", absent)
    with pytest.raises(BackendError, match="can be imported"):
        made(source, rows)


FLOATS = (
    "har/st_har_float_heck.tflite",
    "mlperf_tiny/ad01_fp32.tflite",
    "mlperf_tiny/kws_ref_model_float32.tflite",
    "mlperf_tiny/pretrainedResnet.tflite",
    "tflm/hello_world_float.tflite",
)


@shared_files.needed
@pytest.mark.parametrize("name", FLOATS)
def test_models_of_the_field(name: str, tmp_path: Path) -> None:
    """Converted on random rows; exactness does not depend on the data."""
    path = shared_files.ROOT / "models" / name
    rng = np.random.default_rng(5)
    rows = rng.uniform(-1, 1, (8, *neurovm.quantization.inputs(path)[0].shape[1:]))
    rows = rows.astype(np.float32)
    quantized = quantize(path, rows)
    assert quantized.info.source.name == path.name
    (kept := tmp_path / "kept.tflite").write_bytes(quantized.data)
    with convert_quantized(quantized) as model:
        proof = verify(kept, model=model, inputs=[rows], count=5, walk=5)
    assert proof.identical, proof.first_difference


def test_shapes_that_are_computed_are_those_of_a_run(tmp_path: Path) -> None:
    """As exporters leave it: the file guesses a shape that integers give at run time."""
    net = Net()
    a, b = net.input(4, 6), net.input(24)
    shape = net.writer.tensor("shape", (3,), dtype="int32")
    net.writer.operator("SHAPE", [a], [shape], OutType=2)
    parts = [net.writer.tensor(f"s{i}", (), dtype="int32") for i in range(3)]
    net.writer.operator("UNPACK", [shape], parts, Num=3, Axis=0)
    packed = net.writer.tensor("packed", (3,), dtype="int32")
    net.writer.operator("PACK", [parts[0], parts[1], parts[2]], [packed], ValuesCount=3, Axis=0)
    guessed = net.apply("RESHAPE", [b, packed], 1, 1, 1)
    net.writer.tensors[guessed].signature = (-1, -1, -1)
    source, rows = net.made(net.apply("ADD", [a, guessed], 1, 4, 6))
    quantized = made(source, rows)
    assert quantized.info.layers[-1].snr_db is not None
    assert all(x.snr_db is None or x.snr_db > FINE_DB for x in quantized.info.layers)
    prove(quantized, tmp_path, rows)


def wide_image(size: int, storage: str = "float32") -> bytes:
    """3 × 3 over a square image of four channels, its weights stored as they are."""
    w = ModelWriter()
    x = w.tensor("x", (1, size, size, 4), dtype="float32")
    k = w.constant("k", np.ones((4, 3, 3, 4), storage))
    if storage != "float32":
        k, stored = w.tensor("f", (4, 3, 3, 4), dtype="float32"), k
        w.operator("DEQUANTIZE", [stored], [k])
    y = w.tensor("y", (1, size, size, 4), dtype="float32")
    steps = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    w.operator("CONV_2D", [x, k, -1], [y], Padding="SAME", **steps)
    return w.model(inputs=[x], outputs=[y])


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_what_no_conversion_accepts_is_refused_before_anything_runs(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object, **__: object) -> None:
        raise AssertionError("it was run")

    monkeypatch.setattr(ranges, "observe", run)
    with pytest.raises(ModelError, match="16777216 activations in one tensor; at most 8388608"):
        quantize(wide_image(2048, storage), np.zeros((1, 4, 4, 4), np.float32))
    with pytest.raises(AssertionError, match="it was run"):
        quantize(wide_image(8, storage), np.arange(256, dtype=np.float32).reshape(1, 8, 8, 4))


def test_stored_weights_are_no_activations() -> None:
    """As float16 they stand in the file as constants and once more as tensors that are computed."""
    w = ModelWriter()
    x = w.tensor("x", (1, 3), dtype="float32")
    stored = w.constant("k", np.zeros((3 << 20, 3), np.float16))
    k = w.tensor("f", (3 << 20, 3), dtype="float32")
    y = w.tensor("y", (1, 3 << 20), dtype="float32")
    w.operator("DEQUANTIZE", [stored], [k])
    w.operator("FULLY_CONNECTED", [x, k, -1], [y])
    data = w.model(inputs=[x], outputs=[y])
    check_size(tflite_plain.read(data), data)
