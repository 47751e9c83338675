# SPDX-License-Identifier: Apache-2.0
"""Resize: pictures of another size, by Pillow (`pip install neurovm[image]`)."""

from __future__ import annotations

from typing import Any, Literal

from neurovm.encoders.ranges import check_count
from neurovm.errors import EventError
from neurovm.frontends.base import MOST_VALUES, Array, Front, FrontEnd
from neurovm.frontends.frames import check_choice
from neurovm.frontends.pictures import MOST_SIDE, PictureFront, bytes_of, size_of

FilterName = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
FitName = Literal["stretch", "cover", "contain"]


class Resize(FrontEnd, frozen=True, tag="resize", kw_only=True):
    """Pictures of `width` × `height` pixels.

    fit: stretch  the whole picture, in whatever shape (default)
         cover    the largest part from its middle that has the new shape
         contain  the whole picture in its own shape, `padding` (0 … 255) beside it
    resample: Pillow's filters, which widen with the reduction, so that every pixel counts
    (TensorFlow's and OpenCV's bilinear do not, unless asked for antialias or area).
    """

    width: int
    height: int
    resample: FilterName = "bilinear"
    fit: FitName = "stretch"
    padding: int = 0

    def __post_init__(self) -> None:
        for key in ("width", "height"):
            check_count(key, getattr(self, key), 1, MOST_SIDE)
        check_choice("resample", self.resample, FilterName)
        check_choice("fit", self.fit, FitName)
        check_count("padding", self.padding, 0, 255)

    def stream(self, shape: tuple[int, ...], rate_hz: float | None = None) -> Front:
        """ImportError where Pillow is not installed."""
        return ResizeFront(self, shape, rate_hz)


class ResizeFront(PictureFront):
    def __init__(self, front_end: Resize, shape: tuple[int, ...], rate_hz: float | None) -> None:
        try:
            import PIL.Image
        except ImportError:
            raise ImportError("resize needs Pillow: pip install neurovm[image]") from None
        _, _, channels = size_of(shape)
        super().__init__(shape, (front_end.height, front_end.width, channels), rate_hz)
        self._parameters = front_end
        self._pillow: Any = PIL.Image
        self._filter = PIL.Image.Resampling[front_end.resample.upper()]

    def advance(self, rows: Array) -> Array:
        import numpy as np

        if len(rows) * self.shape[0] * self.shape[1] * self.shape[2] > MOST_VALUES:
            raise EventError(f"found {len(rows)} pictures; accepted: {MOST_VALUES} values out")
        made = np.empty((len(rows), *self.shape), np.uint8)
        for at, picture in enumerate(bytes_of(rows)):
            made[at] = self._resized(picture)
        return made

    def _resized(self, picture: Array) -> Array:
        """One picture; colours beside red, green and blue are resized one by one."""
        import numpy as np

        channels = picture.shape[2]
        if channels == 3:
            return self._placed(np.ascontiguousarray(picture))
        parts = [self._placed(np.ascontiguousarray(picture[:, :, c])) for c in range(channels)]
        return np.stack(parts, axis=2)

    def _placed(self, picture: Array) -> Array:
        import numpy as np

        p = self._parameters
        height, width = picture.shape[:2]
        image = self._pillow.fromarray(picture)
        if p.fit == "contain":
            scale = min(p.width / width, p.height / height)
            inner = (max(1, round(width * scale)), max(1, round(height * scale)))
            made = np.full((p.height, p.width, *picture.shape[2:]), p.padding, np.uint8)
            left, top = (p.width - inner[0]) // 2, (p.height - inner[1]) // 2
            made[top : top + inner[1], left : left + inner[0]] = image.resize(inner, self._filter)
            return made
        box = None
        if p.fit == "cover":
            scale = min(width / p.width, height / p.height)
            left, top = (width - p.width * scale) / 2, (height - p.height * scale) / 2
            right, bottom = left + p.width * scale, top + p.height * scale
            box = (left, top, min(width, right), min(height, bottom))
        return np.asarray(image.resize((p.width, p.height), self._filter, box))
