# SPDX-License-Identifier: Apache-2.0
"""verify: every fixture is identical, and whatever is not identical is found and named."""

from __future__ import annotations

import dataclasses
import json
import os
from importlib.util import find_spec
from pathlib import Path

import micro
import numpy as np
import pytest
from operator_cases import CASES
from tflite_writer import ModelWriter

import neurovm
from neurovm import certificate, program, reference, stimuli
from neurovm.arithmetic import PROFILES
from neurovm.backends.runtime import Runtime
from neurovm.certificate import Certificate, Tally
from neurovm.converters import tflite
from neurovm.description import TensorInfo
from neurovm.disputed import is_disputed
from neurovm.errors import BackendError, BundleError, ModelError, ShapeError
from neurovm.model import Model
from neurovm.passes import prepare
from neurovm.verify import verify

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = sorted([*(ROOT / "tests/fixtures").glob("*.tflite"), ROOT / "examples/pump/pump.tflite"])
MLP = ROOT / "tests/fixtures/digits_mlp.tflite"
CNN = ROOT / "tests/fixtures/digits_cnn.tflite"
needs_litert = pytest.mark.skipif(
    find_spec("ai_edge_litert") is None,
    reason="ai-edge-litert is not installed; there are wheels for x86_64 and aarch64 only",
)
needs_micro = pytest.mark.skipif(not micro.INSTALLED, reason=micro.MISSING)
OLD_PYTHON = os.environ.get("NEUROVM_OLD_PYTHON")
FEW = {"count": 40, "walk": 40}


def altered(path: Path, operator: int) -> Model:
    """The model with one weight of one operator changed by one, and no golden vectors to notice."""
    graph = prepare(tflite.read(path))
    (op,) = (o for o in graph.operators if o.index == operator)
    tensors = list(graph.tensors)
    weights = tensors[op.inputs[1]]
    assert weights.data is not None
    data = weights.data.copy()
    data.reshape(-1)[np.argmax(np.abs(data.reshape(-1).astype(int)) < 100)] += 20
    tensors[op.inputs[1]] = dataclasses.replace(weights, data=data)
    wrong = dataclasses.replace(graph, tensors=tuple(tensors))
    return Model(program.compile_graph(wrong, PROFILES["xnnpack"]))


@needs_litert
@pytest.mark.parametrize("path", NETWORKS, ids=lambda p: p.stem)
def test_every_fixture_is_identical_layer_by_layer(path: Path) -> None:
    seen: list[tuple[int, int]] = []
    proof = verify(path, **FEW, progress=lambda done, total: seen.append((done, total)))
    assert proof.identical, proof.first_difference
    assert seen[-1] == (80, 80)
    assert proof.layers
    for layer in proof.layers:
        assert layer.oracle.elements > 0, layer
        assert layer.oracle.differing == 0, layer
        assert layer.layer is not None, layer
        assert layer.kernel.elements == layer.oracle.elements
        assert layer.kernel.differing == 0, layer
    assert proof.predict.elements == proof.session.elements == 2 * proof.events.elements
    assert 0 < proof.sops <= proof.dense_macs
    json.dumps(proof.as_dict(), allow_nan=False)


@needs_litert
@pytest.mark.parametrize("coding", ["unit", "bitplane", "ttfs"])
def test_spikes_give_the_same_codes(coding: str) -> None:
    proof = verify(MLP, coding=coding, **FEW)
    assert proof.coding == coding
    assert proof.identical, proof.first_difference


@needs_litert
def test_the_same_seed_gives_the_same_certificate() -> None:
    first, second = (verify(MLP, **FEW, seed=7).as_dict() for _ in range(2))
    assert first == second
    assert verify(MLP, **FEW, seed=8).as_dict()["sops"] != first["sops"]


@needs_litert
@pytest.mark.parametrize("operator", [0, 1])
def test_a_wrong_weight_is_found_and_its_operator_alone_named(operator: int) -> None:
    proof = verify(CNN, model=altered(CNN, operator), **FEW)
    assert not proof.identical
    assert wrong_operators(proof) == [operator]
    assert f"operator {operator} (" in str(proof.first_difference)
    assert "kernel differs" in str(proof.first_difference)
    assert all(layer.oracle.differing == 0 for layer in proof.layers)
    assert proof.session.differing > 0


def wrong_operators(proof: Certificate) -> list[int]:
    return [layer.operator for layer in proof.layers if layer.kernel.differing]


@needs_litert
def test_an_error_that_spreads_in_the_network_stays_where_it_is_in_the_proof() -> None:
    """A wrong multiplier in the file's own bytes, in the first of the layers."""
    right = neurovm.convert_tflite(CNN)
    (first, *later) = [x for x in right.explain() if x.kind in ("CONV", "DWCONV", "DENSE")]
    arena = bytearray(right.content.arena)
    record = right.content.layers[first.index * 128 :][:128]
    at = int.from_bytes(record[76:80], "little")
    scale = np.frombuffer(arena, np.float32, 1, at) * np.float32(1.5)
    arena[at : at + 4] = scale.tobytes()
    tensors = {**right.content.tensors, "arena": memoryview(bytes(arena))}
    wrong = Model(dataclasses.replace(right.content, tensors=tensors))

    pixels = np.random.default_rng(0).integers(-128, 128, right.inputs[0].size).astype(np.int8)
    sessions = [model.session() for model in (right, wrong)]
    for session in sessions:
        session.step(pixels)
    spread = [
        layer.index
        for layer in (first, *later)
        if bytes(sessions[0].layer(layer.index).codes)
        != bytes(sessions[1].layer(layer.index).codes)
    ]
    assert len(spread) > 1, "the error is to reach layers that are right"

    proof = verify(CNN, model=wrong, **FEW)
    assert wrong_operators(proof) == [first.source_op]
    named = next(x for x in proof.layers if x.operator == first.source_op)
    assert named.kernel.differing > 0
    assert named.oracle.differing == 0
    assert f"operator {first.source_op} (" in str(proof.first_difference)


@needs_litert
def test_what_litert_delegates_is_recorded() -> None:
    proof = verify(CNN, **FEW)
    told = {layer.source_op: layer.delegated for layer in proof.layers}
    assert told["CONV_2D"] is True
    assert proof.inner == "preserved"


@needs_micro
@pytest.mark.parametrize("path", NETWORKS, ids=lambda p: p.stem)
def test_profile_tflm_is_judged_by_tflite_micro(path: Path) -> None:
    proof = verify(path, profile="tflm", **FEW)
    assert proof.identical, proof.first_difference
    assert (proof.runtime, proof.profile, proof.inner) == ("tflite_micro", "tflm", "outputs")
    assert all(layer.kernel.elements == layer.oracle.elements > 0 for layer in proof.layers)
    assert all(layer.delegated is False for layer in proof.layers)


@needs_micro
def test_one_copy_for_each_tensor_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = Runtime._keep_by_copies

    def apart(self: Runtime, groups: list[list[int]], method: str) -> None:
        del method
        keep(self, [[tensor] for group in groups for tensor in group], "one at a time")

    together = verify(MLP, profile="tflm", **FEW)
    monkeypatch.setattr(Runtime, "_keep_by_copies", apart)
    proof = verify(MLP, profile="tflm", **FEW)
    assert proof.inner == "one at a time"
    assert proof.layers == together.layers


@needs_litert
def test_operators_between_readable_tensors_are_one_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = tflite.read(CNN)
    first = graph.operators[0].outputs[0]
    wanted = [i for op in graph.operators for i in op.outputs if i != first]
    monkeypatch.setattr("neurovm.verify._Comparison.wanted", lambda _: wanted)
    proof = verify(CNN, **FEW)
    assert proof.identical, proof.first_difference
    assert proof.layers[0].covers == (0, 1)
    wrong = verify(CNN, model=altered(CNN, 0), **FEW)
    assert "covers operators 0, 1" in str(wrong.first_difference)


@needs_litert
def test_a_wrong_oracle_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = reference.Stream.run
    model = neurovm.convert_tflite(MLP)

    def wrong(*args: object) -> object:
        values = right(*args)
        last = max(values)
        values[last] = values[last] ^ np.int8(1)
        return values

    monkeypatch.setattr(reference.Stream, "run", wrong)
    proof = verify(MLP, model=model, **FEW)
    assert not proof.identical
    assert proof.oracle.differing == proof.oracle.elements
    assert "oracle differs" in str(proof.first_difference)


@needs_litert
def test_a_session_that_forgets_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    model = neurovm.convert_tflite(MLP)
    make = Model.session

    class Forgetful:
        """Passes updates on as if nothing had changed."""

        def __init__(self, session: neurovm.Session) -> None:
            self._session = session
            self.step = session.step

        def update(self, indices: memoryview, codes: memoryview) -> memoryview:
            return self._session.update(indices[:0], codes[:0])

        def __getattr__(self, name: str) -> object:
            return getattr(self._session, name)

    monkeypatch.setattr(Model, "session", lambda self, **kw: Forgetful(make(self, **kw)))
    proof = verify(MLP, model=model, **FEW)
    assert not proof.identical
    assert proof.events.differing > 0
    assert proof.session.differing == proof.predict.differing == 0
    assert "events" in str(proof.first_difference)


@needs_litert
def test_the_callers_rows_come_first() -> None:
    x = np.random.default_rng(2).integers(-128, 128, (130, 64)).astype(np.int8)
    model = neurovm.convert_tflite(MLP)
    rows = x.reshape(130, *stimuli.row_shape(model.inputs[0]))
    named = {model.inputs[0].name: rows[:3]}
    proof = verify(MLP, model=model, inputs=[rows, named], count=0, walk=0)
    assert proof.rows == {"given": 133, "random": 0, "walk": 0}
    assert proof.identical
    for wrong in (rows.astype(np.float32), x[:, :5], {"elsewhere": rows}):
        with pytest.raises(ShapeError, match=r"inputs\[0\]"):
            verify(MLP, model=model, inputs=[wrong], count=0, walk=0)


@needs_litert
def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    w = ModelWriter()
    x = w.tensor("x", (1, 6), scale=0.1, zero_point=5)
    y = w.tensor("y", (1, 6), scale=0.3, zero_point=-7)
    first = w.tensor("sum", (1, 6), scale=0.2)
    second = w.tensor("twice", (1, 6), scale=0.5, zero_point=9)
    w.operator("ADD", [x, y], [first])
    w.operator("ADD", [first, y], [second])
    path = tmp_path / "two.tflite"
    path.write_bytes(w.model(inputs=[y, x], outputs=[second, first]))
    proof = verify(path, **FEW)
    assert proof.identical, proof.first_difference
    assert proof.predict.elements == 80 * 12
    rows = {name: np.zeros((3, 6), np.int8) for name in ("x", "y")}
    assert verify(path, inputs=[rows], count=0, walk=0).rows["given"] == 3


@pytest.mark.parametrize(
    "profile",
    [pytest.param("xnnpack", marks=needs_litert), pytest.param("tflm", marks=needs_micro)],
)
def test_rows_without_an_answer_are_left_out_and_counted(tmp_path: Path, profile: str) -> None:
    """A division by the code of zero: LiteRT ends with an error, TFLite Micro answers anything."""
    w = ModelWriter()
    x, y = w.tensor("x", (1, 2), scale=0.1), w.tensor("y", (1, 2), scale=0.1)
    z = w.tensor("z", (1, 2), scale=0.2)
    w.operator("DIV", [x, y], [z])
    path = tmp_path / "div.tflite"
    path.write_bytes(w.model(inputs=[x, y], outputs=[z]))
    ones, zeros = np.ones((3, 2), np.int8), np.zeros((3, 2), np.int8)
    given = [{"x": ones, "y": ones}, {"x": ones, "y": zeros}]
    proof = verify(path, profile=profile, inputs=given, count=20, walk=20)
    assert proof.identical, proof.first_difference
    assert proof.rows["given"] == 3
    assert 0 < proof.rows["random"] < 20
    assert "rows without an answer are left out" in proof.remarks[0]
    assert proof.predict.elements == 2 * sum(proof.rows.values())
    with pytest.raises(BackendError, match="answers no row"):
        verify(path, profile=profile, inputs=given[1:], count=0, walk=0)


@needs_litert
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_int16_codes(tmp_path: Path, dtype: str) -> None:
    w = ModelWriter()
    quantized = {"scale": 0.003} if dtype == "int8" else {}
    x = w.tensor("x", (1, 9), dtype=dtype, **quantized)
    y = w.tensor("y", (1, 9), dtype="int16", scale=0.001)
    z = w.tensor("z", (1, 9), scale=0.004, zero_point=3)
    w.operator("QUANTIZE", [x], [y])
    w.operator("QUANTIZE", [y], [z])
    path = tmp_path / "wide.tflite"
    path.write_bytes(w.model(inputs=[x], outputs=[z, y]))
    proof = verify(path, **FEW)
    assert proof.identical, proof.first_difference
    assert [layer.kernel.elements for layer in proof.layers] == [720, 720]


@needs_litert
def test_what_is_compared_within_the_whole_only_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = tflite.read(MLP)
    wanted = [i for op in graph.operators[:-1] for i in op.outputs]
    monkeypatch.setattr("neurovm.verify._Comparison.wanted", lambda _: wanted)
    last = graph.operators[-1]
    proof = verify(MLP, **FEW)
    assert proof.remarks == [
        f"compared within the whole network only: {last.source_name} {last.index}"
    ]
    assert proof.within == (last.index,)
    wrong = verify(MLP, model=altered(MLP, last.index), **FEW)
    assert wrong_operators(wrong) == []
    assert "no operator by itself differs" in str(wrong.first_difference)


@pytest.mark.parametrize("bias", ["int64", "int32", None])
@pytest.mark.parametrize(
    "profile",
    [pytest.param("xnnpack", marks=needs_litert), pytest.param("tflm", marks=needs_micro)],
)
def test_products_of_scales_are_the_runtime_s(
    tmp_path: Path, profile: str, bias: str | None
) -> None:
    """Taken in float32 or in double they differ in one of 10,000 elements, by one code."""
    rng = np.random.default_rng(5)
    scale_in, scale = 0.00015398387040477246, 0.0023006827104836702
    w = ModelWriter()
    x = w.tensor("x", (400, 64), dtype="int16", scale=scale_in)
    y = w.tensor("y", (400, 64), dtype="int16", scale=0.00031314458465203643)
    k = w.constant("k", rng.integers(-127, 128, (64, 64)).astype(np.int8), scale=[scale])
    b = -1
    if bias is not None:
        b = w.constant(
            "b", rng.integers(-(10**6), 10**6, 64).astype(bias), scale=[scale_in * scale]
        )
    w.operator("FULLY_CONNECTED", [x, k, b], [y], FusedActivationFunction="NONE")
    path = tmp_path / "products.tflite"
    path.write_bytes(w.model(inputs=[x], outputs=[y]))
    proof = verify(path, profile=profile, count=12, walk=0)
    assert proof.identical, proof.first_difference


def disputed_names(w: ModelWriter, tensors: list[int], outputs: list[int]) -> list[str]:
    graph = tflite.read(w.model(inputs=tensors, outputs=outputs))
    return [op.source_name for op in graph.operators if is_disputed(op, graph.tensors)]


def test_where_tflite_runtime_does_not_stand_for_tflite_micro() -> None:
    w = ModelWriter()
    x, y = w.tensor("x", (1, 4), scale=0.1), w.tensor("y", (1, 4), scale=0.2)
    same, usual = w.tensor("same", (1, 4), scale=0.1), w.tensor("usual", (1, 4), scale=1 / 128)
    z = w.tensor("z", (1,), scale=0.5)
    w.operator("ABS", [x], [y])
    w.operator("RELU6", [x], [same])
    w.operator("TANH", [x], [usual])
    w.operator("SUM", [x, w.constant("axes", np.array([1], np.int32))], [z], KeepDims=False)
    assert disputed_names(w, [x], [y, same, usual, z]) == ["SUM"]
    w = ModelWriter()
    x, y, z = (w.tensor(n, (1, 4), scale=s) for n, s in (("x", 0.1), ("y", 0.2), ("z", 0.3)))
    w.operator("RELU6", [x], [y])
    w.operator("TANH", [x], [z])
    assert disputed_names(w, [x], [y, z]) == ["RELU6", "TANH"]


@pytest.mark.skipif(
    OLD_PYTHON is None, reason="NEUROVM_OLD_PYTHON names no Python that has tflite-runtime 2.14"
)
def test_tflite_runtime_judges_in_another_python(tmp_path: Path) -> None:
    proof = verify(CNN, profile="tflm", python=OLD_PYTHON, **FEW)
    assert proof.identical, proof.first_difference
    assert proof.runtime == "tflite-runtime BUILTIN_REF"
    assert all(layer.kernel.elements for layer in proof.layers)
    w = ModelWriter()
    x, y, z = (w.tensor(n, (1, 4), scale=s) for n, s in (("x", 0.1), ("y", 0.2), ("z", 0.3)))
    w.operator("RELU6", [x], [y])
    w.operator("ADD", [y, y], [z])
    path = tmp_path / "disputed.tflite"
    path.write_bytes(w.model(inputs=[x], outputs=[z]))
    proof = verify(path, profile="tflm", python=OLD_PYTHON, **FEW)
    assert proof.identical
    assert [layer.source_op for layer in proof.layers] == ["ADD"]
    assert "RELU6, and the outputs" in proof.remarks[0]
    model = neurovm.convert_tflite(path, profile="tflm").with_certificate(proof.as_dict())
    with pytest.raises(BundleError, match="compared nothing"):
        certificate.require(model.manifest, "disputed.nvm")


def test_another_models_source() -> None:
    with pytest.raises(ModelError, match="was converted from"):
        verify(CNN, model=neurovm.convert_tflite(MLP))


def test_tally() -> None:
    tally = Tally()
    tally.add(np.array([1, 2, 3], np.int8), np.array([1, 2, 3], np.int8))
    tally.add(np.array([[-128, 5]], np.int8), np.array([127, 5], np.int8))
    assert (tally.elements, tally.differing, tally.max_delta) == (5, 1, 255.0)
    tally.add(np.array([0.5], np.float32), np.array([1.0], np.float32), 0.25)
    assert tally.max_delta == 255.0


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
def test_stimuli(dtype: str) -> None:
    info = TensorInfo(name="x", shape=(1, 4, 25), dtype=dtype, scale=0.5, zero_point=3)
    rng = np.random.default_rng(0)
    batches = list(stimuli.random([info], 70, 32, rng))
    assert [len(b[0]) for b in batches] == [32, 32, 6]
    rows = np.concatenate([b[0] for b in batches])
    assert rows.dtype == np.dtype(dtype)
    assert rows.shape == (70, 4, 25)
    steps = np.concatenate([b[0] for b in stimuli.walk([info], 200, 64, rng)])
    changed = [(a != b).sum() for a, b in zip(steps[1:], steps[:-1], strict=True)]
    assert 0 in changed
    assert max(changed) <= 10
    assert np.mean(changed) > 1


@needs_litert
@pytest.mark.parametrize("name", ["sum", "three-steps-late", "window-1-4-int8"])
def test_a_network_that_keeps_state_is_compared_step_by_step(tmp_path: Path, name: str) -> None:
    path = tmp_path / "window.tflite"
    path.write_bytes(next(c.model for c in CASES if c.name == f"READ_VARIABLE:{name}"))
    proof = verify(path, **FEW)
    assert proof.identical, proof.first_difference
    assert "READ_VARIABLE" in {layer.source_op for layer in proof.layers}
    assert all(layer.oracle.elements and not layer.oracle.differing for layer in proof.layers)
    assert proof.predict.elements == proof.session.elements == proof.events.elements > 0
    assert "consecutive steps" in proof.remarks[0]


@needs_litert
def test_a_state_that_begins_otherwise_is_found(tmp_path: Path) -> None:
    path = tmp_path / "window.tflite"
    path.write_bytes(next(c.model for c in CASES if c.name == "READ_VARIABLE:window-1-4-int8"))
    graph = prepare(tflite.read(path))
    (state,) = graph.states
    states = (dataclasses.replace(state, initial=state.initial ^ np.int8(4)),)
    wrong = dataclasses.replace(graph, states=states)
    proof = verify(path, model=Model(program.compile_graph(wrong, PROFILES["xnnpack"])), **FEW)
    assert proof.predict.differing > 0
    assert not proof.identical
