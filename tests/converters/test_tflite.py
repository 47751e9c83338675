# SPDX-License-Identifier: Apache-2.0
"""Reading .tflite: what a graph holds, and what is refused, by name and place."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import shared_files
import tflite as schema
from operator_cases import CASES, Net
from tflite_writer import ModelWriter

import neurovm
from neurovm.converters import tflite
from neurovm.converters.tflite_file import operator_name
from neurovm.converters.tflite_operators import DECODERS
from neurovm.errors import ModelError, UnsupportedOperatorError
from neurovm.operators import REGISTRY, AveragePool2D, Conv2D, FullyConnected, Mean, Pad

BY_NAME = {case.name: case for case in CASES}


def small(**weights: object) -> ModelWriter:
    """x (1, 4) → FULLY_CONNECTED → y (1, 3); tensors 0 x, 1 w, 2 b, 3 y."""
    w = ModelWriter()
    w.tensor("x", (1, 4), scale=0.5, zero_point=-7)
    data = np.arange(12, dtype=np.int8).reshape(3, 4)
    w.constant("w", data, **({"scale": [0.25, 0.5, 0.125], "zero_point": [0] * 3} | weights))
    w.constant("b", np.array([1, -2, 3], np.int32), scale=[0.1] * 3, zero_point=[0] * 3)
    w.tensor("y", (1, 3), scale=0.75, zero_point=11)
    w.operator("FULLY_CONNECTED", [0, 1, 2], [3], FusedActivationFunction="RELU6")
    return w


def small_bytes(w: ModelWriter | None = None) -> bytes:
    return (w or small()).model(inputs=[0], outputs=[3])


def test_a_graph_holds_what_the_file_says() -> None:
    data = small_bytes()
    graph = tflite.read(data, name="small")
    assert graph.name == "small"
    assert graph.source.format == "tflite"
    assert graph.source.sha256 == hashlib.sha256(data).hexdigest()
    assert graph.source.bytes == len(data)
    assert (graph.inputs, graph.outputs) == ((0,), (3,))
    x, w, b, y = graph.tensors
    assert (x.name, x.shape, x.dtype, x.scale, x.zero_point) == ("x", (1, 4), "int8", 0.5, -7)
    assert w.data is not None
    assert w.data.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert w.quantization is not None
    assert w.quantization.scale == (0.25, 0.5, 0.125)
    assert b.data is not None
    assert b.data.tolist() == [1, -2, 3]
    assert (y.scale, y.zero_point) == (0.75, 11)
    assert graph.operators == (
        FullyConnected(
            index=0, source_name="FULLY_CONNECTED", inputs=(0, 1, 2), outputs=(3,),
            activation="RELU6", bias_type="float32",  # What the schema says by default.
        ),
    )  # fmt: skip


def test_constants_are_read_only_views_of_the_file() -> None:
    weights = tflite.read(small_bytes()).tensors[1].data
    assert weights is not None
    assert not weights.flags.writeable
    assert not weights.flags.owndata


def test_a_path_names_the_graph(tmp_path: Path) -> None:
    path = tmp_path / "pump.tflite"
    path.write_bytes(small_bytes())
    assert tflite.read(path).name == "pump"
    assert tflite.read(str(path)).source.name == "pump.tflite"
    with pytest.raises(FileNotFoundError):
        tflite.read(tmp_path / "missing.tflite")


def test_options_reach_the_operators() -> None:
    conv = tflite.read(BY_NAME["CONV_2D:VALID-(1, 2)-(2, 1)-(2, 4)"].model).operators[0]
    assert isinstance(conv, Conv2D)
    assert (conv.padding, conv.stride, conv.dilation) == ("VALID", (1, 2), (2, 1))
    pool = tflite.read(BY_NAME["AVERAGE_POOL_2D:SAME-(3, 2)-(2, 3)-RELU6"].model).operators[0]
    assert isinstance(pool, AveragePool2D)
    assert (pool.window, pool.stride, pool.activation) == ((3, 2), (2, 3), "RELU6")
    mean = tflite.read(BY_NAME["MEAN:(-1, 1)-True-1.0"].model).operators[0]
    assert isinstance(mean, Mean)
    assert (mean.axes, mean.keep_dims) == ((1, 3), True)
    pad = tflite.read(BY_NAME["PAD:(1, 4, 5, 2)-((0, 0), (1, 2), (0, 3), (0, 0))"].model).operators[
        0
    ]
    assert isinstance(pad, Pad)
    assert (pad.before, pad.after) == ((0, 1, 0, 0), (0, 2, 3, 0))


def test_old_files_have_the_operator_in_a_byte() -> None:
    new, old = (
        small().model(inputs=[0], outputs=[3]),
        small().model(inputs=[0], outputs=[3], old=True),
    )
    assert tflite.read(new).operators == tflite.read(old).operators


def test_every_operator_and_every_decoder_has_cases() -> None:
    read = [o for case in CASES for o in tflite.read(case.model).operators]
    assert {o.name for o in read} == set(REGISTRY)
    decoded = {operator_name(code) for code in DECODERS} | {"READ_VARIABLE"}
    assert {o.source_name for o in read} == decoded


def test_all_operators_without_a_rule_are_named_at_once() -> None:
    w = ModelWriter()
    for i in range(5):
        w.tensor(f"t{i}", (1, 4), scale=0.5)
    w.operator("CUMSUM", [0], [1])
    w.operator("ADD", [0, 1], [2])
    w.custom("SignalWindow", [2], [3])
    w.operator("CUMSUM", [3], [4])
    with pytest.raises(UnsupportedOperatorError) as caught:
        tflite.read(w.model(inputs=[0], outputs=[4]), name="odd.tflite")
    error = caught.value
    assert (error.source, error.operator, error.index) == ("odd.tflite", "CUMSUM", 0)
    assert "CUMSUM (operators 0, 3); CUSTOM SignalWindow (operator 2)" in str(error)
    assert "in place of CUMSUM: FULLY_CONNECTED with a triangular" in str(error)


@pytest.mark.parametrize(
    ("x", "w", "words"),
    [
        ("float32", "float32", "a float model"),
        ("float32", "int8", "a hybrid model"),
        ("int32", "int8", "other number formats"),
    ],
)
def test_other_number_formats_are_named(x: str, w: str, words: str) -> None:
    writer = small()
    writer.tensors[0].dtype = x
    writer.tensors[1].dtype = w
    with pytest.raises(
        ModelError, match=f"operator 0 .FULLY_CONNECTED.: .*{words}.*(post-training|--calibrate)"
    ):
        tflite.read(small_bytes(writer))


def change(**fields: object) -> ModelWriter:
    """`small` with fields of one tensor changed: w_shape=… is the shape of w."""
    writer = small()
    names = [t.name for t in writer.tensors]
    for key, value in fields.items():
        tensor, field = key.split("_", maxsplit=1)
        setattr(writer.tensors[names.index(tensor)], field, value)
    return writer


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"x_shape": (1, -4)}, r"tensor 0 \(x\): shape \(1, -4\)"),
        ({"x_shape": (1,) * 9}, "at most 8 axes"),
        ({"y_shape": (1 << 20, 1 << 20)}, "elements together"),
        ({"w_shape": (3, 5)}, r"tensor 1 \(w\): 12 bytes of constant; int8 \(3, 5\) takes 15"),
        ({"b_data": b"\0" * 11}, "11 bytes of constant"),
        ({"x_signature": (-1, 5)}, r"signature \(-1, 5\) contradicts shape"),
        ({"x_signature": (-1,)}, "contradicts shape"),
        ({"x_scale": (float("nan"),)}, "a scale is negative, infinite or NaN"),
        ({"x_scale": (float("inf"),)}, "a scale is negative, infinite or NaN"),
        ({"x_scale": (-0.5,)}, "a scale is negative, infinite or NaN"),
        ({"x_zero_point": (128,)}, "outside -128 … 127"),
        ({"w_zero_point": (0, 0)}, "2 zero points for 3 scales"),
        ({"w_axis": 1}, "3 scales along axis 1 do not fit shape"),
        ({"w_axis": 7}, "3 scales along axis 7 do not fit"),
        ({"w_axis": -1}, "3 scales along axis -1 do not fit"),
        ({"y_dtype": "string"}, "element type STRING"),
        ({"x_data": b"\0" * 4}, "input tensor 0 is a constant"),
    ],
)  # fmt: skip
def test_tensors_that_contradict_themselves(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=rf"bad\.tflite: .*{words}"):
        tflite.read(small_bytes(change(**fields)), name="bad.tflite")


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ([9], [3], "tensors (9,)"), ([0], [-2], "tensors (-2,)"), ([], [3], "at least one each"),
        ([0], [], "at least one"),
        ([0, 0], [3], "no input twice"), ([-1], [3], "at least one each"),
    ],
)  # fmt: skip
def test_edges_that_do_not_exist(inputs: list[int], outputs: list[int], words: str) -> None:
    with pytest.raises(ModelError) as caught:
        tflite.read(small().model(inputs=inputs, outputs=outputs))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ([0], [3], "2 to 3 inputs"), ([0, 1, 2, 2], [3], "2 to 3 inputs"),
        ([0, -1], [3], "inputs (0, -1)"),
        ([0, 1], [], "one output"), ([0, 1], [-1], "absent"), ([0, 55], [3], "tensors (0, 55)"),
    ],
)  # fmt: skip
def test_operators_with_wrong_arguments(inputs: list[int], outputs: list[int], words: str) -> None:
    writer = small()
    writer.operators.clear()
    writer.operator("FULLY_CONNECTED", inputs, outputs)
    with pytest.raises(ModelError, match="operator 0") as caught:
        tflite.read(small_bytes(writer))
    assert words in str(caught.value)


def test_order_and_producers_are_checked() -> None:
    writer = small()
    writer.operator("ADD", [3, 3], [3])
    with pytest.raises(ModelError, match="produced twice"):
        tflite.read(small_bytes(writer))
    writer = small()
    late = writer.tensor("late", (1, 4), scale=0.5)
    writer.operators[0].inputs = (late, 1, 2)
    writer.operator("ADD", [0, 0], [late])
    with pytest.raises(ModelError, match="before anything produces it"):
        tflite.read(small_bytes(writer))
    writer = small()
    writer.tensors[1].data = None
    writer.operators.clear()
    with pytest.raises(ModelError, match="nothing produces output tensor 1"):
        tflite.read(writer.model(inputs=[0], outputs=[1]))


@pytest.mark.parametrize(
    ("options", "words"),
    [({"FusedActivationFunction": "TANH"}, "fused activation"), ({"WeightsFormat": 1}, "shuffled")],
)
def test_forms_without_a_rule(options: dict[str, object], words: str) -> None:
    writer = small()
    writer.operators[0].options = options
    with pytest.raises(UnsupportedOperatorError, match=words):
        tflite.read(small_bytes(writer))


def test_axes_computed_at_run_time() -> None:
    net = Net("MEAN")
    x = net.input((1, 4))
    axes = net.input((1,), dtype="float32")
    net.writer.tensors[axes].dtype = "int32"
    y = net.output((1,))
    net.writer.operator("MEAN", [x, axes], [y])
    with pytest.raises(UnsupportedOperatorError, match="its axes are computed at run time"):
        tflite.read(net.case(y).model)


def test_control_flow_is_refused_by_name() -> None:
    writer = small()
    writer.operator("WHILE", [3], [writer.tensor("z", (1, 3), scale=0.5)])
    with pytest.raises(UnsupportedOperatorError, match="WHILE"):
        tflite.read(small_bytes(writer))


@pytest.mark.parametrize(
    "data",
    [b"", b"TFL3", b"\x08\0\0\0TFL3", b"\xff" * 4 + b"TFL3" + b"\xff" * 64, b"PK\x03\x04" * 9],
)
def test_what_is_no_model(data: bytes) -> None:
    with pytest.raises(ModelError, match=r"x\.tflite"):
        tflite.read(data, name="x.tflite")


def test_another_schema_version() -> None:
    with pytest.raises(ModelError, match="schema version 4"):
        tflite.read(small().model(inputs=[0], outputs=[3], version=4))


def test_names_need_not_be_utf8() -> None:
    data = small_bytes().replace(b"\x01\0\0\0y\0", b"\x01\0\0\0\xff\0")
    assert tflite.read(data).tensors[3].name == "\\xff"


def test_operator_names_are_the_schema_s() -> None:
    assert tflite.operator_name(schema.BuiltinOperator.CONV_2D) == "CONV_2D"
    assert tflite.operator_name(9999) == "number 9999"


THIRD_PARTY_REFUSALS = {
    "har/st_har_float_heck.tflite": "a float model",
    "mlperf_tiny/kws_ref_model_float32.tflite": "a hybrid model",
    "tflm/audio_preprocessor_int8.tflite": "CUSTOM SignalWindow",
    "tflm/keyword_scrambled_8bit.tflite": "it makes int32 of int16",
    "tflm/person_detect.tflite": "quantized along axis 3",
}


@shared_files.needed
@pytest.mark.parametrize("path", THIRD_PARTY_REFUSALS)
def test_third_party_models_are_refused_for_the_reason(path: str) -> None:
    with pytest.raises(ModelError, match=THIRD_PARTY_REFUSALS[path]):
        neurovm.convert_tflite(shared_files.ROOT / "models" / path)
