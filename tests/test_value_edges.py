# SPDX-License-Identifier: Apache-2.0
"""Networks with outputs that are indices, truth values or computed reals, and integer inputs."""

from __future__ import annotations

import json
from pathlib import Path

import island_cases
import micro
import numpy as np
import pytest
from msgspec import UNSET, structs
from operator_cases import CASES, Case

import neurovm
from neurovm import bundle, reference
from neurovm.arithmetic import PROFILES
from neurovm.converters import tflite
from neurovm.passes import prepare
from neurovmd.result import finder
from neurovmd.schema import Form

NAMES = {
    "ARG_MAX:(2, 3, 5)-1-int64": "int64",
    "ARG_MIN:(1, 12)--1-int32": "int32",
    "GREATER:True": "bool",
    "NEG:float-output": "float32",
    "ARG_MAX:cast": "float32",
}


def case_of(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def row(model: neurovm.Model, case: Case, i: int) -> object:
    if len(model.inputs) == 1:
        return case.inputs[0][i]
    return {info.name: x[i] for info, x in zip(model.inputs, case.inputs, strict=True)}


@pytest.mark.parametrize(("name", "dtype"), NAMES.items())
def test_a_saved_bundle_gives_the_same_values(name: str, dtype: str, tmp_path: Path) -> None:
    case = case_of(name)
    with neurovm.convert_tflite(case.model) as model:
        info = model.outputs[0]
        assert info.dtype == dtype
        loaded = neurovm.load(model.save(tmp_path / "x.nvm"))
        session = loaded.session()
        for i in range(3):
            x = row(model, case, i)
            wanted = model.predict(x)
            assert wanted.dtype == np.dtype(dtype)
            codes = bytes(session.step(loaded.to_codes(x)))
            assert np.array_equal(loaded.from_codes(codes).reshape(-1), wanted.reshape(-1))
            signed = np.frombuffer(codes, np.int8)
            assert [info.real(int(q)) for q in signed] == wanted.reshape(-1).tolist()


def test_a_result_of_the_daemon_holds_the_index() -> None:
    case = case_of("ARG_MAX:(2, 3, 5)-1-int64")
    with neurovm.convert_tflite(case.model) as model:
        codes = model.session().step(model.to_codes(case.inputs[0][1]))
        wanted = case.inputs[0][1].argmax(1).reshape(-1).tolist()
        found = json.loads(json.dumps(finder(model, Form(values="real"))(codes)))
        assert found == {"values": wanted}
        top = finder(model, Form(top_k=1))(codes)["top"]
        assert top[0]["value"] == max(wanted)


def test_integer_inputs_are_their_lowest_bytes() -> None:
    case = case_of("CAST:int32-int8")
    with neurovm.convert_tflite(case.model) as model:
        assert model.inputs[0].dtype == "int32"
        x = case.inputs[0][0]
        assert np.array_equal(model.predict(x), x.astype(np.int8))
        codes = model.to_codes(x)
        assert codes == x.astype(np.int8).tobytes()
        assert model.to_codes(x.reshape(-1).tolist()) == codes
        with pytest.raises(neurovm.ShapeError, match="takes int32"):
            model.to_codes(x.astype(np.int16))


def test_a_float_output_without_exact_bits_is_refused_by_name() -> None:
    from island_cases import SHAPE, Island

    island = Island("TANH:output")
    y = island.operator("TANH", [island.real()], SHAPE)
    with pytest.raises(neurovm.UnsupportedOperatorError, match="last bits differ") as caught:
        neurovm.convert_tflite(island.net.case(y).model)
    assert (caught.value.operator, caught.value.index) == ("TANH", 1)


def test_values_near_half_a_step_are_refused_by_name() -> None:
    """tanh(0) is 0.0 exactly; a code's step of which it is half has no certain code."""
    from island_cases import SHAPE, Island

    island = Island("EXP:half")
    y = island.operator("EXP", [island.real(scale=0.1, zero_point=0)], SHAPE)
    case = island.quantized(y, scale=2.0 / 3, zero_point=0)  # exp(0) = 1.5 steps
    with pytest.raises(neurovm.UnsupportedOperatorError, match="near to half a step"):
        neurovm.convert_tflite(case.model)


@pytest.mark.parametrize("form", ["pixels", "standard", "clamp", "steps"])
def test_a_code_begins_at_its_threshold(form: str) -> None:
    """Just at, above and below each threshold the kernel's edge answers as the oracle does."""
    case = next(c for c in CASES if c.name.endswith(f":input-{form}"))
    graph = prepare(tflite.read(case.model))
    for profile in PROFILES.values():
        with neurovm.convert_tflite(case.model, profile=profile.name) as model:
            info = model.inputs[0]
            steps = np.array(info.thresholds, np.uint32).view(np.float32)
            steps = steps[np.isfinite(steps)]
            assert (np.diff(steps) >= 0).all()
            assert steps.size > 10
            x = np.concatenate(
                [steps, np.nextafter(steps, -np.inf), np.nextafter(steps, np.inf), [0, 1e30, -1e30]]
            ).astype(np.float32)
            x = np.resize(x, (-(-x.size // 12), 1, 3, 4))
            wanted = reference.run(graph, profile, [x])[graph.outputs[0]]
            assert np.array_equal(model.predict(x.reshape(-1, 3, 4)).reshape(wanted.shape), wanted)
            assert model.to_codes(np.zeros(info.shape, np.float32)) == bytes(
                [info.zero_point & 0xFF] * info.size
            )


def test_a_falling_function_of_an_input_is_refused_by_name() -> None:
    from island_cases import SHAPE, Island

    island = Island("MUL:falling")
    x = island.net.input(SHAPE, dtype="float32")
    y = island.operator("MUL", [x, island.constant(-1.0)], SHAPE, FusedActivationFunction="NONE")
    with pytest.raises(neurovm.UnsupportedOperatorError, match="quantize the input first"):
        neurovm.convert_tflite(island.quantized(y).model)


@pytest.mark.parametrize(
    ("name", "port", "change", "words"),
    [
        ("ARG_MAX:cast", "outputs", {"values": (1.0,) * 255}, "do not fit"),
        ("ARG_MAX:(2, 3, 5)-1-int64", "outputs", {"values": UNSET}, "has no values"),
        ("MUL:input-pixels", "inputs", {"thresholds": (1 << 32,) * 255}, "do not fit"),
        ("MUL:input-pixels", "inputs", {"thresholds": (0,) * 254}, "do not fit"),
    ],
)
def test_a_bundle_whose_tables_do_not_fit_is_refused(
    name: str, port: str, change: dict[str, object], words: str, tmp_path: Path
) -> None:
    with neurovm.convert_tflite(case_of(name).model) as model:
        content = bundle.read(model.save(tmp_path / "x.nvm"))
        info = structs.replace(getattr(content.manifest, port)[0], **change)
        manifest = structs.replace(content.manifest, **{port: (info,)})
        path = bundle.write(tmp_path / "y.nvm", bundle.serialize(manifest, content.tensors))
    with pytest.raises(neurovm.BundleError, match=words):
        neurovm.load(path)


def test_int32_of_codes_is_for_tflm_alone() -> None:
    (case,) = island_cases.wide()
    with pytest.raises(neurovm.UnsupportedOperatorError, match="does not quantize to int32"):
        neurovm.convert_tflite(case.model)
    with neurovm.convert_tflite(case.model, profile="tflm") as model:
        x = np.arange(-128, 128).astype(np.int8)[:240].reshape(-1, 3, 4)
        ours = model.predict(x)
        info = model.inputs[0]
        steps = (x.astype(np.float64) - info.zero_point) * (np.float32(0.05) / np.float32(0.0007))
        assert np.abs(ours - 11 - steps).max() < 1
    if micro.INSTALLED:
        (theirs,) = micro.run_all([micro.Job(case.model, [x[:, None]], 1)])
        assert not isinstance(theirs, str), theirs
        assert np.array_equal(ours.reshape(-1), theirs[0].reshape(-1))
