# SPDX-License-Identifier: Apache-2.0
"""Models by content: `model: sha256:HEX` names `models/sha256/HEX.nvm` (or `.tflite`) of a layer.

The name says what is in the file, so a tree can name its models once and every box can tell whether
it has them, whole.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from neurovm.errors import ConfigError

PREFIX = "sha256:"
ACCEPTED = "sha256: and 64 hex digits"
STORE = Path("models/sha256")
SUFFIXES = (".nvm", ".tflite")
_BLOCK_BYTES = 1 << 20
_MOST_KNOWN = 1024

_known: dict[tuple[int, int, int, int], str] = {}


def is_reference(model: str) -> bool:
    return model.startswith(PREFIX)


def check_reference(model: str) -> None:
    """ValueError unless `model` is `sha256:` and 64 hex digits."""
    if not re.match(r"sha256:[0-9a-f]{64}\Z", model):
        raise ValueError(f"found {model!r}; accepted: {ACCEPTED}")


def find(model: str, folders: Iterable[Path]) -> Path:
    """The file of a reference in the stores of `folders`, best first; where none has it, the place
    it should have in the first.
    """
    name = model.removeprefix(PREFIX)
    places = [folder / STORE / f"{name}{suffix}" for folder in folders for suffix in SUFFIXES]
    return next((path for path in places if path.exists()), places[0])


def digest(path: Path) -> str:
    """The sha256 of a file in hex, read again only when the file has changed; empty: unreadable."""
    try:
        seen = path.stat()
        if not stat.S_ISREG(seen.st_mode):
            return ""
        key = (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns)
        if key not in _known:
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known[key] = _hash(path)
        return _known[key]
    except OSError:
        return ""


def _hash(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            state.update(block)
    return state.hexdigest()


def verify(model: str, path: Path, file: str) -> None:
    """ConfigError where the model is not there, or is not what its reference says."""
    found = digest(path)
    if not found:
        raise ConfigError(file, "model", f"{path}, which cannot be read", "a model file")
    if is_reference(model) and found != model.removeprefix(PREFIX):
        raise ConfigError(file, "model", f"{path} with sha256 {found}", "the content of its name")
