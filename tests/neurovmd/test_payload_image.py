# SPDX-License-Identifier: Apache-2.0
"""Pictures: what Pillow wrote is read, what is too large is refused before it is decoded."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import neurovm
from neurovmd.binding import inputs_of, streams_of
from neurovmd.mailbox import Message
from neurovmd.payload import Image, ImageFormat, PayloadError
from neurovmd.schema import Vm
from neurovmd.shared import SharedBlock

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


def test_a_progressive_jpeg_of_endless_scans_is_refused_before_it_is_decoded() -> None:
    file = io.BytesIO()
    pillow.new("L", (64, 64), 7).save(file, "JPEG", progressive=True)
    head, *scans = file.getvalue().split(b"\xff\xda")
    assert len(scans) > 3
    assert read(file.getvalue()).width == 64
    bomb = b"\xff\xda".join([head, *scans[:-1], *[min(scans, key=len)] * 100, scans[-1]])
    with pytest.raises(PayloadError, match="scans"):
        read(bomb)


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
        with pytest.raises(PayloadError, match="no JPEG or PNG: it begins with b"):
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


def answer(bundle: Path, sent: bytes, **entry: Any) -> dict[str, Any]:
    """The result of a VM whose input takes the picture."""
    vm = msgspec.convert(
        {
            "model": "x.nvm",
            "inputs": [{"topic": "cam", "payload": {"format": "image"}, **entry}],
            "output": {"on": "always", "form": {"values": "codes"}},
        },
        Vm,
    )
    with neurovm.load(bundle) as model:
        inputs = inputs_of(vm, {}, model)
        table = streams_of("x", vm, model, inputs, str, str, SharedBlock(1).slot(0))
        (done,) = table.answers(Message("cam", sent, None))
        found: dict[str, Any] = json.loads(done.payload)
        return found


def test_a_picture_sets_the_input_as_numbers_or_through_front_ends(
    bundles: dict[str, Path],
) -> None:
    payload = picture("RGB", (20, 12))
    with pillow.open(io.BytesIO(payload)) as other:
        small = other.resize((8, 8), pillow.Resampling.BILINEAR).convert("L")
    file = io.BytesIO()
    small.save(file, "PNG")
    grey = {"format": "image", "colours": "grey"}
    with neurovm.load(bundles["digits_mlp"]) as model:
        info = model.inputs[0]
        reals = np.frombuffer(small.tobytes(), np.uint8).astype(np.float64)
        codes = np.clip(np.rint(reals / info.scale) + info.zero_point, -128, 127).astype(np.int8)
        expected = model.predict(codes.reshape(info.shape)).ravel().tolist()
    plain = answer(bundles["digits_mlp"], file.getvalue(), payload=grey)
    assert plain["values"] == expected
    resized = [{"kind": "resize", "width": 8, "height": 8}, {"kind": "colours", "to": "grey"}]
    assert answer(bundles["digits_mlp"], payload, front_end=resized)["values"] == expected


def test_reading_pictures_loads_no_numpy() -> None:
    code = (
        "import io, sys, PIL.Image\n"
        "from neurovmd.payload import ImageFormat\n"
        "file = io.BytesIO()\n"
        "PIL.Image.new('RGB', (4, 4)).save(file, 'JPEG')\n"
        "ImageFormat().samples()('a', file.getvalue())\n"
        "print('numpy' in sys.modules)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


def test_without_pillow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "PIL.Image")
    with pytest.raises(ValueError, match=r"pip install neurovm\[image\]"):
        ImageFormat().samples()
