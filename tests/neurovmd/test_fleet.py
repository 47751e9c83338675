# SPDX-License-Identifier: Apache-2.0
"""What counts as stuck, how a conversion is limited, what a log line and a status say."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest  # noqa: TC002

from benchmarks.rig import ROOT, wait_for
from neurovmd import conversion, log
from neurovmd.config import Deployment
from neurovmd.conversion import Conversion, cache_key, cached_bundle
from neurovmd.fleet import BUSY_LIMIT_NS, LOADING_LIMIT_NS, TICK_LIMIT_NS, Vm, stuck_reason
from neurovmd.notify import Notifier
from neurovmd.schema import Input
from neurovmd.schema import Vm as VmSchema
from neurovmd.shared import SharedBlock, WorkerState

NOW_NS = 10**15


def vm(tmp_path: Path, model: Path | None = None) -> Vm:
    model = model or ROOT / "tests/fixtures/digits_mlp.tflite"
    settings = VmSchema(model=str(model), inputs=[Input(topic="a")])
    deployment = Deployment("digits", tmp_path / "digits.yaml", settings, model)
    made = Vm(deployment, SharedBlock(1).slot(0), pid=os.getpid())
    made.started_at = NOW_NS / 1e9
    made.slot.state, made.slot.network_tick_ns = WorkerState.READY, NOW_NS
    return made


def test_a_worker_is_stuck_when_either_thread_is(tmp_path: Path) -> None:
    one = vm(tmp_path)
    assert stuck_reason(one, NOW_NS + TICK_LIMIT_NS) == ""
    assert "network thread" in stuck_reason(one, NOW_NS + TICK_LIMIT_NS + 1)
    one.slot.busy_since_ns = NOW_NS - BUSY_LIMIT_NS
    assert stuck_reason(one, NOW_NS) == ""
    assert "one message" in stuck_reason(one, NOW_NS + 1)
    one.slot.state = WorkerState.LOADING
    assert stuck_reason(one, NOW_NS) == ""
    assert "loading" in stuck_reason(one, NOW_NS + LOADING_LIMIT_NS + 1000)
    one.pid = 0
    assert stuck_reason(one, NOW_NS + LOADING_LIMIT_NS + 1000) == ""


def test_the_cache_key_follows_the_source_and_the_rules() -> None:
    assert cache_key(b"a", "xnnpack") == cache_key(b"a", "xnnpack")
    assert len({cache_key(b"a", "xnnpack"), cache_key(b"b", "xnnpack"), cache_key(b"a", "x")}) == 3


def ended(job: Conversion) -> int:
    found: list[int] = []

    def reap() -> bool:
        job.listen()
        pid, status = os.waitpid(job.pid, os.WNOHANG)
        found.append(status)
        return pid != 0

    wait_for(reap, "the conversion ends", 60.0)
    job.listen()
    job.close()
    return found[-1]


def test_a_conversion_makes_the_bundle_or_says_why_not(tmp_path: Path) -> None:
    good = vm(tmp_path).deployment
    target = cached_bundle(good, tmp_path / "cache")
    job = Conversion.start(good, target)
    assert job.failure(ended(job)) == ""
    assert target.exists()
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"\x20\0\0\0TFL3" + bytes(100))
    bad = vm(tmp_path, broken).deployment
    job = Conversion.start(bad, cached_bundle(bad, tmp_path / "cache"))
    assert str(broken) in job.failure(ended(job))


def test_a_conversion_that_is_killed_names_its_limits(tmp_path: Path) -> None:
    good = vm(tmp_path).deployment
    job = Conversion.start(good, tmp_path / "cache" / "x.nvm")
    job.kill()
    assert "signal 9" in job.failure(ended(job))
    assert job.overdue(time.monotonic() + conversion.WALL_S)


def test_a_source_that_changes_meanwhile_is_not_cached(tmp_path: Path) -> None:
    good = vm(tmp_path).deployment
    stale = tmp_path / "cache" / f"{cache_key(b'other', 'xnnpack')}.nvm"
    job = Conversion.start(good, stale)
    assert "changed" in job.failure(ended(job))
    assert not stale.exists()


def test_log_lines_are_one_line_each(capfd: pytest.CaptureFixture[str]) -> None:
    log.info("x.y", plain="a-b", spaced='a "b"\nc', number=1.25, none="")
    assert capfd.readouterr().err == 'x.y plain=a-b spaced="a \\"b\\"\\nc" number=1.25 none=""\n'


def test_nobody_listens_is_no_error() -> None:
    quiet = Notifier({})
    quiet.ready()
    assert quiet.watchdog_s is None
    gone = Notifier({"NOTIFY_SOCKET": "/nonexistent/notify", "WATCHDOG_USEC": "30000000"})
    gone.alive()
    assert gone.watchdog_s == 30.0
    other = Notifier({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"})
    assert other.watchdog_s is None


def test_the_limits_of_the_child_hold() -> None:
    """RLIMIT_AS is set before the model is touched: an allocation beyond it fails."""
    program = (
        "from neurovmd import conversion\n"
        "conversion.MEMORY_BYTES = 1 << 30\n"
        "conversion._limit()\n"
        "try:\n    bytearray(2 << 30)\nexcept MemoryError:\n    raise SystemExit(7)\n"
    )
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", program],
        {**os.environ, "PYTHONPATH": str(ROOT)},
        setsigdef=[signal.SIGPIPE],
    )
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
