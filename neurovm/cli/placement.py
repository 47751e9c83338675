# SPDX-License-Identifier: Apache-2.0
"""What `neurovm service` places where, and whether the service could use it there."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import stat
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import neurovm
from neurovm.errors import BackendError

CONFIG = Path("/etc/neurovmd/neurovmd.yaml")
VM_DIR = Path("/etc/neurovmd/vm.d")
UNIT_FILE = Path("/etc/systemd/system/neurovmd.service")
# Where a distribution's package has the unit (the second where /lib is a folder of its own).
PACKAGED_UNITS = (
    Path("/usr/lib/systemd/system/neurovmd.service"),
    Path("/lib/systemd/system/neurovmd.service"),
)
# What the service and the administrator made, beyond what install placed.
PURGED = (
    Path("/etc/neurovmd"),
    Path("/etc/systemd/system/neurovmd.service.d"),
    Path("/var/lib/neurovmd"),
    Path("/var/cache/neurovmd"),
)
# What the unit's sandbox hides from the service, and the directive that does it.
HIDDEN = {
    Path("/home"): "ProtectHome",
    Path("/root"): "ProtectHome",
    Path("/run/user"): "ProtectHome",
    Path("/tmp"): "PrivateTmp",  # noqa: S108  # named to be refused
    Path("/var/tmp"): "PrivateTmp",  # noqa: S108  # the same
}
REMEDY = (
    "install it where every user can read it: sudo python3 -m venv /opt/neurovm && "
    "sudo /opt/neurovm/bin/pip install neurovm && sudo /opt/neurovm/bin/neurovm service install"
)


class Verdict(Enum):
    """What becomes of one file."""

    NEW = "write"
    CHANGED = "replace"
    SAME = "keep"
    KEPT = "changed here"  # a configuration: it stays, the new one goes beside it


# sha256 of the configuration as it was placed before (every key given): nobody has changed it.
FORMER = frozenset({"ea88f477c987066bdfea6ffbc11291af7966025fd4beaad77589e4cb1a2af7cd"})


@dataclass(frozen=True, slots=True)
class Item:
    """One file of the package's `systemd` folder and the place it goes to."""

    source: str
    target: Path
    is_configuration: bool = False

    def text(self, daemon: Path) -> str:
        """The file's text with the path of the daemon in it."""
        text = (_shipped() / self.source).read_text(encoding="utf-8")
        return text.replace("@NEUROVMD@", unit_word(str(daemon)))


ITEMS = (
    Item("neurovmd.service", UNIT_FILE),
    Item("neurovmd.sysusers.conf", Path("/etc/sysusers.d/neurovmd.conf")),
    Item("neurovmd.tmpfiles.conf", Path("/etc/tmpfiles.d/neurovmd.conf")),
    Item("neurovmd.yaml", CONFIG, is_configuration=True),
    Item("vm.yaml.sample", VM_DIR / "vm.yaml.sample"),
)
# What `--with` adds to the unit; the administrator may change each, so each stays as it is.
DROP_INS = {
    name: Item(
        f"{name}.conf",
        Path(f"/etc/systemd/system/neurovmd.service.d/{name}.conf"),
        is_configuration=True,
    )
    for name in ("limits", "accelerator", "credentials", "notify-reload")
}


def _shipped() -> Path:
    # Found, not imported: the library never imports the daemon.
    spec = importlib.util.find_spec("neurovmd")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        if (Path(folder) / "systemd").is_dir():
            return Path(folder) / "systemd"
    raise BackendError("the daemon neurovmd is not installed beside this command")


def below(root: Path | None, target: Path) -> Path:
    """`target` on the file system below `root`."""
    return target if root is None else root / target.relative_to("/")


def is_packaged(root: Path | None) -> bool:
    """Whether a distribution's package has placed the service already."""
    return any(below(root, path).exists() for path in PACKAGED_UNITS)


def items(root: Path | None, drop_ins: Sequence[str]) -> list[Item]:
    """What `install` places: the service, unless a package did, and the drop-ins asked for."""
    service = [] if is_packaged(root) else list(ITEMS)
    return service + [DROP_INS[name] for name in DROP_INS if name in drop_ins]


def unit_word(text: str) -> str:
    """`text` as one word of a unit file's command line (systemd.service(5), "Command lines")."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(mark in escaped for mark in " \t'\"\\;") else escaped


def judge(item: Item, target: Path, text: str) -> Verdict:
    """What placing `text` at `target` would mean."""
    try:
        present = target.read_bytes()
    except FileNotFoundError:
        return Verdict.NEW
    if present == text.encode():
        return Verdict.SAME
    is_own = item.is_configuration and hashlib.sha256(present).hexdigest() not in FORMER
    return Verdict.KEPT if is_own else Verdict.CHANGED


def describe(verdict: Verdict, target: Path) -> str:
    if verdict is Verdict.KEPT:
        return f"keep    {target} (changed here); the new one is {_beside(target)}"
    return f"{verdict.value:<7} {target}"


def place(item: Item, target: Path, text: str) -> None:
    """Put the text where the verdict says; a file is there whole or not at all."""
    verdict = judge(item, target, text)
    if verdict is Verdict.SAME:
        return
    target = _beside(target) if verdict is Verdict.KEPT else target
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
            file.flush()
            os.fsync(file.fileno())
        Path(part).replace(target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(part).unlink()
        raise


def _beside(target: Path) -> Path:
    return target.with_name(target.name + ".new")


def find_daemon() -> Path:
    """The `neurovmd` that was installed together with this command."""
    # Not resolved: a virtual environment's python is a link, and its neighbours matter.
    folders = (Path(sys.executable).parent, Path(sysconfig.get_path("scripts")))
    for folder in folders:
        if (folder / "neurovmd").is_file():
            return folder / "neurovmd"
    found = shutil.which("neurovmd")
    if found is None:
        raise BackendError(
            f"no neurovmd in {' or '.join(dict.fromkeys(map(str, folders)))} or on PATH; "
            f"--executable names it"
        )
    return Path(found).absolute()


def require_readable_by_service(daemon: Path) -> None:
    """PermissionError when the service user could not run `daemon`, its Python and its package."""
    standard_library = Path(os.__file__).parent
    package = Path(neurovm.__file__).parent
    for path in (daemon, Path(sys.executable), standard_library, package):
        for form in (path, path.resolve()):
            reason = why_unreadable(form)
            if reason:
                raise PermissionError(f"the service could not use {path}: {reason}; {REMEDY}")


def require_usable_in_image(daemon: Path) -> None:
    """PermissionError where the unit of an image would name what systemd hides from it. The daemon
    itself may come into the image later.
    """
    for folder, directive in HIDDEN.items():
        if daemon.is_relative_to(folder):
            raise PermissionError(
                f"the service could not use {daemon}: systemd hides {folder} from it "
                f"({directive}); --executable names neurovmd as the image has it"
            )


def why_unreadable(path: Path) -> str | None:
    """Why a system service cannot read `path`; None when it can."""
    for folder, directive in HIDDEN.items():
        if path.is_relative_to(folder):
            return f"systemd hides {folder} from it ({directive})"
    for part in (path, *path.parents):
        mode = stat.S_IMODE(part.stat().st_mode)
        needed = stat.S_IXOTH | stat.S_IROTH if part == path else stat.S_IXOTH
        if mode & needed != needed:
            return f"{part} is not open to other users (mode {mode:04o})"
    return None
