# SPDX-License-Identifier: Apache-2.0
"""Damaged files: ModelError is all that leaves the reader and the passes, whatever the bytes."""

import tracemalloc

import flatbuffers
import numpy as np
import pytest
import tflite as schema
from fuzz.tflite_mutations import mutate
from hypothesis import given
from hypothesis import strategies as st
from operator_cases import CASES
from tflite_writer import ModelWriter

import neurovm
from neurovm.converters import tflite, tflite_plain
from neurovm.errors import ModelError
from neurovm.operators.window import MAX_EXTENT
from neurovm.passes import prepare
from neurovm.survey import survey

NETWORKS = [c.model for c in CASES if c.operator == "NETWORK"]
SINGLE = [c.model for c in CASES if c.name.endswith(("-NONE", "-1.0", "input"))]


def survives(data: bytes) -> bool:
    """Whether it was read; anything but ModelError is the test's failure."""
    try:
        prepare(tflite.read(data))
    except ModelError as e:
        assert "model.tflite" in str(e)
        return False
    return True


@pytest.mark.parametrize("part", range(10))
def test_random_damage(part: int) -> None:
    read = sum(
        survives(mutate((NETWORKS + SINGLE)[seed % (len(NETWORKS) + len(SINGLE))], seed))
        for seed in range(part * 250, part * 250 + 250)
    )
    assert 0 < read < 250


def test_every_truncation() -> None:
    model = NETWORKS[0]
    assert not any(survives(model[:n]) for n in range(0, len(model) - 64, 3))


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    assert not survives(data)
    assert not survives(b"\x10\0\0\0TFL3" + data)


@pytest.mark.parametrize("word", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_every_word_at_its_ends(word: int) -> None:
    model = NETWORKS[1]
    for at in range(0, len(model) - 3, 4):
        survives(model[:at] + word.to_bytes(4, "little") + model[at + 4 :])


def peak_bytes(data: bytes) -> int:
    tracemalloc.start()
    try:
        survives(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_shared_vectors_cannot_multiply_the_file() -> None:
    """Thousands of operators with one and the same vector of thousands of inputs."""
    w = ModelWriter()
    x = w.tensor("x", (1, 4), scale=1.0)
    many = [x] * 20000
    w.operator("PACK", many, [w.tensor("y", (20000, 1, 4), scale=1.0)])
    data = bytearray(w.model(inputs=[0], outputs=[1]))
    one = schema.Model.GetRootAs(bytes(data)).Subgraphs(0).Operators(0)
    # A new table of operators at the end of the file, all of them the one operator.
    table = one._tab.Pos
    start = len(data) + -len(data) % 4
    data += b"\0" * (start - len(data)) + (5000).to_bytes(4, "little")
    for i in range(5000):
        data += ((table - (start + 4 + 4 * i)) & 0xFFFFFFFF).to_bytes(4, "little")
    subgraph = schema.Model.GetRootAs(bytes(data)).Subgraphs(0)._tab
    field = subgraph.Pos + subgraph.Offset(10)
    data[field : field + 4] = (start - field).to_bytes(4, "little")
    with pytest.raises(ModelError):
        tflite.read(bytes(data))
    assert peak_bytes(bytes(data)) < 50 * len(data)


def test_more_tables_than_any_model_has() -> None:
    b = flatbuffers.Builder(0)
    schema.TensorStart(b)
    tensor = schema.TensorEnd(b)
    count = 1 << 17
    b.StartVector(4, count, 4)
    for _ in range(count):
        b.PrependUOffsetTRelative(tensor)
    tensors = b.EndVector()
    edges = b.CreateNumpyVector(np.array([0], np.int32))
    schema.SubGraphStart(b)
    schema.SubGraphAddTensors(b, tensors)
    schema.SubGraphAddInputs(b, edges)
    schema.SubGraphAddOutputs(b, edges)
    subgraph = schema.SubGraphEnd(b)
    b.StartVector(4, 1, 4)
    b.PrependUOffsetTRelative(subgraph)
    subgraphs = b.EndVector()
    schema.ModelStart(b)
    schema.ModelAddVersion(b, 3)
    schema.ModelAddSubgraphs(b, subgraphs)
    b.Finish(schema.ModelEnd(b), file_identifier=b"TFL3")
    with pytest.raises(ModelError, match="entries of a vector"):
        tflite.read(bytes(b.Output()))


def test_one_buffer_behind_many_constants() -> None:
    """Each constant is a view, but whoever packs them would copy each."""
    w = ModelWriter()
    x = w.tensor("x", (1, 4), scale=1.0)
    y = w.tensor("y", (1, 4), scale=1.0)
    w.operator("ADD", [x, x], [y])
    shared = w.constant("c", np.zeros(200_000, np.int8), scale=1.0)
    w.tensor("second", (200_000,), scale=1.0, shares=shared)
    assert tflite.read(w.model(inputs=[x], outputs=[y])).tensors[-1].data is not None
    for i in range(10):
        w.tensor(f"c{i}", (200_000,), scale=1.0, shares=shared)
    with pytest.raises(ModelError, match="overlap or claim more"):
        tflite.read(w.model(inputs=[x], outputs=[y]))


@pytest.mark.parametrize(
    "changes",
    [
        {"FilterHeight": 1 << 30, "FilterWidth": 1 << 30},
        {"StrideH": 1 << 30},
        {"FilterHeight": MAX_EXTENT},
        {"StrideW": 0},
        {"StrideW": -1},
        {"FilterWidth": -5},
    ],
)
def test_windows_without_measure(changes: dict[str, int]) -> None:
    w = ModelWriter()
    x = w.tensor("x", (1, 4, 4, 1), scale=1.0)
    y = w.tensor("y", (1, 1, 1, 1), scale=1.0, signature=(-1, -1, -1, -1))
    options = {"Padding": "SAME", "StrideH": 1, "StrideW": 1, "FilterHeight": 2, "FilterWidth": 2}
    w.operator("AVERAGE_POOL_2D", [x], [y], **(options | changes))
    with pytest.raises(ModelError, match="window"):
        prepare(tflite.read(w.model(inputs=[x], outputs=[y])))


SHAPE = (1, 6, 6, 2)


def chain(*shapes: tuple[int, ...], constant: int = -1) -> bytes:
    """LOGISTIC after LOGISTIC between tensors of these shapes, whose batch the file leaves open."""
    w = ModelWriter()
    for i, shape in enumerate(shapes):
        data = np.zeros(shape, np.int8) if i == constant else None
        signature = (-1, *shape[1:])
        w.tensor(f"t{i}", shape, scale=1 / 256, zero_point=-128, signature=signature, data=data)
    for i in range(1, len(shapes)):
        w.operator("LOGISTIC", [i - 1], [i])
    return w.model(inputs=[0], outputs=[len(shapes) - 1])


@pytest.mark.parametrize("place", range(3))
def test_tensors_without_elements(place: int) -> None:
    shapes = [SHAPE] * 3
    shapes[place] = (0, 6, 6, 2)
    data = chain(*shapes)
    words = rf"tensor {place} \(t{place}\): int8 of shape \(0, 6, 6, 2\) has no elements"
    for refuse in (tflite.read, tflite_plain.read):
        with pytest.raises(ModelError, match=words):
            refuse(data)
    found = survey("t.tflite", data, "xnnpack")
    assert [one.needed is not None and "no elements" in one.needed for one in found] == [
        place < 2,
        place > 0,
    ]


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "float32", "bool"])
def test_of_what_operators_use_only_lists_of_sizes_may_be_empty(
    shape: tuple[int, ...], dtype: str
) -> None:
    w = ModelWriter()
    w.tensor("x", (1, 1), scale=1.0)
    w.tensor("sizes", shape, dtype=dtype)
    w.tensor("y", (), scale=1.0)
    w.operator("RESHAPE", [0, 1], [2])
    w.operator("ABS", [2], [w.tensor("z", (), scale=1.0)])
    data = w.model(inputs=[0], outputs=[3])
    if (shape, dtype) == ((0,), "int32"):
        assert prepare(tflite.read(data)).tensors[3].shape == ()
        assert neurovm.convert_tflite(data).outputs[0].size == 1
        return
    with pytest.raises(ModelError, match=r"tensor 1 \(sizes\).* has no elements"):
        tflite.read(data)


def test_what_no_operator_uses_may_be_empty() -> None:
    w = ModelWriter()
    w.tensor("x", (1, 4), scale=1.0)
    w.tensor("y", (1, 4), scale=1.0)
    w.tensor("between", (0,), dtype="float32")
    w.operator("ABS", [0], [1], intermediates=[2])
    data = w.model(inputs=[0], outputs=[1])
    assert len(tflite.read(data).tensors) == len(tflite_plain.read(data).tensors) == 3


@pytest.mark.parametrize("place", range(3))
def test_constants_where_values_are_computed(place: int) -> None:
    """Their shape follows from the batch or the operator, their data from nothing."""
    shapes = [SHAPE] * 3
    shapes[place] = (2, 6, 6, 2)
    data = chain(*shapes, constant=place)
    with pytest.raises(ModelError, match=r"is a constant|is produced twice"):
        tflite.read(data)
    survey("t.tflite", data, "xnnpack")
