# SPDX-License-Identifier: Apache-2.0
"""Image payloads: one JPEG or PNG a message, decoded by Pillow (`pip install neurovm[image]`).

Pillow is loaded by a worker whose VM has such an input, and asked for these two formats alone.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from neurovmd.payload.values import Image, PayloadError, Reader, Sample

_MODES = {"grey": ("L", 1), "rgb": ("RGB", 3)}
# Of 8 bits a colour or less: what has more would be clipped, not scaled.
_READ = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_MOST_TEXT_BYTES = 1 << 16
# Each scan of a progressive JPEG goes over all pixels again, and takes a few bytes: a thousand of
# them are seconds. Encoders make ten or so. (Within pixels the marker cannot stand.)
_SCAN, _MOST_SCANS = b"\xff\xda", 64


class ImageFormat(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="format", tag="image"
):
    """`colours`: what the picture is converted to. `max_pixels` is looked at before a pixel is
    decoded. Values are 0 … 255, rows from the top, a pixel's colours together.
    """

    colours: Literal["rgb", "grey"] = "rgb"
    max_pixels: Annotated[int, Meta(ge=1, le=1 << 26)] = 1 << 22

    @property
    def channels(self) -> int:
        """Numbers of a pixel."""
        return _MODES[self.colours][1]

    @property
    def timed(self) -> bool:
        """Never."""
        return False

    def samples(self) -> Reader:
        """One sample a message, an `Image`; ValueError where Pillow is not installed."""
        try:
            import PIL.Image
            from PIL import PngImagePlugin
        except ImportError:
            raise ValueError("image payloads need Pillow: pip install neurovm[image]") from None
        pillow = PIL.Image
        pillow.preinit()
        # A PNG's text and profiles are inflated too, and nobody here looks at them.
        PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = _MOST_TEXT_BYTES
        bombs = (pillow.DecompressionBombError, pillow.DecompressionBombWarning)
        warnings.simplefilter("ignore", pillow.DecompressionBombWarning)

        def read(topic: str | None, payload: bytes) -> Sequence[Sample]:
            del topic
            if payload[:2] == b"\xff\xd8" and payload.count(_SCAN) > _MOST_SCANS:
                raise PayloadError(f"a JPEG of more than {_MOST_SCANS} scans")
            try:
                return (Sample(None, self._decoded(pillow, payload)),)
            except (PayloadError, MemoryError):
                raise
            except bombs:
                raise PayloadError(f"more than {self.max_pixels} pixels") from None
            except PIL.UnidentifiedImageError:
                raise PayloadError(f"no JPEG or PNG: it begins with {payload[:8]!r}") from None
            except Exception as error:  # noqa: BLE001  # Pillow says not what broken bytes raise
                why = str(error) or type(error).__name__
                raise PayloadError(f"no JPEG or PNG: {why:.80}") from None

        return read

    def _decoded(self, pillow: Any, payload: bytes) -> Image:
        mode, channels = _MODES[self.colours]
        with pillow.open(io.BytesIO(payload), formats=("JPEG", "PNG")) as picture:
            width, height = picture.size
            if not 0 < width * height <= self.max_pixels:
                raise PayloadError(f"{width} × {height} pixels; accepted: up to {self.max_pixels}")
            if picture.mode not in _READ:
                raise PayloadError(f"pixels of kind {picture.mode}; accepted: {', '.join(_READ)}")
            pixels = picture if picture.mode == mode else picture.convert(mode)
            return Image(width, height, channels, pixels.tobytes())
