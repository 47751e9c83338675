# SPDX-License-Identifier: Apache-2.0
"""Front ends in a manifest: built into the bundle, judged where they are written, and run."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import neurovm
from neurovm import manifest
from neurovm.cli import main
from neurovm.cli.exits import Exit
from neurovm.frontends import LogMel, Scale, chain
from neurovmd.__main__ import main as daemon

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
MANIFEST = """\
version: "1.0"
name: "listener"
inputs:
  - topic: mic/{stream}/pcm
    payload: {format: pcm, rate_hz: 16000}
    front_end:
      - {kind: log_mel, frame_length: 400, frame_step: 160, n_fft: 512, n_mels: 64, fmax: 7600}
      - {kind: scale, scale: 0.03, offset: 0.1, low: 0, high: 1}
    window: {hop: 2}
output: {on: always, form: {values: codes}}
"""


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """A manifest beside a network of 16 rows of 64 values."""
    folder = tmp_path / "listener"
    folder.mkdir()
    shutil.copy(FIXTURES / "pump_window_dscnn.tflite", folder)
    (folder / "neurovm.yaml").write_text(MANIFEST)
    return folder


def build(run, folder: Path) -> Path:
    ran = run("build", folder, "-o", "json")
    assert ran.code == Exit.OK, ran.err
    return folder / json.loads(ran.out)["file"]


def test_the_bundle_carries_them(run, box: Path) -> None:
    with neurovm.load(build(run, box)) as model:
        vm = manifest.from_deploy(model.manifest.deploy, "listener.nvm")
    (source,) = vm.inputs
    assert [each["kind"] for each in source["front_end"]] == ["log_mel", "scale"]
    assert source["front_end"][0]["n_mels"] == 64
    assert source["window"] == {"hop": 2}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("n_mels: 64", "n_mels: 0", "n_mels: found 0; accepted: a whole number"),
        ("n_mels: 64", "mels: 64", "neurovm.yaml:7:73: inputs[0].front_end"),
        ("kind: log_mel", "kind: log_mal", "log_mal"),
        ("fmax: 7600", "fmax: 9000", "found 0 to 9000 Hz at 16000 Hz"),
        ("n_mels: 64", "n_mels: 63", "inputs[0]: found frames of 63 values"),
    ],
)
def test_what_does_not_fit_is_named_at_its_line(
    run, box: Path, old: str, new: str, said: str
) -> None:
    file = box / "neurovm.yaml"
    file.write_text(file.read_text().replace(old, new))
    ran = run("build", box)
    assert ran.code == Exit.CONFIG
    assert said in ran.err
    assert "neurovm.yaml:" in ran.err
    assert not list(box.glob("*.nvm"))


def test_the_daemon_hears_what_was_built(
    box: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["build", str(box), "-q"]) == Exit.OK
    (bundle,) = box.glob("*.nvm")
    with neurovm.load(bundle) as model:
        vm = manifest.from_deploy(model.manifest.deploy, "listener.nvm")
    settings = manifest.vm_settings(vm, str(bundle))
    (tmp_path / "vm.d").mkdir()
    (tmp_path / "vm.d/listener.yaml").write_text(json.dumps(settings))
    (tmp_path / "neurovmd.yaml").write_text("node: box\nvm_dir: vm.d\ncache_dir: cache\n")
    sound = np.random.default_rng(0).integers(-9000, 9000, 4000).astype("<i2")
    sound[1500:2500] //= 40
    lines = [
        {
            "topic": "mic/hall/pcm",
            "payload_b64": base64.b64encode(sound[at : at + 320].tobytes()).decode(),
            "t_us": 20_000 * (1 + at // 320),
        }
        for at in range(0, len(sound), 320)
    ]
    sample = tmp_path / "sample.jsonl"
    sample.write_text("".join(json.dumps(line) + "\n" for line in lines))
    capfdbinary.readouterr()
    assert daemon(["once", "--config", str(tmp_path / "neurovmd.yaml"), str(sample)]) == 0
    results = [json.loads(line)["values"] for line in capfdbinary.readouterr().out.splitlines()]
    front = chain(
        [
            LogMel(frame_length=400, frame_step=160, n_fft=512, n_mels=64, fmax=7600),
            Scale(scale=0.03, offset=0.1, low=0, high=1),
        ],
        rate_hz=16000,
    )
    rows = front.whole(sound)
    with neurovm.load(bundle) as model:
        info = model.inputs[0]
        codes = np.clip(np.rint(rows / info.scale) + info.zero_point, -128, 127).astype(np.int8)
        ends = range(16, len(rows) + 1, 2)
        windows = np.stack([codes[end - 16 : end] for end in ends])
        wanted = np.asarray(model.predict(windows.reshape(-1, *info.shape[1:])))
    assert len(np.unique(codes)) > 30
    assert results == wanted.reshape(len(windows), -1).tolist()
    assert len({tuple(each) for each in results}) > 1
