# SPDX-License-Identifier: Apache-2.0
"""The event camera example: from `.bin` files through broker and daemon to the right shapes."""

from __future__ import annotations

import math
import subprocess
import sys
from array import array
from pathlib import Path

import numpy as np
import pytest

import neurovm
from examples.event_camera import play, scenes, train
from examples.event_camera.__main__ import answers, recorded
from neurovm.events import Events, Geometry, Recording, aer, read

ROOT = Path(__file__).resolve().parent.parent


def offline(files: list[Path]) -> list[list[int]]:
    """Spike counts a recording, by one session that hears what the daemon hears."""
    moved = play.placed([read(path) for path in files])
    times, addresses = array("q"), array("I")
    for each in moved:
        events = each.events()
        times += events.times_us
        addresses += events.addresses
    with neurovm.load(train.MODEL) as model:
        session = model.session()
        until_us = math.ceil((times[-1] + 1) / 200_000) * 200_000
        sent = session.advance(times, addresses, until_us)
        counts = np.zeros((until_us // 200_000, len(scenes.LABELS)), int)
        np.add.at(counts, (np.asarray(sent.times_us) // 200_000, np.asarray(sent.addresses)), 1)
        del session
    return counts.tolist()


def test_recordings_reach_their_names_through_broker_and_daemon(tmp_path: Path) -> None:
    files = recorded(tmp_path, 5, seed=7_000_000)
    found = answers(files, speed=10.0)
    assert [len(results) for results in found] == [1] * 5
    tops = [results[0]["top"] for results in found]
    assert [top[0]["label"] for top in tops] == list(scenes.LABELS)
    counts = [[entry["value"] for entry in sorted(top, key=lambda e: e["index"])] for top in tops]
    assert counts == offline(files)
    assert sum(results[0]["events_in"] for results in found) == sum(len(read(f)) for f in files)
    assert not any("late" in results[0] for results in found)


def test_the_shipped_network_names_most_scenes() -> None:
    """48 of 50 or more of scenes that it was not trained on; 10 is chance."""
    seen, right = scenes.scenes(50, seed=9_000_000)
    with neurovm.load(train.MODEL) as model:
        spikes = np.asarray(model.predict(train.trains(seen).astype(np.int8))).sum(axis=1)
    assert (spikes.argmax(axis=1) == right).sum() >= 48


def test_a_recording_is_cut_into_messages_without_loss() -> None:
    seen = scenes.scene("disc", 3)
    joined = Events(array("q"), array("I"))
    dues = []
    for due_us, payload in play.blocks(seen):
        part = aer.unpack(payload, Geometry(34, 34))
        assert part.times_us[-1] < due_us
        dues.append(due_us)
        joined.times_us.extend(part.times_us)
        joined.addresses.extend(part.addresses)
    assert joined == seen.events()
    assert dues == sorted(set(dues))


def test_recordings_do_not_overlap() -> None:
    moved = play.placed([scenes.scene("disc", 3), scenes.scene("bar", 4)])
    assert moved[0].times_us[0] == 0
    assert moved[1].times_us[0] == 200_000
    nothing = Recording(array("q"), array("H"), array("H"), array("B"), 34, 34)
    assert len(play.placed([nothing])[0]) == 0


def test_training_learns() -> None:
    seen, right = scenes.scenes(20, seed=1)
    x = train.pooled(train.trains(seen))
    assert x.sum() == sum(map(len, seen))
    weights = train.train(x, right, epochs=0, seed=1)
    before, found = train.gradients(weights, x, right)
    assert [g.shape for g in found] == [w.shape for w in weights]
    after, _ = train.gradients(train.train(x, right, epochs=5, seed=1), x, right)
    assert after < 0.5 * before


def test_the_network_of_neurovm_is_the_trained_one() -> None:
    """With weights that int8 holds exactly, its counts are those of the training's own run, to a
    spike.
    """
    rng = np.random.default_rng(2)
    weights = [rng.integers(-3, 4, (n, m)).astype(np.float32) / 4 for m, n in ((578, 64), (64, 5))]
    counts = train.trains([scenes.scene("cross", 5)])
    x = train.pooled(counts)
    _, hidden = train.run(x @ weights[0].T, train.LEAK[0])
    _, output = train.run(hidden @ weights[1].T, train.LEAK[1])
    with neurovm.convert_network(train.network(weights), weights="int8") as model:
        spikes = np.asarray(model.predict(counts.astype(np.int8)))
    # Potentials are rounded once a tick: a spike may move where one stands at the threshold.
    assert np.abs(spikes.sum(axis=1) - output.sum(axis=1)).max() <= 1
    assert output.sum() > 10


def test_a_broken_file_is_named_before_anything_is_started(tmp_path: Path) -> None:
    path = tmp_path / "broken.bin"
    path.write_bytes(b"1234567")
    ran = subprocess.run(
        [sys.executable, "-m", "examples.event_camera", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "found 1 whole events and 2 bytes" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from examples.event_camera.picture import draw

    draw(scenes.scene("bar", 3), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
