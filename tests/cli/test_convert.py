# SPDX-License-Identifier: Apache-2.0
"""convert: a bundle is written whole, where it was said, or not at all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import neurovm
from neurovm.cli.exits import Exit


def test_beside_the_source(run, mlp: Path, tmp_path: Path) -> None:
    source = Path(shutil.copy(mlp, tmp_path))
    ran = run("convert", source)
    assert ran.code == Exit.OK, ran.err
    with neurovm.load(source.with_suffix(".nvm")) as model:
        assert model.name == "digits_mlp"
        assert model.sha256 in ran.out


def test_into_a_folder_with_name_and_labels(run, mlp: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join("abcdefghij") + "\n")
    ran = run("convert", mlp, tmp_path, "--name", "digits", "--labels", labels, "-o", "json")
    assert ran.code == Exit.OK, ran.err
    result = json.loads(ran.out)
    assert result["file"] == str(tmp_path / "digits_mlp.nvm")
    assert result["bytes"] == Path(result["file"]).stat().st_size
    with neurovm.load(result["file"]) as model:
        assert model.name == "digits"
        assert model.outputs[0].labels == tuple("abcdefghij")
        assert result["sha256"] == model.sha256


def test_unit_coding_gives_the_same_codes(run, mlp: Path, tmp_path: Path) -> None:
    run("convert", mlp, tmp_path / "g.nvm")
    assert run("convert", mlp, tmp_path / "u.nvm", "--coding", "unit").code == Exit.OK
    codes = bytes(range(64))
    with neurovm.load(tmp_path / "g.nvm") as graded, neurovm.load(tmp_path / "u.nvm") as unit:
        assert unit.coding == "unit"
        assert bytes(unit.session().step(codes)) == bytes(graded.session().step(codes))


def test_quiet_prints_nothing(run, mlp: Path, tmp_path: Path) -> None:
    ran = run("convert", mlp, tmp_path, "--quiet")
    assert (ran.code, ran.out, ran.err) == (Exit.OK, "", "")


def test_an_older_bundle_is_replaced(run, mlp: Path, tmp_path: Path) -> None:
    target = tmp_path / "m.nvm"
    assert run("convert", mlp, target, "--name", "old").code == Exit.OK
    assert run("convert", mlp, target, "--name", "new").code == Exit.OK
    with neurovm.load(target) as model:
        assert model.name == "new"


def test_other_files_are_not_overwritten(run, mlp: Path, tmp_path: Path) -> None:
    target = tmp_path / "notes.txt"
    target.write_text("dear diary")
    ran = run("convert", mlp, target)
    assert ran.code == Exit.CANNOT_CREATE
    assert "--force" in ran.err
    assert target.read_text() == "dear diary"
    assert run("convert", mlp, target, "--force").code == Exit.OK
    neurovm.load(target).close()


@pytest.mark.parametrize("place", ["missing/m.nvm", "file/m.nvm"])
def test_unwritable_destination(run, mlp: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    ran = run("convert", mlp, tmp_path / place)
    assert ran.code == Exit.CANNOT_CREATE
    assert place in ran.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into read-only folders")
def test_read_only_folder(run, mlp: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    assert run("convert", mlp, tmp_path / "closed/m.nvm").code == Exit.CANNOT_CREATE


def test_wrong_sources(run, bundle: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.tflite"
    text.write_text("This is no flatbuffer at all, whatever its name says.\n")
    empty = tmp_path / "empty.tflite"
    empty.touch()
    for source, code in (
        (tmp_path / "missing.tflite", Exit.NO_INPUT),
        (tmp_path, Exit.NO_INPUT),
        (text, Exit.DATA),
        (empty, Exit.DATA),
        (bundle, Exit.DATA),
    ):
        ran = run("convert", source, tmp_path / "out.nvm")
        assert ran.code == code, (source, ran.err)
        assert source.name in ran.err
        assert ran.err.count("\n") == 1
        assert not (tmp_path / "out.nvm").exists()


def test_labels_that_do_not_fit(run, mlp: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("one\ntwo\n")
    ran = run("convert", mlp, tmp_path / "m.nvm", "--labels", labels)
    assert ran.code == Exit.DATA
    assert "2 labels" in ran.err
    labels.write_bytes(b"\xff\xfe\x00")
    assert run("convert", mlp, tmp_path / "m.nvm", "--labels", labels).code == Exit.DATA
    assert run("convert", mlp, "--labels", tmp_path / "none.txt").code == Exit.NO_INPUT


def test_rates_are_balanced_on_rows(run, mlp: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.npy"
    np.save(rows, np.random.default_rng(0).random((20, 8, 8, 1)).astype(np.float32))
    told = ("--coding", "rate", "--steps", "32")
    done = run("convert", mlp, tmp_path / "r.nvm", *told, "--calibrate", rows)
    assert done.code == Exit.OK, done.err
    with neurovm.load(tmp_path / "r.nvm") as model:
        assert (model.coding, model.approximate) == ("rate", True)
        assert (model.manifest.rate.steps, model.manifest.rate.calibrated) == (32, 20)
    done = run("convert", mlp, tmp_path / "p.nvm", *told)
    assert done.code == Exit.OK, done.err
    assert run("convert", mlp, tmp_path / "q.nvm", "--steps", "3").code == Exit.USAGE
    wrong = run("convert", mlp, tmp_path / "q.nvm", *told, "--calibrate", rows, "--mixed", "5")
    assert wrong.code == Exit.USAGE
    assert "of a float SOURCE" in wrong.err


@pytest.mark.parametrize("coding", ["bitplane", "ttfs"])
def test_exact_codings(run, mlp: Path, tmp_path: Path, coding: str) -> None:
    target = tmp_path / "c.nvm"
    assert run("convert", mlp, target, "--coding", coding).code == Exit.OK
    with neurovm.load(target) as model:
        assert model.coding == coding
    told = run("inspect", target)
    assert f"{coding} spikes" in told.out
    assert f"coding {coding}: a change is sent as" in run("explain", target).out
