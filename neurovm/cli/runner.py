# SPDX-License-Identifier: Apache-2.0
"""Runs one box: its broker where it has one of its own, and its daemon, until told to end.

python -m neurovm.cli.runner FOLDER LOCK      in the background; what it says goes into the log

LOCK is the descriptor of the box's lock, which whoever starts us has taken for us. When this
process ends, however it does, its daemon and its broker end too.
"""

from __future__ import annotations

import contextlib
import ctypes
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

from msgspec import UNSET

from neurovm import bundle, manifest
from neurovm.cli import broker, control, deployment
from neurovm.cli.boxes import Box, Settings
from neurovm.cli.exits import Exit
from neurovm.errors import BackendError, NeurovmError
from neurovm.manifest import VmManifest

_PR_SET_PDEATHSIG = 1
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
    """Run a claimed box until SIGTERM, SIGINT or its daemon's end; returns the exit code.

    `ready` is called with the daemon's status once all is up. Told to end before that, it is
    interrupted; after that the daemon's own exit code counts.
    """
    settings = box.settings()
    with box.log.open("ab") as log, _signals() as told, contextlib.ExitStack() as ends:
        own = None
        if settings.server is None:
            own = OwnBroker(box, log)
            ends.callback(own.end)
        server = own.url if own else settings.server or ""
        box.address.write_text(server)
        ends.callback(box.address.unlink, missing_ok=True)
        daemon = _start_daemon(box, settings, server, log)
        ends.callback(_end, daemon)
        status = _await_ready(box, daemon, told, own_broker=own is not None)
        if status is None:
            raise KeyboardInterrupt
        ready(status)
        while _wait(daemon, own, told):
            pass
        return _end(daemon)


class OwnBroker:
    """The broker of a box that has its own, on one port for as long as the box runs."""

    def __init__(self, box: Box, log: IO[bytes]) -> None:
        self._box, self._log = box, log
        wish = None
        with contextlib.suppress(OSError, ValueError):
            wish = int(box.port.read_text())
        self.child, self._port = broker.start(log, wish)
        box.port.write_text(str(self._port))

    @property
    def url(self) -> str:
        return f"mqtt://{broker.HOST}:{self._port}"

    def revive(self) -> None:
        """Start it anew after its end; BackendError where its port is taken."""
        code = self.child.wait()
        self._log.write(f"broker.ended code={code}; it is started anew\n".encode())
        self._log.flush()
        self.child, port = broker.start(self._log, self._port)
        if port != self._port:
            raise BackendError(f"the embedded broker ended, and its port {self._port} is taken")

    def end(self) -> None:
        broker.end(self.child)


def _start_daemon(
    box: Box, settings: Settings, server: str, log: IO[bytes]
) -> subprocess.Popen[bytes]:
    vm = vm_manifest(box.bundle)
    content = bundle.read(box.bundle).manifest
    ports, spiking = len(content.inputs), content.spiking is not UNSET
    daemon: dict[str, Any] = {"mqtt": {"server": server}, "log_level": settings.log_level}
    account = {
        "username": settings.username,
        "password_file": settings.password_file,
        "ca_file": settings.ca_file,
    }
    daemon["mqtt"] |= {key: value for key, value in account.items() if value is not None}
    if settings.server is None:
        daemon["mqtt"]["protocol"] = "3.1.1"  # all that it speaks
    if settings.node is not None:
        daemon["node"] = settings.node
    if settings.limit is not None:
        daemon["power"] = {"limit": settings.limit}
    own = manifest.vm_settings(vm, str(box.bundle), ports, spiking=spiking)
    own |= {"threads": settings.threads} if settings.threads > 1 else {}
    config = deployment.write(box.folder, settings.name, own, daemon)
    return subprocess.Popen(
        deployment.daemon_command("--config", str(config)),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**deployment.daemon_environment(), "NEUROVMD_LOG_TIME": "1"},
        start_new_session=True,
        preexec_fn=_end_with_parent(),  # noqa: PLW1509  # no other thread is here
    )


def _end_with_parent() -> Callable[[], None]:
    """For a child to call: SIGTERM when its parent is gone, even by SIGKILL (prctl(2))."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # gone before we could ask
            os.kill(os.getpid(), signal.SIGTERM)

    return ask


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


def _wait(daemon: subprocess.Popen[bytes], own: OwnBroker | None, told: int) -> bool:
    """Until the daemon ends or we are told to end; True where only the broker had to be revived."""
    with contextlib.ExitStack() as stack:
        watched = [told]
        for child in (daemon, *((own.child,) if own else ())):
            watched.append(os.pidfd_open(child.pid))
            stack.callback(os.close, watched[-1])
        ready = set(select.select(watched, [], [])[0])
    if own is None or ready != {watched[2]}:
        return False
    own.revive()
    return True


def _end(daemon: subprocess.Popen[bytes]) -> int:
    """Let the daemon drain; kill it where it does not end. Its exit code."""
    if daemon.poll() is None:
        daemon.terminate()
        try:
            daemon.wait(DRAIN_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
    return daemon.wait()


def detach(box: Box, lock: int) -> int:
    """Serve in a process of its own; back once it is ready (its status on stdout) or has failed.

    `lock` is the descriptor of the box's lock, which that process keeps.
    """
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
    box.sign(os.fdopen(lock, "a+", closefd=False))
    os.setsid()
    _redirect(box.log)

    def ready(status: Status) -> None:
        os.write(tell, json.dumps(status).encode())
        os.close(tell)

    code: int = Exit.UNAVAILABLE
    try:
        code = serve(box, ready)
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
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
    sys.exit(detach(Box(Path(sys.argv[1])), int(sys.argv[2])))
