# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the command: run it in this process, or as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import neurovm
from neurovm.cli import main

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
