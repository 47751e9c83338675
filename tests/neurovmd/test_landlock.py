# SPDX-License-Identifier: Apache-2.0
"""What a process may still write after it has confined itself, root or not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.rig import ROOT
from neurovmd import landlock

PROGRAM = """
import os, sys, threading
from pathlib import Path
from neurovmd import landlock

inside, outside = Path(sys.argv[1]), Path(sys.argv[2])
kept = (outside / "open").open("w")
reason = landlock.confine_writes([inside, inside / "none"])
if reason:
    sys.exit(f"skip: {reason}")

def attempts(place):
    yield lambda: (place / "new").write_text("x")
    yield lambda: (place / "there").write_text("x")
    yield lambda: (place / "there").open("a").close()
    yield lambda: (place / "there").unlink()
    yield lambda: (place / "folder").mkdir()
    yield lambda: (place / "link").symlink_to("there")
    yield lambda: os.mkfifo(place / "pipe")

done = {"inside": 0, "outside": 0}
def attempt():
    for name, place in (("inside", inside), ("outside", outside)):
        for each in attempts(place):
            try:
                each()
                done[name] += 1
            except PermissionError:
                pass
thread = threading.Thread(target=attempt)
thread.start()
thread.join()
(outside / "there").read_text()
kept.write("x")
kept.close()
print(done["inside"], done["outside"])
"""


def test_only_what_is_below_the_folders_can_be_written(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for place in (inside, outside):
        place.mkdir()
        (place / "there").write_text("was")
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(inside), str(outside)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.stderr.startswith("skip: no Landlock"):
        pytest.skip(ran.stderr.strip())
    assert ran.stdout.split() == ["7", "0"], ran.stderr
    assert (outside / "there").read_text() == "was"
    assert (outside / "open").read_text() == "x"
    assert sorted(path.name for path in outside.iterdir()) == ["open", "there"]


def test_a_kernel_without_it_is_a_normal_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "_CREATE_RULESET", 1_000_000)
    assert landlock.confine_writes([]) == "no Landlock: Function not implemented"
