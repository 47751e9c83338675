# SPDX-License-Identifier: Apache-2.0
"""README.md tells the truth: its program runs, its matrix and its links are right."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from scripts.operator_matrix import with_matrix

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_python_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    program = tmp_path / "readme.py"
    program.write_text("\n".join(blocks))
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    run = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()


def test_the_operator_matrix_is_the_registry() -> None:
    assert with_matrix(README) == README, "run: python scripts/operator_matrix.py --write"


def test_links_lead_somewhere() -> None:
    for text in (README, (ROOT / "CONTRIBUTING.md").read_text()):
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("https://") or (ROOT / target).exists(), target
