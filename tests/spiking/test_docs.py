# SPDX-License-Identifier: Apache-2.0
"""docs/spiking.md tells the truth: its programs and its commands run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neurovm.cli.app import run

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "spiking.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the Python of the page ran, one block after the other."""
    made = tmp_path_factory.mktemp("docs")
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 2
    (made / "page.py").write_text("\n".join(blocks))
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=made,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "dense 16" in done.stdout
    assert re.search(r"^250 \d+ Counters", done.stdout, re.MULTILINE)
    rng = np.random.default_rng(0)
    np.save(made / "trains.npy", (rng.random((50, 100)) < 0.05).astype(np.uint8))
    return made


def commands() -> list[str]:
    (block,) = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    return [line.split("#")[0].strip() for line in block.splitlines()]


@pytest.mark.parametrize("command", commands())
def test_the_commands_run(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *args = command.split()
    assert name == "neurovm"
    if args[0] == "plot":
        pytest.importorskip("matplotlib", reason="plots need matplotlib")
    if args[0] == "bench":
        args += ["--seconds", "0.05"]
    monkeypatch.chdir(folder)
    assert run(args) == 0, capsys.readouterr().err


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
