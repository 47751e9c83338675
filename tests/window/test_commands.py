# SPDX-License-Identifier: Apache-2.0
"""`neurovmd check` and `neurovmd once` with windows, and what a process loads for them."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import neurovm
from benchmarks.rig import ROOT
from neurovmd import config
from neurovmd.__main__ import main
from neurovmd.conversion import cached_bundle

PUMP = ROOT / "tests/fixtures/pump_window_dscnn.tflite"
SIZE, FRAME = 16, 64
VM = """\
model: {model}
inputs:
  - topic: pump/{{stream}}/rows
    payload: {{format: raw, dtype: float32}}
    window: {{hop: 2, rate_hz: null}}
output: {{on: always, form: {{values: codes}}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vm.d").mkdir()
    with neurovm.convert_tflite(PUMP) as model:
        model.save(tmp_path / "pump.nvm")
    (tmp_path / "vm.d/pump.yaml").write_text(VM.format(model=tmp_path / "pump.nvm"))
    (tmp_path / "neurovmd.yaml").write_text("node: box\nvm_dir: vm.d\ncache_dir: cache\n")
    return tmp_path


def test_check_says_what_a_stream_costs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(folder / "neurovmd.yaml")]) == 0
    out = capsys.readouterr().out
    with neurovm.load(folder / "pump.nvm") as model:
        plan = model.plan(neurovm.Window(hop=2))
    assert "pump: window of 16 frames of 64 values, hop 2" in out
    assert f"{plan.share:.3f} of a full run a hop" in out
    assert "bytes a stream" in out
    assert main(["check", "-o", "json", "--config", str(folder / "neurovmd.yaml")]) == 0
    found = json.loads(capsys.readouterr().out)["windows"]["pump"]
    assert (found["macs"], found["dense_macs"]) == (plan.macs, plan.dense_macs)
    assert found["most_bytes"] >= plan.session_bytes == found["session_bytes"]


def test_check_says_what_it_could_not_compare(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A .tflite that was not converted yet: nothing is known of its tensors. Then it is."""
    where = ["--config", str(folder / "neurovmd.yaml")]
    (folder / "vm.d/pump.yaml").write_text(VM.format(model=PUMP).replace("hop: 2", "size: 15"))
    assert main(["check", *where]) == 0
    out = capsys.readouterr().out
    assert "pump: not compared with pump_window_dscnn.tflite, which is converted when" in out
    assert main(["check", "-o", "json", *where]) == 0
    assert json.loads(capsys.readouterr().out)["not_compared"] == ["pump"]
    settings = config.load(folder / "neurovmd.yaml", environ={})
    bundle = cached_bundle(settings.deployments[0], Path(settings.config.cache_dir))
    bundle.parent.mkdir()
    with neurovm.convert_tflite(PUMP) as model:
        model.save(bundle)
    assert main(["check", *where]) == 78
    assert "inputs[0].window" in "".join(capsys.readouterr())


def test_check_names_a_window_that_does_not_fit(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "vm.d/pump.yaml"
    file.write_text(file.read_text().replace("hop: 2", "size: 15"))
    assert main(["check", "--config", str(folder / "neurovmd.yaml")]) == 78
    said = capsys.readouterr()
    assert "inputs[0].window: found 15 frames of 68 values" in said.out + said.err


def test_once_answers_hop_by_hop(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    rows = np.random.default_rng(1).uniform(0, 1, (SIZE + 4, FRAME)).astype("<f4")
    lines = [
        {
            "topic": "pump/p/rows",
            "payload_b64": base64.b64encode(row.tobytes()).decode(),
            "t_us": 1_000_000 * (k + 1),
        }
        for k, row in enumerate(rows)
    ]
    sample = folder / "sample.jsonl"
    sample.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["once", "--config", str(folder / "neurovmd.yaml"), str(sample)]) == 0
    found = [json.loads(text) for text in capfdbinary.readouterr().out.splitlines()]
    with neurovm.load(folder / "pump.nvm") as model:
        info = model.inputs[0]
        codes = np.clip(np.rint(rows / info.scale) + info.zero_point, -128, 127).astype(np.int8)
        windows = np.stack([codes[e - SIZE : e] for e in (16, 18, 20)])
        wanted = np.asarray(model.predict(windows.reshape(3, *info.shape[1:])))
    assert [r["values"] for r in found] == wanted.reshape(3, -1).tolist()
    assert [(r["seq"], r["window"]["t1_us"]) for r in found] == [
        (16, 16_000_000), (18, 18_000_000), (20, 20_000_000),
    ]  # fmt: skip


def loaded(vm: str, bundle: Path) -> bool:
    """Whether numpy is loaded in a process that serves a VM with a window."""
    code = f"""
import sys, json
import neurovm, msgspec
from neurovmd.binding import inputs_of, streams_of
from neurovmd.schema import Vm
from neurovmd.shared import SharedBlock
from neurovmd.mailbox import Message
vm = msgspec.json.decode({vm!r}, type=Vm)
with neurovm.load(sys.argv[1]) as model:
    inputs = inputs_of(vm, {{}}, model)
    streams = streams_of("p", vm, model, inputs, str, str, SharedBlock(1).slot(0))
    done = [streams.accept(Message("a", bytes(4 * 64), None)) for _ in range(16)]
    assert json.loads(done[-1].payload)["window"]["n"] == 16
    del streams
print("numpy" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip() == "True"


@pytest.mark.parametrize("front_end", [False, True])
def test_numpy_is_loaded_for_front_ends_alone(folder: Path, front_end: bool) -> None:
    source = {
        "topic": "a",
        "payload": {"format": "raw"},
        "to": {"elements": [f"c{i}" for i in range(FRAME)]},
        "window": {"hop": 1, "late": None},
    }
    source |= {"front_end": [{"kind": "scale", "scale": 0.5}]} if front_end else {}
    vm = json.dumps({"model": "x.nvm", "inputs": [source]})
    assert loaded(vm, folder / "pump.nvm") == front_end
