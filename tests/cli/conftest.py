# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the command: run it in this process, or as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import neurovm
from neurovm.cli import boxes, main
from neurovm.cli.exits import Exit

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"


@dataclass(frozen=True)
class Ran:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str


Command = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    """run("inspect", path) -> Ran, in this process."""

    def call(*args: object) -> Ran:
        code = main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return call


@pytest.fixture
def spawn() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """spawn("inspect", path, input=b"…") -> the finished process, with bytes in and out."""

    def call(*args: object, **settings: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "neurovm", *map(str, args)],
            cwd=ROOT,
            timeout=120,
            **{"capture_output": True, **settings},
        )

    return call


@pytest.fixture
def mlp() -> Path:
    """int8 in and out: 64 inputs, 10 outputs."""
    return FIXTURES / "digits_mlp.tflite"


@pytest.fixture
def dscnn() -> Path:
    """float32 in and out."""
    return FIXTURES / "digits_dscnn.tflite"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """digits_mlp as a .nvm with labels."""
    with neurovm.convert_tflite(
        FIXTURES / "digits_mlp.tflite", labels=[f"digit {i}" for i in range(10)]
    ) as model:
        return model.save(tmp_path_factory.mktemp("bundle") / "mlp.nvm")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a built box `hello`, and a place for boxes of its own."""
    folder = tmp_path_factory.mktemp("r")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROVM_RUN_DIR", str(folder / "run"))
        patch.setenv("NEUROVM_SOCKET", str(folder / "none.sock"))
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.chdir(folder)
        assert main(["create", "hello", "-q"]) == Exit.OK
        assert main(["build", "hello", "-q", "--no-calibration"]) == Exit.OK
        yield folder
        for box in boxes.every():
            main(["rm", "--force", "-q", box.name])
