# SPDX-License-Identifier: Apache-2.0
"""The committed networks: what they are made of, how large, and how good they are in our hands."""

import re
from pathlib import Path

import numpy as np
import pytest
import tflite

import neurovm
from examples.pump.sensors import NAMES

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures"
PUMP = ROOT / "examples" / "pump" / "pump.tflite"
NETWORKS = sorted([*FIXTURES.glob("*.tflite"), PUMP])
README = (FIXTURES / "README.md").read_text(encoding="utf-8")
ALLOWED = {
    *("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "AVERAGE_POOL_2D", "MAX_POOL_2D"),
    *("MEAN", "PAD", "RESHAPE", "SOFTMAX", "QUANTIZE", "DEQUANTIZE"),
    *("SHAPE", "STRIDED_SLICE", "PACK"),
}
OPERATOR = {value: name for name, value in vars(tflite.BuiltinOperator).items()}


def rows() -> dict[str, list[str]]:
    """The README's table: the cells of each network."""
    table = README.partition("<!-- table -->")[2].partition("<!-- end -->")[0]
    cells = (re.split(r"\s*\|\s*", line.strip("| ")) for line in table.strip().splitlines()[2:])
    return {row[0].strip("`"): row[1:] for row in cells}


def operators(path: Path) -> list[str]:
    model = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    codes = (
        model.OperatorCodes(graph.Operators(index).OpcodeIndex()).BuiltinCode()
        for index in range(graph.OperatorsLength())
    )
    return [OPERATOR[code] for code in codes]


def test_the_networks_are_small_and_all_in_the_table():
    assert sum(path.stat().st_size for path in NETWORKS) < 500_000
    assert set(rows()) == {path.stem for path in NETWORKS}


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_the_table_tells_size_and_operators(path):
    row = rows()[path.stem]
    assert int(row[0].replace(",", "")) == path.stat().st_size
    assert row[5].split() == sorted(set(operators(path)))
    assert set(operators(path)) <= ALLOWED


def test_every_operator_of_the_list_is_in_some_network():
    assert {name for path in NETWORKS for name in operators(path)} == ALLOWED


def test_the_readme_names_the_seed_of_the_script():
    script = (ROOT / "scripts" / "train_fixtures.py").read_text(encoding="utf-8")
    assert re.search(r"^SEED = (\d+)$", script, re.MULTILINE)[1] in README


def fed(model: neurovm.Model, x: np.ndarray) -> np.ndarray:
    """Real values as the model takes them."""
    info = model.inputs[0]
    x = x.reshape(-1, *info.shape[1:])
    if info.dtype == "float32":
        return x.astype(np.float32)
    zero = info.zero_point + (128 if info.dtype == "uint8" else 0)
    limits = np.iinfo(info.dtype)
    return np.clip(np.rint(x / info.scale) + zero, limits.min, limits.max).astype(info.dtype)


@pytest.mark.parametrize("name", [n for n in rows() if n.startswith("digits")])
def test_digits_are_read_as_well_as_the_table_says(name):
    x, y = np.load(FIXTURES / "digits_x.npy"), np.load(FIXTURES / "digits_y.npy")
    with neurovm.convert_tflite(FIXTURES / f"{name}.tflite") as model:
        scores = model.predict(fed(model, x.astype(np.float32) / 16.0))
    right = np.mean(scores.reshape(len(y), -1).argmax(axis=1) == y)
    assert right >= float(rows()[name][3].rstrip("%")) / 100.0 - 0.04


def test_faults_are_told_as_well_as_the_table_says():
    with (FIXTURES / "pump_rows.csv").open(encoding="utf-8") as file:
        assert file.readline().strip().split(",") == [*NAMES, "class"]
        table = np.loadtxt(file, delimiter=",")
    with neurovm.convert_tflite(PUMP) as model:
        scores = model.predict(table[:, :64].astype(np.float32))
    right = np.mean(scores.argmax(axis=1) == table[:, 64])
    assert right >= float(rows()["pump"][3].rstrip("%")) / 100.0 - 0.04
