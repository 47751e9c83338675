# SPDX-License-Identifier: Apache-2.0
"""`Model.predict`: arrays of rows in, arrays of rows out. The only part of a model's use that needs
numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import UNSET

from neurovm import codec
from neurovm.errors import ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.backends.base import Executable
    from neurovm.description import Manifest, TensorInfo

_CHUNK_BYTES = 1 << 22
"""Rows whose codes are not the values themselves are run in chunks of about this many bytes of
codes, so that memory stays bounded."""


class Rows:
    """The edges of a model as arrays see them: made once, used by every `predict`."""

    __slots__ = ("_bytes_in", "_bytes_out", "_model", "_own_codes", "_own_values", "_shapes")

    def __init__(self, model: Manifest) -> None:
        self._model = model
        self._bytes_in = sum(t.bytes for t in model.inputs)
        self._bytes_out = sum(t.bytes for t in model.outputs)
        self._own_codes = len(model.inputs) == 1 and model.inputs[0].dtype in ("int8", "int16")
        self._own_values = len(model.outputs) == 1 and model.outputs[0].dtype in _SAME_SIZE
        self._shapes = [(info, _inner(info.shape), np.dtype(info.dtype)) for info in model.outputs]

    def predict(self, program: Executable, x: Any) -> Any:
        """See `Model.predict`."""
        model = self._model
        rows, single = _inputs(model.name, model.inputs, x)
        count = len(rows[0])
        outputs: list[Any] = [np.empty((count, *inner), dtype) for _, inner, dtype in self._shapes]
        if count == 0:
            pass
        elif self._own_codes and self._own_values:
            codes: Any = np.ascontiguousarray(rows[0])
            program.predict(codes, outputs[0], count)
            _restore(model.outputs[0], outputs[0])
        else:
            chunk = max(1, _CHUNK_BYTES // max(self._bytes_in, self._bytes_out))
            for start in range(0, count, chunk):
                part = slice(start, start + chunk)
                self._run(program, [r[part] for r in rows], [o[part] for o in outputs])
        if len(outputs) == 1:
            return outputs[0][0] if single else outputs[0]
        named = zip(model.outputs, outputs, strict=True)
        return {info.name: values[0] if single else values for info, values in named}

    def _run(
        self,
        program: Executable,
        rows: list[NDArray[np.generic]],
        outputs: list[Any],
    ) -> None:
        model, count = self._model, len(rows[0])
        codes: Any = (
            np.ascontiguousarray(rows[0])
            if self._own_codes
            else _codes(model.inputs, model.profile, rows)
        )
        if self._own_values:
            program.predict(codes, outputs[0], count)
            _restore(model.outputs[0], outputs[0])
            return
        found: Any = np.empty((count, self._bytes_out), np.int8)
        program.predict(codes, found, count)
        _values(model, found, outputs)


_SAME_SIZE = ("int8", "uint8", "int16")
"""Types whose values have the bytes of their codes, but for the sign bit of uint8."""


def _restore(info: TensorInfo, codes: NDArray[Any]) -> None:
    """Codes into values, in place, where both have the same bytes."""
    if info.dtype == "uint8":
        codes ^= 0x80


def codes_of(name: str, inputs: Sequence[TensorInfo], profile: str, x: Any) -> NDArray[np.int8]:
    """Rows as `Model.predict` takes them, as codes: (n, bytes of all inputs)."""
    return _codes(inputs, profile, _inputs(name, inputs, x)[0])


def _inner(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a row: without the batch axis of 1."""
    return shape[1:] if shape[:1] == (1,) else shape


def _inputs(
    name: str, inputs: Sequence[TensorInfo], x: Any
) -> tuple[list[NDArray[np.generic]], bool]:
    """Every input as (n, …) in its dtype, and whether x had no leading axis."""
    if len(inputs) == 1 and isinstance(x, np.ndarray):
        array, single = _rows(x, inputs[0])
        return [array], single
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
    inner = _inner(info.shape)
    if array.shape == inner:
        return array[None], True
    if array.shape[1:] == inner and array.ndim:
        return array, False
    raise ShapeError(
        f"input {info.name!r} takes shape {inner} or (n, {', '.join(map(str, inner))}); "
        f"{array.shape} was given"
    )


def _codes(
    inputs: Sequence[TensorInfo], profile: str, rows: list[NDArray[np.generic]]
) -> NDArray[np.int8]:
    parts = [_encoded(info, profile, array) for info, array in zip(inputs, rows, strict=True)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _encoded(info: TensorInfo, profile: str, array: NDArray[Any]) -> NDArray[np.int8]:
    """The codes of one input, (n, its bytes)."""
    if info.dtype == "uint8":
        codes: NDArray[np.int8] = np.bitwise_xor(array, 0x80).view(np.int8)
        return codes.reshape(len(array), info.bytes)
    flat = np.ascontiguousarray(array).reshape(-1)
    if info.dtype in ("int8", "int16"):
        return flat.view(np.int8).reshape(len(array), info.bytes)
    codes = np.empty((len(array), info.bytes), np.int8)
    codec.quantize_into(info, profile, flat.data, codes.data)
    return codes


def _values(model: Manifest, codes: NDArray[np.int8], into: list[Any]) -> None:
    at = 0
    for info, target in zip(model.outputs, into, strict=True):
        part = np.ascontiguousarray(codes[:, at : at + info.bytes])
        if info.dtype == "float32" and info.values is UNSET:
            codec.dequantize_into(info, part.data, target)
        else:
            values = codec.dequantize(info, part.data)
            target[...] = np.frombuffer(values, info.dtype).reshape(target.shape)
        at += info.bytes
