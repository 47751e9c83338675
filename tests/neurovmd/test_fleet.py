# SPDX-License-Identifier: Apache-2.0
"""What counts as stuck, how a conversion is limited, what a log line and a status say."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.rig import ROOT, wait_for
from neurovmd import config, conversion, log, status
from neurovmd.cgroup import Group, Tree
from neurovmd.config import Config, Deployment, Settings
from neurovmd.conversion import Conversion, cache_key, cached_bundle
from neurovmd.fleet import Fleet
from neurovmd.notify import Notifier
from neurovmd.schema import Input
from neurovmd.schema import Vm as VmSchema
from neurovmd.shared import SharedBlock, WorkerState
from neurovmd.supervisor import UNHEALTHY_S, Supervisor
from neurovmd.vm import BUSY_LIMIT_NS, LOADING_LIMIT_NS, TICK_LIMIT_NS, Vm, stuck_reason

NOW_NS = 10**15


def vm(tmp_path: Path, model: Path | None = None) -> Vm:
    model = model or ROOT / "tests/fixtures/digits_mlp.tflite"
    settings = VmSchema(model=str(model), inputs=[Input(topic="a")])
    deployment = Deployment("digits", tmp_path / "digits.yaml", settings, model)
    daemon = Settings(config=Config(), node="box", deployments=(deployment,), files=())
    made = Vm(deployment, SharedBlock(1).slot(0), daemon, pid=os.getpid())
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


def fleet(tmp_path: Path, model: Path, more: str = "", tree: Path | None = None) -> Fleet:
    """A fleet of one VM in this process; nothing is started yet."""
    (tmp_path / "vm.d").mkdir()
    vm_file = f"model: {model}\ninputs: [{{topic: a}}]\n{more}"
    (tmp_path / "vm.d/digits.yaml").write_text(vm_file)
    main = tmp_path / "neurovmd.yaml"
    main.write_text("vm_dir: vm.d\ncache_dir: cache\nstate_dir: state\nsocket: s\nnode: box\n")
    settings = config.load(main, environ={})
    return Fleet(
        settings,
        SharedBlock(1),
        changed=lambda _: None,
        in_child=lambda: None,
        tree=tree and Tree(tree, ("memory", "cpu")),
    )


def descriptors() -> set[str]:
    """The open file descriptors of this process."""
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_a_fork_that_fails_is_a_failure_of_that_vm(
    tmp_path: Path, bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fleet(tmp_path, bundles["digits_mlp"])
    (one,) = made.vms

    def no_fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", no_fork)
    before = descriptors()
    made.tick(time.monotonic())
    assert (one.state, one.pid, one.pipe) == ("failed", 0, -1)
    assert "temporarily unavailable" in one.reason
    assert one.retry_at is not None
    assert descriptors() <= before  # the garbage of other tests may go
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_conversion_that_cannot_start_leaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_spawn(*_: object, **__: object) -> int:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(os, "posix_spawn", no_spawn)
    made = fleet(tmp_path, ROOT / "tests/fixtures/digits_mlp.tflite")
    before = descriptors()
    made.tick(time.monotonic())
    assert "Cannot allocate memory" in made.vms[0].reason
    assert descriptors() <= before  # the garbage of other tests may go


def test_a_model_that_was_refused_is_not_converted_again(tmp_path: Path) -> None:
    model = tmp_path / "broken.tflite"
    model.write_bytes(b"\x20\0\0\0TFL3" + bytes(100))
    made = fleet(tmp_path, model)
    (one,) = made.vms

    def settled() -> bool:
        made.reap()
        return one.state == "failed"

    made.tick(time.monotonic())
    assert one.conversion
    wait_for(settled, "the conversion fails", 60.0)
    reason, delay_s = one.reason, (one.retry_at or 0) - time.monotonic()
    made.tick(time.monotonic() + 3600.0)
    assert one.conversion is None
    assert one.reason == reason
    assert (one.retry_at or 0) - time.monotonic() > delay_s
    model.write_bytes(b"\x20\0\0\0TFL3" + bytes(200))
    made.tick(time.monotonic() + 3600.0)
    assert one.conversion is not None
    wait_for(lambda: made.reap() or not one.conversion, "the conversion fails", 60.0)


def test_restarts_come_later_each_time_up_to_a_minute(
    tmp_path: Path, bundles: dict[str, Path]
) -> None:
    made = fleet(tmp_path, bundles["digits_mlp"])
    (one,) = made.vms
    delays = []
    for _ in range(9):
        now = time.monotonic()
        made._lives._fail(one, "x")
        delays.append(round((one.retry_at or 0.0) - now))
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_dead_worker_is_not_said_to_be_connected(tmp_path: Path) -> None:
    one = vm(tmp_path)
    one.slot.connected = one.slot.busy_since_ns = one.slot.queue_depth = one.slot.messages_in = 7
    one.slot.end_worker()
    assert (one.slot.connected, one.slot.busy_since_ns, one.slot.queue_depth) == (0, 0, 0)
    assert one.slot.messages_in == 7


def test_a_pipe_that_somebody_else_holds_does_not_stop_the_supervisor(
    tmp_path: Path, bundles: dict[str, Path]
) -> None:
    made = fleet(tmp_path, bundles["digits_mlp"])
    (one,) = made.vms
    one.pid = 1
    one.pipe, other = os.pipe2(os.O_NONBLOCK)
    os.write(other, b'{"state": "failed", "reason": "why"}\n')
    made._lives.ended(one, 70)
    assert (one.pid, one.pipe, one.state, one.reason) == (0, -1, "failed", "why")
    os.close(other)


@pytest.mark.parametrize("stuck", [False, True])
def test_systemd_hears_nothing_while_a_worker_is_stuck(*, stuck: bool) -> None:
    heard: list[str] = []
    one = object.__new__(Supervisor)
    one._fleet = SimpleNamespace(end_stuck=lambda _: stuck)
    one._notifier = SimpleNamespace(alive=lambda: heard.append("alive"))
    one._watch_s = 15.0
    one._watch(1000.0)
    assert heard == ([] if stuck else ["alive"])
    assert one._watch_at == 1000.0 + (UNHEALTHY_S if stuck else 15.0)


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


def test_a_kill_for_memory_is_named(tmp_path: Path, bundles: dict[str, Path]) -> None:
    """On plain files: the end of a worker in a group where the kernel has killed."""
    made = fleet(tmp_path, bundles["digits_mlp"], "memory: 64Mi\n")
    (one,) = made.vms
    folder = tmp_path / "group"
    folder.mkdir()
    one.group = Group(folder, ("memory",))
    one.pid = 1
    (folder / "memory.events").write_text("oom_kill 1\n")
    made._lives.ended(one, -signal.SIGKILL)
    assert (one.state, one.group) == ("failed", None)
    assert one.reason == "memory limit 64Mi reached, killed by the kernel"
    one.state, one.pid, one.group = "ready", 1, Group(folder, ("memory",), kills_before=1)
    made._lives.ended(one, -signal.SIGKILL)
    assert one.reason == "the worker ended (signal 9)"


def test_a_group_that_cannot_be_made_leaves_the_limits_to_the_daemon(
    tmp_path: Path, bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's refusal is no reason not to serve."""
    forked: list[Group | None] = []
    made = fleet(tmp_path, bundles["digits_mlp"], "memory: 64Mi\ncpu: 0.5\n", tree=tmp_path / "no")
    (one,) = made.vms

    def fork() -> int:
        forked.append(one.group)
        return 1

    monkeypatch.setattr(os, "fork", fork)
    made.tick(time.monotonic())
    assert forked == [None]
    assert one.held_by_kernel == ()
    assert status._limits(one)["memory"]["by"] == "RLIMIT_DATA"
    one.group = Group(tmp_path, ("memory", "cpu"))
    assert {status._limits(one)[what]["by"] for what in ("memory", "cpu")} == {"control group"}
    os.close(one.pipe)
