# SPDX-License-Identifier: Apache-2.0
"""Valid payloads of every format, and damage to them: to bytes, and to what they hold."""

from __future__ import annotations

import io
import json
import random
import struct
import wave
import zlib
from array import array
from collections.abc import Callable
from typing import Any

import cbor2

from neurovm.events import Events, aer, aer_json
from neurovmd.sparkplug.wire import DataType, Metric, Payload, encode

ELEMENTS = [f"s{number}" for number in range(64)]
SIDE = 8
MOST_BYTES = 65536

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e308, -1e308, 1e-320, 2**31, -(2**31), 2**63, 2**64, -(2**64),
    10**400, "", "s1", "\x00", "ü" * 100, "9" * 5000, [], {}, [[]], [None] * 64, [0.5] * 63,
    [0.5] * 65, {"s1": None}, {"s1": "x"}, {"s1": 1e999}, float("nan"), float("inf"),
)  # fmt: skip
"""Values that stand where others are waited for."""

Rng = random.Random


def flip(data: bytearray, rng: Rng) -> None:
    for _ in range(rng.randint(1, 8)):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def put(data: bytearray, rng: Rng) -> None:
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.randint(1, 9))


def end_number(data: bytearray, rng: Rng) -> None:
    """A length, count or offset at the end of its range, of any width."""
    at = rng.randrange(len(data) + 1)
    width = rng.choice((1, 2, 4, 8))
    value = rng.choice((0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 64) - 1))
    data[at : at + width] = (value & ((1 << 8 * width) - 1)).to_bytes(
        width, rng.choice(("big", "little"))
    )


def cut(data: bytearray, rng: Rng) -> None:
    del data[rng.randrange(len(data) + 1) :]


def repeat(data: bytearray, rng: Rng) -> None:
    """A part again and again, now and then up to the longest message."""
    at = rng.randrange(len(data) + 1)
    block = data[at : at + rng.randint(1, 16)]
    if block:
        most = MOST_BYTES if rng.random() < 0.02 else 200
        data[at:at] = bytes(block) * (rng.randint(1, most) // len(block))
        del data[MOST_BYTES:]


BYTES = (flip, put, end_number, cut, repeat)


def damaged_bytes(payload: bytes, rng: Rng) -> bytes:
    data = bytearray(payload)
    for _ in range(rng.randint(1, 3)):
        rng.choice(BYTES)(data, rng)
    return bytes(data)


def damaged_tree(tree: Any, rng: Rng) -> Any:
    """The same with something else at one place, deeper, or gone."""
    if isinstance(tree, dict) and tree and rng.random() < 0.8:
        key = rng.choice(list(tree))
        found = dict(tree)
        if rng.random() < 0.15:
            found[rng.choice(("bver", "new_", "t", "", 7, "s1"))] = found.pop(key)
        else:
            found[key] = damaged_tree(found[key], rng)
        return found
    if isinstance(tree, list) and tree and rng.random() < 0.8:
        at = rng.randrange(len(tree))
        found = list(tree)
        if rng.random() < 0.2:
            found = found[:at] if rng.random() < 0.5 else found * rng.randint(2, 50)
        else:
            found[at] = damaged_tree(found[at], rng)
        return found
    if rng.random() < 0.05:
        for _ in range(rng.choice((3, 30, 33, 300))):
            tree = [tree]
        return tree
    return rng.choice(HOSTILE)


def _tree(load: Callable[[bytes], Any], dump: Callable[[Any], bytes]) -> Callable[..., bytes]:
    def damage(payload: bytes, rng: Rng) -> bytes:
        try:
            return dump(damaged_tree(load(payload), rng))
        except (TypeError, ValueError, OverflowError):  # no text or item of its format says it
            return damaged_bytes(payload, rng)

    return damage


def _json_text(tree: Any) -> bytes:
    return json.dumps(tree).encode()


in_json = _tree(json.loads, _json_text)
in_cbor = _tree(cbor2.loads, cbor2.dumps)


def in_senml(payload: bytes, rng: Rng) -> bytes:
    return (in_json if payload[:1] == b"[" else in_cbor)(payload, rng)


def in_metrics(payload: bytes, rng: Rng) -> bytes:
    """Metrics of other kinds, aliases, times and values than they say."""
    kinds: tuple[tuple[int, Any], ...] = (
        (10, rng.randrange(1 << 33)), (11, rng.randrange(1 << 64)), (12, rng.random()),
        (13, float(rng.choice((0.5, 1e308, "nan", "inf")))), (14, True), (15, "text"),
        (16, rng.randbytes(rng.randrange(20))),
    )  # fmt: skip
    metrics = []
    for _ in range(rng.randint(0, 6)):
        _, value = rng.choice(kinds)
        metrics.append(
            Metric(
                rng.choice((None, "s1", "s2", "bdSeq", "x" * 300)),
                rng.choice((None, 0, 1, 2, 1 << 63)),
                rng.choice((None, 0, 1, 1 << 62, (1 << 64) - 1)),
                rng.choice((0, *range(36), 99)),
                rng.random() < 0.2,
                rng.random() < 0.1,
                value,
            )
        )
    seq = rng.choice((None, 0, 3, 3, 3, 255, 256, 1 << 63))
    try:
        return encode(Payload(rng.choice((None, 5, (1 << 64) - 1)), tuple(metrics), seq))
    except OverflowError:  # no float of 32 bits
        return damaged_bytes(payload, rng)


def in_picture(payload: bytes, rng: Rng) -> bytes:
    """Another head, with the check sum that belongs to it: sizes, depths, colours, methods."""
    data = bytearray(payload)
    if payload[:4] == b"\x89PNG":
        at = 16 + rng.choice((0, 4, 8, 9, 10, 11, 12))
        if at < 24:
            data[at : at + 4] = rng.choice((0, 1, 9, 70000, 1 << 30, (1 << 32) - 1)).to_bytes(
                4, "big"
            )
        else:
            data[at] = rng.choice((0, 1, 2, 3, 4, 6, 16, 255))
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
        return bytes(data)
    at = next(
        (n for n in range(len(data) - 9) if data[n] == 0xFF and data[n + 1] in (0xC0, 0xC2)), 0
    )
    data[at + 5 : at + 9] = struct.pack(">HH", rng.choice((0, 8, 9, 65535)), rng.choice((0, 65535)))
    return bytes(data)


def picture(mode: str, kind: str) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    image = Image.new(mode, (SIDE, SIDE), 3)
    image.putdata([(n * 7) % 250 for n in range(SIDE * SIDE)])
    image.save(file, kind)
    return file.getvalue()


def wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16000)
        writer.writeframes(array("h", range(64)).tobytes())
    return file.getvalue()


def metrics_seed() -> bytes:
    metrics = (
        Metric(None, 1, 5, 0, value=0.5),
        Metric("s2", None, 6, DataType.INT16, value=65535),
        Metric("s3", 9, 6, DataType.BOOLEAN, value=True),
        Metric("s4", 10, 7, DataType.INT16_ARRAY, value=b"\x01\x00\x02\x00"),
    )
    return encode(Payload(7, metrics, 3))


def events_seed(size: int) -> tuple[bytes, bytes]:
    """Events packed and as JSON."""
    events = Events(array("q", [0, 10, 500]), array("I", [0, size - 1, 1 % size]))
    return aer.pack(events), aer_json.dump(events)
