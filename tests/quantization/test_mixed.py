# SPDX-License-Identifier: Apache-2.0
"""Mixed precision: within its budget, better than int8 alone, and as exact to its file."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from float_networks import CASES, Net, network

import neurovm
from neurovm.backends.runtime import Runtime
from neurovm.convert import convert_quantized
from neurovm.converters import tflite_plain
from neurovm.errors import ModelError
from neurovm.quantization import Quantized, quantize
from neurovm.quantization.mixed import work_of
from neurovm.quantization.rules import RULES
from neurovm.verify import verify

pytestmark = pytest.mark.skipif(
    find_spec("ai_edge_litert") is None,
    reason="ai-edge-litert is not installed; there are wheels for x86_64 and aarch64 only",
)


def made(source: bytes, rows: list[np.ndarray], share: float | None) -> Quantized:
    model = tflite_plain.read(source)
    named = {model.tensors[i].name: r for i, r in zip(model.inputs, rows, strict=True)}
    return quantize(source, named, mixed=share)


def prove(quantized: Quantized, folder: Path, rows: list[np.ndarray]) -> None:
    (path := folder / quantized.name).write_bytes(quantized.data)
    with convert_quantized(quantized) as model:
        given = {t.name: r for t, r in zip(model.inputs, rows, strict=True)}
        proof = verify(path, model=model, inputs=[given], count=20, walk=20)
    assert proof.identical, proof.first_difference
    assert proof.predict.elements > 0


def snr_db(quantized: Quantized) -> float:
    """Of the last layer before the softmax."""
    found = [layer.snr_db for layer in quantized.info.layers if layer.source_op != "SOFTMAX"]
    assert found[-1] is not None
    return found[-1]


@pytest.mark.parametrize("storage", ["float32", "hybrid"])
def test_within_the_budget_and_better(storage: str, tmp_path: Path) -> None:
    source, rows = network(storage)
    plain = made(source, rows, None)
    for share in (0.3, 1.0):
        mixed = made(source, rows, share)
        bits = {layer.operator: layer.bits for layer in mixed.info.layers}
        assert 0 < mixed.info.wide_share <= share
        assert 16 in bits.values()
        assert (set(bits.values()) == {8, 16}) == (share < 1.0)
        assert snr_db(mixed) > snr_db(plain) + (0.5 if share < 1.0 else 3.0)
        model = tflite_plain.read(source)
        work = {
            op.index: work_of(model, op)
            for op in model.operators
            if op.name in RULES and RULES[op.name].kind not in ("same", "joined", "symmetric")
        }
        wide = sum(n for i, n in work.items() if bits.get(i) == 16)
        assert wide / sum(work.values()) == pytest.approx(mixed.info.wide_share)
        prove(mixed, tmp_path, rows)


WIDE = sorted(
    name
    for name, rule in RULES.items()
    if rule.versions[1] and rule.kind in ("weighted", "free", "fixed")
)


@pytest.mark.parametrize("operator", WIDE)
def test_every_operator_with_a_16_bit_form(operator: str, tmp_path: Path) -> None:
    source, rows = CASES[operator]()
    mixed = made(source, rows, 1.0)
    assert mixed.info.layers[0].bits == 16
    prove(mixed, tmp_path, rows)


def test_the_worst_layer_is_the_one_that_is_kept(tmp_path: Path) -> None:
    """Two dense layers; the values between them have one element a hundred times the others."""
    net = Net()
    x = net.input(16, low=-1.0, high=1.0)
    first = net.rng.normal(0, 0.3, (12, 16)).astype(np.float32)
    first[0] *= 100
    second = net.rng.normal(0, 0.3, (12, 12)).astype(np.float32)
    second[:, 0] = 0.001
    a = net.apply("FULLY_CONNECTED", [x, net.writer.constant("a", first), -1], 1, 12)
    b = net.apply("FULLY_CONNECTED", [a, net.writer.constant("b", second), -1], 1, 12)
    c = net.apply("FULLY_CONNECTED", [b, net.weights(40, 12), -1], 1, 40)
    source, rows = net.made(c)
    mixed = made(source, rows, 0.5)
    assert [layer.bits for layer in mixed.info.layers] == [16, 16, 8]
    assert snr_db(mixed) > snr_db(made(source, rows, None)) + 6
    prove(mixed, tmp_path, rows)


def test_python_interface_and_refusals() -> None:
    source, rows = network("float32")
    with neurovm.convert_tflite(source, calibrate=rows[0], mixed=0.5) as model:
        assert model.manifest.approx.wide_share > 0
    for share in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(ModelError, match="above 0 to 1"):
            neurovm.convert_tflite(source, calibrate=rows[0], mixed=share)
    with pytest.raises(ModelError, match="goes with calibrate"):
        neurovm.convert_tflite(source, mixed=0.5)
    data, values = CASES["GELU"]()
    with pytest.raises(ModelError, match="no operator with a 16-bit form"):
        made(data, values, 0.5)


def test_the_float_answers_are_nearer(tmp_path: Path) -> None:
    source, rows = network("float32")
    (path := tmp_path / "float.tflite").write_bytes(source)
    with Runtime(path) as lite:
        exact = lite.run(rows).outputs[0].reshape(len(rows[0]), -1)
    gaps = []
    for share in (None, 1.0):
        with convert_quantized(made(source, rows, share)) as model:
            found = model.predict(rows[0]).reshape(exact.shape)
        gaps.append(float(np.square(found - exact).sum()))
    assert gaps[1] < gaps[0] / 2
