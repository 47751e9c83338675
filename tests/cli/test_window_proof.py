# SPDX-License-Identifier: Apache-2.0
"""The proof of sliding windows: identical where they are, and it fails where a layer is wrong."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from test_certificate import proof_of

import neurovm
from neurovm import certificate
from neurovm.certificate import Tally, WindowResult
from neurovm.cli.exits import Exit
from neurovm.errors import ShapeError
from neurovm.window_proof import LEAST_HOPS, hops_needed, prove_window
from neurovm.windows import Window, WindowSession

WINDOWED = Path(__file__).parents[1] / "fixtures" / "pump_window_dscnn.tflite"
needs_litert = pytest.mark.skipif(
    find_spec("ai_edge_litert") is None,
    reason="ai-edge-litert is not installed; there are wheels for x86_64 and aarch64 only",
)


@pytest.fixture(scope="module")
def model() -> neurovm.Model:
    return neurovm.convert_tflite(WINDOWED)


@pytest.mark.parametrize("hop", [1, 2, 3, 10_000])
def test_a_window_is_identical_in_every_layer(model: neurovm.Model, hop: int) -> None:
    result = prove_window(model, hop, seed=hop)
    assert (result.layers.differing, result.outputs.differing) == (0, 0)
    assert result.first_difference is None
    dense = model.session(way="dense")
    codes = sum(len(dense.layer(i).codes) for i in range(len(model.explain())))
    assert result.layers.elements == result.hops * codes
    assert result.hops == result.hops_needed >= hops_needed(model.plan(Window(hop)))
    assert (result.refusal is not None) == (hop == 10_000)


class StaleRow(WindowSession):
    """Says one code of a layer wrong from the tenth hop on, as a window moved too far would."""

    __slots__ = ("_calls", "_place")

    def __init__(self, *given: object, **named: object) -> None:
        super().__init__(*given, **named)  # type: ignore[arg-type]  # passed on as they came
        self._calls = 0
        self._place = 2

    def layer(self, index: int) -> memoryview:
        self._calls += index == self._place
        codes = bytearray(super().layer(index))
        if index == self._place and self._calls > 10:
            codes[-1] ^= 1
        return memoryview(bytes(codes))


def test_one_wrong_code_of_a_layer_is_found_and_named(
    model: neurovm.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurovm.model.WindowSession", StaleRow)
    result = prove_window(model, 1)
    assert result.layers.differing == result.hops - 10
    assert result.outputs.differing == 0
    name = model.explain()[2].op
    assert result.first_difference == f"layer 2 ({name}) after hop 10"


def test_a_stream_that_loses_a_frame_is_found(
    model: neurovm.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = WindowSession.__init__

    def losing(self: WindowSession, *given: object, **named: object) -> None:
        right(self, *given, **named)  # type: ignore[arg-type]  # passed on as they came
        push = self.push
        self.push = lambda frames: push(frames if len(frames) < 2 else frames[1:])

    monkeypatch.setattr(WindowSession, "__init__", losing)
    result = prove_window(model, 2)
    assert result.layers.differing > 0
    assert str(result.first_difference).startswith("layer 0 ")


def test_what_has_no_window_is_refused(model: neurovm.Model) -> None:
    with pytest.raises(ShapeError, match="frames: found"):
        prove_window(model, 1, size=model.inputs[0].size - 1)


def test_a_large_network_is_compared_on_fewer_hops(
    model: neurovm.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurovm.window_proof.MOST_MACS", 1)
    result = prove_window(model, 1)
    assert result.hops == LEAST_HOPS < result.hops_needed


def test_a_certificate_with_a_wrong_window_does_not_count(model: neurovm.Model) -> None:
    del model
    flat = neurovm.convert_tflite(Path(__file__).parents[1] / "fixtures" / "digits_mlp.tflite")
    proof = proof_of(flat)
    assert certificate.fault(proof, flat.manifest) == ""
    proof.windows = [WindowResult(hop=1, size=4, layers=Tally(elements=9, differing=1))]
    assert "1 elements differ" in certificate.fault(proof, flat.manifest)
    again = certificate.decode(proof.as_dict(), "here")
    assert again.windows == proof.windows


@needs_litert
def test_the_command_keeps_windows_in_the_certificate(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("--count", "8", "--walk", "8", "--hop", "1", "--hop", "2")
    target = tmp_path / "m.nvm"
    ran = run("verify", WINDOWED, *few, "--save", target)
    assert ran.code == Exit.OK, ran.err
    assert "hop 2: 0 of " in ran.out
    with neurovm.load(target) as kept:
        proof = certificate.require(kept.manifest, "m.nvm")
    assert [window.hop for window in proof.windows] == [1, 2]
    assert all(window.layers.elements for window in proof.windows)
    monkeypatch.setattr("neurovm.model.WindowSession", StaleRow)
    ran = run("verify", WINDOWED, *few)
    assert ran.code == Exit.DIFFERENT
    assert "a window sliding by 1: layer 2" in ran.out
