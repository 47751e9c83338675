# SPDX-License-Identifier: Apache-2.0
"""convert --calibrate and build: float networks are quantised on rows, or it is said why not."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from float_networks import Net, network

import neurovm
from neurovm import recording
from neurovm.cli.exits import Exit
from neurovm.cli.representative import Evenly

needs_litert = pytest.mark.skipif(
    find_spec("ai_edge_litert") is None,
    reason="ai-edge-litert is not installed; there are wheels for x86_64 and aarch64 only",
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A float network, and beside it its rows (n, 8, 8, 3) and the class of each."""
    data, rows = network("float32")
    (path := tmp_path / "float.tflite").write_bytes(data)
    np.save(tmp_path / "rows.npy", rows[0])
    (tmp_path / "answers.txt").write_text("1\n" * len(rows[0]))
    return path


def converted(run, source: Path, *options: object) -> dict:
    ran = run("convert", source, "-o", "json", *options)
    assert ran.code == Exit.OK, ran.err
    return json.loads(ran.out)


@needs_litert
def test_table_and_kept_file(run, source: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.tflite"
    ran = run(
        "convert", source, "--calibrate", tmp_path / "rows.npy", "--keep-quantized", kept,
        "--answers", tmp_path / "answers.txt",
    )  # fmt: skip
    assert ran.code == Exit.OK, ran.err
    for words in ("quantized here from float.tflite (float32) on 24 rows", "SOFTMAX", "SNR dB"):
        assert words in ran.out
    assert "right answers on these rows: float" in ran.out
    bundle = source.with_suffix(".nvm")
    proof = run("verify", kept, "--model", bundle, "--count", "10", "--walk", "10", "-o", "json")
    assert proof.code == Exit.OK, proof.err
    for command in ("inspect", "explain"):
        shown = run(command, bundle)
        assert "quantized here from float.tflite" in shown.out
        assert json.loads(run(command, bundle, "-o", "json").out)["quantized_from"]["rows"] == 24
    ran = run("verify", source, "--model", bundle)
    assert ran.code == Exit.DATA
    assert "--keep-quantized" in ran.err


def record(path: Path, payloads: list[bytes], topic: str = "plant/p1/window") -> None:
    """A recording, as `neurovm record` writes it."""
    with path.open("wb") as out:
        writer = recording.Writer(out, max_bytes=1 << 24, max_message_bytes=1 << 16)
        for payload in payloads:
            assert writer.put(topic, payload)


@needs_litert
def test_every_form_of_rows_gives_the_same(run, source: Path, tmp_path: Path) -> None:
    rows = np.load(tmp_path / "rows.npy")
    forms = {"rows.npy": lambda path: np.save(path, rows)}
    forms["rows.csv"] = lambda path: np.savetxt(path, rows.reshape(24, -1), delimiter=",")
    forms["rows.bin"] = lambda path: path.write_bytes(rows.tobytes())
    forms["rows.jsonl"] = lambda path: path.write_text(
        "".join(json.dumps(r.reshape(-1).tolist()) + "\n" for r in rows)
    )
    lists = [json.dumps(r.tolist()) for r in rows]
    forms["recorded.jsonl"] = lambda path: record(path, [text.encode() for text in lists])
    forms["objects.jsonl"] = lambda path: record(
        path, [f'{{"t": 1.5, "values": {text}}}'.encode() for text in lists]
    )
    forms["raw.jsonl"] = lambda path: record(path, [r.tobytes() for r in rows])
    (folder := tmp_path / "folder" / "class").mkdir(parents=True)
    (folder / "notes.md").write_text("not a sample")
    forms["folder"] = lambda _: [np.save(folder / f"{i:02}.npy", r) for i, r in enumerate(rows)]
    digests = set()
    for name, write in forms.items():
        write(tmp_path / name)
        result = converted(run, source, "--calibrate", tmp_path / name, "--force")
        digests.add((result["approx"]["rows_sha256"], result["approx"]["rows"]))
    assert len(digests) == 1


@needs_litert
def test_a_picture_of_what_each_operator_lost(run, source: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.npy"
    ran = run("convert", source, "--calibrate", rows, "--plot", tmp_path / "loss.svg")
    assert ran.code == Exit.OK, ran.err
    drawn = (tmp_path / "loss.svg").read_text()
    ET.fromstring(drawn)
    for words in ("float.tflite, quantized", "CONV_2D", "dB</text>", "on 24 rows"):
        assert words in drawn
    ran = run("convert", source, "--calibrate", rows, "--plot", tmp_path / "loss.pdf")
    assert ran.code == Exit.USAGE


@needs_litert
def test_rows_are_spread_over_all(run, source: Path, tmp_path: Path) -> None:
    result = converted(run, source, "--calibrate", tmp_path / "rows.npy", "--rows", "5")
    assert result["approx"]["rows"] == 5


def test_evenly() -> None:
    for count in (1, 3, 4, 5, 100, 4097):
        chosen = Evenly(4)
        for i in range(count):
            chosen.put([np.zeros(1, np.float32) + i])
            assert len(chosen.kept) < 8
        numbers = [number for number, _ in chosen.taken()]
        assert len(numbers) == min(4, count) == len(set(numbers))
        assert numbers == sorted(numbers)
        assert numbers[0] == 0
        assert numbers[-1] >= (count - 1) * 0.5


WRONG = {
    "missing.npy": (None, Exit.NO_INPUT, "missing.npy"),
    "empty.csv": (lambda p: p.write_text(""), Exit.DATA, "empty.csv: no rows"),
    "short.csv": (lambda p: p.write_text("1,2,3\n"), Exit.DATA, "short.csv"),
    "nan.npy": (
        lambda p: np.save(p, np.full((2, 8, 8, 3), np.nan)),
        Exit.DATA,
        r"nan.npy: row 0, element [0, 0, 0]: NaN",
    ),
    "inf.npy": (lambda p: np.save(p, np.full((2, 8, 8, 3), np.inf)), Exit.DATA, "an infinity"),
    "same.npy": (
        lambda p: np.save(p, np.ones((2, 8, 8, 3))),
        Exit.DATA,
        "same.npy: input 'x0': every value of all 2 rows is 1",
    ),
    "shape.npy": (lambda p: np.save(p, np.ones((2, 8, 3))), Exit.DATA, "shape (2, 8, 3)"),
    "picture.jpg": (lambda p: p.write_bytes(b"x"), Exit.DATA, "'.jpg' names no format"),
    "recorded.jsonl": (
        lambda p: record(p, [b'{"value": 1.5}'], "plant/p1/flow"),
        Exit.DATA,
        "recorded.jsonl:2: topic plant/p1/flow: found no such list; accepted: a JSON list of the",
    ),
    "short.jsonl": (lambda p: record(p, [b"[1, 2]"]), Exit.DATA, "short.jsonl:2: "),
    "broken.jsonl": (
        lambda p: p.write_text('{"topic": "a", "payload": "1"}\n{"topic"\n'),
        Exit.DATA,
        "broken.jsonl:1: topic a",
    ),
    "nothing": (lambda p: p.mkdir(), Exit.DATA, "no file with samples in this folder: .npy"),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_wrong_rows_leave_nothing(run, source: Path, tmp_path: Path, name: str) -> None:
    write, code, words = WRONG[name]
    if write is not None:
        write(tmp_path / name)
    ran = run("convert", source, "--calibrate", tmp_path / name)
    assert ran.code == code, ran.err
    assert words in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not source.with_suffix(".nvm").exists()


def test_without_rows(run, source: Path, tmp_path: Path) -> None:
    ran = run("convert", source)
    assert ran.code == Exit.DATA
    assert "give them with --calibrate FILE" in ran.err
    ran = run("convert", source, "--keep-quantized", tmp_path / "kept.tflite")
    assert ran.code == Exit.USAGE
    ran = run("explain", source)
    assert ran.code == Exit.DATA
    assert "neurovm convert --calibrate ROWS" in ran.out


def test_rows_for_an_int8_network(run, mlp: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((2, 64)))
    ran = run("convert", mlp, tmp_path, "--calibrate", tmp_path / "rows.npy")
    assert ran.code == Exit.DATA
    assert "quantized already" in ran.err


MANIFEST = 'version: "1.0"\nname: quantised\nsource: float.tflite\n'


@needs_litert
@pytest.mark.usefixtures("source")
def test_build(run, tmp_path: Path) -> None:
    (tmp_path / "neurovm.yaml").write_text(
        MANIFEST + "calibration: {samples: rows.npy, answers: answers.txt, rows: 20}\n"
    )
    ran = run("build", tmp_path, "-o", "json")
    assert ran.code == Exit.OK, ran.err
    result = json.loads(ran.out)
    assert result["quantized_from"]["rows"] == 20
    assert result["calibration"]["lines"][0]["agreement"] == 1.0
    with neurovm.load(result["file"]) as model:
        assert model.name == "quantised"
        assert model.manifest.approx.accuracy == tuple(result["quantized_from"]["accuracy"])
    assert "SNR dB" in run("build", tmp_path).out


@needs_litert
def test_build_rate_coded(run, tmp_path: Path) -> None:
    """Rate coding approximates the int8 network, and that the float one; both are told."""
    net = Net()
    x = net.input(12, low=0.0, high=1.0)
    y = net.apply(
        "FULLY_CONNECTED", [x, net.weights(8, 12), -1], 1, 8, FusedActivationFunction="RELU"
    )
    data, rows = net.made(net.apply("FULLY_CONNECTED", [y, net.weights(3, 8), -1], 1, 3))
    (tmp_path / "float.tflite").write_bytes(data)
    np.save(tmp_path / "rows.npy", rows[0])
    (tmp_path / "neurovm.yaml").write_text(
        MANIFEST
        + "network: {encoding: rate, steps: 32}\ncalibration: {samples: rows.npy, rows: 4}\n"
    )
    ran = run("build", tmp_path, "-o", "json")
    assert ran.code == Exit.OK, ran.err
    result = json.loads(ran.out)
    assert result["approx"]
    assert result["quantized_from"]["rows"] == 4


@pytest.mark.usefixtures("source")
def test_build_without_samples(run, tmp_path: Path) -> None:
    (tmp_path / "neurovm.yaml").write_text(MANIFEST)
    ran = run("build", tmp_path)
    assert ran.code == Exit.CONFIG
    assert "calibration: found none, and float.tflite is a float model" in ran.err
