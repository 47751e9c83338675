# SPDX-License-Identifier: Apache-2.0
"""predict: every kind of file in, every kind of answer out, and every wrong row named."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from tflite_writer import ModelWriter

import neurovm
from neurovm.cli.exits import Exit
from neurovm.cli.samples import BATCH_ROWS

ROWS = np.random.default_rng(5).integers(-128, 128, (7, 64)).astype(np.int8)


@pytest.fixture
def wanted(bundle: Path) -> np.ndarray:
    with neurovm.load(bundle) as model:
        return np.asarray(model.predict(ROWS.reshape(7, *model.inputs[0].shape[1:])))


@pytest.fixture
def two_inputs(tmp_path: Path) -> Path:
    """The sum of x and y, three codes each."""
    w = ModelWriter()
    x = w.tensor("x", (1, 3), scale=0.5)
    y = w.tensor("y", (1, 3), scale=0.25)
    out = w.tensor("sum", (1, 3), scale=1.0)
    w.operator("ADD", [x, y], [out])
    path = tmp_path / "two.tflite"
    path.write_bytes(w.model(inputs=[x, y], outputs=[out]))
    return path


def write(path: Path, rows: np.ndarray = ROWS) -> Path:
    """The rows in the form the ending names."""
    flat = rows.reshape(len(rows), -1)
    if path.suffix == ".npy":
        np.save(path, rows)
    elif path.suffix == ".npz":
        np.savez(path, whatever=rows)
    elif path.suffix == ".csv":
        path.write_text("".join(",".join(map(str, row)) + "\n" for row in flat.tolist()))
    elif path.suffix == ".bin":
        path.write_bytes(rows.tobytes())
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in flat.tolist()))
    return path


def codes(out: str) -> np.ndarray:
    """The codes in a JSON answer."""
    rows = json.loads(out)["rows"]
    return np.array([next(iter(r["outputs"].values()))["codes"] for r in rows], np.int8)


@pytest.mark.parametrize("ending", ["npy", "npz", "csv", "jsonl", "json", "bin", "raw"])
def test_every_kind_of_file(run, bundle: Path, wanted, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    if ending == "raw":
        path.write_bytes(ROWS.tobytes())
    else:
        write(path)
    ran = run("predict", bundle, path, "-o", "json")
    assert ran.code == Exit.OK, ran.err
    assert np.array_equal(codes(ran.out), wanted)


@pytest.mark.parametrize("ending", ["npy", "npz", "csv", "jsonl", "bin"])
def test_standard_input(spawn, bundle: Path, wanted, tmp_path: Path, ending: str) -> None:
    data = write(tmp_path / f"rows.{ending}").read_bytes()
    more = ["--format", "bin"] if ending == "bin" else []
    done = spawn("predict", bundle, "-", "-o", "json", *more, input=data)
    assert done.returncode == Exit.OK, done.stderr
    assert np.array_equal(codes(done.stdout.decode()), wanted)


def test_shapes_of_arrays(run, bundle: Path, wanted, tmp_path: Path) -> None:
    with neurovm.load(bundle) as model:
        shape = model.inputs[0].shape
    for rows, count in ((ROWS, 7), (ROWS.reshape(7, *shape), 7), (ROWS[0], 1), (ROWS[:0], 0)):
        np.save(tmp_path / "rows.npy", rows)
        ran = run("predict", bundle, tmp_path / "rows.npy", "-o", "json")
        assert ran.code == Exit.OK, ran.err
        found = json.loads(ran.out)["rows"]
        assert len(found) == count
        if count:
            assert np.array_equal(codes(ran.out), wanted[:count])


def test_more_rows_than_a_batch(run, bundle: Path, tmp_path: Path) -> None:
    rows = np.random.default_rng(6).integers(-128, 128, (2 * BATCH_ROWS + 3, 64)).astype(np.int8)
    answers = [
        run("predict", bundle, write(tmp_path / f"rows.{kind}", rows), "-o", "csv").out
        for kind in ("npy", "csv", "jsonl", "bin")
    ]
    assert len(answers[0].splitlines()) == 1 + len(rows)
    assert len(set(answers)) == 1


def test_every_form_of_answer(run, spawn, bundle: Path, wanted, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.npy")
    text = run("predict", bundle, path, "-o", "csv").out
    table = list(csv.reader(io.StringIO(text)))
    assert table[0] == [f"digit {i}" for i in range(10)]
    assert np.array_equal(np.array(table[1:], np.int64), wanted)
    lines = run("predict", bundle, path, "-o", "jsonl").out.splitlines()
    assert [json.loads(line)["row"] for line in lines] == list(range(7))
    as_json = json.loads(run("predict", bundle, path, "-o", "json").out)
    assert yaml.safe_load(run("predict", bundle, path, "-o", "yaml").out) == as_json
    array = np.load(io.BytesIO(spawn("predict", bundle, path, "-o", "npy").stdout))
    assert array.dtype == np.int8
    assert np.array_equal(array, wanted)
    assert "digit" in run("predict", bundle, path).out


def test_top_is_ordered_and_labelled(run, bundle: Path, wanted, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.npy")
    rows = json.loads(run("predict", bundle, path, "--top", 3, "-o", "json").out)["rows"]
    for row, expected in zip(rows, wanted.astype(int), strict=True):
        order = sorted(range(10), key=lambda i: (-expected[i], i))[:3]
        assert [b["index"] for b in row["top"]] == order
        assert [b["code"] for b in row["top"]] == [expected[i] for i in order]
        assert [b["label"] for b in row["top"]] == [f"digit {i}" for i in order]
    text = run("predict", bundle, path, "--top", 2, "-o", "csv").out
    assert len(text.splitlines()) == 1 + 2 * 7


def test_real_values_are_quantised(run, bundle: Path, wanted, tmp_path: Path) -> None:
    with neurovm.load(bundle) as model:
        scale, zero = model.inputs[0].scale, model.inputs[0].zero_point
        out = model.outputs[0]
    real = ((ROWS.astype(np.float64) - zero) * scale).astype(np.float32)
    np.save(tmp_path / "real.npy", real)
    (tmp_path / "real.bin").write_bytes(real.astype("<f4").tobytes())
    for name in ("real.npy", "real.bin"):
        ran = run("predict", bundle, tmp_path / name, "--real", "-o", "json")
        assert np.array_equal(codes(ran.out), wanted)
    text = run("predict", bundle, tmp_path / "real.npy", "--real", "-o", "csv").out
    values = np.array(list(csv.reader(io.StringIO(text)))[1:], np.float32)
    expected = (wanted.astype(np.float32) - np.float32(out.zero_point)) * np.float32(out.scale)
    assert np.array_equal(values, expected)


def test_a_float_model(run, dscnn: Path, tmp_path: Path) -> None:
    with neurovm.convert_tflite(dscnn) as model:
        x = np.random.default_rng(8).uniform(0, 1, (5, *model.inputs[0].shape[1:]))
        wanted = np.asarray(model.predict(x.astype(np.float32)))
        info = model.outputs[0]
    np.save(tmp_path / "x.npy", x)
    rows = json.loads(run("predict", dscnn, tmp_path / "x.npy", "-o", "json").out)["rows"]
    values = np.array([r["outputs"][info.name]["values"] for r in rows], np.float32)
    assert np.array_equal(values, wanted.reshape(values.shape))
    given = np.array([r["outputs"][info.name]["codes"] for r in rows])
    back = (given - info.zero_point).astype(np.float32) * np.float32(info.scale)
    assert np.array_equal(back, values)


def test_several_inputs(run, two_inputs: Path, tmp_path: Path) -> None:
    x, y = np.array([[2, 4, 6]], np.int8), np.array([[4, 0, -8]], np.int8)
    np.savez(tmp_path / "a.npz", y=y, x=x)
    (tmp_path / "a.jsonl").write_text('{"y": [4, 0, -8], "x": [2, 4, 6]}\n')
    (tmp_path / "a.csv").write_text("x0,x1,x2,y0,y1,y2\n2,4,6,4,0,-8\n")
    (tmp_path / "a.bin").write_bytes(x.tobytes() + y.tobytes())
    for name in ("a.npz", "a.jsonl", "a.csv", "a.bin"):
        ran = run("predict", two_inputs, tmp_path / name, "-o", "json")
        assert ran.code == Exit.OK, ran.err
        assert codes(ran.out).tolist() == [[2, 2, 1]]
    np.save(tmp_path / "one.npy", x)
    np.savez(tmp_path / "half.npz", x=x, z=y)
    (tmp_path / "half.jsonl").write_text('{"x": [1, 2, 3]}\n')
    (tmp_path / "list.jsonl").write_text("[1, 2, 3]\n")
    for name in ("one.npy", "half.npz", "half.jsonl", "list.jsonl"):
        ran = run("predict", two_inputs, tmp_path / name)
        assert ran.code == Exit.DATA
        assert "y" in ran.err


NUMBERS = ",".join("1" for _ in range(64))
WRONG = {
    "short.csv": (NUMBERS + "\n" + NUMBERS[:-2] + "\n", ["line 2", "63 columns", "64"]),
    "nan.csv": (NUMBERS + "\n" + NUMBERS[:-1] + "nan\n", ["line 2", "column 64", "NaN"]),
    "word.csv": (NUMBERS + "\n" + NUMBERS[:-1] + "warm\n", ["line 2", "column 64", "'warm'"]),
    "fraction.csv": (NUMBERS[:-1] + "0.5\n", ["row 0", "not a whole number", "--real"]),
    "range.csv": (NUMBERS + "\n" + NUMBERS[:-1] + "128\n", ["row 1", "outside int8"]),
    "infinite.csv": (NUMBERS[:-1] + "inf\n", ["row 0", "outside int8"]),
    "broken.jsonl": ("[1, 2\n", ["line 1", "not JSON"]),
    "nested.jsonl": ("[[1, 2], [3]]\n", ["line 1"]),
    "words.jsonl": ('["a"]\n', ["line 1"]),
    "few.jsonl": ("[1, 2, 3]\n", ["line 1", "3 values", "64"]),
    "nan.jsonl": (f"[{NUMBERS[:-1]}NaN]\n", ["line 1", "NaN"]),
    "key.jsonl": ('{"elsewhere": [1]}\n', ["line 1", "elsewhere"]),
    "binary.csv": (b"\xff\xfe\x00\x01", ["not text"]),
    "half.bin": (b"\x00" * 100, ["row 1", "64 bytes"]),
    "text.npy": ("no array\n", ["not a npy file"]),
    "text.npz": ("no array\n", ["not a npz file"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_data_is_named(run, bundle: Path, tmp_path: Path, name: str) -> None:
    content, words = WRONG[name]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    ran = run("predict", bundle, path, "-o", "json")
    assert ran.code == Exit.DATA, ran.err
    assert ran.err.count("\n") == 1
    for word in (name, *words):
        assert word in ran.err
    assert ran.out == ""


def test_wrong_arrays(run, bundle: Path, tmp_path: Path) -> None:
    nan = ROWS.astype(np.float32)
    nan[3, 5] = np.nan
    for array, words in (
        (ROWS[:, :63], ["(7, 63)"]),
        (nan, ["row 3", "NaN"]),
        (ROWS.astype(np.float32) + 0.25, ["not a whole number"]),
        (np.full((1, 64), 200, np.int16), ["outside int8"]),
        (np.array(["a"]), [""]),
        (np.array([{"a": 1}], object), [""]),
    ):
        np.save(tmp_path / "wrong.npy", array, allow_pickle=True)
        ran = run("predict", bundle, tmp_path / "wrong.npy")
        assert ran.code == Exit.DATA, ran.err
        for word in words:
            assert word in ran.err


def test_nan_for_a_float_model(run, dscnn: Path, tmp_path: Path) -> None:
    with neurovm.convert_tflite(dscnn) as model:
        rows = np.zeros((2, *model.inputs[0].shape[1:]), np.float32)
    rows[1].reshape(-1)[7] = np.nan
    np.save(tmp_path / "x.npy", rows)
    ran = run("predict", dscnn, tmp_path / "x.npy")
    assert ran.code == Exit.DATA
    assert "row 1" in ran.err


def test_missing_and_unknown_files(run, bundle: Path, tmp_path: Path) -> None:
    assert run("predict", bundle, tmp_path / "none.csv").code == Exit.NO_INPUT
    assert run("predict", tmp_path / "none.nvm", "x.csv").code == Exit.NO_INPUT
    (tmp_path / "rows.dat").write_text(NUMBERS + "\n")
    ran = run("predict", bundle, tmp_path / "rows.dat")
    assert ran.code == Exit.DATA
    assert "--format" in ran.err
    ran = run("predict", bundle, tmp_path / "rows.dat", "--format", "csv")
    assert ran.code == Exit.OK
    (tmp_path / "dir.csv").mkdir()
    assert run("predict", bundle, tmp_path / "dir.csv").code == Exit.NO_INPUT


def test_npy_wants_a_file(run, bundle: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.npy")
    assert run("predict", bundle, path, "-o", "npy", "--top", 1).code == Exit.USAGE
