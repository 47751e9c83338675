# SPDX-License-Identifier: Apache-2.0
"""`neurovmd once`: recorded messages through the real mapping, without a broker."""

from __future__ import annotations

import base64
import io
import json
import resource
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import neurovm
from benchmarks.rig import ROOT
from neurovmd import config, once
from neurovmd.__main__ import main

VM = """\
model: {model}
inputs:
  - topic: plant/{{stream}}/sensor/{{element}}
  - topic: plant/{{stream}}/codes
    payload: {{format: raw, dtype: int8}}
output: {{on: {on}, wait_for: any, form: {{values: codes}}}}
"""
Run = Callable[..., tuple[int, list[dict[str, Any]], str]]


def line(topic: str, payload: str | bytes, t_us: int | None = None) -> dict[str, Any]:
    text = {"payload": payload} if isinstance(payload, str) else {}
    coded = {} if text else {"payload_b64": base64.b64encode(payload).decode()}
    return {"topic": topic, **text, **coded, **({} if t_us is None else {"t_us": t_us})}


@pytest.fixture
def folder(tmp_path: Path, bundles: dict[str, Path]) -> Path:
    (tmp_path / "vm.d").mkdir()
    vm = VM.format(model=bundles["digits_mlp"], on="always")
    (tmp_path / "vm.d/digits.yaml").write_text(vm)
    (tmp_path / "neurovmd.yaml").write_text("node: box\nvm_dir: vm.d\ncache_dir: cache\n")
    return tmp_path


@pytest.fixture
def run(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """run([{"topic": …}, …], "--strict") -> code, results, stderr."""

    def call(lines: list[Any], *more: str) -> tuple[int, list[dict[str, Any]], str]:
        sample = folder / "sample.jsonl"
        sample.write_text("".join(x if isinstance(x, str) else json.dumps(x) + "\n" for x in lines))
        code = main(["once", "--config", str(folder / "neurovmd.yaml"), *more, str(sample)])
        out, err = capfdbinary.readouterr()
        return code, [json.loads(text) for text in out.splitlines()], err.decode()

    return call


def answers(bundle: Path, updates: list[tuple[list[int], bytes]]) -> list[list[int]]:
    """What a session answers, update by update, from initial zeros."""
    with neurovm.load(bundle) as model:
        session = model.session()
        size = model.inputs[0].size
        zero = bytes([model.inputs[0].zero_point & 0xFF])
        session.update(array("I", range(size)), zero * size)
        found = []
        for indices, codes in updates:
            session.update(array("I", indices), codes)
            found.append(session.output.tolist())
        del session
    return found


def test_results_are_the_sessions_own(run: Run, bundles: dict[str, Path]) -> None:
    with neurovm.load(bundles["digits_mlp"]) as model:
        info = model.inputs[0]
        code = bytes([min(127, round(0.5 / info.scale) + info.zero_point) & 0xFF])
        frame = bytes(range(256))[100 : 100 + info.size]
    lines = [
        line("plant/p/sensor/5", '{"value": 0.5}', 1_000_000),
        line("plant/q/codes", frame, 2_000_000),
        line("plant/p/codes", frame, 3_000_000),
    ]
    code_of_exit, results, err = run(lines)
    assert code_of_exit == 0, err
    assert [(r["stream"], r["seq"], r["t_us"]) for r in results] == [
        ("p", 1, 1_000_000),
        ("q", 1, 2_000_000),
        ("p", 2, 3_000_000),
    ]
    every = list(range(len(frame)))
    first, last = answers(bundles["digits_mlp"], [([5], code), (every, frame)])
    assert [r["values"] for r in results] == [first, last, last]
    assert "3 messages, 3 results, 0 dropped" in err


def test_what_is_dropped_is_named_with_its_line(run: Run) -> None:
    lines = [
        line("plant/p/sensor/5", "no json"),
        line("plant/p/sensor/64", '{"value": 1}'),
        line("plant/p/codes", b"\x00\xff"),
        {"topic": "plant/p/codes", "bytes": 99_999},
        line("home/kitchen", "21"),
        line("plant/p/sensor/5", '{"value": 1}'),
    ]
    code, results, err = run(lines)
    assert code == 0
    assert [r["seq"] for r in results] == [1]
    for number, reason in enumerate(("payload", "topic", "payload", "oversize"), 1):
        assert f"sample.jsonl:{number}: digits: dropped ({reason})" in err
    assert "6 messages, 1 results, 4 dropped, 1 on topics of no VM" in err
    assert run(lines, "--strict")[0] == 1
    assert run(lines, "--quiet")[2] == ""


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        ("{\n", "truncated"),
        ('{"payload": "1"}\n', "no topic"),
        ('{"topic": "a"}\n', "0 of payload"),
        ('{"topic": "a", "payload": "1", "payload_b64": "MQ=="}\n', "2 of payload"),
        ('{"topic": 5, "payload": "1"}\n', "topic"),
        ('{"topic": "a", "payload_b64": "?"}\n', "payload_b64"),
        ('{"topic": "a", "payload": "1", "t_us": -1}\n', "t_us"),
        ('{"x": ' + "[" * 100_000 + "\n", "recursion"),
        ('{"topic": "a", "payload": "\\ud800"}\n', "ud800"),
    ],
)
def test_a_wrong_line_is_located(run: Run, bad: str, found: str) -> None:
    good = line("plant/p/sensor/5", '{"value": 1}')
    code, results, err = run([good, "\n", bad, good])
    assert code == 65
    assert len(results) == 1
    assert "sample.jsonl:3: found" in err
    assert found in err
    assert err.count("\n") == 1


def test_a_line_is_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurovm.recording.MAX_LINE_BYTES", 100)
    code, _, err = run([line("a", "x" * 200)])
    assert code == 65
    assert "more than 100 bytes" in err


def test_configuration_errors_and_unknown_vms_are_78(run: Run, folder: Path) -> None:
    code, _, err = run([], "--vm", "nobody")
    assert (code, "there are: digits" in err) == (78, True)
    file = folder / "vm.d/digits.yaml"
    file.write_text(file.read_text().replace("sensor/{element}", "sensor/{elemnt}"))
    code, _, err = run([])
    assert code == 78
    assert "digits.yaml:3" in err


def test_missing_files_are_66(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["once", "--config", str(folder / "neurovmd.yaml")]
    assert main([*arguments, str(folder / "none.jsonl")]) == 66
    assert "none.jsonl" in capfd.readouterr().err


def test_interval_follows_the_time_of_the_recording(run: Run, folder: Path) -> None:
    file = folder / "vm.d/digits.yaml"
    file.write_text(file.read_text().replace("on: always", "on: interval, interval_s: 1.0"))
    at_us = [10_000_000, 10_200_000, 10_900_000, 11_500_000, 20_000_000]
    lines = [line("plant/p/sensor/5", f'{{"value": {n}}}', t) for n, t in enumerate(at_us)]
    code, results, _ = run(lines)
    assert code == 0
    assert [(r.get("seq_first", r["seq"]), r["seq"]) for r in results] == [
        (1, 1),
        (2, 3),
        (4, 4),
        (5, 5),
    ]
    for one, again in zip(results, run(lines)[1], strict=True):
        assert {**one, "compute_us": 0} == {**again, "compute_us": 0}


def test_two_vms_and_a_choice(run: Run, folder: Path) -> None:
    text = (folder / "vm.d/digits.yaml").read_text()
    (folder / "vm.d/other.yaml").write_text(text)
    sample = [line("plant/p/sensor/5", '{"value": 1}')]
    assert [r["vm"] for r in run(sample)[1]] == ["digits", "other"]
    assert [r["vm"] for r in run(sample, "--vm", "other")[1]] == ["other"]


def test_a_tflite_is_converted_for_the_run(run: Run, folder: Path) -> None:
    sample = [line("plant/p/sensor/5", '{"value": 1}')]
    before = run(sample)[1]
    file = folder / "vm.d/digits.yaml"
    model = ROOT / "tests/fixtures/digits_mlp.tflite"
    file.write_text(file.read_text().replace(file.read_text().split("\n")[0], f"model: {model}"))
    code, after, err = run(sample)
    assert code == 0, err
    assert [r["values"] for r in after] == [r["values"] for r in before]
    assert not (folder / "cache").exists()


def test_memory_does_not_grow_with_the_recording(folder: Path) -> None:
    """150 MB of messages through a process whose own memory is held to 64 MiB."""
    limit = 64 << 20
    feed = (
        "import sys\n"
        'line = b\'{"topic": "a/b", "payload": "\' + b\'x\' * 1_000_000 + b\'"}\\n\'\n'
        "for _ in range(150): sys.stdout.buffer.write(line)\n"
    )
    with subprocess.Popen([sys.executable, "-c", feed], stdout=subprocess.PIPE) as source:
        ran = subprocess.run(
            [sys.executable, "-m", "neurovmd", "once", "--config", str(folder / "neurovmd.yaml")],
            cwd=ROOT,
            stdin=source.stdout,
            capture_output=True,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
        )
    assert ran.returncode == 0, ran.stderr
    assert "150 messages, 0 results" in ran.stderr


def test_a_reader_that_has_seen_enough(folder: Path) -> None:
    sample = folder / "many.jsonl"
    one = json.dumps(line("plant/p/sensor/5", '{"value": 1}')) + "\n"
    sample.write_text(one * 2000)
    command = [sys.executable, "-m", "neurovmd", "once", "--config", str(folder / "neurovmd.yaml")]
    with subprocess.Popen(
        [*command, str(sample)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        said = child.stderr.read().decode()
    assert child.returncode == 74
    assert said == ""


def test_run_says_what_does_not_fit(folder: Path) -> None:
    file = folder / "vm.d/digits.yaml"
    file.write_text(
        file.read_text().replace("sensor/{element}", "sensor/{element}\n    to: {tensor: 3}")
    )
    settings = config.load(folder / "neurovmd.yaml", environ={})
    with pytest.raises(neurovm.ConfigError, match=r"inputs\[0\].to.tensor"):
        once.run(settings, io.BytesIO(), "sample", lambda _: None, lambda _: None)


@pytest.mark.parametrize("command", ["once", "listen", "send"])
def test_help_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"  neurovmd {command}" in said.split("examples:")[1]
    assert "Exit codes: 0 " in said
