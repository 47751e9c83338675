# SPDX-License-Identifier: Apache-2.0
"""Rasters and bands as text: braille cells (2 × 4 dots), one coloured block a state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from examples.pump.recording import Span, label_at

# Bit of the dot at (row, column) of a cell, Unicode block "Braille Patterns".
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK = 0x2800
_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def braille(points: Iterable[tuple[int, int]], rows: int, columns: int) -> list[str]:
    """`rows` lines of `columns` characters; points are (dot row, dot column), others are cut."""
    cells = [[0] * columns for _ in range(rows)]
    for row, column in points:
        if 0 <= row < 4 * rows and 0 <= column < 2 * columns:
            cells[row // 4][column // 2] |= _DOTS[row % 4][column % 2]
    return ["".join(chr(_BLANK + bits) for bits in line) for line in cells]


def band(timeline: Sequence[Span], start_s: float, end_s: float, columns: int) -> list[str | None]:
    """The label in the middle of each of `columns` equal parts of [start_s, end_s)."""
    step_s = (end_s - start_s) / columns
    return [label_at(timeline, start_s + (index + 0.5) * step_s) for index in range(columns)]


def bar(share: float, columns: int) -> str:
    """A bar `columns` wide, filled from the left to `share` (0..1) in eighths of a character."""
    eighths = round(min(max(share, 0.0), 1.0) * columns * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + _EIGHTHS[part]).ljust(columns)[:columns]
