# SPDX-License-Identifier: Apache-2.0
"""Colours: pictures in grey, or with their colours the other way round."""

from __future__ import annotations

from typing import Literal

from neurovm.errors import EventError
from neurovm.frontends.base import Array, Front, FrontEnd
from neurovm.frontends.frames import check_choice
from neurovm.frontends.pictures import PictureFront, bytes_of, size_of

OrderName = Literal["grey", "bgr", "rgb"]


class Colours(FrontEnd, frozen=True, tag="colours", kw_only=True):
    """Of pictures of red, green, blue (grey ones: three equal):

    to: grey  (19595 R + 38470 G + 7471 B + 32768) >> 16, which is Pillow's and ITU-R BT.601's
    to: bgr   blue, green, red
    to: rgb   as they are
    """

    to: OrderName

    def __post_init__(self) -> None:
        check_choice("to", self.to, OrderName)

    def stream(self, shape: tuple[int, ...], rate_hz: float | None = None) -> Front:
        return ColoursFront(self, shape, rate_hz)


class ColoursFront(PictureFront):
    def __init__(self, front_end: Colours, shape: tuple[int, ...], rate_hz: float | None) -> None:
        height, width, channels = size_of(shape)
        if channels not in (1, 3):
            raise EventError(f"shape: found {channels} channels; accepted: 1 or 3")
        self._to = front_end.to
        made = 1 if self._to == "grey" else 3
        super().__init__(shape, (max(1, height), max(1, width), made), rate_hz)
        self.shape = (height, width, made)

    def advance(self, rows: Array) -> Array:
        import numpy as np

        rows = bytes_of(rows)
        if self._to == "grey":
            if rows.shape[3] == 1:
                return rows
            weights = np.array([19595, 38470, 7471], np.uint32)
            grey = (rows.astype(np.uint32) @ weights + np.uint32(1 << 15)) >> np.uint32(16)
            return grey.astype(np.uint8)[..., None]
        if rows.shape[3] == 1:
            return np.repeat(rows, 3, axis=3)
        return rows[..., ::-1] if self._to == "bgr" else rows
