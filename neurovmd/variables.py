# SPDX-License-Identifier: Apache-2.0
"""`${node}`, `${serial}`, `${env:X}`, `${file:PATH}`, `${credential:NAME}` in configured values.

What a reference gives is taken as it is, never looked through again. `$${` stands for `${`. A value
that is one reference may be a number where the key wants one. What a file or a credential holds, or
a variable of the environment whose name says so, is a secret: it is never printed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from neurovm.decode import Layered

MAX_FILE_BYTES = 16 * 1024
MAX_VALUE_CHARACTERS = 64 * 1024
MAX_TOTAL_CHARACTERS = 1 << 20
HIDDEN = "…"
NAMES = "${node}, ${serial}, ${env:NAME}, ${file:PATH}, ${credential:NAME}"

_REFERENCE = re.compile(r"\$(\$\{)|\$\{([^{}\n]*)(\}?)")
_SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL", re.IGNORECASE)
_CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,254}\Z")
# What boards report whose maker never set a number.
_NO_SERIAL = re.compile(
    r"(0+|none|default string|to be filled.*|not (specified|applicable)|.*\s.*|)\Z"
)


class Piece(NamedTuple):
    """What one reference gives."""

    text: str
    secret: bool = False


class Unresolved(ValueError):  # noqa: N818  # the owner of the key makes the error of it
    """A reference that gives nothing; `found` and `accepted` say why."""

    def __init__(self, found: str, accepted: str) -> None:
        super().__init__(found)
        self.found, self.accepted = found, accepted


def read_serial(root: Path = Path("/")) -> str:
    """The box' own number: of the device tree or DMI, else made from the machine id.

    A number that only root may read (DMI's, as Linux shows it) does not count: the daemon and
    `check` say the same, whoever runs them. The machine id itself must not leave the box
    (machine-id(5)): 16 hex digits of its HMAC do. Unresolved where there is none of them.
    """
    for name in (
        "sys/firmware/devicetree/base/serial-number",
        "proc/device-tree/serial-number",
        "sys/class/dmi/id/product_serial",
    ):
        serial = _first_line(root / name).lower() if _for_all(root / name) else ""
        if not _NO_SERIAL.match(serial):
            return re.sub(r"[^a-z0-9_.-]", "-", serial)[:64]
    machine = _first_line(root / "etc/machine-id")
    if re.match(r"[0-9a-f]{32}\Z", machine):
        return hmac.new(bytes.fromhex(machine), b"neurovmd", hashlib.sha256).hexdigest()[:16]
    raise Unresolved("no serial number", "a device tree, DMI or /etc/machine-id that has one")


def _for_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(1024)
    except OSError:
        return ""
    return data.split(b"\n")[0].rstrip(b"\0 \t\r").decode("utf-8", "replace").strip()


@dataclass(frozen=True, slots=True)
class Variables:
    """Where references look. `node` None: not known yet."""

    environ: Mapping[str, str]
    node: str | None = None
    serial: Callable[[], str] = read_serial

    def look_up(self, reference: str, base: Path) -> Piece:
        """What `${reference}` gives; `base` is the folder of the file it stands in."""
        kind, colon, name = reference.partition(":")
        if reference == "node" and self.node is not None:
            return Piece(self.node)
        if reference == "serial":
            return Piece(self.serial())
        if colon and name:
            if kind == "env":
                return self._env(name)
            if kind == "file":
                return Piece(_read(base / Path(name).expanduser()), secret=True)
            if kind == "credential":
                return Piece(self._credential(name), secret=True)
        names = NAMES if self.node is not None else NAMES.removeprefix("${node}, ")
        raise Unresolved(f"${{{reference}}}", f"{names}; $${{ for ${{ itself")

    def _env(self, name: str) -> Piece:
        if name not in self.environ:
            raise Unresolved(f"${{env:{name}}}, which is not set", "a variable of the environment")
        return Piece(self.environ[name], secret=bool(_SECRET_NAME.search(name)))

    def _credential(self, name: str) -> str:
        if not _CREDENTIAL_NAME.match(name):
            raise Unresolved(f"the credential {name!r}", "a name without slashes")
        folder = self.environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise Unresolved(
                f"${{credential:{name}}}", "LoadCredential= in the unit ($CREDENTIALS_DIRECTORY)"
            )
        return _read(Path(folder) / name)


def _read(path: Path) -> str:
    """A file's text without the end of its last line."""
    try:
        if not path.is_file():
            raise Unresolved(f"{path}, which is no file", "a readable file")
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, Unresolved):
            raise
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unresolved(f"{path} ({reason})", "a readable file") from None
    if len(data) > MAX_FILE_BYTES:
        raise Unresolved(f"{path}: more than {MAX_FILE_BYTES} bytes", f"at most {MAX_FILE_BYTES}")
    try:
        return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise Unresolved(f"{path}, which is not UTF-8", "UTF-8") from None


@dataclass(slots=True)
class Expansion:
    """What came of a document: the keys with references, those that are one reference and nothing
    else, those that hold secrets, and the secrets.
    """

    keys: dict[str, str] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    secret_keys: set[str] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)

    def hides(self, key: str) -> bool:
        """Whether `key`, a part of it or what it is part of holds a secret."""
        return any(_within(key, secret) or _within(secret, key) for secret in self.secret_keys)


def _within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith((f"{outer}.", f"{outer}["))


def expand(text: str, variables: Variables, base: Path) -> tuple[str, list[str]]:
    """`text` with its references replaced, and the secrets in it; Unresolved where one is wrong."""
    secrets: list[str] = []

    def replace(match: re.Match[str]) -> str:
        if match[1]:
            return match[1]
        if not match[3]:
            raise Unresolved(f"an unclosed ${{ in {text[:80]!r}", f"{NAMES}; $${{ for ${{ itself")
        piece = variables.look_up(match[2], base)
        if piece.secret and piece.text:
            secrets.append(piece.text)
        return piece.text

    expanded = _REFERENCE.sub(replace, text)
    if len(expanded) > MAX_VALUE_CHARACTERS:
        raise Unresolved(f"{len(expanded)} characters", f"at most {MAX_VALUE_CHARACTERS}")
    return expanded, secrets


def expand_all(layered: Layered, variables: Variables) -> Expansion:
    """Replace every reference in the values of `layered`; ConfigError at the key of a wrong one."""
    done = Expansion()
    total = 0
    pending: list[tuple[Any, str]] = [(layered.value, "")]
    while pending:
        container, path = pending.pop()
        items = container.items() if isinstance(container, dict) else enumerate(container)
        for step, value in list(items):
            key = f"{path}[{step}]" if isinstance(container, list) else _join(path, str(step))
            if isinstance(value, (dict, list)):
                pending.append((value, key))
            elif isinstance(value, str) and "${" in value:
                container[step] = text = _expand_key(layered, key, value, variables, done)
                total += len(text)
                if total > MAX_TOTAL_CHARACTERS:
                    raise layered.error(
                        key, "too much text from references", f"{MAX_TOTAL_CHARACTERS} characters"
                    )
    return done


def _expand_key(
    layered: Layered, key: str, value: str, variables: Variables, done: Expansion
) -> str:
    base = layered.resolve(key, "x").parent
    try:
        text, secrets = expand(value, variables, base)
    except Unresolved as error:
        raise layered.error(key, error.found, error.accepted) from None
    done.keys[key] = value
    match = _REFERENCE.fullmatch(value)
    if match and not match[1]:
        done.whole.add(key)
    if secrets:
        done.secret_keys.add(key)
        done.secrets.update(secrets)
    return text


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
