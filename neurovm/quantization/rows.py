# SPDX-License-Identifier: Apache-2.0
"""Representative rows: what a calibration takes, and what it refuses.

Rows are real values as the float network takes them. A calibration fixes the range of every tensor,
so rows that do not show the range are refused rather than believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.description import TensorInfo
from neurovm.errors import ModelError, ShapeError
from neurovm.stimuli import row_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.converters.tflite_plain import PlainModel


def input_infos(model: PlainModel) -> tuple[TensorInfo, ...]:
    """The inputs of a float network as those of a model; ModelError unless all are float32."""
    infos = []
    for i in model.inputs:
        tensor = model.tensors[i]
        if tensor.dtype != "float32":
            raise ModelError(
                f"{model.source.name}: input {tensor.name!r} is {tensor.dtype}; "
                f"a network whose inputs are all float32 is quantized here"
            )
        shape = tensor.shape
        infos.append(
            TensorInfo(name=tensor.name, shape=shape, dtype="float32", scale=1.0, zero_point=0)
        )
    return tuple(infos)


def rows_of(given: Any, infos: tuple[TensorInfo, ...]) -> list[NDArray[np.float32]]:
    """One float32 array (n, *row shape) an input.

    given: an array (n, *row shape), (n, elements) or one row; for several inputs a mapping by name.
    ShapeError says what does not fit, where, and what is needed.
    """
    if isinstance(given, Mapping):
        names = [info.name for info in infos]
        if set(given) != set(names):
            raise ShapeError(
                f"calibrate: {sorted(map(str, given))} were given; {', '.join(names)} are needed"
            )
        arrays = [given[name] for name in names]
    elif len(infos) == 1:
        arrays = [given]
    else:
        names = [info.name for info in infos]
        raise ShapeError(f"calibrate: a mapping with rows for {', '.join(names)} is needed")
    rows = [_shaped(a, info) for a, info in zip(arrays, infos, strict=True)]
    check(rows, infos)
    return rows


def _shaped(values: Any, info: TensorInfo) -> NDArray[np.float32]:
    where = f"calibrate: input {info.name!r}"
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ShapeError(f"{where}: numbers in rows of one length are needed ({error})") from None
    if array.dtype.kind not in "fiub":
        raise ShapeError(f"{where}: {array.dtype} values; numbers are needed")
    inner = row_shape(info)
    if array.shape in (inner, info.shape) and info.shape != (1,):
        array = array.reshape(1, *inner)
    elif array.shape[1:] in (inner, info.shape, (info.size,)) or (
        array.ndim == 1 and info.size == 1
    ):
        array = array.reshape(len(array), *inner)
    else:
        raise ShapeError(
            f"{where}: shape {array.shape}; {inner}, or (n, {', '.join(map(str, inner))}), "
            f"is needed"
        )
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)


def check(
    rows: list[NDArray[np.float32]], infos: tuple[TensorInfo, ...], *, where: str = "calibrate"
) -> None:
    """ShapeError unless there are rows, as many for each input, finite and not all the same."""
    counts = sorted({len(r) for r in rows})
    if len(counts) != 1:
        raise ShapeError(f"{where}: the inputs have different numbers of rows: {counts}")
    if counts[0] == 0:
        raise ShapeError(f"{where}: no rows; one at least, better a hundred, is needed")
    for array, info in zip(rows, infos, strict=True):
        place = f"{where}: input {info.name!r}"
        finite = np.isfinite(array)
        if not finite.all():
            row, *element = (int(n) for n in np.argwhere(~finite)[0])
            raise ShapeError(f"{place}: row {row}, element {element}: NaN or an infinity")
        if array.size and array.min() == array.max():
            raise ShapeError(
                f"{place}: every value of all {len(array)} rows is {float(array.flat[0]):g}; "
                f"rows that show the range of the real data are needed"
            )


def digest(rows: list[NDArray[np.float32]]) -> str:
    """sha256 (hex) of the rows: float32, little-endian, one input after the other."""
    total = hashlib.sha256()
    for array in rows:
        total.update(np.ascontiguousarray(array, "<f4").tobytes())
    return total.hexdigest()
