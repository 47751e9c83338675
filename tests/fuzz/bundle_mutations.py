# SPDX-License-Identifier: Apache-2.0
"""Damage to a valid .nvm bundle: of its bytes as they lie, or of one part with all digests right
again, which gets past the checks of the file to those of the manifest and the kernel.
"""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import msgspec
from fuzz.tflite_mutations import MUTATIONS, WORDS, mutate

from neurovm import bundle
from neurovm.description import Manifest

RECORD_BYTES = 128
_TEXTS = ("", "x", "\0", "../..", "nan", "xnnpack", "tflm", "int8", "float32", "\U0001f980")


def damaged(data: bytes, seed: int) -> bytes:
    """The bundle with damage; the seed decides everything."""
    rng = random.Random(seed)
    way = rng.choice(["bytes", "layers", "layers", "arena", "manifest", "manifest"])
    if way == "bytes":
        return mutate(data, seed)
    content = bundle.parse(memoryview(data), "seed.nvm")
    parts = {name: bytearray(part) for name, part in content.tensors.items()}
    manifest = msgspec.to_builtins(content.manifest)
    if way == "manifest":
        for _ in range(rng.choice([1, 1, 2])):
            _change(manifest, rng)
    elif way == "layers":
        kinds = [k for k in ("layers", "populations", "projections") if parts.get(k)]
        _change_record(parts[rng.choice(kinds)], rng)
    else:
        rng.choice([m for m in MUTATIONS if m.__name__ != "cut"])(parts["arena"], rng)
    return _file(manifest, {name: bytes(part) for name, part in parts.items()})


def _change_record(layers: bytearray, rng: random.Random) -> None:
    """One to three fields of one record, at the ends of their ranges or a little off."""
    first = rng.randrange(len(layers) // RECORD_BYTES) * RECORD_BYTES
    for _ in range(rng.choice([1, 1, 2, 3])):
        width = rng.choice([1, 2, 4])
        at = first + rng.randrange(0, RECORD_BYTES, width)
        value = int.from_bytes(layers[at : at + width], "little")
        value = rng.choice([rng.choice(WORDS), value + 1, value - 1, value * 2, value // 2])
        layers[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")


def _change(manifest: dict[str, Any], rng: random.Random) -> None:
    """One value, anywhere."""
    node: Any = manifest
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = rng.choice(keys)
        inner = node[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.9:
            node = inner
            continue
        if rng.random() < 0.1:
            del node[key]
        else:
            node[key] = _other(inner, rng)
        return


def _other(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return rng.choice([None, 0, -1, 2**40, 1e300, True, [], {}, *_TEXTS])
    return rng.choice([value + 1, value - 1, -value, 0, 2**31, 2**63, 2**64, 1e-300, None, "1"])


def _file(manifest: dict[str, Any], parts: dict[str, bytes]) -> bytes:
    """A whole file with right offsets and, where the manifest still is one, right digests."""
    views = {name: memoryview(part) for name, part in parts.items()}
    if isinstance(manifest.get("sha256"), dict):
        manifest["sha256"] |= bundle.digests(views)
    text = json.dumps(manifest)
    try:
        text = msgspec.convert(manifest, Manifest).sealed().encode().decode()
    except (msgspec.ValidationError, TypeError, OverflowError, ValueError):
        digest = hashlib.sha256(text.encode()).hexdigest()
        text = text.replace('"manifest": ""', f'"manifest": "{digest}"')
    entries: dict[str, Any] = {}
    at = 0
    for name, part in sorted(parts.items()):
        entries[name] = {
            "dtype": "I8" if name.startswith("golden.") else "U8",
            "shape": [len(part)],
            "data_offsets": [at, at + len(part)],
        }
        at += len(part)
    header = json.dumps({"__metadata__": {bundle.METADATA_KEY: text}, **entries}).encode()
    header += b" " * (-(8 + len(header)) % bundle.ALIGN)
    return (
        len(header).to_bytes(8, "little") + header + b"".join(p for _, p in sorted(parts.items()))
    )
