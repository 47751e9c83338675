# SPDX-License-Identifier: Apache-2.0
"""A VM whose layers stop before the last plane: its results say what is certain, and are right."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from memory_cases import FAMILIES

import neurovm
from neurovm import manifest
from neurovmd.compute import Streams
from neurovmd.mailbox import Message
from neurovmd.mapping import Inputs
from neurovmd.refusal import MappingError
from neurovmd.result import ResultWriter
from neurovmd.schema import Vm
from neurovmd.shared import SharedBlock

NAMES = {"prefix": "neurovm", "node": "box", "vm": "digits"}
MLP = Path(__file__).resolve().parents[1] / "fixtures" / "digits_mlp.tflite"
SIZE = 64


@pytest.fixture(scope="module")
def coded() -> Any:
    with neurovm.convert_tflite(MLP, coding="bitplane") as model:
        yield model


def streams(model: neurovm.Model, **settings: Any) -> Streams:
    source = {"topic": "a/{stream}/{element}"}
    vm = msgspec.convert({"model": "x.nvm", "inputs": [source], **settings}, Vm)
    return Streams(
        vm,
        model,
        Inputs(vm, NAMES, model),
        ResultWriter("digits", model, vm.output.form),
        lambda stream: f"out/{stream}",
        SharedBlock(1).slot(0),
    )


def results(model: neurovm.Model, planes: int, form: dict[str, Any]) -> list[tuple[dict, list]]:
    """Results of a walk of single values, and the exact codes of each."""
    made = streams(model, planes=planes, output={"on": "always", "wait_for": "any", "form": form})
    source, exact = random.Random(7), model.session()
    info, found = model.inputs[0], []
    held = np.full(SIZE, info.zero_point, np.int8)
    for _ in range(60):
        element, value = source.randrange(SIZE), source.random()
        held[element] = np.clip(np.rint(value / info.scale) + info.zero_point, -128, 127)
        payload = json.dumps({"value": value}).encode()
        done = made.accept(Message(f"a/p/{element}", payload, None))
        found.append((json.loads(done.payload), exact.step(held).tolist()))
    return found


@pytest.mark.parametrize("planes", [1, 5, 6, 7])
def test_a_certified_class_is_right_and_another_is_named_an_approximation(
    coded: neurovm.Model, planes: int
) -> None:
    certain = 0
    for result, codes in results(coded, planes, {"top_k": 1}):
        assert result["planes"] == planes
        assert result["certified"] != result.get("approx", False)
        if result["certified"]:
            assert result["top"][0]["index"] == codes.index(max(codes))
            certain += 1
        real = coded.outputs[0].real(codes[result["top"][0]["index"]])
        assert result.get("low", real) <= real <= result.get("high", real)
    assert certain > 0 or planes < 6


def test_values_are_an_approximation_unless_exact_and_lie_between_their_ends(
    coded: neurovm.Model,
) -> None:
    for result, codes in results(coded, 6, {"values": "codes"}):
        assert result["approx"] == ("low" in result)
        assert all(
            low <= code <= high
            for low, code, high in zip(result["low"], codes, result["high"], strict=True)
        )


def test_all_planes_are_no_approximation(coded: neurovm.Model) -> None:
    for result, codes in results(coded, 8, {"values": "codes"}):
        assert not {"planes", "certified", "approx", "low"} & set(result)
        assert result["values"] == codes


@pytest.mark.parametrize("coding", ["graded", "ttfs", "rate"])
def test_fewer_planes_of_another_coding_are_refused(coding: str) -> None:
    with neurovm.convert_tflite(MLP, coding=coding) as model:
        streams(model, planes=8)
        with pytest.raises(MappingError, match=f"planes: found 7 with a model of coding {coding}"):
            streams(model, planes=7)


def test_a_model_that_keeps_state_is_refused() -> None:
    case = next(case for family in FAMILIES for case in family())
    with neurovm.convert_tflite(case.model, name=case.name, coding="bitplane") as model:
        assert model.stateful
        with pytest.raises(MappingError, match="that keeps state"):
            streams(model, planes=7)


def test_the_manifest_sets_them() -> None:
    text = 'version: "1.0"\nname: a\nnetwork: {encoding: bitplane, planes: 6}\n'
    vm = manifest.parse(text).vm
    assert vm.coding == "bitplane"
    assert manifest.vm_settings(vm, "a.nvm")["planes"] == 6
    assert "planes" not in manifest.vm_settings(
        manifest.parse(text.replace(", planes: 6", "")).vm, "a.nvm"
    )
