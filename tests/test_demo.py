# SPDX-License-Identifier: Apache-2.0
"""The demo: what it counts, what it draws, and a whole run with broker and daemon."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.pump import deployment, summary
from examples.pump.children import DemoError
from examples.pump.demo import options, server_of
from examples.pump.deployment import Server
from examples.pump.faults import CLASSES
from examples.pump.raster import band, bar, braille
from examples.pump.recording import (
    Decision,
    Event,
    Recording,
    Sample,
    Span,
    Truth,
    fault_outcomes,
    label_at,
    latest,
    score,
    spans,
)
from examples.pump.screen import DOT_ROW, PlainLog, Screen, console
from examples.pump.sensors import NAMES
from neurovmd import config

ROOT = Path(__file__).resolve().parent.parent


def decision(t_s: float, label: str, *, pump: int = 0, seq: int = 1, **figures) -> Decision:
    defaults = {"value": 0.9, "latency_s": None, "sops": 10, "dense_macs": 100, "compute_us": 5.0}
    return Decision(t_s=t_s, pump=pump, label=label, seq=seq, **{**defaults, **figures})


def sample(t_s: float, spikes_out: int) -> Sample:
    figures = {"watts": 2.5, "source": "estimate:cpu-time", "limit_w": 100.0, "duty": 0.5}
    counts = {"steps": 9, "spikes_in": 12, "spikes_out": spikes_out, "dropped": 0}
    return Sample(t_s=t_s, **figures, **counts)


def recording(truths: list[tuple[float, str]], decisions: list[Decision]) -> Recording:
    made = Recording(pumps=("p1", "p2"), speed=20.0)
    made.truths = [Truth(t_s=t_s, pump=0, label=label) for t_s, label in truths]
    made.decisions = decisions
    return made


def test_spans_join_equal_labels_and_end_at_the_end():
    changes = [decision(1.0, "a"), decision(2.0, "a"), decision(3.0, "b"), decision(9.0, "c")]
    assert spans(changes, 0, 8.0) == [
        Span(label="a", start_s=1.0, end_s=3.0),
        Span(label="b", start_s=3.0, end_s=8.0),
    ]
    assert spans(changes, 1, 8.0) == []


def test_the_latest_entries_begin_with_the_one_that_holds_at_the_start():
    changes = [decision(t, "a", pump=pump) for t, pump in ((0, 0), (1, 0), (2, 1), (3, 0), (4, 1))]
    assert [c.t_s for c in latest(changes, 0, 2.5)] == [1, 3]
    assert [c.t_s for c in latest(changes, 1, 0.0)] == [2, 4]


def test_the_label_at_a_time_is_that_of_the_half_open_interval():
    timeline = [Span(label="a", start_s=1.0, end_s=3.0), Span(label="b", start_s=3.0, end_s=8.0)]
    assert [label_at(timeline, t) for t in (0.9, 1.0, 2.9, 3.0)] == [None, "a", "a", "b"]


def test_a_fault_is_seen_when_its_class_is_first_decided_while_it_lasts():
    truths = [(0.0, "normal"), (2.0, "leak"), (6.0, "normal"), (7.0, "cavitation")]
    decided = [decision(0.1, "normal"), decision(3.0, "leak"), decision(6.1, "normal")]
    first, second = fault_outcomes(recording(truths, decided), 10.0)
    assert (first.label, first.start_s, first.length_s, first.delay_s) == ("leak", 2.0, 4.0, 1.0)
    assert (second.label, second.delay_s) == ("cavitation", None)


def test_a_decision_that_stood_before_the_fault_began_has_no_delay():
    truths = [(0.0, "normal"), (2.0, "leak")]
    (outcome,) = fault_outcomes(recording(truths, [decision(1.0, "leak")]), 5.0)
    assert outcome.delay_s == 0.0


def test_the_score_counts_agreement_alarms_and_work():
    truths = [(0.0, "normal"), (4.0, "leak")]
    decided = [
        decision(1.0, "normal", latency_s=0.001),
        decision(2.0, "leak", latency_s=0.003, seq=5),  # an alarm of half a second
        decision(2.5, "normal"),
        decision(3.0, "leak"),  # too short to be one
        decision(3.05, "normal"),
        decision(5.0, "leak", seq=9),
    ]
    made = recording(truths, decided)
    result = score(made, 6.0)
    assert result.agreed_s == pytest.approx(1.0 + 0.5 + 0.95 + 1.0)
    assert result.decided_s == pytest.approx(5.0)
    assert (result.results, result.right, result.false_alarms) == (6, 4, 1)
    assert (result.sops, result.dense_macs) == (60, 600)
    assert result.latency_ms == (3.0, 3.0)
    assert made.covered == [9, 0]


def test_an_empty_run_has_a_summary_too():
    made = Recording(pumps=("p1",), speed=20.0)
    usage = summary.Usage(cpu_s=None, pss_mib=None, processes=0)
    text = summary.lines(made, score(made, 1.0), [], usage, 1.0, "none")
    assert any("none of them with the true state" in line for line in text)


def test_braille_dots_stand_where_the_points_are():
    assert braille([(0, 0)], 1, 1) == ["⠁"]
    assert braille([(3, 1)], 1, 1) == ["⢀"]
    assert braille([(r, c) for r in range(4) for c in range(2)], 1, 1) == ["⣿"]
    assert braille([(4, 2), (99, 0), (0, -1)], 2, 2) == ["⠀⠀", "⠀⠁"]


def test_a_band_and_a_bar():
    timeline = [Span(label="a", start_s=1.0, end_s=3.0), Span(label="b", start_s=3.0, end_s=4.0)]
    assert band(timeline, 0.0, 4.0, 4) == [None, "a", "a", "b"]
    assert [bar(share, 2) for share in (-1.0, 0.0, 0.25, 0.5, 1.0, 9.0)] == [
        "  ",
        "  ",
        "▌ ",
        "█ ",
        "██",
        "██",
    ]


def test_every_sensor_has_its_own_row():
    assert sorted(DOT_ROW) == list(range(64))


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
def test_the_view_fits_its_terminal_and_shows_truth_and_decision(size):
    made = recording([(0.0, "leak")], [decision(0.5, "leak"), decision(0.6, "cavitation")])
    made.events = [Event(t_s=0.5, pump=0, sensor=3, value=1.5, unit="kPa")]
    made.samples = [sample(0.0, 0), sample(1.0, 300)]
    out = console(color=False)
    out.size = size
    with out.capture() as captured:
        out.print(Screen(made, "title", 30.0).render(1.0, *size))
    text = captured.get()
    assert max(map(len, text.splitlines())) <= size[0]
    assert len(text.splitlines()) < size[1]
    assert f"plant/p1/sensor/{NAMES[3]} = 1.5 kPa" in text
    assert "leak ≠ cavitation 0.90" in text
    assert "2.50 W (estimate:cpu-time), limit 100 W, duty 50%" in text
    assert "12 into the network, 300 of its neurons, now 300/s" in text
    assert "20 SOPs for 200 dense MACs: 10.0%" in text


def test_plain_lines_tell_changes_once():
    made = recording([(0.0, "leak")], [decision(0.5, "leak"), decision(0.6, "leak")])
    lines: list[str] = []
    plain = PlainLog(made, lines.append)
    plain.update(0.7)
    plain.update(0.8)
    assert lines == ["   0.5 s  p1: leak 0.90 (true: leak), 10 SOPs of 100"]
    plain.update(1.1)
    assert lines[1:] == ["   1.1 s  0 events  2 results"]


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("box", "box", 1883),
        ("10.0.0.7:1884", "10.0.0.7", 1884),
        ("mqtt://box:99", "box", 99),
        ("[::1]:1884", "::1", 1884),
    ],
)
def test_a_broker_is_a_host_with_or_without_a_port(text, host, port):
    server = server_of(text)
    assert (server.host, server.port, server.embedded) == (host, port, False)
    assert server_of(str(server)) == server


@pytest.mark.parametrize("text", ["", ":1883", "box:port", "box:99999", "http://box"])
def test_what_is_no_broker_is_refused(text):
    with pytest.raises(DemoError, match="accepted HOST or HOST:PORT"):
        server_of(text)


@pytest.mark.parametrize("wrong", [["--seconds", "0"], ["--pumps", "5"], ["--speed", "x"]])
def test_wrong_options_end_with_code_2(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        options(wrong)
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_the_daemon_accepts_the_configuration(tmp_path):
    server = Server(host="127.0.0.1", port=1884, embedded=True)
    settings = config.load(deployment.write(tmp_path, server, deployment.MODEL, "50 W"))
    assert (settings.config.mqtt.port, settings.config.power.limit_w) == (1884, 50.0)
    (deployed,) = settings.deployments
    assert (deployed.name, deployed.model) == (deployment.VM, deployment.MODEL)
    assert tuple(deployed.vm.inputs[0].to.elements) == NAMES


def demo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-m", "examples.pump", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_whole_run(tmp_path):
    ended = demo("--seconds", "6", "--plot", "run.png", cwd=tmp_path)
    text = ended.stdout
    assert ended.returncode == 0, ended.stderr + text
    assert ended.stderr == ""
    published, seen = re.search(r"([\d,]+) sensor messages published, ([\d,]+) seen", text).groups()
    assert published == seen
    assert int(published.replace(",", "")) > 3 * 64
    assert float(re.search(r"agreement +([\d.]+)%", text)[1]) > 70.0
    assert any(f"(true: {name})" in text for name in CLASSES[1:])
    sops, dense = re.search(r"work +([\d,]+) SOPs in place of ([\d,]+) dense", text).groups()
    assert 0 < int(sops.replace(",", "")) < int(dense.replace(",", ""))
    if importlib.util.find_spec("matplotlib") is not None:
        assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    assert "unread" not in text


def test_a_missing_model_is_named(tmp_path):
    ended = demo("--model", "gone.tflite", "--seconds", "1", cwd=tmp_path)
    assert ended.returncode == 1
    assert "gone.tflite: the model is not there" in ended.stderr


def test_a_broker_that_is_not_there_is_named(tmp_path, unused_port):
    ended = demo("--broker", f"127.0.0.1:{unused_port}", "--seconds", "1", cwd=tmp_path)
    assert ended.returncode == 1
    assert f"no MQTT broker at 127.0.0.1:{unused_port}" in ended.stderr


@pytest.fixture
def unused_port():
    """A port of loopback that is bound and does not listen."""
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
