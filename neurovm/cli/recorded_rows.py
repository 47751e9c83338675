# SPDX-License-Identifier: Apache-2.0
"""Rows from what `neurovm record` wrote: each message is one row of a network with one input.

A payload is the whole tensor: a JSON list (nested or flat) of all its values, an object with one
such list, or little-endian float32. What the daemon puts together from the topics of many sensors
is not put together here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm import recording
from neurovm.cli.typed_rows import typed
from neurovm.errors import ShapeError
from neurovm.stimuli import row_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.description import TensorInfo
    from neurovm.recording import Recorded

_HEAD_BYTES = 4096
_MARKS = (b'{"neurovm_recording":', b'{"t_us":', b'{"topic":')
"""How a recording begins: its head, or a message."""


def is_recording(path: Path) -> bool:
    """Whether a file begins as a recording does; OSError where it cannot be read."""
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        return False
    with path.open("rb") as stream:
        return stream.read(_HEAD_BYTES).lstrip().startswith(_MARKS)


def recorded_rows(path: Path, infos: Sequence[TensorInfo]) -> Iterator[NDArray[np.float32]]:
    """One row (row shape) a message; ShapeError or RecordingError names the line that has none."""
    if len(infos) != 1:
        raise ShapeError(
            f"{path}: a recording for {len(infos)} inputs; rows of a network with one are read"
        )
    with path.open("rb") as stream:
        for message in recording.read(stream, str(path)):
            yield _row(message, infos[0], f"{path}:{message.line}: topic {message.topic[:80]}")


def _row(message: Recorded, info: TensorInfo, where: str) -> NDArray[np.float32]:
    if message.payload is None:
        raise ShapeError(f"{where}: {message.size} bytes of payload were not kept")
    values = _values(message.payload, info)
    if values is None or values.size != info.size:
        found = "no such list" if values is None else f"{values.size} values"
        raise ShapeError(
            f"{where}: found {found}; accepted: a JSON list of the {info.size} values of input "
            f"{info.name!r}, or as many little-endian float32. Record its topic alone "
            f"(neurovm record --topic)"
        )
    row = typed(values.reshape(row_shape(info)), info, where, None, real=True)
    return row.astype(np.float32)


def _values(payload: bytes, info: TensorInfo) -> NDArray[Any] | None:
    """The numbers of a payload; None where it holds no list of numbers."""
    if payload.lstrip()[:1] in (b"[", b"{"):
        try:
            value = json.loads(payload)
            if isinstance(value, dict):
                (value,) = (v for v in value.values() if isinstance(v, list))
            return np.asarray(value, np.float64)
        except (ValueError, TypeError, OverflowError, RecursionError):
            pass  # float32 may begin with these bytes too
    return np.frombuffer(payload, "<f4") if len(payload) == 4 * info.size else None
