# SPDX-License-Identifier: Apache-2.0
"""What front ends of pictures share: rows (height, width, channels) of bytes."""

from __future__ import annotations

import math

from neurovm.errors import EventError
from neurovm.frontends.base import MOST_ELEMENTS, Array, Front

MOST_SIDE = 1 << 15
MOST_CHANNELS = 16
Size = tuple[int, int, int]


class PictureFront(Front):
    """Without state: each picture stands for itself.

    `takes` may have 0 as height and width: pictures of any size, all of one push alike.
    """

    dtype = "uint8"

    def __init__(self, takes: tuple[int, ...], shape: Size, rate_hz: float | None) -> None:
        super().__init__(tuple(max(1, n) for n in takes), shape, rate_hz)
        self.takes = takes

    def fits(self, shape: tuple[int, ...]) -> bool:
        known = zip(shape, self.takes, strict=True)
        return all(size in (0, found) for found, size in known) and math.prod(shape) > 0

    def accepts(self) -> str:
        """What rows it takes, in words."""
        height, width, channels = (str(n or "any") for n in self.takes)
        return f"pictures of height {height}, width {width}, channels {channels}: (n, h, w, c)"


def size_of(shape: tuple[int, ...]) -> Size:
    """Height, width (0: any) and channels; EventError where rows are no pictures."""
    sound = len(shape) == 3 and all(type(n) is int and 0 <= n <= MOST_SIDE for n in shape)
    height, width, channels = shape if sound else (-1, 0, 0)
    known = min(height, width) > 0 or height == width == 0
    if not sound or not known or not 1 <= channels <= MOST_CHANNELS:
        accepted = f"(height, width, 1 to {MOST_CHANNELS} channels), both 0 for any size"
        raise EventError(f"shape: found {shape!r:.80}; accepted: {accepted}")
    if height * width * channels > MOST_ELEMENTS:
        raise EventError(f"shape: found {shape}; accepted: {MOST_ELEMENTS} values")
    return height, width, channels


def bytes_of(rows: Array) -> Array:
    """Rows as uint8: reals are rounded, and held to 0 … 255."""
    import numpy as np

    if rows.dtype == np.uint8:
        return rows
    return np.clip(np.rint(rows), 0, 255).astype(np.uint8)
