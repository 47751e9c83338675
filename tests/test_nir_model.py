# SPDX-License-Identifier: Apache-2.0
"""NIR files as models: written, converted, run by the kernel."""

from __future__ import annotations

import json
from pathlib import Path

import nir_files
import nir_reference
import numpy as np
import pytest
import shared_files

import neurovm
from neurovm.cli.app import run
from neurovm.cli.exits import Exit

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


def test_pictures_keep_the_order_of_the_file(tmp_path: Path) -> None:
    """(channels, height, width) in and out, whatever the kernel does between."""
    graph, plain, _ = CASES["Conv2d"]
    x = train(graph)
    path = nir_files.write(tmp_path / "net.nir", graph)
    with neurovm.convert_nir(path, dt=nir_files.DT) as model:
        assert model.inputs[0].shape == (2, 6, 5)
        run = model.session().run(x.tobytes())
    wanted = nir_reference.run(plain, {"input": x}, nir_reference.Rules(nir_files.DT))["output"]
    assert (np.frombuffer(run, np.int8) != wanted.reshape(-1)).sum() == 0


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
