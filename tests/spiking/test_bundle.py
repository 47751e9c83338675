# SPDX-License-Identifier: Apache-2.0
"""Bundles of spiking networks: written, read, replayed; damaged or dishonest ones are refused."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, structs
from spiking_networks import NETWORKS

import neurovm
from neurovm import bundle
from neurovm.errors import BackendError, BundleError, ModelError
from neurovm.loading import checked
from neurovm.spiking.network import Network
from neurovm.spiking.neurons import IF
from neurovm.spiking_model import SpikingModel

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def model() -> SpikingModel:
    return neurovm.convert_network(NETWORKS["native"]())


@pytest.fixture(scope="module")
def path(model: SpikingModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model.save(tmp_path_factory.mktemp("spiking") / "native.nvm")


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_saved_is_loaded(name: str, tmp_path: Path) -> None:
    made = neurovm.convert_network(NETWORKS[name]())
    loaded = neurovm.load(made.save(tmp_path / "n.nvm"))
    assert isinstance(loaded, SpikingModel)
    assert loaded.timed
    assert loaded.manifest == made.manifest.sealed()
    assert loaded.sha256 == made.sha256
    assert loaded.manifest.format == 4
    assert (
        loaded.profile
        == loaded.spiking.numerics
        == (name if name in ("loihi", "speck", "truenorth") else "native")
    )
    assert loaded.manifest.golden
    trained = loaded.content.golden()[0]
    ticks = loaded.spiking.golden_ticks
    assert any(bytes(trained[1][: ticks * loaded.n_out])), "golden trains hold no spike"
    again = neurovm.convert_network(NETWORKS[name]()).save(tmp_path / "again.nvm")
    assert again.read_bytes() == (tmp_path / "n.nvm").read_bytes()


def test_the_manifest_tells_what_was_lost(model: SpikingModel) -> None:
    info = model.spiking
    stored = {(info.populations[p.source].name, p.stored): p for p in info.projections}
    assert stored["a", "window"].snr_db is None
    assert stored["image", "kernel"].bits == 16
    assert stored["c", "computed"].delay == 1
    assert model.readouts == (False, True)
    assert [t.shape for t in model.outputs] == [(3, 3, 3), (4,)]
    assert model.n_in == 77
    assert model.manifest.neurons == 108 + 27 + 12 + 1 + 4


def test_identity_follows_the_weights() -> None:
    def of(threshold: float) -> SpikingModel:
        net = Network(dt_us=1000.0)
        net.output(net.population(3, IF(v_threshold=threshold, bias=0.125), "a"))
        return neurovm.convert_network(net)

    first, same, other = of(1.0), of(1.0), of(1.25)
    assert first.sha256 == same.sha256 != other.sha256
    assert first.with_certificate({"any": 1}).sha256 == first.sha256
    assert isinstance(first.with_deploy({}), SpikingModel)


def test_the_run_path_needs_no_numpy(path: Path) -> None:
    code = (
        "import sys, neurovm\n"
        "from array import array\n"
        "m = neurovm.load(sys.argv[1])\n"
        "s = m.session()\n"
        "s.run(bytes(m.n_in * 5), potentials=True)\n"
        "s.advance(array('q', [5000]), array('I', [3]), until_us=9000)\n"
        "s.step(bytes(m.n_in))\n"
        "print('numpy' in sys.modules, s.tick)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "19"]


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_damaged_or_truncated_file_is_refused(path: Path, data: st.DataObject) -> None:
    raw = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
    else:
        at = data.draw(st.integers(8 + int.from_bytes(raw[:8], "little"), len(raw) - 1))
        raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BundleError, match=r"bad\.nvm"):
        bundle.parse(memoryview(bytes(raw)), "bad.nvm")


def changed(model: SpikingModel, **fields: Any) -> bundle.Bundle:
    """The bundle with other words in its spiking part, sealed anew."""
    content = model.content
    spiking = structs.replace(model.spiking, **fields)
    return bundle.Bundle(
        manifest=structs.replace(content.manifest, spiking=spiking), tensors=content.tensors
    )


def reread(content: bundle.Bundle) -> neurovm.Model:
    data = bundle.serialize(content.manifest, content.tensors)
    return checked(bundle.parse(memoryview(data), "lie.nvm"), "lie.nvm", replay=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dt_us": 0.0}, "a tick of 0.0"),
        ({"dt_us": -5.0}, "a tick of -5.0"),
        ({"golden_ticks": 10**12}, "golden ticks"),
        ({"golden_ticks": 1 << 20}, "too short"),
        ({"golden_ticks": 31}, "golden spike trains"),
        ({"populations": ()}, "projection from population"),
        ({"projections": ()}, "the manifest names"),
    ],
)
def test_a_manifest_that_cannot_be_true(
    model: SpikingModel, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        reread(changed(model, **fields))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("shape", (10**9, 10**9), "too short|names"),
        ("shape", (0,), "of shape"),
        ("shape", (), "of shape|population"),
        ("shape", (-3, -4), "of shape"),
        ("scale", 0.0, "scale 0.0"),
        ("kind", "cuba", "population 3"),
        ("kind", "input", "population 'b'"),
        ("fires", False, "population 3"),
        ("output", True, "names|too short"),
    ],
)
def test_a_population_that_is_another(
    model: SpikingModel, field: str, value: Any, message: str
) -> None:
    populations = list(model.spiking.populations)
    populations[3] = structs.replace(populations[3], **{field: value})
    if field == "output":
        populations[2] = structs.replace(populations[2], output=True)
    with pytest.raises(BundleError, match=message):
        reread(changed(model, populations=tuple(populations)))


def test_formats_and_parts_go_together(model: SpikingModel) -> None:
    content = model.content
    for manifest in (
        structs.replace(content.manifest, format=3),
        structs.replace(content.manifest, spiking=UNSET),
    ):
        with pytest.raises(BundleError, match="do not go together"):
            reread(bundle.Bundle(manifest=manifest, tensors=content.tensors))
    newer = structs.replace(content.manifest, format=5)
    with pytest.raises(BundleError, match="newer"):
        reread(bundle.Bundle(manifest=newer, tensors=content.tensors))


def test_records_that_are_no_network(model: SpikingModel) -> None:
    """Bytes of the right digests that the kernel refuses, or that run otherwise than they say."""
    rng = np.random.default_rng(11)
    content, refused = model.content, 0
    for _ in range(60):
        tensors = dict(content.tensors)
        name = ("populations", "projections", "arena")[int(rng.integers(3))]
        raw = bytearray(tensors[name])
        for at in rng.integers(0, len(raw), 3):
            raw[at] = int(rng.integers(256))
        tensors[name] = memoryview(bytes(raw))
        digests = structs.replace(content.manifest.sha256, **bundle.digests(tensors))
        manifest = structs.replace(content.manifest, sha256=digests)
        try:
            reread(bundle.Bundle(manifest=manifest, tensors=tensors))
        except BundleError:
            refused += 1
    assert refused > 20


def test_golden_trains_cannot_make_loading_long() -> None:
    """With a fan-out of 2^19 every input spike would apply as many weights."""
    content = neurovm.convert_network(NETWORKS["drawn"]()).content
    raw = bytearray(content.tensors["projections"])
    at = bytes(raw).index((6).to_bytes(4, "little"), 60)
    raw[at : at + 4] = (1 << 19).to_bytes(4, "little")
    tensors = content.tensors | {"projections": memoryview(bytes(raw))}
    digests = structs.replace(content.manifest.sha256, **bundle.digests(tensors))
    manifest = structs.replace(content.manifest, sha256=digests, synapses=30 << 19)
    with pytest.raises(BundleError, match="with golden trains"):
        reread(bundle.Bundle(manifest=manifest, tensors=tensors))


def test_only_the_cpu_runs_it(path: Path) -> None:
    with pytest.raises(BackendError, match="runs no spiking networks"):
        neurovm.load(path, backend="litert")


def test_large_networks_say_that_they_have_no_golden_trains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("neurovm.spiking_program.MOST_GOLDEN_SYNAPSES", 10)
    made = neurovm.convert_network(NETWORKS["drawn"]())
    assert made.manifest.golden == ()
    assert "no golden spike trains" in made.manifest.notes[0]


def test_labels() -> None:
    net = NETWORKS["drawn"]()
    with pytest.raises(ModelError, match="3 labels for 20"):
        neurovm.convert_network(net, labels=["a", "b", "c"])
    made = neurovm.convert_network(net, labels=[str(i) for i in range(20)])
    assert made.outputs[0].labels == tuple(map(str, range(20)))
    with pytest.raises(ModelError, match="labels are for one output"):
        neurovm.convert_network(NETWORKS["native"](), labels=["a"])
