# SPDX-License-Identifier: Apache-2.0
"""The oracle on third-party models and on recorded one-operator vectors, where they are at hand."""

import json
from functools import cache
from pathlib import Path

import litert
import numpy as np
import pytest
import shared_files
from streams import every_tensor

from neurovm import reference
from neurovm.arithmetic import PROFILES
from neurovm.converters import tflite
from neurovm.errors import ModelError
from neurovm.passes import prepare

XNNPACK = PROFILES["xnnpack"]
GOLDEN = shared_files.ROOT / "golden" / "ops"
SAMPLES = 60
LEGACY = "coral/mobilenet_v1_0.25_128_quant.tflite"
# Whole families of the recorded set that are converted; of "LIN" the int8 forms.
FAMILIES = {
    "ABS": 7, "ADD": 17, "AVERAGE_POOL_2D": 7, "CONCATENATION": 5, "D2S": 2, "DEQUANTIZE": 4,
    "DIV": 13, "ELU": 7, "EXP": 6, "GELU": 11, "HARD_SWISH": 7, "L2_NORMALIZATION": 5,
    "LEAKY_RELU": 9, "LIN": 81, "LOG": 4, "LOGISTIC": 10, "LOG_SOFTMAX": 5, "MAXIMUM": 7,
    "MAX_POOL_2D": 3, "MEAN": 9, "MINIMUM": 7, "MUL": 19, "NEG": 4, "PAD": 2, "PADCONV": 2,
    "PADV2": 2, "PRELU": 10, "QUANTIZE": 31, "QUANTIZE_F": 2, "REDUCE_MAX": 6, "REDUCE_MIN": 6,
    "RELU": 9, "RELU6": 9, "RELU_0_TO_1": 4, "RELU_N1_TO_1": 6, "RESIZE_BILINEAR": 6,
    "RESIZE_NN": 6, "RSQRT": 4, "S2D": 2, "SOFTMAX": 12, "SPLIT": 2, "SQRT": 4,
    "SQUARED_DIFFERENCE": 13, "STRIDED_SLICE": 2, "SUB": 17, "SUM": 9, "TANH": 10, "TRANSPOSE": 2,
    "chain": 40, "SVDF": 2, "UNIDIRECTIONAL_SEQUENCE_LSTM": 1,
}  # fmt: skip

TFLM = {"LIN": 82, "QUANTIZE": 26, "chain": 40, "MUL": 18} | dict.fromkeys(
    ("EXP", "GELU", "LOG", "LOG_SOFTMAX", "NEG", "RELU_0_TO_1", "RELU_N1_TO_1", "SQRT"), 0
)
"""The same for TFLM, where it is not at least one."""


@shared_files.needed
@pytest.mark.skipif(not litert.INSTALLED, reason=litert.MISSING)
@pytest.mark.parametrize("name", [*shared_files.MODELS.values(), *shared_files.STATEFUL, LEGACY])
def test_every_layer_equals_litert(name: str) -> None:
    path = shared_files.ROOT / "models" / name
    graph = prepare(tflite.read(path))
    rng = np.random.default_rng(7)
    inputs = []
    for i in graph.inputs:
        tensor = graph.tensors[i]
        assert tensor.dtype == ("uint8" if name == LEGACY else "int8")
        codes = rng.integers(0, 256, (SAMPLES, *tensor.shape)).astype(np.uint8)
        inputs.append(codes.view(tensor.dtype))
    ours = every_tensor(graph, XNNPACK, inputs)
    made = {i for operator in graph.operators for i in operator.outputs}
    assert len(ours) >= len(made) - len(graph.states) + len(graph.inputs)
    (theirs,) = litert.run_all([litert.Job(path.read_bytes(), inputs, sorted(ours))])
    assert theirs.refused is None
    differing = {
        i: int((v.reshape(-1) != theirs.values[i].reshape(-1)).sum()) for i, v in ours.items()
    }
    assert not any(differing.values()), differing


@cache
def manifest() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads((GOLDEN / "manifest.json").read_text())
    return found


def recorded(family: str, profile: str) -> list[Path]:
    """Models the runtime ran, whose behaviour is defined, with recorded outputs."""
    return [
        GOLDEN / f"{name}.tflite"
        for name, entry in sorted(manifest().items())
        if entry["op"] == family and entry[profile] == "ok" and not entry.get("undefined_behaviour")
        if (GOLDEN / f"{name}.npz").exists()
    ]


@shared_files.needed
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("profile", PROFILES)
def test_recorded_outputs(profile: str, family: str) -> None:
    """Equal to what the runtime answered; what is refused is refused for its number format."""
    equal = 0
    for path in recorded(family, profile):
        with np.load(path.with_suffix(".npz")) as recording:
            arrays = dict(recording)
        if f"{profile}_o0" not in arrays:
            continue
        inputs = [arrays[k] for k in sorted(arrays) if k[0] == "i" and k[1:].isdigit()]
        try:
            graph = prepare(tflite.read(path))
            codes = reference.Stream(graph, PROFILES[profile]).run(inputs)[graph.outputs[0]]
        except ModelError as e:
            reasons = ("int16", "int32", "float32", "TFLM's fixed-point logarithm")
            assert any(word in str(e) for word in reasons), e
            continue
        expected = arrays[f"{profile}_o0"]
        assert np.array_equal(codes.reshape(-1), expected.reshape(-1)), path.name
        equal += 1
    assert equal >= (FAMILIES[family] if profile == "xnnpack" else TFLM.get(family, 1))
