# SPDX-License-Identifier: Apache-2.0
"""Where the daemon's files stand: as a system service, or for the user who starts it.

systemd names its folders in CONFIGURATION_DIRECTORY, CACHE_DIRECTORY, STATE_DIRECTORY and
RUNTIME_DIRECTORY; where they are set they hold. Root and services use the system's folders for the
rest, anybody else the XDG ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """`config_file` is read when no other is named; the rest are the configuration's defaults.

    `vendor` and `runtime` are the layers below and above the folder of `config_file`, if any.
    """

    config_file: Path
    vm_dir: Path
    cache_dir: Path
    state_dir: Path
    socket: Path
    vendor: Path | None = None
    runtime: Path | None = None


SYSTEM = Places(
    config_file=Path("/etc/neurovmd/neurovmd.yaml"),
    vm_dir=Path("/etc/neurovmd/vm.d"),
    cache_dir=Path("/var/cache/neurovmd"),
    state_dir=Path("/var/lib/neurovmd"),
    socket=Path("/run/neurovmd/neurovmd.sock"),
    vendor=Path("/usr/lib/neurovmd"),
    runtime=Path("/run/neurovmd"),
)


_SERVICE_MARKS = ("STATE_DIRECTORY", "RUNTIME_DIRECTORY")


def find(environ: Mapping[str, str], uid: int, home: Path) -> Places:
    """The places for a process with this environment, user id and home folder."""
    service = uid == 0 or any(name in environ for name in _SERVICE_MARKS)
    base = SYSTEM if service else _user(environ, home)
    return Places(
        config_file=_within(environ, "CONFIGURATION_DIRECTORY", base.config_file),
        vm_dir=_within(environ, "CONFIGURATION_DIRECTORY", base.vm_dir),
        cache_dir=_first(environ, "CACHE_DIRECTORY", base.cache_dir),
        state_dir=_first(environ, "STATE_DIRECTORY", base.state_dir),
        socket=_within(environ, "RUNTIME_DIRECTORY", base.socket),
        vendor=base.vendor,
        runtime=base.runtime and _first(environ, "RUNTIME_DIRECTORY", base.runtime),
    )


def here() -> Places:
    """The places of this process."""
    return find(os.environ, os.getuid(), Path.home())


def _first(environ: Mapping[str, str], name: str, default: Path) -> Path:
    # systemd separates several folders by colons; ours is the first.
    first = environ.get(name, "").split(":")[0]
    return Path(first) if first else default


def _within(environ: Mapping[str, str], name: str, default: Path) -> Path:
    return _first(environ, name, default.parent) / default.name


def _user(environ: Mapping[str, str], home: Path) -> Places:
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "neurovm"
    state = Path(environ.get("XDG_DATA_HOME") or home / ".local/share") / "neurovm"
    runtime = environ.get("XDG_RUNTIME_DIR")
    return Places(
        config_file=config / "neurovmd.yaml",
        vm_dir=config / "vm.d",
        cache_dir=Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "neurovm",
        state_dir=state,
        socket=(Path(runtime) if runtime else state) / "neurovm.sock",
    )
