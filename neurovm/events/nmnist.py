# SPDX-License-Identifier: Apache-2.0
"""`.bin` files of N-MNIST and N-Caltech101: records of 40 bits.

    byte 0  x           byte 1  y           byte 2, bit 7  polarity (1 = brighter)
    byte 2 (bits 6 … 0), 3, 4               time in µs, most significant first, 23 bits

A record with y = 240 is no event: the sensor's clock went round, and all that follows is 8192 µs
later than it says.
Source: Orchard, Jayawant, Cohen, Thakor, Converting static image datasets to spiking neuromorphic
datasets using saccades, Frontiers in Neuroscience 9 (2015) 437, and its reading scripts.
"""

from __future__ import annotations

from array import array

from neurovm.errors import EventError
from neurovm.events.address import Recording

SUFFIX = ".bin"
RECORD_BYTES = 5
WIDTH = HEIGHT = 34
"""Of N-MNIST; N-Caltech101 has up to 240 × 180 pixels."""
OVERFLOW_Y = 240
OVERFLOW_US = 1 << 13
_MOST_US = (1 << 23) - 1


def decode(data: bytes, name: str, *, width: int = WIDTH, height: int = HEIGHT) -> Recording:
    """The events of a file; EventError (beginning with `name`) for a file that breaks the rules."""
    if len(data) % RECORD_BYTES:
        whole, rest = divmod(len(data), RECORD_BYTES)
        raise EventError(
            f"{name}: found {whole} whole events and {rest} bytes; accepted: {RECORD_BYTES} bytes "
            "an event (the file is truncated, or no .bin of N-MNIST)",
            whole,
        )
    if height > OVERFLOW_Y:
        raise EventError(f"{name}: height: found {height}; accepted: 1 to {OVERFLOW_Y}")
    x, y = array("H", [*data[0::5]]), array("H", [*data[1::5]])
    marked = data[2::5]
    p = array("B", [value >> 7 for value in marked])
    times = array(
        "q",
        [
            (high & 0x7F) << 16 | middle << 8 | low
            for high, middle, low in zip(marked, data[3::5], data[4::5], strict=True)
        ],
    )
    if OVERFLOW_Y in y:
        x, y, p, times = _unwound(x, y, p, times)
    return Recording(times, x, y, p, width, height).check(name)


def encode(recording: Recording) -> bytes:
    """A file of `recording`; EventError where it has pixels or times that do not fit."""
    recording.check("recording")
    data = bytearray(RECORD_BYTES * len(recording))
    times = recording.times_us
    if times and not 0 <= times[0] <= times[-1] <= _MOST_US:
        found = f"{times[0]} to {times[-1]} µs"
        raise EventError(f"recording: found {found}; accepted: 0 to {_MOST_US}")
    if recording.width > 256 or recording.height > OVERFLOW_Y:
        found = f"{recording.width} × {recording.height} pixels"
        raise EventError(f"recording: found {found}; accepted: at most 256 × {OVERFLOW_Y}")
    data[0::5], data[1::5] = bytes([*recording.x]), bytes([*recording.y])
    data[2::5] = bytes(p << 7 | time >> 16 for p, time in zip(recording.p, times, strict=True))
    data[3::5] = bytes(time >> 8 & 0xFF for time in times)
    data[4::5] = bytes(time & 0xFF for time in times)
    return bytes(data)


def _unwound(
    x: array[int], y: array[int], p: array[int], times: array[int]
) -> tuple[array[int], array[int], array[int], array[int]]:
    """Without the records of the clock, whose turns are in the times."""
    kept = [at for at, row in enumerate(y) if row != OVERFLOW_Y]
    turns, late = 0, array("q")
    for row, time in zip(y, times, strict=True):
        if row == OVERFLOW_Y:
            turns += 1
        else:
            late.append(time + turns * OVERFLOW_US)
    return (
        array("H", [x[at] for at in kept]),
        array("H", [y[at] for at in kept]),
        array("B", [p[at] for at in kept]),
        late,
    )
