# SPDX-License-Identifier: Apache-2.0
"""Damaged manifests: bytes flipped, lines moved, values and keys replaced, structure nested."""

from __future__ import annotations

import random
from pathlib import Path

from manifest.conftest import EVERY_KEY

from neurovm import document, manifest
from neurovm.errors import ConfigError

WORDS = (
    "null", "~", "true", "no", "-1", "0", "1e400", ".inf", ".nan", "0x10", "9" * 30, "''", "[]",
    "!!python/object:os.system {}", "&a [1]", "*a", "2026-01-01", "1.0", "\"1.0\"", "neurovm",
    "{}", "rate", "128Mi", "1W", "- x", "? y", "|\n  z",
    "'\\u0000'", "\"\\ud800\"", "{a: {b: {c: 1}}}", "<<: *a",
    "NET_ADMIN", "../../x.tflite", "a" * 5000,
)  # fmt: skip


def mutated(rng: random.Random, text: str = EVERY_KEY) -> bytes:
    """The manifest with one to four damages."""
    data = text.encode()
    for _ in range(rng.randint(1, 4)):
        data = rng.choice((_bytes, _lines, _value, _key, _nest, _cut))(rng, data)
    return data


def _bytes(rng: random.Random, data: bytes) -> bytes:
    found = bytearray(data or b"x")
    for _ in range(rng.randint(1, 3)):
        found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found)


def _lines(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    what = rng.randrange(4)
    if what == 0:
        del lines[at]
    elif what == 1:
        lines.insert(rng.randrange(len(lines)), lines[at])
    elif what == 2:
        lines[at] = b" " * rng.randint(1, 5) + lines[at]
    else:
        rng.shuffle(lines)
    return b"\n".join(lines)


def _value(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    head, colon, _ = lines[at].partition(b":")
    if colon:
        lines[at] = head + b": " + rng.choice(WORDS).encode("utf-8", "surrogatepass")
    return b"\n".join(lines)


def _key(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    head, colon, rest = lines[at].partition(b":")
    name = bytearray(head.strip())
    if colon and name:
        name[rng.randrange(len(name))] = rng.choice(b"abcxyz_.[]-")
        indent = len(head) - len(head.lstrip())
        lines[at] = b" " * indent + bytes(name) + b":" + rest
    return b"\n".join(lines)


def _nest(rng: random.Random, data: bytes) -> bytes:
    depth = rng.choice((2, 31, 33, 2000))
    opening, closing = rng.choice(((b"[", b"]"), (b"{a: ", b"}")))
    return data + b"\nextra: " + opening * depth + b"1" + closing * depth + b"\n"


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def judge(data: bytes) -> ConfigError | None:
    """The one error of a manifest, None where it is right; any other exception comes through."""
    try:
        manifest.parse(document.decode_text(data, manifest.FILE))
    except ConfigError as error:
        return error
    return None


def located(error: ConfigError, file: str = manifest.FILE) -> bool:
    """Whether an error says where it is and what would be right; `file` is what was damaged."""
    where = Path(error.file).name == file and (error.line is not None or not error.key)
    return where and bool(error.found) and bool(error.accepted) and "\n" not in error.found
