# SPDX-License-Identifier: Apache-2.0
"""Pictures: what Pillow wrote is read, what is too large is refused before it is decoded."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from typing import Any

import pytest

from neurovmd.payload import Image, ImageFormat, PayloadError

pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed (extra [image])")


def picture(mode: str = "RGB", size: tuple[int, int] = (5, 3), kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    pixels = bytes(range(256)) * 4
    bands = len(pillow.new(mode, (1, 1)).getbands())
    width, height = size
    pillow.frombytes(mode, size, pixels[: width * height * bands]).save(file, kind)
    return file.getvalue()


def read(payload: bytes, **keys: Any) -> Image:
    ((_, found),) = ImageFormat(**keys).samples()("a", payload)
    assert isinstance(found, Image)
    return found


def png(width: int, height: int, data: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of 8-bit grey that says any size; `data` is inflated to its rows."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_a_png_is_what_it_was() -> None:
    assert read(picture()) == Image(5, 3, 3, bytes(range(45)))
    assert read(picture("L"), colours="grey") == Image(5, 3, 1, bytes(range(15)))
    assert read(picture("L")).data == bytes(at // 3 for at in range(45))


def test_a_jpeg_is_decoded_as_pillow_does() -> None:
    payload = picture("RGB", (8, 8), "JPEG")
    with pillow.open(io.BytesIO(payload)) as other:
        assert read(payload) == Image(8, 8, 3, other.tobytes())
        assert read(payload, colours="grey").data == other.convert("L").tobytes()


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(PayloadError, match="accepted: up to 14"):
        read(picture(), max_pixels=14)
    for side in (10_000, 100_000, (1 << 31) - 1):
        with pytest.raises(PayloadError, match="pixels"):
            read(png(side, side, b"\0"))


def test_text_that_inflates_without_end_is_refused() -> None:
    text = b"comment\0\0" + zlib.compress(b"a" * (1 << 24))
    with pytest.raises(PayloadError):
        read(png(1, 1, b"\0\0", (b"zTXt", text)))


def test_more_than_8_bits_a_colour_are_refused() -> None:
    file = io.BytesIO()
    pillow.new("I;16", (2, 2), 300).save(file, "PNG")
    with pytest.raises(PayloadError, match="I;16"):
        read(file.getvalue())


def test_other_formats_are_refused() -> None:
    for kind in ("GIF", "BMP", "TIFF"):
        file = io.BytesIO()
        pillow.new("L", (2, 2)).save(file, kind)
        with pytest.raises(PayloadError, match="no JPEG or PNG"):
            read(file.getvalue())


def test_cut_and_damaged_pictures_are_read_or_refused() -> None:
    for payload in (picture(), picture("RGB", (8, 8), "JPEG"), picture("P"), b"", b"\xff\xd8"):
        for at in range(len(payload)):
            for damaged in (
                payload[:at],
                payload[:at] + bytes([payload[at] ^ 0x55]) + payload[at:],
            ):
                try:
                    read(damaged)
                except PayloadError as error:
                    assert str(error)


def test_without_pillow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "PIL.Image")
    with pytest.raises(ValueError, match=r"pip install neurovm\[image\]"):
        ImageFormat().samples()
