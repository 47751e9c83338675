# SPDX-License-Identifier: Apache-2.0
"""The process that reads an AEDAT4 file (`neurovm.events.aedat4`): its events as plain columns.

Standard output: a line of JSON (`neurovm.events.aedat4.Found`), then all times (int64), all x, all
y (uint16) and all polarities (uint8), in this machine's byte order.
"""

from __future__ import annotations

import resource
import sys
from typing import Any

import msgspec

from neurovm.events.aedat4 import MOST_EVENTS, MOST_SECONDS, Found

_MOST_MEMORY = 4 << 30


class _RefusedError(Exception):
    """A file with no events to take."""


def main(path: str) -> int:
    """Write what is in the file, or what is wrong with it."""
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        import aedat
    except ImportError as error:
        return _say(Found(error=f"the package aedat is not there ({error})", missing=True))
    try:
        decoder = aedat.Decoder(path)
        width, height, stream = _camera(decoder.id_to_stream())
        packets = _packets(decoder, stream)
    except KeyboardInterrupt:
        raise
    # A panic of its decoder is a BaseException.
    except BaseException as error:  # noqa: BLE001  # whatever a damaged file makes of it
        return _say(Found(error=" ".join(str(error).split())[:200] or type(error).__name__))
    _say(Found(width, height, sum(len(packet) for packet in packets)))
    for key, kind in (("t", "i8"), ("x", "u2"), ("y", "u2"), ("on", "u1")):
        for packet in packets:
            sys.stdout.buffer.write(packet[key].astype(kind).tobytes())
    return 0


def _camera(streams: dict[int, dict[str, Any]]) -> tuple[int, int, int]:
    """Width, height and number of the stream of events."""
    found = [number for number, stream in streams.items() if stream["type"] == "events"]
    if len(found) != 1:
        raise _RefusedError(f"{len(found)} streams of events (accepted: one)")
    stream = streams[found[0]]
    return int(stream["width"]), int(stream["height"]), found[0]


def _packets(decoder: Any, stream: int) -> list[Any]:
    packets, count = [], 0
    for packet in decoder:
        if packet["stream_id"] != stream:
            continue
        events = packet["events"]
        count += len(events)
        if count > MOST_EVENTS:
            raise _RefusedError(f"more than {MOST_EVENTS} events")
        if len(events) and int(events["t"].max()) >= 1 << 63:
            raise _RefusedError("a time beyond 2^63 µs")
        packets.append(events)
    return packets


def _say(found: Found) -> int:
    sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    sys.stdout.buffer.flush()
    return 0
