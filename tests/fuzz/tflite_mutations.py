# SPDX-License-Identifier: Apache-2.0
"""Damage to a valid .tflite, as chance or malice does it. Used by the suite and
by `run.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable

WORDS = (
    0, 1, 2, 3, 4, 8, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000,
    0xFFFFFFFE, 0xFFFFFFFF, 0x7F800000, 0x7FC00000, 0xFF800000,
)  # fmt: skip
"""Lengths, offsets, indices and floats at the ends of their ranges."""


def flip_bits(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def set_bytes(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])


def set_word(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(0, max(len(data) - 3, 1), 4)
        value = rng.choice([*WORDS, len(data), len(data) - at, rng.randrange(len(data))])
        data[at : at + 4] = value.to_bytes(4, "little")


def nudge_word(data: bytearray, rng: random.Random) -> None:
    """A count or an offset a little off."""
    at = rng.randrange(0, max(len(data) - 3, 1), 4)
    value = int.from_bytes(data[at : at + 4], "little") + rng.choice([-8, -4, -2, -1, 1, 2, 4, 8])
    data[at : at + 4] = (value & 0xFFFFFFFF).to_bytes(4, "little")


def cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def copy_block(data: bytearray, rng: random.Random) -> None:
    size = rng.randint(1, 64)
    source, target = rng.randrange(len(data)), rng.randrange(len(data))
    block = data[source : source + size]
    data[target : target + len(block)] = block


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flip_bits, set_bytes, set_word, set_word, nudge_word, nudge_word, cut, copy_block,
)  # fmt: skip


def mutate(model: bytes, seed: int) -> bytes:
    """The model with one to three kinds of damage; the seed decides everything."""
    rng = random.Random(seed)
    data = bytearray(model)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if len(data) > 8:
            rng.choice(MUTATIONS)(data, rng)
    return bytes(data)
