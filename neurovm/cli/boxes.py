# SPDX-License-Identifier: Apache-2.0
"""What `neurovm run` has started: one folder a box, with its bundle, configuration, log and state.

A box is a daemon of its own (and, where none was named, a broker of its own) for one bundle. It
runs while its runner holds the lock; a stopped box keeps its folder until `neurovm rm`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import click
import msgspec

from neurovm.cli import control
from neurovm.errors import BackendError

SOCKET_PATH_BYTES = 107  # what Linux takes
# Somebody who only asks who holds the lock may have it for a moment.
CLAIM_S = 0.5
LOOK_S = 0.02
RUN = "run"
"""`run/NAME` is the box of that name, where the service has a VM that is called so too."""
SYSTEM_SOCKET = Path("/run/neurovmd/neurovmd.sock")


class Settings(msgspec.Struct, kw_only=True):
    """What a box was started with. `server` None: a broker of its own. Of an account only the name
    and the file are kept here, never the password.
    """

    name: str
    source: str
    model_sha256: str
    server: str | None
    node: str | None
    log_level: str
    limit: str | None
    created_s: float
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Box:
    """The folder of one box."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def bundle(self) -> Path:
        return self.folder / "model.nvm"

    @property
    def socket(self) -> Path:
        return self.folder / "neurovmd.sock"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def address(self) -> Path:
        """The file that holds the broker's URL while the box runs."""
        return self.folder / "broker"

    @property
    def port(self) -> Path:
        """The file that holds the port of its own broker, which it takes again where it can."""
        return self.folder / "port"

    def settings(self) -> Settings:
        """BackendError where the folder is not one of ours."""
        file = self.folder / "run.json"
        try:
            return msgspec.json.decode(file.read_bytes(), type=Settings)
        except (OSError, ValueError, RecursionError) as error:
            raise BackendError(f"{file}: not the folder of a box: {error}") from None

    def save(self, settings: Settings) -> None:
        (self.folder / "run.json").write_bytes(msgspec.json.encode(settings))

    @contextlib.contextmanager
    def claim(self) -> Iterator[IO[str]]:
        """Be the only one who makes, runs or removes this box; BackendError where another does.

        The lock goes with the last process that has inherited the open file.
        """
        there = self.folder.is_dir()
        file = self._locked()
        try:
            self.sign(file)
            yield file
        finally:
            if not there and not (self.folder / "run.json").is_file():
                self.remove()  # nothing came of it
            file.close()

    def _locked(self) -> IO[str]:
        deadline_s = time.monotonic() + CLAIM_S
        while time.monotonic() < deadline_s:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(FileNotFoundError):  # just removed
                file = self._lock_file.open("a+")
                # The file may have been removed, with its folder, while we waited for it.
                if _lock(file) and _same(file, self._lock_file):
                    return file
                file.close()
            time.sleep(LOOK_S)
        raise BackendError(f"{self.name} is running already; neurovm stop {self.name}")

    @property
    def _lock_file(self) -> Path:
        return self.folder / "lock"

    @staticmethod
    def sign(file: IO[str]) -> None:
        """Write into the lock that it is this process that holds it."""
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()

    def runner(self) -> int | None:
        """The process that holds the lock; None where the box is not running."""
        try:
            with self._lock_file.open("r+") as file:
                if _lock(file):
                    return None
                text = file.read()
        except OSError:
            return None
        return int(text) if text.isdigit() else None

    def clear(self, *keep: Path) -> None:
        """Delete what is in the folder but its lock and `keep`."""
        for path in self.folder.iterdir():
            if path in (self._lock_file, *keep):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the folder and all in it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _same(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def room() -> Path:
    """Where boxes are: NEUROVM_RUN_DIR, else a folder of the system (root) or of the user."""
    given = os.environ.get("NEUROVM_RUN_DIR")
    if given:
        return Path(given).absolute()
    if os.getuid() == 0:
        return Path("/var/lib/neurovm/run")
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "neurovm" / "run"


def box(name: str) -> Box:
    """The box of that name, there or not."""
    found = Box(room() / name)
    if len(os.fsencode(found.socket)) > SOCKET_PATH_BYTES:
        raise BackendError(
            f"{found.socket}: too long for a socket ({SOCKET_PATH_BYTES} bytes); "
            f"NEUROVM_RUN_DIR names a shorter folder"
        )
    return found


def every() -> list[Box]:
    """All boxes, by name."""
    return [Box(path.parent) for path in sorted(room().glob("*/run.json"))]


def find(name: str) -> Box:
    """The box of that name; UsageError names those there are."""
    found = box(name.removeprefix(f"{RUN}/"))
    if not (found.folder / "run.json").is_file():
        names = ", ".join(other.name for other in every()) or "none"
        raise click.UsageError(f"no box {name!r} was started by `neurovm run`; there are: {names}")
    return found


def service_sockets() -> list[Path]:
    """Where a daemon that was not started by `neurovm run` may listen."""
    given = os.environ.get("NEUROVM_SOCKET")
    if given:
        return [Path(given)]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    state = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "neurovm"
    own = (Path(runtime) if runtime else state) / "neurovm.sock"
    return [path for path in (SYSTEM_SOCKET, own) if path.is_socket()]


def daemon_of(found: Box) -> int | None:
    """The daemon of a box, also where its runner has died."""
    return control.peer(found.socket)
