# SPDX-License-Identifier: Apache-2.0
"""Packets of audio, bare and as WAV files that the standard library writes."""

from __future__ import annotations

import io
import struct
import wave
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovmd.payload import PayloadError, Pcm

NUMBERS = [0, 1, -1, 32767, -32768, 256]


def wav(numbers: list[int], rate_hz: int = 16000, channels: int = 1, width: int = 2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate_hz)
        writer.writeframes(array("h", numbers).tobytes())
    return file.getvalue()


def read(payload: bytes, **keys: Any) -> object:
    ((t_us, values),) = Pcm(16000, **keys).samples()("a", payload)
    assert t_us is None
    return values


def test_samples_stay_as_they_were_sent() -> None:
    assert read(struct.pack("<6h", *NUMBERS)) == array("h", NUMBERS)
    assert read(struct.pack(">6h", *NUMBERS), byte_order="big") == array("h", NUMBERS)
    assert read(struct.pack("<6h", *NUMBERS), channels=3) == array("h", NUMBERS)


@pytest.mark.parametrize("count", [0, 1, 3, 4 + 2])
def test_no_whole_rows_are_refused(count: int) -> None:
    with pytest.raises(PayloadError, match="one or more times 4"):
        read(bytes(count), channels=2)


def test_wav_files() -> None:
    assert read(wav(NUMBERS), header="wav") == array("h", NUMBERS)
    assert read(wav(NUMBERS, channels=2), header="wav", channels=2) == array("h", NUMBERS)
    extra = wav(NUMBERS)
    extra = extra[:12] + b"LIST\x03\x00\x00\x00abc\x00" + extra[12:]
    assert read(extra, header="wav") == array("h", NUMBERS)


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF])
def test_a_stream_whose_header_knew_no_length(length: int) -> None:
    payload = bytearray(wav(NUMBERS))
    payload[40:44] = struct.pack("<I", length)
    assert read(bytes(payload) + b"\x01", header="wav") == array("h", NUMBERS)


def test_wav_files_of_another_kind_are_refused() -> None:
    for other in (wav(NUMBERS, rate_hz=8000), wav(NUMBERS, channels=2), wav(NUMBERS, width=1)):
        with pytest.raises(PayloadError):
            read(other, header="wav")


@given(st.integers(0, 60), st.binary(min_size=1, max_size=8))
def test_damaged_wav_files_are_read_or_refused(at: int, damage: bytes) -> None:
    payload = bytearray(wav(NUMBERS))
    payload[at : at + len(damage)] = damage
    for found in (bytes(payload), bytes(payload[:at])):
        try:
            read(found, header="wav")
        except PayloadError as error:
            assert str(error)
