# SPDX-License-Identifier: Apache-2.0
"""Rows that change by so much from one to the next, for `bench.py`.

A drawn stream is walked forth and back, so that every step of its round changes what the first did:
no step from the last row to the first changes more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ROWS = 17
"""Of a drawn stream: 16 changes forth, and the same 16 back."""
FRACTIONS = (0, 0.1, 1, 5, 10, 25, 50, 100)
"""Percent of the input elements that change in a step."""
ONE_BY = 16

Codes = np.ndarray
"""int64, (rows, elements)."""


@dataclass(frozen=True)
class Stream:
    """`name` in tables; `kind` says how it is judged: all, none, block, random, one, real, batch.

    rows: codes (n, elements), played in this order and round again.
    """

    name: str
    kind: str
    rows: Codes
    percent: float = 0.0


def forth_and_back(rows: Codes) -> Codes:
    return np.concatenate([rows, rows[-2:0:-1]])


def drawn(shape: tuple[int, ...], limits: tuple[int, int], seed: int) -> list[Stream]:
    """All changed-fraction streams of an input of this shape (without the batch axis)."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    base = rng.integers(limits[0], limits[1] + 1, size)
    streams = []
    for percent in FRACTIONS:
        count = round(size * percent / 100)
        if percent == 0:
            streams.append(Stream("nothing", "none", base[np.newaxis]))
        elif percent == 100:
            streams.append(_walk("all", "all", base, limits, lambda: np.arange(size), rng, 100))
        elif count >= 1:
            streams += [
                _walk(f"{percent:g} % random", "random", base, limits,
                      lambda n=count: rng.choice(size, n, replace=False), rng, percent),
                _walk(f"{percent:g} % block", "block", base, limits,
                      lambda p=percent: _block(shape, p / 100, rng), rng, percent),
            ]  # fmt: skip
    return [*streams, _one(base, limits, rng)]


def _walk(
    name: str,
    kind: str,
    base: Codes,
    limits: tuple[int, int],
    places: Callable[[], Codes],
    rng: np.random.Generator,
    percent: float,
) -> Stream:
    rows = [base]
    for _ in range(ROWS - 1):
        row, where = rows[-1].copy(), places()
        row[where] = _others(row[where], limits, rng)
        rows.append(row)
    return Stream(name, kind, forth_and_back(np.stack(rows)), percent)


def _others(codes: Codes, limits: tuple[int, int], rng: np.random.Generator) -> Codes:
    """For each code another one, each as likely."""
    low, high = limits
    return low + (codes - low + rng.integers(1, high - low + 1, codes.size)) % (high - low + 1)


def _block(shape: tuple[int, ...], part: float, rng: np.random.Generator) -> Codes:
    """Flat indices of neighbours: a rectangle of pixels with all their channels, of the map's own
    proportions, anywhere; of an input without rows and columns, elements next to each other.
    """
    if len(shape) < 3:
        shape = (1, int(np.prod(shape)), 1)
    height, width, channels = shape[-3], shape[-2], shape[-1]
    if width == 1:
        # (time, 1, features): one feature after the other is a column.
        width, channels = channels, 1
    pixels = max(1, round(height * width * part))
    rows = min(height, max(1, round(height * part**0.5)))
    columns = min(width, max(1, round(pixels / rows)))
    y, x = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    mask = np.zeros((height, width, channels), bool)
    mask[y : y + rows, x : x + columns] = True
    return np.flatnonzero(mask)


def _one(base: Codes, limits: tuple[int, int], rng: np.random.Generator) -> Stream:
    """One element, another in each step, by 16 steps of its code: up where there is room."""
    rows = [base]
    for place in rng.permutation(base.size)[: ROWS - 1] if base.size > 1 else [0] * (ROWS - 1):
        row = rows[-1].copy()
        row[place] += ONE_BY if row[place] + ONE_BY <= limits[1] else -ONE_BY
        rows.append(row)
    return Stream(f"one by {ONE_BY}", "one", forth_and_back(np.stack(rows)))
