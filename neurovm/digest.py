# SPDX-License-Identifier: Apache-2.0
"""SHA-256 of what a model is loaded from, in little memory.

`hashlib` maps OpenSSL, nearly 4 MB of a process that has need of nothing else in it. Python's own
implementation gives the same digests; it is several times slower, so large data go to OpenSSL.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer

LARGE_BYTES = 4 << 20
"""From so many on OpenSSL's speed is worth its memory."""


class Hash(Protocol):
    """What `hashlib.sha256` makes."""

    def update(self, data: Buffer, /) -> None: ...
    def digest(self) -> bytes: ...
    def hexdigest(self) -> str: ...


def sha256(data: Buffer = b"", *, expected_bytes: int | None = None) -> Hash:
    """The hash of `data`, to which more may follow; expected_bytes: of all together."""
    size = memoryview(data).nbytes if expected_bytes is None else expected_bytes
    make = _from_openssl if size >= LARGE_BYTES else _own
    return make(data)


def _from_openssl(data: Buffer) -> Hash:
    import hashlib

    return hashlib.sha256(data)


def _own(data: Buffer) -> Hash:
    for name in ("_sha2", "_sha256"):  # Python >= 3.12, and before
        try:
            made: Hash = import_module(name).sha256(data)
        except ImportError:
            continue
        return made
    return _from_openssl(data)
