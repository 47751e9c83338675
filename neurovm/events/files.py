# SPDX-License-Identifier: Apache-2.0
"""Files of events, by their suffix."""

from __future__ import annotations

from pathlib import Path

from neurovm.errors import EventError
from neurovm.events import aer, nmnist
from neurovm.events.address import Recording

MOST_BYTES = 1 << 28
AER_SUFFIX, AEDAT4_SUFFIX = ".aer", ".aedat4"
FORMATS = {
    nmnist.SUFFIX: "N-MNIST, 40 bits an event",
    AEDAT4_SUFFIX: "AEDAT4 (needs the extra neurovm[events])",
    AER_SUFFIX: "packed events, see neurovm.events.aer",
}


def read(path: Path | str, *, size: tuple[int, int] | None = None) -> Recording:
    """The events of a file, whole.

    `size`: width and height of the sensor where the file does not say (`.bin`; 34 × 34 where none
    is given). EventError says what is wrong with the file and where; OSError that it cannot be
    read.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        accepted = ", ".join(FORMATS)
        raise EventError(f"{path}: found {path.suffix or 'no suffix'}; accepted: {accepted}")
    if size is not None and path.suffix != nmnist.SUFFIX:
        raise EventError(f"{path}: found a size given; accepted: none, as the file says it")
    if path.suffix == AEDAT4_SUFFIX:
        from neurovm.events import aedat4  # which starts a process: the daemon never does

        return aedat4.read(path)
    if path.stat().st_size > MOST_BYTES:
        raise EventError(f"{path}: found more than {MOST_BYTES >> 20} MiB; accepted: less")
    data = path.read_bytes()
    if path.suffix == nmnist.SUFFIX:
        width, height = size or (nmnist.WIDTH, nmnist.HEIGHT)
        return nmnist.decode(data, str(path), width=width, height=height)
    return _joined(data, str(path))


def write(path: Path | str, recording: Recording) -> None:
    """A `.bin` or `.aer` file of a recording."""
    path = Path(path)
    if path.suffix == nmnist.SUFFIX:
        path.write_bytes(nmnist.encode(recording))
    elif path.suffix == AER_SUFFIX:
        path.write_bytes(aer.pack_xypt(recording))
    else:
        found = path.suffix or "no suffix"
        raise EventError(f"{path}: found {found}; accepted: {nmnist.SUFFIX}, {AER_SUFFIX}")


def _joined(data: bytes, name: str) -> Recording:
    """All blocks of an `.aer` file."""
    view = memoryview(data)
    whole = _block(view, name)
    place = aer.head_of(view, name).bytes
    while place < len(data):
        rest = view[place:]
        part = _block(rest, name)
        if not len(part):
            raise EventError(f"{name}: byte {place}: found a block of no events; accepted: some")
        _extend(whole, part, name)
        place += aer.head_of(rest, name).bytes
    return whole.check(name)


def _block(rest: memoryview, name: str) -> Recording:
    """The block at the beginning of `rest`."""
    return aer.unpack_recording(bytes(rest[: aer.head_of(rest, name).bytes]), name)


def _extend(whole: Recording, part: Recording, name: str) -> None:
    if (part.width, part.height) != (whole.width, whole.height):
        found = f"a block of {part.width} × {part.height} pixels"
        accepted = f"{whole.width} × {whole.height}, as the first"
        raise EventError(f"{name}: event {len(whole)}: found {found}; accepted: {accepted}")
    for key in ("times_us", "x", "y", "p"):
        getattr(whole, key).extend(getattr(part, key))
