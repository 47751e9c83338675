# SPDX-License-Identifier: Apache-2.0
"""Every instruction set of this machine: the same bits, chosen once, forced by name."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import neurovm
from neurovm import _kernel
from neurovm.backends.cpu import CpuBackend, instruction_set
from neurovm.errors import BackendError

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(autouse=True)
def best_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NEUROVM_ISA", raising=False)
    yield
    _kernel.choose_isa(None)


def walk(model: neurovm.Model, seed: int) -> list[bytes]:
    """Answers of 20 steps, of which each changes a tenth of the inputs."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(-128, 128, math.prod(model.inputs[0].shape), np.int8)
    session = CpuBackend().load(model.content).session()
    answers = []
    for _ in range(20):
        moved = rng.integers(0, len(codes), len(codes) // 10 + 1)
        codes[moved] = rng.integers(-128, 128, len(moved), np.int8)
        answers.append(bytes(session.step(codes)))
    return answers


@pytest.mark.parametrize("fixture", sorted(FIXTURES.glob("*.tflite")), ids=lambda p: p.stem)
def test_same_bits_in_every_set(fixture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = neurovm.convert_tflite(fixture)
    answers = {}
    for isa in _kernel.isas():
        monkeypatch.setenv("NEUROVM_ISA", isa)
        answers[isa] = walk(model, 1)
        assert _kernel.isa() == isa
    assert all(answer == answers["scalar"] for answer in answers.values())
    assert len(set(answers["scalar"])) > 1


def test_best_is_chosen_and_scalar_always_there() -> None:
    assert _kernel.isas()[0] == "scalar"
    assert instruction_set() == _kernel.isas()[-1]


def test_forced_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for isa in _kernel.isas():
        monkeypatch.setenv("NEUROVM_ISA", isa)
        assert instruction_set() == isa == _kernel.isa()
    monkeypatch.setenv("NEUROVM_ISA", "")
    assert instruction_set() == _kernel.isas()[-1]


@pytest.mark.parametrize("name", ["mmx", "AVX2", "scalar ", "é", "x" * 10_000])
def test_unknown_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROVM_ISA", name)
    with pytest.raises(BackendError, match=r"NEUROVM_ISA: found .*; accepted: scalar"):
        instruction_set()
    assert _kernel.isa() in _kernel.isas()


def test_zero_byte_in_a_name() -> None:
    with pytest.raises(BackendError, match="accepted: scalar"):
        _kernel.choose_isa("scalar\0")


def test_an_identity_is_the_same_in_every_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though sessions of vector kernels take more memory than those of plain C."""
    identities = set()
    for isa in _kernel.isas():
        monkeypatch.setenv("NEUROVM_ISA", isa)
        model = neurovm.convert_tflite(FIXTURES / "digits_dscnn.tflite")
        identities.add(model.sha256)
        memory = model.memory()
        assert memory is not None
        program = _kernel.Program(model.content.layers, model.content.arena)
        assert program.sizes(isa) == (memory.session, memory.predict)
        limits = model.manifest.limits
        assert program.sizes("scalar") == (limits.session_bytes, limits.scratch_bytes)
    assert len(identities) == 1
    with pytest.raises(BackendError, match="abacus"):
        program.sizes("abacus")
