# SPDX-License-Identifier: Apache-2.0
"""What a processor makes of a bundle, kept in a file: packed weights and measured costs.

A file holds what `load` would make anew: the weights in the order this machine's instruction set
reads them, mapped read-only and so shared by all processes, and what the ways of every layer cost.
One file a bundle, instruction set, processor model and build of the kernel, in a private folder:
NEUROVM_PREPARED names it (`OFF` there: none); else `prepared` in systemd's CACHE_DIRECTORY, in
$XDG_CACHE_HOME/neurovm or in ~/.cache/neurovm. It is a cache: where it cannot be read or written
everything stays in memory, and any file may be deleted at any time (`clear`).

Nothing in a file is trusted: owner, lengths and a digest are checked here, and the kernel checks
everything that leads to an address (`nvm_program_adopt`). One that fails is set aside, and another
made.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neurovm.digest import sha256

if TYPE_CHECKING:
    from neurovm.description import Manifest

VARIABLE = "NEUROVM_PREPARED"
OFF = ("0", "no", "off", "false")
MOST_BYTES = 256 << 20
"""Of all files of a folder together: the ones that were used longest ago go first."""
SUFFIX = ".prepared"
DAMAGED = ".damaged"
NEW = ".new"
ABANDONED_S = 600.0
"""So old a file that is being written is one of a process that was ended meanwhile."""

_MAGIC = b"neurovm prepared 1\n".ljust(32, b"\0")
_HEADER = struct.Struct("<32s32s32sQQ")  # magic, key, digest of the rest, bytes of pack, of costs
_START = 128
"""Where the pack begins: the header, padded to the kernel's alignment."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file's parts, mapped; `costs` b"" where none were measured."""

    pack: memoryview
    costs: bytes


def folder(environ: Mapping[str, str] | None = None) -> Path | None:
    """Where files are kept, or None where none are."""
    environ = os.environ if environ is None else environ
    named = environ.get(VARIABLE, "")
    if named.lower() in OFF:
        return None
    if named:
        return Path(named)
    service = environ.get("CACHE_DIRECTORY", "").split(":")[0]
    if service:
        return Path(service) / "prepared"
    home = environ.get("HOME", "")
    base = Path(environ.get("XDG_CACHE_HOME") or (home and f"{home}/.cache"))
    return base / "neurovm" / "prepared" if base.is_absolute() else None


def key_of(manifest: Manifest, isa: str, kernel: Path) -> bytes:
    """What a file is made for: a bundle, an instruction set, a processor, this file of the kernel.

    Anything else has another key.
    """
    built = kernel.stat()
    parts = (
        manifest.sha256.layers,
        manifest.sha256.arena,
        isa,
        _processor(),
        str(kernel),
        str(built.st_size),
        str(built.st_mtime_ns),
    )
    return sha256("\n".join(parts).encode()).digest()


def read(where: Path, key: bytes, *, keep: bool = True) -> Prepared | None:
    """The file for this key; None where there is none that can be believed.

    One of ours that is damaged is set aside, so that the next one written takes its place; not
    where nothing is to be kept.
    """
    path = _path(where, key)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    is_ours = False
    try:
        is_ours = os.fstat(descriptor).st_uid == os.geteuid()
        found = _map(descriptor, key)
        if found is not None and keep:
            _touch(descriptor)
    except (OSError, ValueError):
        found = None
    finally:
        os.close(descriptor)
    if found is None and is_ours and keep:
        set_aside(where, key)
    return found


def write(where: Path, key: bytes, pack: memoryview, costs: bytes) -> bool:
    """Write a file and keep the folder within `MOST_BYTES`; False where that is not possible."""
    if _START + len(pack) + len(costs) > MOST_BYTES:
        return False
    digest = _digest(pack, costs)
    header = _HEADER.pack(_MAGIC, key, digest, len(pack), len(costs)).ljust(_START, b"\0")
    temporary = where / f"{key.hex()[:40]}.{os.urandom(8).hex()}{NEW}"  # no other thread's
    try:
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_private(where.stat()):
            return False
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
            file.writelines((header, pack, costs))
        temporary.replace(_path(where, key))
        _make_room(where)
    except OSError:
        _remove(temporary)
        return False
    return True


def set_aside(where: Path, key: bytes) -> None:
    """Rename a file that is wrong, so that it can be looked at and is not read again."""
    path = _path(where, key)
    try:
        path.replace(path.with_suffix(DAMAGED))
    except OSError:
        return


def clear(where: Path) -> int:
    """Delete all files of the folder that are this cache's; how many.

    Programs in use keep theirs.
    """
    paths = [path for path, _ in _files(where)]
    for path in paths:
        _remove(path)
    return len(paths)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _path(where: Path, key: bytes) -> Path:
    return where / (key.hex()[:40] + SUFFIX)


def _map(descriptor: int, key: bytes) -> Prepared | None:
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode) or not _is_private(about):
        return None
    if not _START <= about.st_size <= MOST_BYTES:
        return None
    view = memoryview(mmap.mmap(descriptor, about.st_size, access=mmap.ACCESS_READ))
    magic, found, digest, pack_bytes, cost_bytes = _HEADER.unpack_from(view)
    if (magic, found) != (_MAGIC, key) or _START + pack_bytes + cost_bytes != about.st_size:
        return None
    pack, costs = view[_START : _START + pack_bytes], bytes(view[_START + pack_bytes :])
    return Prepared(pack, costs) if _digest(pack, costs) == digest else None


def _digest(pack: memoryview, costs: bytes) -> bytes:
    whole = sha256(pack)
    whole.update(costs)
    return whole.digest()


def _is_private(about: os.stat_result) -> bool:
    """Whether nobody but its owner, who is we or root, can change it."""
    return about.st_uid in (os.geteuid(), 0) and not about.st_mode & 0o022


def _touch(descriptor: int) -> None:
    """Note that a file was used; on a read-only system nobody can."""
    try:
        os.utime(descriptor)
    except OSError:
        return


def _files(where: Path) -> list[tuple[Path, os.stat_result]]:
    """The cache's files, those used longest ago first."""
    try:
        with os.scandir(where) as entries:
            found = [
                (Path(entry.path), entry.stat(follow_symlinks=False))
                for entry in entries
                if entry.name.endswith((SUFFIX, DAMAGED, NEW))
            ]
    except OSError:
        return []
    return sorted(found, key=lambda each: each[1].st_mtime_ns)


def _make_room(where: Path) -> None:
    files = []
    for path, about in _files(where):
        if path.suffix == NEW and time.time() - about.st_mtime > ABANDONED_S:
            _remove(path)
        else:
            files.append((path, about))
    used = sum(about.st_size for _, about in files)
    for path, about in files:
        if used <= MOST_BYTES:
            return
        _remove(path)
        used -= about.st_size


def _processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            text = file.read(4096)
    except OSError:
        text = ""
    names = ("model name", "CPU part", "Model", "Hardware")
    lines = [line for line in text.splitlines() if line.startswith(names)]
    return f"{os.uname().machine} {lines[0].partition(':')[2].strip() if lines else ''}"
