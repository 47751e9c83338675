# SPDX-License-Identifier: Apache-2.0
"""Control groups (version 2): limits of single workers that the kernel holds.

With the drop-in `limits` systemd hands the service's part of the tree over. A group that limits
its children may have no process of its own, so the supervisor first moves itself into a leaf of
it; then each worker gets a group beside that leaf. Where the tree is not handed over, which is a
normal answer, the reason says so and the daemon goes on holding limits itself.

Being able to write there is not enough: root can write to a login session's group, and a user to
those of the desktop. systemd marks what it hands over, and in a service that has just begun there
is nobody but its first process.

Source: the kernel's Documentation/admin-guide/cgroup-v2.rst; systemd's "Control Group APIs and
Delegation".
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

CONTROLLERS = ("cpu", "memory", "pids")
# The supervisor's own leaf; workers' groups have another prefix.
LEAF = "supervisor"
WORKER = "vm-"
# What `cpu.max` counts in: systemd's own period for CPUQuota=.
CPU_PERIOD_US = 100_000
# A worker is one process with a few threads, beside those that compute with it, and so is what it
# may start.
MOST_PIDS = 64


@dataclass(frozen=True, slots=True)
class Group:
    """One worker's group; `held` names the limits that the kernel holds for it, `kills_before` is
    what `memory_kills` said when it was made.
    """

    folder: Path
    held: tuple[str, ...]
    kills_before: int = 0

    def add(self, pid: int) -> None:
        """Move a process in (0: this one); what it starts from then on is in here too."""
        (self.folder / "cgroup.procs").write_text(f"{pid}\n", encoding="ascii")

    @property
    def killed(self) -> bool:
        """Whether the kernel has killed in here because the memory was used up."""
        return self.memory_kills() > self.kills_before

    def memory_kills(self) -> int:
        """How often the kernel has killed in here, ever, because the memory was used up."""
        with contextlib.suppress(OSError, ValueError):
            text = (self.folder / "memory.events").read_text(encoding="ascii")
            for line in text.splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        return 0

    def remove(self) -> bool:
        """Remove the group and end what is left in it; False while a process is still ending."""
        with contextlib.suppress(OSError):  # since Linux 5.14
            _write(self.folder, "cgroup.kill", "1")
        try:
            self.folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Tree:
    """The service's part of the tree, with the controllers that its children can use."""

    folder: Path
    controllers: tuple[str, ...]

    def group(
        self,
        name: str,
        *,
        memory_bytes: int | None = None,
        cpu_share: float | None = None,
        threads: int = 1,
    ) -> Group:
        """A worker's group, made if need be, with these limits (None: none).

        `memory_bytes` counts all its memory, swap none; `cpu_share` is the share of one CPU, above
        0; `threads` compute a step. `held` of the result has "memory" and "cpu" only where they are
        really limited. Raises OSError where the kernel refuses.
        """
        folder = self.folder / f"{WORKER}{name}"
        folder.mkdir(exist_ok=True)
        held = []
        if "memory" in self.controllers:
            _write(folder, "memory.max", "max" if memory_bytes is None else str(memory_bytes))
            # Without swap the kernel has no such file.
            with contextlib.suppress(FileNotFoundError):
                _write(folder, "memory.swap.max", "max" if memory_bytes is None else "0")
            held += ["memory"] if memory_bytes is not None else []
        if "cpu" in self.controllers:
            quota = "max" if cpu_share is None else str(max(1000, int(cpu_share * CPU_PERIOD_US)))
            _write(folder, "cpu.max", f"{quota} {CPU_PERIOD_US}")
            held += ["cpu"] if cpu_share is not None else []
        if "pids" in self.controllers:
            _write(folder, "pids.max", str(MOST_PIDS + threads - 1))
        return Group(folder, tuple(held), Group(folder, ()).memory_kills())


def take_over(
    mounted: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> tuple[Tree | None, str]:
    """Move this process into a leaf of its own group and let the group's children have limits.

    To be called once, before the first worker is forked. Returns the tree, or None and the reason
    why there is none. `mounted` and `membership` are where the kernel shows the tree and this
    process' place in it.
    """
    if not (mounted / "cgroup.controllers").is_file():
        return None, f"{mounted} is not a tree of control groups version 2"
    try:
        path = _own_path(membership.read_text(encoding="utf-8"))
    except OSError as error:
        return None, f"{membership}: {error.strerror}"
    folder = mounted / path.lstrip("/")
    try:
        refusal = "" if path.strip("/") else "it is the root of the tree"
        refusal = refusal or _not_ours(folder)
        if refusal:
            return None, f"{folder} is not delegated to the daemon (drop-in `limits`): {refusal}"
        available = (folder / "cgroup.controllers").read_text(encoding="ascii").split()
        controllers = tuple(name for name in CONTROLLERS if name in available)
        if not controllers:
            return None, f"{folder} has no controllers, found {available}"
        _sweep(folder)
        leaf = folder / LEAF
        leaf.mkdir(exist_ok=True)
        _write(leaf, "cgroup.procs", str(os.getpid()))
        _write(folder, "cgroup.subtree_control", " ".join(f"+{name}" for name in controllers))
    except OSError as error:
        return None, f"{error.filename or folder}: {error.strerror}"
    return Tree(folder, controllers), ""


def _not_ours(folder: Path) -> str:
    """Why a group is not this daemon's to divide; empty where it is."""
    if not _delegated(folder):
        return "systemd has not marked it so"
    if not os.access(folder / "cgroup.subtree_control", os.W_OK):
        return "it cannot be written"
    pids = (folder / "cgroup.procs").read_text(encoding="ascii").split()
    others = [pid for pid in pids if pid != str(os.getpid())]
    return f"other processes are in it ({', '.join(others[:3])})" if others else ""


def _delegated(folder: Path) -> bool:
    """Whether systemd says that it handed the group over.

    Its mark for everybody came with version 251; the older one only root can read, so there the
    owner tells: from a slice of root's a service's user owns just what was handed over.
    """
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            return os.getxattr(folder, name) == b"1"
    own, above = folder.stat().st_uid, folder.parent.stat().st_uid
    return folder.suffix == ".service" and own == os.geteuid() != above == 0


def _sweep(folder: Path) -> None:
    """Remove groups of workers that an earlier run left."""
    for left in folder.glob(f"{WORKER}*/"):
        with contextlib.suppress(OSError):
            left.rmdir()


def _own_path(text: str) -> str:
    """The version 2 line of /proc/PID/cgroup; empty where there is none."""
    for line in text.splitlines():
        if line.startswith("0::"):
            return line[3:]
    return ""


def _write(folder: Path, name: str, text: str) -> None:
    # One write() each: the kernel takes a whole line or refuses it.
    descriptor = os.open(folder / name, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode("ascii"))
    except OSError as error:
        error.filename = str(folder / name)
        raise
    finally:
        os.close(descriptor)
