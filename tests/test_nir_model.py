# SPDX-License-Identifier: Apache-2.0
"""NIR files as models: written, converted, run by the kernel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir_files
import nir_reference
import numpy as np
import pytest
import shared_files

import neurovm
from neurovm.cli.app import run
from neurovm.cli.exits import Exit
from neurovm.converters import nir_writer
from neurovm.errors import ModelError

pytest.importorskip("h5py", reason="the nir package is not installed: no .nir is read")

CASES = nir_files.cases()
GOLDENS = {
    "A_snntorch_lif_mlp": "snntorch",
    "B_snntorch_cubalif": "snntorch",
    "D_norse_lif": "norse",
}


def train(graph: nir_files.Graph, ticks: int = 40) -> np.ndarray:
    rng = np.random.default_rng(5)
    shape = graph["nodes"]["input"][1]["shape"]
    return (rng.random((ticks, *shape)) < 0.4).astype(np.int8)


@pytest.mark.parametrize("name", ["LIF", "CubaLI", "pools into Conv2d", "recurrence", "Conv2d"])
def test_a_file_runs_in_the_kernel_as_its_equations_say(name: str, tmp_path: Path) -> None:
    graph, plain, back = CASES[name]
    x = train(graph)
    wanted = nir_reference.run(plain, {"input": x}, nir_reference.Rules(nir_files.DT), back)
    path = nir_files.write(tmp_path / "net.nir", graph)
    with neurovm.convert_nir(path, dt=nir_files.DT) as model:
        found = np.asarray(model.predict(x))
        assert model.dt_us == 1e6 * nir_files.DT
        assert model.manifest.source.format == "nir"
        assert "read from NIR 1.0.8 as nir, dt 0.000976562 s" in model.manifest.notes
    (want,) = wanted.values()
    if found.dtype == np.int8:
        assert (found != want.reshape(found.shape)).sum() == 0
        assert found.any()
    else:
        np.testing.assert_allclose(found, want, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("name", ["Conv2d", "Conv1d same", "Flatten in part", "SumPool2d"])
def test_pictures_keep_the_order_of_the_file(name: str, tmp_path: Path) -> None:
    """(channels, height, width) in and out, whatever the kernel does between."""
    graph, plain, _ = CASES[name]
    x = train(graph)
    path = nir_files.write(tmp_path / "net.nir", graph)
    with neurovm.convert_nir(path, dt=nir_files.DT) as model:
        train_out = model.session().run(x.tobytes())
    wanted = nir_reference.run(plain, {"input": x}, nir_reference.Rules(nir_files.DT))["output"]
    assert (np.frombuffer(train_out, np.int8) != wanted.reshape(-1)).sum() == 0


@shared_files.needed
@pytest.mark.parametrize("name", GOLDENS)
def test_golden_networks_of_other_frameworks(name: str) -> None:
    """Spikes that snntorch and norse sent, element by element."""
    folder = shared_files.ROOT / "golden" / "nir"
    with np.load(folder / f"{name}.npz") as golden:
        x, y, dt = golden["x"], golden["y"], float(golden["dt"])
    with neurovm.convert_nir(folder / f"{name}.nir", dt=dt, dialect=GOLDENS[name]) as model:
        found = np.asarray(model.predict(x.astype(np.int8)))
    assert found.shape == y.shape
    assert (found != y).sum() == 0


def test_the_command_converts_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = nir_files.write(tmp_path / "net.nir", CASES["images to vectors"][0])
    assert run(["convert", str(path), "--dt", "0.0009765625"]) == Exit.OK
    printed = capsys.readouterr().out
    assert "exact" in printed
    assert "note: read from NIR 1.0.8 as nir" in printed
    with neurovm.load(tmp_path / "net.nvm") as model:
        assert model.timed
    more = ["--decide", "reset=zero", "--decide", "reset_delay=true", "--weights", "int16"]
    given = ["convert", str(path), "--dt", "1e-3", "--dialect", "nir", "-o", "json", *more]
    assert run(given) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    assert "reset zero, reset_delay True" in found["notes"][0]
    assert {p["snr_db"] for p in found["projections"]} == {None}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--dt SECONDS is needed"),
        (["--dt", "0"], "seconds above 0"),
        (["--dt", "1e-3", "--dialect", "brian"], "dialect 'brian' is not known"),
        (["--dt", "1e-3", "--decide", "reset"], "KEY=VALUE is needed"),
        (["--dt", "1e-3", "--decide", "reset=hard"], "accepted: file, zero"),
    ],
)
def test_the_command_says_what_it_needs(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = nir_files.write(tmp_path / "net.nir", CASES["LIF"][0])
    assert run(["convert", str(path), *arguments]) != Exit.OK
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "net.nvm").exists()


# Export


@pytest.mark.parametrize("name", CASES)
def test_what_is_exported_runs_as_the_bundle_does(name: str, tmp_path: Path) -> None:
    """Through a bundle on disk and the nir package: NIR in, integers, NIR out, NIR in again."""
    graph, _, _ = CASES[name]
    x = {
        node: (np.random.default_rng(9).random((40, *fields["shape"])) < 0.4).astype(np.int8)
        for node, (kind, fields) in graph["nodes"].items()
        if kind == "Input"
    }["input"]
    first = nir_files.imported(graph).network
    with neurovm.convert_network(first) as model:
        model.save(tmp_path / "net.nvm")
        wanted = model.predict(x.reshape(40, *model.inputs[0].shape))
        scales = dict(zip((o.name for o in model.outputs), model.potential_scales, strict=True))
    with neurovm.load(tmp_path / "net.nvm") as model:
        decisions = nir_writer.write(model.content, tmp_path / "again.nir")
    with neurovm.convert_nir(tmp_path / "again.nir", dt=nir_files.DT, **decisions) as model:
        found = model.predict(x.reshape(40, *model.inputs[0].shape))
    wanted, found = (y if isinstance(y, dict) else {"": y} for y in (wanted, found))
    assert len(wanted) == len(found)
    for key, want in wanted.items():
        got = found[key.replace("/", ".")].reshape(want.shape)
        if want.dtype == np.int8:
            assert (got != want).sum() == 0
        else:
            unit = max(scale for scale, _ in scales.values())
            np.testing.assert_allclose(got, want, atol=64 * unit + 1e-5 * np.abs(want).max())


@pytest.mark.parametrize(
    "given",
    [
        {"reset": "subtract"},
        {"reset": "subtract", "spikes": "many"},
        {"reset": "none"},
        {"dialect": "sinabs"},
    ],
    ids=str,
)
def test_what_nir_cannot_say_is_said_beside_it(given: dict[str, Any], tmp_path: Path) -> None:
    graph, _, _ = CASES["IF"]
    nodes = {name: (kind, dict(fields)) for name, (kind, fields) in graph["nodes"].items()}
    nodes["n1"][1]["v_threshold"] = np.full(5, 1 + 1 / 4099)
    if given.get("dialect"):
        nodes["n1"][1]["r"] = np.ones(5)
    graph = {**graph, "nodes": nodes}
    x = train(graph)
    with neurovm.convert_network(nir_files.imported(graph, **given).network) as model:
        wanted = model.predict(x)
        decisions = nir_writer.write(model.content, tmp_path / "net.nir")
    assert decisions["reset"] == ("none" if given.get("reset") == "none" else "subtract")
    with neurovm.convert_nir(tmp_path / "net.nir", dt=nir_files.DT, **decisions) as model:
        found = model.predict(x)
    assert wanted.any()
    assert (found != wanted).sum() == 0


def test_what_nir_cannot_say_at_all_is_refused(tmp_path: Path) -> None:
    graph, _, _ = CASES["LIF"]
    late = nir_files.imported(graph, reset="subtract", reset_delay=True).network
    with neurovm.convert_network(late) as model, pytest.raises(ModelError, match="another amount"):
        nir_writer.write(model.content, tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())


def test_the_command_exports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with neurovm.convert_network(nir_files.imported(CASES["LIF"][0]).network) as model:
        model.save(tmp_path / "net.nvm")
    target = tmp_path / "net.nir"
    assert run(["export", str(tmp_path / "net.nvm"), "--nir", str(target)]) == Exit.OK
    assert "--dt 0.0009765625" in " ".join(capsys.readouterr().out.split())
    whole = (tmp_path / "net.nvm").read_bytes()
    nowhere = tmp_path / "none" / "net.nir"
    for wrong, code, message in (
        (tmp_path / "net.nvm", Exit.USAGE, "is MODEL itself"),
        (nowhere, Exit.CANNOT_CREATE, f"{nowhere}: cannot be written"),
    ):
        assert run(["export", str(tmp_path / "net.nvm"), "--nir", str(wrong)]) == code
        assert message in capsys.readouterr().err
    assert (tmp_path / "net.nvm").read_bytes() == whole
    fixture = Path(__file__).parent / "fixtures"
    bundle = tmp_path / "dense.nvm"
    neurovm.convert_tflite(min(fixture.glob("*.tflite"))).save(bundle)
    assert run(["export", str(bundle), "--nir", str(target)]) != Exit.OK
    assert "no spiking network" in capsys.readouterr().err
