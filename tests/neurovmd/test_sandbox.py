# SPDX-License-Identifier: Apache-2.0
"""What a process keeps of its privileges: nothing but what is listed and held, and for ever."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from neurovm.manifest import CAPABILITIES
from neurovmd import sandbox

TOP = Path(__file__).resolve().parents[2]
PROBE = """
import json, sys, threading
from neurovmd import sandbox
before = sorted(sandbox.held())
kept = sandbox.enter(json.loads(sys.argv[1]))
fields = dict(l.split(":") for l in open("/proc/self/status") if l.startswith(("Cap", "NoNew")))
seen = []
thread = threading.Thread(target=lambda: seen.append(open("/proc/thread-self/status").read()))
thread.start(); thread.join()
effective = [l for l in seen[0].splitlines() if l.startswith("CapEff")]
print(json.dumps({
    "before": before, "kept": kept.kept, "missing": kept.missing, "warning": str(kept),
    "after": sorted(sandbox.held()), "thread": int(effective[0].split()[1], 16),
    **{name: int(value, 16) for name, value in fields.items()},
}))
"""


def enter(*wanted: str) -> dict:
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(wanted)], cwd=TOP, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def mask(*names: str) -> int:
    return sum(1 << CAPABILITIES.index(name) for name in names)


def test_nothing_is_left_where_nothing_is_listed() -> None:
    found = enter()
    assert (found["after"], found["CapEff"], found["CapPrm"], found["CapInh"]) == ([], 0, 0, 0)
    assert found["NoNewPrivs"] == 1
    assert (found["kept"], found["missing"], found["warning"]) == ([], [], "")


def test_a_listed_capability_is_kept_where_it_is_held() -> None:
    if "NET_BIND_SERVICE" not in sandbox.held():
        pytest.skip("this process holds no capabilities (run as root)")
    found = enter("NET_BIND_SERVICE")
    assert found["after"] == found["kept"] == ["NET_BIND_SERVICE"]
    assert found["CapEff"] == found["CapPrm"] == found["thread"] == mask("NET_BIND_SERVICE")
    if "SETPCAP" in found["before"]:
        assert found["CapBnd"] == mask("NET_BIND_SERVICE")


def test_what_is_not_held_is_named_and_not_had() -> None:
    absent = [name for name in CAPABILITIES if name not in sandbox.held()]
    if not absent:
        pytest.skip("this process holds every capability")
    found = enter(absent[0])
    assert found["missing"] == absent[:1]
    assert absent[0] in found["warning"]
    assert found["CapEff"] == 0


def test_judging_needs_no_privilege() -> None:
    kept = sandbox.judge(["NET_RAW", "KILL"], {"KILL"})
    assert (kept.kept, kept.missing) == (("KILL",), ("NET_RAW",))
    assert "NET_RAW" in str(kept)


def test_names_are_numbered_as_the_kernel_does(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text(f"Name:\tx\nCapPrm:\t{1 << 10 | 1 << 40:016x}\n")
    assert sandbox.held(status) == {"NET_BIND_SERVICE", "CHECKPOINT_RESTORE"}
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert len(CAPABILITIES) >= min(last + 1, 41)
