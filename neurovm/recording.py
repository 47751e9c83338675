# SPDX-License-Identifier: Apache-2.0
r"""Recorded messages: a JSON object a line, the first of a written recording being its head.

    {"neurovm_recording": 1, "t_us": 1760000000000000, "expires_us": 1760604800000000}
    {"t_us": 1760000000000001, "topic": "plant/p1/sensor/flow", "payload": "{\"value\": 0.5}"}
    {"t_us": 1760000000000002, "topic": "plant/p1/frame", "payload_b64": "AAEC"}
    {"t_us": 1760000000000003, "topic": "plant/p1/film", "bytes": 9000000}

`payload` is text as it was sent, `payload_b64` what is no UTF-8; `bytes` alone marks a message that
was too large to keep. The head and `t_us` (microseconds of the day's clock) may be missing, as in a
file written by hand. Files are untrusted: a line is bounded and whatever is wrong is named with it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated

import msgspec
from msgspec import Meta

from neurovm.errors import RecordingError

FORMAT = 1
# A payload of 16 MiB, the most a VM accepts, in base64 and with a topic.
MAX_LINE_BYTES = 24 << 20
SUFFIX = ".jsonl"
_HEAD_BYTES = 4096
_ACCEPTED = '{"topic": TEXT, "payload": TEXT or "payload_b64": BASE64, "t_us": MICROSECONDS}'

_Microseconds = Annotated[int, Meta(ge=0, le=1 << 62)]


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first line of a recording; `expires_us` is the time of day when it expires."""

    neurovm_recording: int
    t_us: _Microseconds = 0
    expires_us: _Microseconds | None = None


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    t_us: _Microseconds | None = None
    topic: Annotated[str, Meta(min_length=1, max_length=65535)] | None = None
    payload: str | None = None
    payload_b64: bytes | None = None
    size: Annotated[int, Meta(ge=0)] | None = msgspec.field(default=None, name="bytes")


class ExpiredError(RecordingError):
    """A recording whose time is over."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One message: `line` of the file (from 1), `payload` None where it was too large to keep."""

    line: int
    t_us: int | None
    topic: str
    payload: bytes | None
    size: int


def now_us() -> int:
    """The time of day in microseconds."""
    return time.time_ns() // 1000


def read(
    stream: IO[bytes], name: str, *, clock_us: Callable[[], int] = now_us
) -> Iterator[Recorded]:
    """The messages of a recording, one in memory at a time.

    RecordingError names the line that is wrong, ExpiredError a recording whose time is over. Empty
    lines are skipped.
    """
    decode = msgspec.json.Decoder(_Line).decode
    number = 0
    while text := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(text) > MAX_LINE_BYTES:
            found = f"more than {MAX_LINE_BYTES} bytes"
            raise RecordingError(name, number, found, "a shorter line")
        if not text.strip() or (number == 1 and _read_head(text, name, clock_us)):
            continue
        try:
            yield _message(decode(text), number)
        except (ValueError, RecursionError) as error:
            found = f"{_short(text)} ({error})"
            raise RecordingError(name, number, found, _ACCEPTED) from None


def _read_head(text: bytes, name: str, clock_us: Callable[[], int]) -> bool:
    """Whether a line is a head; RecordingError where it is one that may not be read."""
    head = _head(text)
    if head is None:
        return False
    if head.neurovm_recording != FORMAT:
        found = f"a recording of format {head.neurovm_recording}"
        raise RecordingError(name, 1, found, f"format {FORMAT}")
    if head.expires_us is not None and head.expires_us <= clock_us():
        ago_s = (clock_us() - head.expires_us) / 1e6
        raise ExpiredError(name, 1, f"a recording that expired {ago_s:.0f} s ago", "a newer one")
    return True


def _head(text: bytes) -> Head | None:
    if len(text) > _HEAD_BYTES:
        return None
    try:
        return msgspec.json.decode(text, type=Head)
    except (ValueError, RecursionError):
        return None


def _message(line: _Line, number: int) -> Recorded:
    """ValueError where a line has no topic, or not exactly one payload."""
    if line.topic is None:
        raise ValueError("no topic")
    given = [part for part in (line.payload, line.payload_b64, line.size) if part is not None]
    if len(given) != 1:
        raise ValueError(f"{len(given)} of payload, payload_b64 and bytes; one is needed")
    if line.size is not None:
        return Recorded(number, line.t_us, line.topic, None, line.size)
    payload = line.payload_b64 if line.payload is None else line.payload.encode()
    payload = payload or b""
    return Recorded(number, line.t_us, line.topic, payload, len(payload))


def _short(text: bytes) -> str:
    shown = text[:60].decode("utf-8", "replace").rstrip("\r\n")
    return repr(shown + ("…" if len(text) > 60 else ""))


class Writer:
    """Writes messages to `out` until `max_bytes` are reached.

    Payloads above `max_message_bytes` are left out, and only their size is told.
    """

    def __init__(
        self,
        out: IO[bytes],
        *,
        max_bytes: int,
        max_message_bytes: int,
        expire_s: float | None = None,
        clock_us: Callable[[], int] = now_us,
    ) -> None:
        self._out, self._left = out, max_bytes
        self._max_message_bytes = max_message_bytes
        self._clock_us = clock_us
        self._encode = msgspec.json.Encoder().encode
        self.messages = self.left_out = 0
        start_us = clock_us()
        expires_us = None if expire_s is None else start_us + int(expire_s * 1e6)
        self._put(self._encode(Head(FORMAT, start_us, expires_us)) + b"\n")

    def put(self, topic: str, payload: bytes) -> bool:
        """Write one message; False (and nothing written) where it no longer fits."""
        t_us = self._clock_us()
        if len(payload) > self._max_message_bytes:
            line = _Line(t_us=t_us, topic=topic, size=len(payload))
        else:
            try:
                line = _Line(t_us=t_us, topic=topic, payload=payload.decode())
            except UnicodeDecodeError:
                line = _Line(t_us=t_us, topic=topic, payload_b64=payload)
        text = self._encode(line) + b"\n"
        if len(text) > min(self._left, MAX_LINE_BYTES):
            return False
        self._put(text)
        self.messages += 1
        self.left_out += line.size is not None
        return True

    def _put(self, text: bytes) -> None:
        self._out.write(text)
        self._left -= len(text)


@contextlib.contextmanager
def create(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears whole when the block ends, and not at all where it fails (mode 0600)."""
    handle, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def remove_expired(folder: Path, *, clock_us: Callable[[], int] = now_us) -> list[Path]:
    """Delete the recordings (*.jsonl with a head) in `folder` whose time is over; their paths.

    Also what a killed recorder left of one.
    """
    removed = []
    unfinished = folder.glob(f".*{SUFFIX}.*")
    for path in sorted({*folder.glob(f"*{SUFFIX}"), *unfinished}):
        with contextlib.suppress(OSError):
            with path.open("rb") as stream:
                head = _head(stream.readline(_HEAD_BYTES))
            if head and head.expires_us is not None and head.expires_us <= clock_us():
                path.unlink()
                removed.append(path)
    return removed
