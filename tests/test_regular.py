# SPDX-License-Identifier: Apache-2.0
"""A pipe, a device or too long a file in the place of a file: refused at once, by everyone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import neurovm
from neurovm import document
from neurovm.cli import models
from neurovm.cli.text_rows import MAX_LINE_BYTES, csv_rows
from neurovm.errors import ConfigError, ShapeError
from neurovm.regular import open_regular, read_regular

TOP = Path(__file__).resolve().parents[1]
MODEL = TOP / "tests/fixtures/digits_mlp.tflite"
# Long enough for a slow machine; a reader that waits for a writer would need for ever.
DEADLINE_S = 60.0


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    "read",
    [open_regular, lambda path: read_regular(path, 10), models.read_labels, neurovm.load],
    ids=["open", "read", "labels", "load"],
)
def test_a_pipe_is_refused_without_waiting(read: Callable[[Path], object], pipe: Path) -> None:
    with pytest.raises(OSError, match="not a regular file"):
        read(pipe)


def test_a_folder_a_device_and_a_long_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(OSError, match="not a regular file"):
        read_regular("/dev/zero", 10)
    (tmp_path / "long").write_bytes(bytes(11))
    with pytest.raises(OSError, match="more than 10 bytes"):
        read_regular(tmp_path / "long", 10)
    assert read_regular(tmp_path / "long", 11) == bytes(11)


def test_a_configuration_that_is_a_pipe_is_an_error(pipe: Path) -> None:
    with pytest.raises(ConfigError, match="not a regular file"):
        document.read(pipe)


@pytest.mark.parametrize("name", ["neurovmd.yaml", "conf.d/x.yaml", "vm.d/x.yaml", "password"])
def test_the_daemon_s_check_ends(tmp_path: Path, name: str) -> None:
    """In a process of its own: what hangs must not hang the suite."""
    main = tmp_path / "neurovmd.yaml"
    main.write_text("vm_dir: vm.d\nmqtt: {username: a, password_file: password}\n")
    (tmp_path / "password").write_text("x\n")
    target = tmp_path / name
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)
    os.mkfifo(target)
    done = subprocess.run(
        [sys.executable, "-m", "neurovmd", "check", "--config", main],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 78, done
    assert "not a regular file" in done.stderr or "password_file" in done.stderr
    assert "Traceback" not in done.stderr


FILES = {
    "source": "source: {file}",
    "labels": "source: model.tflite\nlabels: {file}",
    "calibration.samples": "source: model.tflite\ncalibration: {{samples: {file}}}",
    "calibration.answers": (
        "source: model.tflite\ncalibration: {{samples: rows.csv, answers: {file}}}"
    ),
}


KINDS = ("pipe", "missing", "folder", "device")


@pytest.mark.parametrize(
    ("key", "kind"),
    # Samples may be a folder of files.
    [(k, kind) for k in FILES for kind in KINDS if (k, kind) != ("calibration.samples", "folder")],
)
def test_a_manifest_s_file_that_is_none_is_located(
    tmp_path: Path, key: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from neurovm.cli import main

    shutil.copy(MODEL, tmp_path / "model.tflite")
    (tmp_path / "rows.csv").write_text(",".join(["0"] * 64) + "\n")
    name = "it.tflite" if key == "source" else "it.csv"
    if kind == "device":
        (tmp_path / name).symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(tmp_path / name)
    elif kind == "folder":
        (tmp_path / name).mkdir()
    text = 'version: "1.0"\nname: k\nruntime: {type: neurovm, version: "1.0.0"}\n'
    (tmp_path / "neurovm.yaml").write_text(text + FILES[key].format(file=name) + "\n")
    assert main(["build", str(tmp_path), "--quiet"]) == 78
    said = capsys.readouterr().err
    reasons = {"missing": "No such file", "folder": "Is a directory"}
    assert f": {key}: found " in said
    assert reasons.get(kind, "not a regular file") in said
    assert f"neurovm.yaml:{4 if key == 'source' else 5}:" in said


def test_a_line_without_end_is_refused() -> None:
    with Path("/dev/zero").open("rb") as endless, pytest.raises(ShapeError, match="more than"):
        list(csv_rows(endless, "zero", 64))
    assert MAX_LINE_BYTES < 1 << 27


@pytest.mark.parametrize(("text", "line", "column"), [("a: 1\nb: \x01\n", 2, 4), ("\x00", 1, 1)])
def test_a_character_that_no_yaml_holds_is_located(text: str, line: int, column: int) -> None:
    with pytest.raises(ConfigError) as caught:
        document.parse(text, "f.yaml")
    assert (caught.value.line, caught.value.column) == (line, column)
