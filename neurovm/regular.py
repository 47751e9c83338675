# SPDX-License-Identifier: Apache-2.0
"""Opening files that others name: a pipe or a device in their place would hold the reader up.

Opening a FIFO waits for a writer, reading `/dev/zero` never ends; a file that somebody else may
write, such as a configuration, must be able to do neither.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading, without waiting; OSError for anything else."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require_regular(os.fstat(descriptor).st_mode, os.fspath(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _require_regular(mode: int, path: str) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", path)


def read_regular(path: str | os.PathLike[str], most_bytes: int) -> bytes:
    """The content of a regular file of at most `most_bytes`; OSError for anything else."""
    with open_regular(Path(path)) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"more than {most_bytes:,} bytes", os.fspath(path))
    return data
