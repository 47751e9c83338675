# SPDX-License-Identifier: Apache-2.0
"""Guarded reading of a TFLite flatbuffer: every count, offset and array is bounded by the file.

The flatbuffers runtime checks offsets against the buffer but believes counts, and vectors may
overlap. So each vector draws on a budget of bytes that the size of the file sets; what would
exceed it is refused. Constants stay views into the file and cost nothing.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import tflite

from neurovm.errors import ModelError
from neurovm.graph import DType, Quantization

MAX_FILE_BYTES = 1 << 29
MAX_RANK = 8
MAX_TABLES = 1 << 16
"""Operators, operator codes, tensors: of each."""
MAX_NAME_BYTES = 1024
MAX_ELEMENTS = 1 << 27
"""Elements of one tensor."""

_IDENTIFIER = b"TFL3"
_BUDGET_FACTOR = 4
_BUDGET_FLOOR_BYTES = 1 << 16

DTYPES: dict[int, DType] = {
    tflite.TensorType.FLOAT32: "float32",
    tflite.TensorType.FLOAT16: "float16",
    tflite.TensorType.INT4: "int4",
    tflite.TensorType.INT8: "int8",
    tflite.TensorType.UINT8: "uint8",
    tflite.TensorType.INT16: "int16",
    tflite.TensorType.INT32: "int32",
    tflite.TensorType.INT64: "int64",
    tflite.TensorType.BOOL: "bool",
    tflite.TensorType.RESOURCE: "resource",
}
_NUMPY: dict[DType, str] = {
    "float32": "<f4",
    "float16": "<f2",
    "int8": "i1",
    "uint8": "u1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
    "bool": "?",
}
_INDICES = ("int32", "int64")
"""Element types of sizes and axes."""
_ZERO_POINTS: dict[str, tuple[int, int]] = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
}
_PARSER_ERRORS = (
    struct.error, ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError,
    TypeError, ValueError,
)  # fmt: skip

_T = TypeVar("_T")


class TFLiteFile:
    """One .tflite in memory. `name` leads every message; `place` says what is being read."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.place = "header"
        self._left_bytes = _BUDGET_FLOOR_BYTES + _BUDGET_FACTOR * len(data)
        if len(data) > MAX_FILE_BYTES:
            raise self.error(f"more than {MAX_FILE_BYTES} bytes; larger files are not read")
        if len(data) < 8 or data[4:8] != _IDENTIFIER:
            raise self.error("not a TFLite model: no identifier TFL3 at byte 4")
        self.data = data
        self.model: Any = None
        with self.guarded():
            self.model = tflite.Model.GetRootAs(data)

    def error(self, found: str) -> ModelError:
        """What is wrong, and where."""
        return ModelError(f"{self.name}: {self.place}: {found}")

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn whatever the parser raises on damaged bytes into ModelError with file and place."""
        try:
            yield
        except ModelError:
            raise
        except _PARSER_ERRORS as e:
            detail = f"{type(e).__name__}: {e}"[:200]
            raise self.error(f"damaged (the parser says {detail})") from e

    def spend(self, count: int, item_bytes: int) -> None:
        """Draw `count` items on the budget."""
        self._left_bytes -= count * item_bytes
        if self._left_bytes < 0:
            raise self.error("its vectors overlap or claim more than the file holds")

    def items(self, count: int, item: Callable[[int], _T | None]) -> Iterator[_T]:
        """The entries of a vector of tables, none of them missing."""
        if count > MAX_TABLES:
            raise self.error(f"{count} entries of a vector; at most {MAX_TABLES} are accepted")
        self.spend(count, 4)
        for i in range(count):
            entry = item(i)
            if entry is None:
                raise self.error("an entry of a vector is missing")
            yield entry

    def array(self, vector: Any) -> np.ndarray:
        """A vector of numbers from the schema's …AsNumpy(); absent = empty. A view into the
        file.
        """
        if not isinstance(vector, np.ndarray):
            return np.empty(0, np.int64)
        self.spend(vector.size, vector.itemsize)
        return vector

    def integers(self, vector: Any) -> tuple[int, ...]:
        """`array` as Python integers."""
        return tuple(int(n) for n in self.array(vector))

    def text(self, value: bytes | None, default: str) -> str:
        """A string, or its first MAX_NAME_BYTES; damaged UTF-8 is shown, not refused."""
        if value is None:
            return default
        self.spend(len(value), 1)
        return value[:MAX_NAME_BYTES].decode("utf-8", errors="backslashreplace")

    def shape(self, tensor: Any, dtype: DType, *, used: bool = True) -> tuple[int, ...]:
        """The shape of a tensor: its rank, sizes and product bounded.

        What no operator reads or makes may be empty: converters write the intermediates of an LSTM
        so. Of what is `used`, a list of sizes or axes may, as RESHAPE to one number has none.
        """
        shape = self.integers(tensor.ShapeAsNumpy())
        if len(shape) > MAX_RANK or min((*shape, 0)) < 0 or math.prod(shape) > MAX_ELEMENTS:
            raise self.error(
                f"shape {shape}; at most {MAX_RANK} axes of 0 or more, "
                f"{MAX_ELEMENTS} elements together, are accepted"
            )
        if used and 0 in shape and (dtype not in _INDICES or len(shape) > 1):
            raise self.error(
                f"{dtype} of shape {shape} has no elements; a shape without an axis of 0 is needed"
            )
        return shape

    def signature(self, tensor: Any, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """The shape signature where it leaves an axis open."""
        signature = self.integers(tensor.ShapeSignatureAsNumpy())
        if not signature or signature == shape:
            return None
        if len(signature) != len(shape) or any(
            s not in (-1, n) for s, n in zip(signature, shape, strict=True)
        ):
            raise self.error(f"shape signature {signature} contradicts shape {shape}")
        return signature

    def dtype(self, tensor: Any) -> DType:
        """The element type."""
        code = tensor.Type()
        if code not in DTYPES:
            raise self.error(
                f"element type {type_name(code)}; accepted: {', '.join(sorted(DTYPES.values()))}"
            )
        return DTYPES[code]

    def constant(self, tensor: Any, dtype: DType, shape: tuple[int, ...]) -> np.ndarray | None:
        """The constant of a tensor as a read-only view, None where its buffer is empty."""
        index, count = tensor.Buffer(), self.model.BuffersLength()
        if index >= max(count, 1):
            raise self.error(f"buffer {index}; the file has {count}")
        buffer = self.model.Buffers(index) if count else None
        if buffer is None:
            return None
        if buffer.Offset() > 1 or buffer.Size() > 1:
            raise self.error(
                "its constants stand outside the flatbuffer; a file below 2 GB has them inside"
            )
        raw = buffer.DataAsNumpy()
        if not isinstance(raw, np.ndarray) or raw.size == 0:
            return np.empty(shape, _NUMPY.get(dtype, "u1")) if 0 in shape else None
        if dtype == "int4":
            return self._nibbles(raw, shape)
        if dtype == "resource":
            raise self.error("a resource with data; it is a handle and has none")
        wanted = math.prod(shape) * np.dtype(_NUMPY[dtype]).itemsize
        if raw.size != wanted:
            raise self.error(f"{raw.size} bytes of constant; {dtype} {shape} takes {wanted}")
        # Nothing is copied here, but whoever packs the constants copies them: sharing is bounded.
        self.spend(raw.size, 1)
        return raw.view(_NUMPY[dtype]).reshape(shape)

    def _nibbles(self, raw: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """int4 values, two a byte, the lower half first, as int8."""
        count = math.prod(shape)
        if raw.size != (count + 1) // 2:
            raise self.error(f"{raw.size} bytes of constant; int4 {shape} takes {(count + 1) // 2}")
        self.spend(count, 1)
        halves = np.stack([raw & 15, raw >> 4], axis=-1).reshape(-1)[:count].astype(np.int8)
        return ((halves ^ 8) - 8).reshape(shape)

    def quantization(
        self, tensor: Any, dtype: DType, shape: tuple[int, ...]
    ) -> Quantization | None:
        """Scales and zero points, checked for count, range and axis; None where there are none."""
        source = tensor.Quantization()
        if source is None:
            return None
        if source.DetailsType() != tflite.QuantizationDetails.NONE:
            raise self.error("custom quantization; scale and zero point are needed")
        scale = tuple(float(s) for s in self.array(source.ScaleAsNumpy()))
        zero_point = self.integers(source.ZeroPointAsNumpy())
        if not scale:
            return None
        if len(zero_point) in (0, 1):
            zero_point = (zero_point or (0,)) * len(scale)
        self._check_quantization(scale, zero_point, dtype)
        axis = source.QuantizedDimension()
        fits = 0 <= axis < len(shape) and shape[axis] == len(scale)
        # Old exporters gave biases the axis of their weights; profiles judge those.
        if len(scale) > 1 and not fits and dtype != "int32":
            raise self.error(f"{len(scale)} scales along axis {axis} do not fit shape {shape}")
        return Quantization(scale=scale, zero_point=zero_point, axis=axis if len(scale) > 1 else 0)

    def _check_quantization(
        self, scale: tuple[float, ...], zero_point: tuple[int, ...], dtype: DType
    ) -> None:
        if len(zero_point) != len(scale):
            raise self.error(f"{len(zero_point)} zero points for {len(scale)} scales")
        if not all(math.isfinite(s) and s >= 0 for s in scale):
            raise self.error(
                "a scale is negative, infinite or NaN; finite and not negative is needed"
            )
        low, high = _ZERO_POINTS.get(dtype, (-(1 << 31), (1 << 31) - 1))
        if not all(low <= z <= high for z in zero_point):
            raise self.error(f"a zero point of {dtype} is outside {low} … {high}")


def _names(enumeration: type[Any]) -> dict[int, str]:
    return {v: n for n, v in vars(enumeration).items() if not n.startswith("_")}


_TYPE_NAMES = _names(tflite.TensorType)
_OPERATOR_NAMES = _names(tflite.BuiltinOperator)


def type_name(code: int) -> str:
    """The schema's name of an element type."""
    return _TYPE_NAMES.get(code, f"number {code}")


def operator_name(code: int) -> str:
    """The schema's name of a built-in operator."""
    return _OPERATOR_NAMES.get(code, f"number {code}")
