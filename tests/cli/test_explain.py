# SPDX-License-Identifier: Apache-2.0
"""explain of what cannot be converted: every refused operator, and what would be needed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tflite_writer import ModelWriter

from neurovm.cli.exits import Exit


def explain(run, path: Path) -> dict[int, tuple[str, str | None]]:
    """{index: (operator, what would be needed)} of a refused model."""
    ran = run("explain", path, "-o", "json")
    assert ran.code == Exit.DATA
    assert ran.err.count("\n") == 1
    assert path.name in ran.err
    operators = json.loads(ran.out)["operators"]
    assert all((o["fate"] == "refused") == (o["needed"] is not None) for o in operators)
    return {o["index"]: (o["op"], o["needed"]) for o in operators}


@pytest.fixture
def w() -> ModelWriter:
    return ModelWriter()


def test_unknown_operators_are_all_listed(run, w: ModelWriter, tmp_path: Path) -> None:
    a, b, c, d, e = (w.tensor(name, (1, 4), scale=0.1) for name in "abcde")
    w.operator("ADD", [a, a], [b])
    w.operator("CUMSUM", [b], [c])
    w.custom("Frobnicate", [c], [d])
    w.operator("WHERE", [d], [e])
    path = tmp_path / "strange.tflite"
    path.write_bytes(w.model(inputs=[a], outputs=[e]))
    found = explain(run, path)
    assert found[0] == ("ADD", None)
    for index, name in ((1, "CUMSUM"), (2, "CUSTOM Frobnicate"), (3, "WHERE")):
        assert found[index][0] == name
        assert found[index][1]
    table = run("explain", path).out
    assert table.count("refused") == 3
    assert "known" in table


def test_a_float_model(run, w: ModelWriter, tmp_path: Path) -> None:
    x = w.tensor("x", (1, 4), dtype="float32")
    k = w.constant("k", np.ones((2, 4), np.float32))
    y = w.tensor("y", (1, 2), dtype="float32")
    z = w.tensor("z", (1, 2), dtype="float32")
    w.operator("FULLY_CONNECTED", [x, k, -1], [y])
    w.operator("SOFTMAX", [y], [z], Beta=1.0)
    path = tmp_path / "float.tflite"
    path.write_bytes(w.model(inputs=[x], outputs=[z]))
    found = explain(run, path)
    assert all("int8" in str(needed) for _, needed in found.values())


def test_an_operator_whose_form_is_refused(run, w: ModelWriter, tmp_path: Path) -> None:
    x = w.tensor("x", (1, 4), scale=0.1)
    k = w.tensor("k", (2, 4), scale=0.1)
    y = w.tensor("y", (1, 2), scale=0.1)
    w.operator("FULLY_CONNECTED", [x, k, -1], [y])
    path = tmp_path / "weights.tflite"
    path.write_bytes(w.model(inputs=[x, k], outputs=[y]))
    found = explain(run, path)
    assert "constants are needed" in str(found[0][1])


def test_damaged_files_list_nothing(run, tmp_path: Path, mlp: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(mlp.read_bytes()[:600])
    ran = run("explain", path, "-o", "json")
    assert ran.code == Exit.DATA
    assert ran.err.count("\n") == 1
