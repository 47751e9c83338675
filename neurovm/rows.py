# SPDX-License-Identifier: Apache-2.0
"""`Model.predict`: arrays of rows in, arrays of rows out. The only part of a model's use that needs
numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm import codec
from neurovm.errors import ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.backends.base import Executable
    from neurovm.description import Manifest, TensorInfo

_CHUNK_BYTES = 1 << 22
"""Rows are run in chunks of about this many bytes of codes, so that memory stays bounded."""


def predict(model: Manifest, program: Executable, x: Any) -> Any:
    """See `Model.predict`."""
    rows, single = _inputs(model.name, model.inputs, x)
    n_in = sum(t.bytes for t in model.inputs)
    n_out = sum(t.bytes for t in model.outputs)
    count = len(rows[0])
    outputs = [np.empty((count, *info.shape), info.dtype) for info in model.outputs]
    chunk = max(1, _CHUNK_BYTES // max(n_in, n_out))
    for start in range(0, count, chunk):
        part = slice(start, min(start + chunk, count))
        codes = _codes(model.inputs, model.profile, [r[part] for r in rows])
        out = np.empty((len(codes), n_out), np.int8)
        program.predict(codes.data, out.data, len(codes))
        _values(model, out, [o[part] for o in outputs])
    named = {
        info.name: _leading(values, info, single)
        for info, values in zip(model.outputs, outputs, strict=True)
    }
    return named[model.outputs[0].name] if len(named) == 1 else named


def codes_of(name: str, inputs: Sequence[TensorInfo], profile: str, x: Any) -> NDArray[np.int8]:
    """Rows as `Model.predict` takes them, as codes: (n, bytes of all inputs)."""
    return _codes(inputs, profile, _inputs(name, inputs, x)[0])


def _inputs(
    name: str, inputs: Sequence[TensorInfo], x: Any
) -> tuple[list[NDArray[np.generic]], bool]:
    """Every input as (n, *shape) in its dtype, and whether x had no leading axis."""
    if not isinstance(x, Mapping):
        if len(inputs) != 1:
            names = ", ".join(repr(t.name) for t in inputs)
            raise ShapeError(f"{name} has {len(inputs)} inputs: give a mapping with {names}")
        x = {inputs[0].name: x}
    wanted = {t.name for t in inputs}
    if set(x) != wanted:
        raise ShapeError(f"inputs {sorted(map(str, x))} were given; {sorted(wanted)} are needed")
    pairs = [_rows(x[info.name], info) for info in inputs]
    counts = {len(array) for array, _ in pairs}
    if len(counts) != 1:
        raise ShapeError(f"the inputs have different numbers of rows: {sorted(counts)}")
    return [array for array, _ in pairs], all(single for _, single in pairs)


def _rows(x: Any, info: TensorInfo) -> tuple[NDArray[np.generic], bool]:
    array = np.asarray(x)
    dtype = np.dtype(info.dtype)
    if array.dtype != dtype:
        if dtype != np.float32 or array.dtype.kind not in "fiu":
            raise ShapeError(f"input {info.name!r} takes {info.dtype}; {array.dtype} was given")
        array = array.astype(np.float32)
    inner = info.shape[1:] if info.shape[:1] == (1,) else info.shape
    if array.shape == inner:
        return array.reshape(1, *info.shape), True
    if array.shape[1:] == inner:
        return array.reshape(len(array), *info.shape), False
    raise ShapeError(
        f"input {info.name!r} takes shape {inner} or (n, {', '.join(map(str, inner))}); "
        f"{array.shape} was given"
    )


def _codes(
    inputs: Sequence[TensorInfo], profile: str, rows: list[NDArray[np.generic]]
) -> NDArray[np.int8]:
    parts = []
    for info, array in zip(inputs, rows, strict=True):
        flat = np.ascontiguousarray(array).reshape(-1)
        codes = codec.quantize(info, profile, flat.data, flat.size)
        parts.append(np.frombuffer(codes, np.int8).reshape(len(array), info.bytes))
    return parts[0] if len(parts) == 1 else np.ascontiguousarray(np.concatenate(parts, axis=1))


def _values(model: Manifest, codes: NDArray[np.int8], into: list[NDArray[np.generic]]) -> None:
    at = 0
    for info, target in zip(model.outputs, into, strict=True):
        part = np.ascontiguousarray(codes[:, at : at + info.bytes])
        values = codec.dequantize(info, part.data)
        target[...] = np.frombuffer(values, info.dtype).reshape(target.shape)
        at += info.bytes


def _leading(values: NDArray[np.generic], info: TensorInfo, single: bool) -> NDArray[np.generic]:
    """Drop the batch axis of 1 behind the row axis, and the row axis where the input had none."""
    if info.shape[:1] == (1,):
        values = values.reshape(len(values), *info.shape[1:])
    return values[0] if single else values
