# SPDX-License-Identifier: Apache-2.0
"""Codes of several ports as rows of bytes, the way sessions and `predict` take and give them.

A port after the other, one byte a code, two (little-endian) where the port's codes are int16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.description import TensorInfo


def code_type(info: TensorInfo) -> np.dtype[np.signedinteger]:
    """The element type of a port's codes."""
    return np.dtype("<i2" if info.wide else "i1")


def pack(
    infos: Sequence[TensorInfo], codes: Sequence[NDArray[np.signedinteger]]
) -> NDArray[np.int8]:
    """Rows of bytes of codes, one array (N, …) a port: int8 (N, bytes of all ports)."""
    parts = [
        np.ascontiguousarray(c.reshape(len(c), -1), code_type(info)).view(np.int8)
        for info, c in zip(infos, codes, strict=True)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def unpack(infos: Sequence[TensorInfo], rows: NDArray[np.int8]) -> list[NDArray[np.signedinteger]]:
    """The codes of each port, (N, size), of rows of bytes."""
    ends = np.cumsum([info.bytes for info in infos])[:-1]
    return [
        np.ascontiguousarray(part).view(code_type(info))
        for info, part in zip(infos, np.split(rows, ends, axis=1), strict=True)
    ]
