# SPDX-License-Identifier: Apache-2.0
"""`.aedat4` files of iniVation's cameras, read by the package `aedat` (MIT; the extra `events`).

A damaged file can abort the process in which that package reads it, so it reads in a child with
bounded memory and time, which hands over plain columns (`neurovm.events.aedat4_child`). Frames,
inertial samples and triggers in the file are not looked at.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from array import array
from pathlib import Path
from typing import Annotated

import msgspec

from neurovm.errors import BackendError, EventError
from neurovm.events.address import Recording

SUFFIX = ".aedat4"
MOST_SECONDS = 120
MOST_EVENTS = 1 << 26
# The child sees the modules this process sees.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from neurovm.events.aedat4_child import main; sys.exit(main(sys.argv[2]))"
)
_COLUMNS = (("q", 8), ("H", 2), ("H", 2), ("B", 1))


class Found(msgspec.Struct, frozen=True):
    """The child's first line: what it has read, or why not (`missing`: the package)."""

    width: int = 0
    height: int = 0
    count: Annotated[int, msgspec.Meta(ge=0, le=MOST_EVENTS)] = 0
    error: str = ""
    missing: bool = False


def read(path: Path) -> Recording:
    """The polarity events of a file.

    EventError for a file that is damaged or has none; BackendError without the package.
    """
    with path.open("rb"):
        pass  # an OSError says more than the child could
    # Not to be tuned by its surroundings: threads of a BLAS nobody needs would take address space.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(path)]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, check=False, timeout=MOST_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise EventError(f"{path}: found no end of it in {MOST_SECONDS} s") from None
    line, newline, columns = done.stdout.partition(b"\n")
    if done.returncode or not newline:
        raise EventError(f"{path}: found a damaged file, which ended its reader")
    found = msgspec.json.decode(line, type=Found)
    if found.missing:
        raise BackendError(f"{path}: {found.error}; pip install 'neurovm[events]'")
    if found.error:
        raise EventError(f"{path}: found {found.error}; accepted: an AEDAT4 file of a camera")
    return _recording(found, columns, str(path))


def _recording(found: Found, columns: bytes, name: str) -> Recording:
    taken: list[array[int]] = []
    place = 0
    for kind, size in _COLUMNS:
        end = place + size * found.count
        taken.append(array(kind, columns[place:end]))
        place = end
    if place != len(columns):
        raise EventError(f"{name}: found a reader that ended early")
    times_us, x, y, p = taken
    return Recording(times_us, x, y, p, found.width, found.height).check(name)
