# SPDX-License-Identifier: Apache-2.0
"""docs/steps.md names every step and every parameter's default; its files are right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from neurovm.steps import AnyStep
from neurovmd import config

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "steps.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_each_file_on_the_page_is_right(tmp_path: Path, block: str) -> None:
    if not block.startswith("model:"):
        block = f"model: m.tflite\ninputs: [{{topic: 'a/{{stream}}'}}]\n{block}"
    (tmp_path / "vm.d").mkdir()
    (tmp_path / "daemon.yaml").write_text("vm_dir: vm.d\n", encoding="utf-8")
    (tmp_path / "vm.d" / "vm.yaml").write_text(block, encoding="utf-8")
    settings, errors = config.examine(tmp_path / "daemon.yaml", environ={})
    assert errors == []
    output = settings.deployments[0].vm.output
    assert output.steps or output.alerts


def test_every_step_has_its_row() -> None:
    rows = "".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `"))
    named = set(re.findall(r"`(\w+)`", rows))
    assert named == {step.__struct_config__.tag for step in get_args(AnyStep)}
