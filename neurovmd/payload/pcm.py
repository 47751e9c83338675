# SPDX-License-Identifier: Apache-2.0
"""PCM payloads: packets of 16-bit audio, as they are or as WAV files."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from neurovmd.payload.raw import little_endian
from neurovmd.payload.values import PayloadError, Reader, Sample

_PCM, _EXTENSIBLE = 1, 0xFFFE
_CHUNK = struct.Struct("<4sI")
_FORMAT = struct.Struct("<HHIIHH")


class Pcm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="format", tag="pcm"):
    """Values are the samples as they were sent, −32768 … 32767, those of a moment channel by
    channel.

    `header: wav`: every packet is a whole WAV file, whose rate and channels must be the ones here
    (its header may give a length of 0 or more than there is, as streams do).
    """

    rate_hz: Annotated[float, Meta(gt=0, le=1_000_000)]
    channels: Annotated[int, Meta(ge=1, le=64)] = 1
    byte_order: Literal["little", "big"] = "little"
    header: Literal["none", "wav"] = "none"

    @property
    def timed(self) -> bool:
        """Never."""
        return False

    def samples(self) -> Reader:
        """One sample a packet: `array('h')` of as many rows as it has, without a time."""
        swapped = self.byte_order == "big" and self.header == "none"

        def read(topic: str | None, payload: bytes) -> Sequence[Sample]:
            del topic
            data = payload if self.header == "none" else self._data(payload)
            row_bytes = 2 * self.channels
            if not data or len(data) % row_bytes:
                raise PayloadError(
                    f"found {len(data)} bytes; accepted: one or more times {row_bytes}"
                )
            numbers: array[int] = little_endian("h", data, swapped=swapped)
            return (Sample(None, numbers),)

        return read

    def _data(self, payload: bytes) -> bytes:
        """The samples of a WAV file; PayloadError where it is another kind of one."""
        if payload[:4] != b"RIFF" or payload[8:12] != b"WAVE":
            raise PayloadError(f"found {payload[:12]!r}; accepted: a WAV file")
        at, known = 12, False
        while at + _CHUNK.size <= len(payload):
            name, size = _CHUNK.unpack_from(payload, at)
            at += _CHUNK.size
            if name == b"data":
                if not known:
                    raise PayloadError("a WAV file without its fmt chunk before the data")
                # A stream's header was written before its length was known.
                whole = len(payload) - at - (len(payload) - at) % (2 * self.channels)
                return payload[at : at + (size if 0 < size <= len(payload) - at else whole)]
            if name == b"fmt ":
                self._check_format(payload[at : at + size])
                known = True
            at += size + size % 2
        raise PayloadError("a WAV file without a data chunk")

    def _check_format(self, chunk: bytes) -> None:
        if len(chunk) < _FORMAT.size:
            raise PayloadError(f"a fmt chunk of {len(chunk)} bytes; accepted: 16 or more")
        code, channels, rate_hz, _, _, bits = _FORMAT.unpack_from(chunk)
        if code == _EXTENSIBLE and len(chunk) >= 26:
            code = int.from_bytes(chunk[24:26], "little")
        if (code, bits) != (_PCM, 16):
            raise PayloadError(f"format {code} of {bits} bits; accepted: PCM of 16 bits")
        if channels != self.channels or abs(rate_hz - self.rate_hz) > 0.5:
            found = f"{channels} channels at {rate_hz} Hz"
            accepted = f"{self.channels} at {self.rate_hz:g} Hz"
            raise PayloadError(f"found {found}; accepted: {accepted}")
