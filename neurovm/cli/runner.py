# SPDX-License-Identifier: Apache-2.0
"""Runs one box: its broker where it has one of its own, and its daemon, until told to end.

python -m neurovm.cli.runner FOLDER      in the background; what it says goes into the log
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from neurovm import bundle, manifest
from neurovm.cli import broker, control, deployment
from neurovm.cli.boxes import Box, Settings
from neurovm.cli.exits import Exit
from neurovm.errors import BackendError, NeurovmError
from neurovm.manifest import VmManifest

READY_S = 60.0
LOOK_S = 0.02
DRAIN_S = 15.0

Status = dict[str, Any]


def vm_manifest(path: Path) -> VmManifest:
    """The manifest that a bundle carries, or the smallest one where it carries none."""
    found = bundle.read(path).manifest
    if found.deploy is not None:
        return manifest.from_deploy(found.deploy, str(path))
    return VmManifest(version="1.0", name=found.name)


def serve(box: Box, ready: Callable[[Status], None]) -> int:
    """Run the box until SIGTERM, SIGINT or its daemon's end; returns the daemon's exit code.

    `ready` is called with the daemon's status once all is up.
    """
    settings = box.settings()
    with box.held(), box.log.open("ab") as log, _signals() as told, contextlib.ExitStack() as ends:
        server = settings.server
        if server is None:
            child, port = broker.start(log)
            ends.callback(broker.end, child)
            server = f"mqtt://{broker.HOST}:{port}"
        box.address.write_text(server)
        ends.callback(box.address.unlink, missing_ok=True)
        daemon = _start_daemon(box, settings, server, log)
        ends.callback(_end, daemon)
        status = _await_ready(box, daemon, told, own_broker=settings.server is None)
        if status is not None:
            ready(status)
            _wait(daemon, told)
        return _end(daemon)


def _start_daemon(
    box: Box, settings: Settings, server: str, log: IO[bytes]
) -> subprocess.Popen[bytes]:
    vm = vm_manifest(box.bundle)
    ports = len(bundle.read(box.bundle).manifest.inputs)
    daemon: dict[str, Any] = {"mqtt": {"server": server}, "log_level": settings.log_level}
    if settings.server is None:
        daemon["mqtt"]["protocol"] = "3.1.1"  # all that amqtt speaks
    if settings.node is not None:
        daemon["node"] = settings.node
    if settings.limit is not None:
        daemon["power"] = {"limit": settings.limit}
    config = deployment.write(
        box.folder, settings.name, manifest.vm_settings(vm, str(box.bundle), ports), daemon
    )
    return subprocess.Popen(
        deployment.daemon_command("--config", str(config)),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=deployment.daemon_environment(),
        start_new_session=True,
    )


def _await_ready(
    box: Box, daemon: subprocess.Popen[bytes], told: int, *, own_broker: bool
) -> Status | None:
    """The status once the VM is ready, None when told to end; BackendError where it fails."""
    deadline_s = time.monotonic() + READY_S
    while time.monotonic() < deadline_s:
        if daemon.poll() is not None:
            raise BackendError(f"neurovmd ended with exit code {daemon.returncode}: {last(box)}")
        status = status_of(box)
        vm = status["vms"][0] if status and status["vms"] else None
        if vm and vm["state"] == "failed":
            raise BackendError(f"{box.name} failed: {vm['reason']}")
        # With a broker of our own, ready means that the next message will be heard.
        if status and vm and vm["state"] == "ready" and (vm["connected"] or not own_broker):
            return status
        if select.select([told], [], [], LOOK_S)[0]:
            return None
    raise BackendError(f"{box.name} was not ready within {READY_S:g} s: {last(box)}")


def status_of(box: Box) -> Status | None:
    """What the daemon of a box says; None where it does not."""
    try:
        status: Status = control.ask(box.socket, "status")
    except (BackendError, OSError):
        return None
    return status


def last(box: Box) -> str:
    """The last line of a box's log."""
    with contextlib.suppress(OSError):
        lines = box.log.read_text(errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
    return "it said nothing"


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """A file descriptor that becomes readable with SIGTERM or SIGINT."""
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}

    def note(_number: int, _frame: object) -> None:
        with contextlib.suppress(OSError):
            os.write(write_end, b"x")

    for number in before:
        signal.signal(number, note)
    try:
        yield read_end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read_end)
        os.close(write_end)


def _wait(daemon: subprocess.Popen[bytes], told: int) -> None:
    """Until the daemon ends or we are told to end."""
    ended = os.pidfd_open(daemon.pid)
    try:
        select.select([ended, told], [], [])
    finally:
        os.close(ended)


def _end(daemon: subprocess.Popen[bytes]) -> int:
    """Let the daemon drain; kill it where it does not end. Its exit code."""
    if daemon.poll() is None:
        daemon.terminate()
        try:
            daemon.wait(DRAIN_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
    return daemon.wait()


def detach(box: Box) -> int:
    """Serve in a process of its own; back once it is ready (its status on stdout) or has failed."""
    heard, tell = os.pipe()
    if os.fork():
        os.close(tell)
        with os.fdopen(heard, "rb") as pipe:
            said = pipe.read().decode()
        if said.startswith("{"):
            print(said)
            return 0
        print(said or f"{box.name} did not start: {last(box)}", file=sys.stderr)
        return Exit.UNAVAILABLE
    os.close(heard)
    os.setsid()
    _redirect(box.log)

    def ready(status: Status) -> None:
        os.write(tell, json.dumps(status).encode())
        os.close(tell)

    code: int = Exit.UNAVAILABLE
    try:
        code = serve(box, ready)
    except NeurovmError as error:
        print(f"neurovm: {error}", file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):  # nobody listens once it was ready
            os.write(tell, str(error).encode())
    finally:
        os._exit(code)


def _redirect(log: Path) -> None:
    """Read nothing, say everything into the log."""
    sink = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for ours, place in ((null, 0), (sink, 1), (sink, 2)):
        os.dup2(ours, place)
    os.close(sink)
    os.close(null)


if __name__ == "__main__":
    sys.exit(detach(Box(Path(sys.argv[1]))))
