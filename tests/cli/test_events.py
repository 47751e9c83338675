# SPDX-License-Identifier: Apache-2.0
"""`neurovm events`: what it tells of a recording, and what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neurovm.cli.exits import Exit
from neurovm.events import read, write
from neurovm.events.synthetic import Scene, record


@pytest.fixture
def digit(tmp_path: Path) -> Path:
    path = tmp_path / "digit.bin"
    write(path, record(Scene(shape="disc", duration_us=50_000), seed=1))
    return path


def test_inspect(run, digit: Path) -> None:
    seen = read(digit)
    ran = run("events", "inspect", digit)
    assert ran.code == Exit.OK
    assert f"{len(seen)} events" in ran.out
    assert "34 × 34 pixels, 2312 addresses" in ran.out
    facts = json.loads(run("events", "inspect", digit, "-o", "json").out)
    assert facts["events"] == len(seen) == facts["brighter"] + facts["darker"]
    assert facts["brighter"] == sum(seen.p)
    assert facts["last_us"] == seen.times_us[-1]
    assert facts["pixels_seen"] == len(set(zip(seen.x, seen.y, strict=True)))


def test_inspect_of_nothing(run, tmp_path: Path) -> None:
    path = tmp_path / "empty.bin"
    path.write_bytes(b"")
    assert "0 events" in run("events", "inspect", path).out
    assert json.loads(run("events", "inspect", path, "-o", "json").out)["first_us"] is None


def test_convert(run, digit: Path, tmp_path: Path) -> None:
    packed, back = tmp_path / "digit.aer", tmp_path / "back.bin"
    assert run("events", "convert", digit, packed).code == Exit.OK
    assert run("events", "convert", packed, back).code == Exit.OK
    assert back.read_bytes() == digit.read_bytes()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("inspect", "missing.bin"), Exit.NO_INPUT, "missing.bin"),
        (("inspect", "digit.csv"), Exit.DATA, "accepted: .bin, .aedat4, .aer"),
        (("inspect", "digit.bin", "--size", "9"), Exit.USAGE, "accepted: WIDTHxHEIGHT"),
        (("inspect", "digit.bin", "--size", "4x4"), Exit.DATA, "found x"),
        (("convert", "digit.bin", "digit.aedat4"), Exit.DATA, "accepted: .bin, .aer"),
        (("convert", "digit.bin", "no/such/folder.aer"), Exit.CANNOT_CREATE, "folder.aer"),
    ],
)
def test_what_is_wrong_is_one_line(
    run, digit: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.chdir(digit.parent)
    ran = run("events", *args)
    assert ran.code == code
    assert said in ran.err
    assert len(ran.err.strip().splitlines()) <= 4


def test_a_broken_recording_is_named(run, digit: Path) -> None:
    digit.write_bytes(digit.read_bytes()[:-3])
    ran = run("events", "inspect", digit)
    assert ran.code == Exit.DATA
    assert "whole events and 2 bytes" in ran.err
