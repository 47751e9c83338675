# SPDX-License-Identifier: Apache-2.0
"""A real spiking bundle in a VM: `neurovmd once` says what the network's own session does."""

from __future__ import annotations

import base64
import json
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurovm
from neurovm.encoders import LevelCrossing
from neurovm.events import Events, aer
from neurovm.spiking.network import Network
from neurovm.spiking.neurons import LI, LIF
from neurovm.spiking.synapses import Dense
from neurovmd.__main__ import main

VM = """\
model: net.nvm
inputs: [{inputs}]
output: {output}
time: {time}
"""
N, HIDDEN, OUT, DT_US = 12, 9, 4, 500


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`fires`: LIF to LIF; `reads`: LIF to a leaky integrator."""
    folder = tmp_path_factory.mktemp("spiking")
    rng = np.random.default_rng(3)
    for name, last in (("fires", LIF(tau_us=4000)), ("reads", LI(tau_us=4000))):
        network = Network(DT_US, name)
        source = network.input(N)
        hidden = network.population(HIDDEN, LIF(tau_us=3000, reset="subtract"))
        out = network.population(OUT, last)
        network.project(source, hidden, Dense(rng.normal(1.5, 3, (HIDDEN, N))))
        network.project(hidden, out, Dense(rng.normal(1.5, 3, (OUT, HIDDEN))))
        network.output(out)
        with neurovm.convert_network(network, labels=("a", "b", "c", "d")) as model:
            model.save(folder / f"{name}.nvm")
    return {name: folder / f"{name}.nvm" for name in ("fires", "reads")}


def once(
    folder: Path,
    bundle: Path,
    messages: list[tuple[str, bytes, int]],
    capfd: pytest.CaptureFixture[str],
    **vm: str,
) -> tuple[list[dict[str, Any]], str]:
    """The results of recorded messages (topic, payload, time in µs), and what was said."""
    (folder / "vm.d").mkdir(exist_ok=True)
    (folder / "vm.d/net.nvm").write_bytes(bundle.read_bytes())
    (folder / "vm.d/net.yaml").write_text(VM.format(**{"time": "{}", **vm}))
    (folder / "neurovmd.yaml").write_text("node: box\nvm_dir: vm.d\ncache_dir: cache\n")
    lines = [
        json.dumps({"topic": topic, "payload_b64": base64.b64encode(payload).decode(), "t_us": t})
        for topic, payload, t in messages
    ]
    (folder / "sample.jsonl").write_text("\n".join(lines) + "\n")
    code = main(["once", "--config", str(folder / "neurovmd.yaml"), str(folder / "sample.jsonl")])
    out, err = capfd.readouterr()
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()], err


def spikes(seed: int, count: int, span_us: int) -> Events:
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, span_us, count))
    times[0] = 0
    return Events(array("q", times.tolist()), array("I", rng.integers(0, N, count).tolist()))


def cut(events: Events, every_us: int, base_us: int) -> list[tuple[str, bytes, int]]:
    """As messages of `every_us` each."""
    messages = []
    times = np.asarray(events.times_us)
    for start in range(0, int(times[-1]) + 1, every_us):
        inside = (times >= start) & (times < start + every_us)
        part = Events(
            array("q", (times[inside] + base_us).tolist()),
            array("I", np.asarray(events.addresses)[inside].tolist()),
        )
        messages.append(("cam/p", aer.pack(part), base_us + start + every_us))
    return messages


def dense(bundle: Path, events: Events) -> tuple[np.ndarray, np.ndarray]:
    """Output spikes and potentials of every tick, by a session run tick by tick."""
    ticks = int(events.times_us[-1]) // DT_US + 1
    counts = np.zeros((ticks, N), np.int8)
    np.add.at(counts, (np.asarray(events.times_us) // DT_US, np.asarray(events.addresses, int)), 1)
    with neurovm.load(bundle) as model:
        session = model.session()
        out, v = session.run(counts.tobytes(), potentials=True)
        found = np.array(out.tolist()), np.array(v.tolist())
        del session, out, v
    return found


CAMERA = "{topic: 'cam/{stream}', payload: {format: aer}}"


@pytest.mark.parametrize("every_us", [700, 5_000, 80_000])
def test_counts_are_the_sessions_own(
    bundles: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str], every_us: int
) -> None:
    events = spikes(1, 3000, 80_000)
    results, _ = once(
        tmp_path,
        bundles["fires"],
        cut(events, every_us, 10**15),
        capfd,
        inputs=CAMERA,
        output="{on: window, window_s: 0.01, form: {values: counts}}",
    )
    out, _ = dense(bundles["fires"], events)
    windows = [out[at : at + 20].sum(axis=0).tolist() for at in range(0, len(out), 20)]
    assert sum(map(sum, windows)) > 50
    assert [result["counts"] for result in results] == windows
    assert results[0]["from_us"] == 10**15
    assert sum(result["events_in"] for result in results) == 3000


def test_output_events_are_the_sessions_own(
    bundles: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    events = spikes(2, 800, 30_000)
    results, _ = once(
        tmp_path,
        bundles["fires"],
        cut(events, 3_000, 0),
        capfd,
        inputs=CAMERA,
        output="{on: always, form: {values: events}}",
    )
    out, _ = dense(bundles["fires"], events)
    expected = [
        (int(tick) * DT_US, int(at))
        for tick, at in zip(*np.nonzero(out), strict=True)
        for _ in range(out[tick, at])
    ]
    found = [
        pair
        for result in results
        for pair in zip(result["events"]["t_us"], result["events"]["addr"], strict=True)
    ]
    assert found == expected


def test_the_winner_of_a_readout_is_its_highest_potential(
    bundles: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    events = spikes(3, 500, 20_000)
    results, _ = once(
        tmp_path,
        bundles["reads"],
        cut(events, 20_000, 0),
        capfd,
        inputs=CAMERA,
        output="{on: always, form: {top_k: 4}}",
        time="{source: message, reset: message}",
    )
    _, v = dense(bundles["reads"], events)
    with neurovm.load(bundles["reads"]) as model:
        ((scale, offset),) = model.potential_scales
    order = sorted(range(OUT), key=lambda at: -v[-1][at])
    assert [entry["index"] for entry in results[0]["top"]] == order
    assert [entry["value"] for entry in results[0]["top"]] == [
        scale * int(v[-1][at]) + offset for at in order
    ]
    assert results[0]["top"][0]["label"] == "abcd"[order[0]]


def test_encoded_values_are_the_encoders_own(
    bundles: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(4)
    walk = np.cumsum(rng.normal(0, 0.5, (40, N // 2)), axis=0).round(3)
    messages = [
        ("plant/p", json.dumps(row.tolist()).encode(), 1000 * at) for at, row in enumerate(walk)
    ]
    results, _ = once(
        tmp_path,
        bundles["fires"],
        messages,
        capfd,
        inputs=(
            "{topic: 'plant/{stream}', payload: {format: json, field: ''}, "
            "encode: {kind: level_crossing, threshold: 0.1}}"
        ),
        output="{on: always, form: {values: counts}}",
        time="{source: message}",
    )
    train = LevelCrossing(threshold=0.1).encode(walk).reshape(40, N)
    with neurovm.load(bundles["fires"]) as model:
        session = model.session()
        out = np.array(session.run(train.tobytes()).tolist())
        del session
    assert out.sum() > 5
    assert [result["counts"] for result in results] == out.tolist()


def test_bad_messages_between_good_ones_change_nothing(
    bundles: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    events = spikes(5, 600, 20_000)
    good = cut(events, 2_000, 0)
    bad = [
        b"",
        b"NAER",
        good[0][1][:-4],
        aer.pack(Events(array("q", [1]), array("I", [N]))),
        aer.pack(Events(array("q", [1, 10**9]), array("I", [0, 1]))),
        b'{"t_us": [1], "addr": [1]}',
    ]
    mixed = []
    for at, message in enumerate(good):
        mixed += [(message[0], bad[at % len(bad)], message[2]), message]
    output = "{on: always, form: {values: counts}}"
    clean, _ = once(tmp_path, bundles["fires"], good, capfd, inputs=CAMERA, output=output)
    found, said = once(tmp_path, bundles["fires"], mixed, capfd, inputs=CAMERA, output=output)
    assert [result["counts"] for result in found] == [result["counts"] for result in clean]
    assert said.count("dropped (payload)") + said.count("dropped (value)") == len(good)


def test_late_events_are_told(
    bundles: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    messages = [
        ("cam/p", aer.pack(Events(array("q", times), array("I", [0] * len(times)))), 0)
        for times in ([0, 9_000], [100, 200, 9_500], [12_000])
    ]
    results, said = once(
        tmp_path,
        bundles["fires"],
        messages,
        capfd,
        inputs=CAMERA,
        output="{on: always, form: {values: counts}}",
    )
    assert [result.get("late", 0) for result in results] == [0, 2, 0, 0]
    assert "sample.jsonl:2: net: 2 late events (stream p)" in said
    assert "4 results, 0 dropped, 2 late events" in said


def test_check_names_what_does_not_fit(
    bundles: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    once(tmp_path, bundles["fires"], [], capfd, inputs=CAMERA, output="{form: {values: counts}}")
    file = tmp_path / "vm.d/net.yaml"
    camera = CAMERA.replace("aer", "aer, width: 3, height: 3")
    file.write_text(VM.format(inputs=camera, output="{}", time="{}"))
    assert main(["check", "--config", str(tmp_path / "neurovmd.yaml")]) == 78
    said = capfd.readouterr().err
    assert "inputs[0].payload" in said
    assert "18 addresses; accepted: 12 addresses" in said


@pytest.mark.parametrize(
    ("encode", "said"),
    [
        ("{kind: delta, threshold: -1}", "inputs[0].encode.threshold: found -1"),
        ("{kind: delta, treshold: 1}", "threshold (did you mean this?)"),
        ("{kind: dleta}", "inputs[0].encode"),
        ("{kind: rate, num_steps: 0}", "inputs[0].encode.num_steps: found 0"),
        ("{threshold: 1}", "inputs[0].encode"),
    ],
)
def test_a_wrong_encoder_is_named_with_its_line(
    bundles: dict[str, Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    encode: str,
    said: str,
) -> None:
    once(tmp_path, bundles["fires"], [], capfd, inputs=CAMERA, output="{form: {values: counts}}")
    source = f"{{topic: 'plant/{{stream}}', encode: {encode}}}"
    (tmp_path / "vm.d/net.yaml").write_text(VM.format(inputs=source, output="{}", time="{}"))
    assert main(["check", "--config", str(tmp_path / "neurovmd.yaml")]) == 78
    assert said in "".join(capfd.readouterr())
