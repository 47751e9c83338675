# SPDX-License-Identifier: Apache-2.0
"""Certificates: what counts as one, where it is kept, and what a bundle without one is told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

import neurovm
from neurovm import certificate
from neurovm.certificate import Certificate, LayerResult, Tally
from neurovm.errors import BundleError

MLP = Path(__file__).parent / "fixtures" / "digits_mlp.tflite"


@pytest.fixture(scope="module")
def model() -> neurovm.Model:
    return neurovm.convert_tflite(MLP)


def proof_of(model: neurovm.Model) -> Certificate:
    """A certificate as `verify` makes one, without having compared anything."""
    return Certificate(
        source=MLP.name,
        source_sha256=model.manifest.source.sha256,
        model_sha256=model.sha256,
        profile=model.profile,
        coding=model.coding,
        generator=model.manifest.generator,
        runtime="ai-edge-litert",
        version="2.3.0",
        inner="preserved",
        machine="x86_64",
        seed=0,
        rows={"random": 5},
        predict=Tally(elements=50),
        session=Tally(elements=50),
        events=Tally(elements=50),
        oracle=Tally(elements=50),
        layers=[
            LayerResult(
                operator=op.index,
                source_op=op.source_op,
                tensor="t",
                layer=op.layers[0],
                covers=(op.index,),
                kernel=Tally(elements=9),
                oracle=Tally(elements=9),
            )
            for op in model.manifest.operators
            if op.layers
        ],
    )


def test_it_is_kept_and_does_not_change_the_identity(model: neurovm.Model, tmp_path: Path) -> None:
    proof = proof_of(model)
    with model.with_certificate(proof.as_dict()) as certified:
        path = certified.save(tmp_path / "m.nvm")
    with neurovm.load(path, require_certificate=True) as loaded:
        assert loaded.sha256 == model.sha256
        assert certificate.of(loaded.manifest, "m.nvm") == proof
        assert certificate.require(loaded.manifest, "m.nvm") == proof
    assert "identical to ai-edge-litert 2.3.0, profile xnnpack: 3 operators" in str(proof)
    proof.within = (proof.layers.pop(1).operator,)
    assert certificate.fault(proof, model.manifest) == ""


def _differs(proof: Certificate) -> None:
    proof.layers[0].kernel.differing = 1


def _differs_and_says_so(proof: Certificate) -> None:
    proof.identical = False


def _another_program(proof: Certificate) -> None:
    proof.model_sha256 = "0" * 64


def _another_profile(proof: Certificate) -> None:
    proof.profile = "tflm"


def _another_judge(proof: Certificate) -> None:
    proof.runtime = "tflite-runtime"


def _empty(proof: Certificate) -> None:
    proof.layers = []


def _no_predict(proof: Certificate) -> None:
    proof.predict = Tally()


def _no_events(proof: Certificate) -> None:
    proof.events = Tally()


def _no_oracle(proof: Certificate) -> None:
    proof.oracle = Tally()


def _a_layer_without_rows(proof: Certificate) -> None:
    proof.layers[1].kernel = Tally()


def _a_layer_without_the_oracle(proof: Certificate) -> None:
    proof.layers[1].oracle = Tally()


def _an_operator_left_out(proof: Certificate) -> None:
    del proof.layers[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_differs, "1 elements differ"),
        (_differs_and_says_so, "elements differ"),
        (_another_program, "of another program"),
        (_another_profile, "profile 'tflm'"),
        (_another_judge, "does not stand for this profile"),
        (_empty, "compared nothing"),
        (_no_predict, "compared nothing of predict"),
        (_no_events, "compared nothing of events"),
        (_no_oracle, "compared nothing of oracle"),
        (_a_layer_without_rows, "compared nothing of operator 2"),
        (_a_layer_without_the_oracle, "compared nothing of operator 2"),
        (_an_operator_left_out, "does not say what became of operators 2"),
    ],
)
def test_one_that_does_not_count_is_refused_where_it_is_required(
    model: neurovm.Model, tmp_path: Path, change: Callable[[Certificate], None], words: str
) -> None:
    proof = proof_of(model)
    change(proof)
    path = model.with_certificate(proof.as_dict()).save(tmp_path / "m.nvm")
    neurovm.load(path).close()
    with pytest.raises(BundleError, match=words) as caught:
        neurovm.load(path, require_certificate=True)
    assert str(caught.value).startswith(f"{path}: a certificate is required")


def test_none_and_nonsense(model: neurovm.Model, tmp_path: Path) -> None:
    path = model.save(tmp_path / "m.nvm")
    with pytest.raises(BundleError, match=r"it has no certificate.*--certify makes one"):
        neurovm.load(path, require_certificate=True)
    path = model.with_certificate({"identical": True}).save(tmp_path / "m.nvm")
    with pytest.raises(BundleError, match=r"cannot be read.*required field"):
        neurovm.load(path, require_certificate=True)


def test_another_programs_certificate_does_not_fit(model: neurovm.Model) -> None:
    other = neurovm.convert_tflite(MLP, coding="unit")
    changed = other.with_certificate(proof_of(model).as_dict())
    with pytest.raises(BundleError, match="of another program"):
        certificate.require(changed.manifest, "other.nvm")


def test_tampering_is_found_by_the_digests(model: neurovm.Model, tmp_path: Path) -> None:
    proof = proof_of(model)
    proof.layers[0].kernel.differing = 7
    path = model.with_certificate(proof.as_dict()).save(tmp_path / "m.nvm")
    data = path.read_bytes()
    before = b'\\"differing\\":7'
    assert data.count(before) == 1
    path.write_bytes(data.replace(before, b'\\"differing\\":0'))
    with pytest.raises(BundleError, match="manifest is damaged"):
        neurovm.load(path, require_certificate=True)


def test_the_manifest_it_is_deployed_by_can_ask_for_it(model: neurovm.Model) -> None:
    deployed = model.with_deploy({"require_certificate": True}).manifest
    assert certificate.demand(model.manifest, "m.nvm", asked=False) == "none"
    for manifest, asked in ((deployed, False), (model.manifest, True)):
        with pytest.raises(BundleError, match="a certificate is required"):
            certificate.demand(manifest, "m.nvm", asked=asked)
    proof = proof_of(model)
    certified = structs.replace(deployed, certificate=proof.as_dict())
    assert certificate.demand(certified, "m.nvm", asked=False) == str(proof)


def test_what_nobody_requires_is_told_as_it_is(model: neurovm.Model) -> None:
    proof = proof_of(model)
    for change, words in ((_differs, "1 elements differ"), (_another_program, "another program")):
        wrong = proof_of(model)
        change(wrong)
        told = certificate.told(model.with_certificate(wrong.as_dict()).manifest)
        assert "it does not count" in told
        assert words in told
    nonsense = model.with_certificate({"identical": True}).manifest
    assert certificate.demand(nonsense, "m.nvm", asked=False).startswith("unreadable (")
    assert certificate.told(model.with_certificate(proof.as_dict()).manifest) == str(proof)


def test_judging_one_takes_no_numpy(model: neurovm.Model, tmp_path: Path) -> None:
    path = model.with_certificate(proof_of(model).as_dict()).save(tmp_path / "m.nvm")
    code = (
        "import json, sys, neurovm; from neurovm import certificate; "
        f"m = neurovm.load({str(path)!r}, require_certificate=True); "
        "print(json.dumps([str(certificate.of(m.manifest, 'm')), 'numpy' in sys.modules]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    text, numpy_is_there = json.loads(ran.stdout)
    assert "identical" in text
    assert numpy_is_there is False
