# SPDX-License-Identifier: Apache-2.0
"""`neurovm.tflite.Interpreter` beside LiteRT's: the same programs, the same values."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import interpreter_patterns
import memory_cases
import numpy as np
import pytest
from tflite_writer import ModelWriter

import neurovm
from neurovm.backends.runtime import Runtime
from neurovm.converters import tflite as reader
from neurovm.tflite import Interpreter, OpResolverType, load_delegate

if TYPE_CHECKING:
    from case_net import Case

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests/fixtures"
MLP = FIXTURES / "digits_mlp.tflite"
REMEMBERING = [next(memory_cases._leaky_sum()), next(memory_cases._lstms())]
NETWORKS = ("digits_mlp", "digits_dscnn", "digits_resnet")
PROGRAM = Path(interpreter_patterns.__file__)
needs_litert = pytest.mark.skipif(
    find_spec("ai_edge_litert") is None,
    reason="ai-edge-litert is not installed; there are wheels for x86_64 and aarch64 only",
)


def ran(module: str, model: Path, folder: Path, *patterns: str) -> dict[str, Any]:
    out = folder / f"{module}.npz"
    done = subprocess.run(
        [sys.executable, str(PROGRAM), module, str(model), str(out), *patterns],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(out) as values:
        return dict(values)


@needs_litert
@pytest.mark.parametrize("name", NETWORKS)
def test_programs_for_litert_see_no_difference(name: str, tmp_path: Path) -> None:
    model = FIXTURES / f"{name}.tflite"
    ours = ran("neurovm.tflite", model, tmp_path)
    theirs = ran("ai_edge_litert.interpreter", model, tmp_path)
    assert {key.split(".")[0] for key in ours} == set(interpreter_patterns.PATTERNS)
    graph = reader.read(model)
    for key, value in theirs.items():
        if key not in ours:  # what LiteRT leaves in a buffer that it uses again
            made = int(key.removeprefix("constants.constant_"))
            assert graph.tensors[made].data is None
            continue
        assert ours[key].dtype == value.dtype, key
        np.testing.assert_array_equal(ours[key], value, err_msg=key)


@needs_litert
@pytest.mark.parametrize("name", NETWORKS)
def test_inner_tensors_are_those_that_litert_keeps(name: str) -> None:
    path = FIXTURES / f"{name}.tflite"
    graph = reader.read(path)
    wanted = [i for op in graph.operators for i in op.outputs]
    interpreter = Interpreter(path)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]
    compared = 0
    with Runtime(path, wanted=wanted) as lite:
        for row in interpreter_patterns.samples(given, 8):
            interpreter.set_tensor(given["index"], row)
            interpreter.invoke()
            for index, values in lite.run([row]).kept.items():
                if values.dtype == np.float32 and index not in graph.outputs:
                    continue
                try:
                    found = interpreter.get_tensor(index)
                except ValueError as error:  # it is a part of another layer
                    assert "no layer holds its values" in str(error)
                    continue
                assert found.dtype == values.dtype
                np.testing.assert_array_equal(found.reshape(-1), values.reshape(-1))
                compared += 1
    assert compared >= 8 * len(graph.operators) // 2


@needs_litert
@pytest.mark.parametrize("case", REMEMBERING, ids=lambda case: case.name)
def test_networks_that_remember_forget_what_litert_s_forget(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "remembers.tflite"
    path.write_bytes(case.model)
    patterns = ("a_stream", "forgetting", "in_place")
    ours = ran("neurovm.tflite", path, tmp_path, *patterns)
    theirs = ran("ai_edge_litert.interpreter", path, tmp_path, *patterns)
    assert sorted(ours) == sorted(theirs)
    for key, value in theirs.items():
        np.testing.assert_array_equal(ours[key], value, err_msg=key)


def test_all_state_can_be_forgotten() -> None:
    interpreter = Interpreter(model_content=REMEMBERING[0].model)
    interpreter.allocate_tensors()
    assert len(interpreter.get_tensor_details()) == interpreter._count
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    first = []
    for _ in range(2):
        interpreter.set_tensor(given["index"], np.full(given["shape"], 9, np.int8))
        interpreter.invoke()
        first.append(interpreter.get_tensor(made["index"]))
        interpreter.invoke()
        interpreter.reset_state()
    np.testing.assert_array_equal(*first)


def test_work_follows_change() -> None:
    interpreter = Interpreter(MLP)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]
    session = interpreter.session
    assert session is not None
    whole = next(iter(interpreter_patterns.samples(given, 1)))
    once, twice = whole.copy(), whole.copy()
    once.reshape(-1)[3] ^= 5
    twice.reshape(-1)[3] ^= 9
    sops = []
    # After a dense run the first small change sums anew, in full; those that follow do not.
    for row in (whole, once, twice, once, once):
        interpreter.set_tensor(given["index"], row)
        before = session.counters.sops
        interpreter.invoke()
        sops.append(session.counters.sops - before)
    assert sops[0] >= sops[1]
    assert sops[0] > max(sops[2:4]) >= min(sops[2:4]) > sops[4] == 0


def test_what_has_no_value_says_why() -> None:
    interpreter = Interpreter(MLP)
    inner = reader.read(MLP).operators[0].outputs[0]
    with pytest.raises(ValueError, match="call allocate_tensors"):
        interpreter.get_tensor(inner)
    interpreter.allocate_tensors()
    with pytest.raises(ValueError, match=r"has no value: invoke\(\) comes first"):
        interpreter.get_tensor(inner)
    interpreter.invoke()
    assert interpreter.get_tensor(inner).dtype == np.int8
    for call in (interpreter.get_tensor, interpreter.get_tensor_details):
        with pytest.raises(ValueError, match="subgraph 1; accepted: 0"):
            call(*([inner] if call == interpreter.get_tensor else []), subgraph_index=1)


def test_one_size_only() -> None:
    interpreter = Interpreter(MLP)
    given = interpreter.get_input_details()[0]
    shape = tuple(given["shape"])
    with pytest.raises(ValueError, match=r"has shape \(1, 8, 8, 1\), found \(2, 8, 8, 1\)"):
        interpreter.resize_tensor_input(given["index"], (2, *shape[1:]))
    for kind in (ValueError, RuntimeError):
        with pytest.raises(kind, match="is no input"):
            interpreter.resize_tensor_input(3, shape)
    with pytest.raises(ValueError, match="found \\(3, 8, 8, 1\\)"):
        interpreter.get_signature_runner()(keras_tensor_57=np.zeros((3, 8, 8, 1), np.int8))


def test_resolvers_are_profiles() -> None:
    tflm = Interpreter(MLP, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    assert tflm._model.profile == Interpreter(MLP, profile="tflm")._model.profile == "tflm"
    assert Interpreter(MLP)._model.profile == "xnnpack"
    for wrong in (OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES, "AUTO"):
        with pytest.raises(ValueError, match="accepted: AUTO, BUILTIN, BUILTIN_REF"):
            Interpreter(MLP, experimental_op_resolver_type=wrong)
    Interpreter(MLP, experimental_preserve_all_tensors=True, experimental_delegates=[])


def test_delegates_are_refused() -> None:
    for kind in (OSError, ValueError):
        with pytest.raises(kind, match=r"'libedgetpu\.so\.1': networks run on neurovm's own"):
            load_delegate("libedgetpu.so.1")
    with pytest.raises(ValueError, match="accepted: none"):
        Interpreter(MLP, experimental_delegates=["libedgetpu.so.1"])


def test_what_has_no_exact_rule_is_named(w: ModelWriter) -> None:
    x, y = w.tensor("x", (1, 4), scale=0.1), w.tensor("y", (1, 4), scale=0.1)
    w.operator("SIN", [x], [y])
    with pytest.raises(neurovm.UnsupportedOperatorError, match="SIN"):
        Interpreter(model_content=w.model(inputs=[x], outputs=[y]))


def test_a_model_without_signatures(w: ModelWriter) -> None:
    x, y = w.tensor("x", (1, 4), scale=0.1), w.tensor("y", (1, 4), scale=0.1)
    w.operator("ABS", [x], [y])
    interpreter = Interpreter(model_content=w.model(inputs=[x], outputs=[y]))
    assert interpreter.get_signature_list() == {}
    with pytest.raises(ValueError, match="the model has no signature"):
        interpreter.get_signature_runner()


@pytest.fixture
def w() -> ModelWriter:
    return ModelWriter()


def test_several_inputs_and_outputs(w: ModelWriter) -> None:
    x, y = (w.tensor("same name", (1, 6), scale=0.1) for _ in range(2))
    first, second = w.tensor("a", (1, 6), scale=0.2), w.tensor("b", (1, 6), scale=0.5)
    w.operator("ADD", [x, y], [first])
    w.operator("ADD", [first, y], [second])
    interpreter = Interpreter(model_content=w.model(inputs=[y, x], outputs=[second, first]))
    interpreter.allocate_tensors()
    assert [d["index"] for d in interpreter.get_input_details()] == [y, x]
    interpreter.set_tensor(x, np.full((1, 6), 10, np.int8))
    interpreter.set_tensor(y, np.full((1, 6), 20, np.int8))
    interpreter.invoke()
    np.testing.assert_array_equal(interpreter.get_tensor(first), np.full((1, 6), 15))
    np.testing.assert_array_equal(interpreter.get_tensor(second), np.full((1, 6), 10))


def test_importing_it_loads_no_numpy() -> None:
    code = "import sys, neurovm.tflite; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
