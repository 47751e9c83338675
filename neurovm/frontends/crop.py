# SPDX-License-Identifier: Apache-2.0
"""Crop: a rectangle of every picture."""

from __future__ import annotations

from neurovm.encoders.ranges import check_count
from neurovm.errors import EventError
from neurovm.frontends.base import Array, Front, FrontEnd
from neurovm.frontends.pictures import MOST_SIDE, PictureFront, bytes_of, size_of


class Crop(FrontEnd, frozen=True, tag="crop", kw_only=True):
    """`width` × `height` pixels from `left` and `top` on (none: from the middle), in pixels.

    A picture that is too small for it is refused.
    """

    width: int
    height: int
    left: int | None = None
    top: int | None = None

    def __post_init__(self) -> None:
        for key in ("width", "height"):
            check_count(key, getattr(self, key), 1, MOST_SIDE)
        for key in ("left", "top"):
            if getattr(self, key) is not None:
                check_count(key, getattr(self, key), 0, MOST_SIDE)

    def stream(self, shape: tuple[int, ...], rate_hz: float | None = None) -> Front:
        return CropFront(self, shape, rate_hz)


class CropFront(PictureFront):
    def __init__(self, front_end: Crop, shape: tuple[int, ...], rate_hz: float | None) -> None:
        height, width, channels = size_of(shape)
        self._parameters = front_end
        if height:
            self._corner(height, width)
        super().__init__(shape, (front_end.height, front_end.width, channels), rate_hz)

    def _corner(self, height: int, width: int) -> tuple[int, int]:
        """Top and left of the rectangle; EventError where it is not in the picture."""
        p = self._parameters
        top = (height - p.height) // 2 if p.top is None else p.top
        left = (width - p.width) // 2 if p.left is None else p.left
        if top < 0 or left < 0 or top + p.height > height or left + p.width > width:
            found = f"{p.width} × {p.height} from ({left}, {top}) of {width} × {height} pixels"
            raise EventError(f"crop: found {found}; accepted: a part of the picture")
        return top, left

    def advance(self, rows: Array) -> Array:
        top, left = self._corner(rows.shape[1], rows.shape[2])
        p = self._parameters
        return bytes_of(rows[:, top : top + p.height, left : left + p.width])
