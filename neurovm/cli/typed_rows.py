# SPDX-License-Identifier: Apache-2.0
"""Numbers of any type -> rows in the type a model takes, or an error that names the element."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.errors import ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.description import TensorInfo

    Array = NDArray[np.generic]

_RANGES = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
}


def typed(array: Array, info: TensorInfo, where: str, row: int | None, *, real: bool) -> Array:
    """Rows (n, ...) in the dtype of `info`, or float32 where `real` values are to be quantised.

    `row` is the number of the first row, None where `where` says it already. ShapeError for NaN,
    for fractions and for what the codes' type does not hold.
    """
    if array.dtype.kind not in "fiub":
        raise ShapeError(f"{where}: {array.dtype} values; numbers are needed")
    if array.dtype.kind == "f":
        _refuse(np.isnan(array), "NaN", where, row)
    if real or info.dtype == "float32":
        return array.astype(np.float32, copy=False)
    low, high = _RANGES[info.dtype]
    wide = array.astype(np.float64, copy=False)
    fraction = f"not a whole number; {info.dtype} codes are needed, or --real for real values"
    _refuse(wide != np.rint(wide), fraction, where, row)
    outside = (wide < low) | (wide > high)
    _refuse(outside, f"outside {info.dtype}, {low} to {high}", where, row)
    return array.astype(info.dtype)


def quantize(rows: Array, info: TensorInfo, profile: str) -> Array:
    """Real values -> codes of an integer input in its own dtype, by the profile's rounding.

    float32 inputs take them as they are.
    """
    if info.dtype == "float32":
        return rows
    from neurovm.arithmetic import PROFILES, Codes
    from neurovm.arithmetic.codes import CodeType

    shift = 128 if info.dtype == "uint8" else 0
    dtype: CodeType = "int16" if info.wide else "uint8" if shift else "int8"
    codes = Codes(info.scale, info.zero_point + shift, dtype)
    return PROFILES[profile].quantize(rows.astype(np.float32, copy=False), codes).astype(info.dtype)


def _refuse(wrong: NDArray[np.bool_], what: str, where: str, row: int | None) -> None:
    """ShapeError for the first wrong element, with its row and place."""
    if not wrong.any():
        return
    place = np.argwhere(wrong)[0]
    element = ", ".join(str(i) for i in place[1:])
    at = f"element [{element}]" if row is None else f"row {row + place[0]}, element [{element}]"
    raise ShapeError(f"{where}: {at}: {what}")
