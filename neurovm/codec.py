# SPDX-License-Identifier: Apache-2.0
"""Values into codes and back, without numpy: the edge of every network."""

from __future__ import annotations

import array
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from msgspec import UNSET

from neurovm import _kernel
from neurovm.errors import ShapeError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from neurovm.description import TensorInfo

    Values = Buffer | Sequence[float]

# uint8 runs as q − 128: flipping the top bit turns one into the other, both ways.
_FLIP = bytes(q ^ 0x80 for q in range(256))
_FORMATS = {"float32": "f", "int8": "b", "uint8": "B", "int16": "h", "int32": "i", "int64": "q"}
_ROUNDING = {"xnnpack": "even_reciprocal", "tflm": "away_divide"}


def quantize(info: TensorInfo, profile: str, values: Values, count: int | None = None) -> bytes:
    """Codes, as bytes, of `count` values (None: the whole tensor's) of the tensor's own dtype.

    float32 is quantized by the profile, uint8 becomes q − 128, int8 and int16 stay. ShapeError
    where the number or the type of the values does not fit, or one is NaN.
    """
    view = _view(values, info)
    wanted = info.size if count is None else count
    found = view.nbytes // view.itemsize
    if found != wanted:
        raise ShapeError(
            f"input {info.name!r} takes {wanted} values, shape {info.shape}; {found} were given"
        )
    if info.dtype == "float32":
        codes = bytearray(wanted * (2 if info.wide else 1))
        quantize_into(info, profile, view, codes)
        return bytes(codes)
    raw = view.tobytes()
    if info.dtype in ("int32", "int64"):  # little-endian: the lowest byte comes first
        return raw[:: view.itemsize]
    return raw.translate(_FLIP) if info.dtype == "uint8" else raw


def quantize_into(info: TensorInfo, profile: str, values: Buffer, codes: Buffer) -> None:
    """Values of the tensor's dtype into the bytes of as many codes; both contiguous.

    ShapeError where a value is NaN or the lengths do not fit.
    """
    if info.dtype != "float32":
        count = memoryview(values).nbytes // memoryview(values).itemsize
        memoryview(codes).cast("B")[:] = quantize(info, profile, values, count)
        return
    into = memoryview(codes).cast("B").cast(_code_format(info))
    try:
        if info.thresholds is not UNSET:
            steps = memoryview(array.array("I", info.thresholds)).cast("B").cast("f")
            _kernel.quantize_steps(values, steps, into)
        else:
            _kernel.quantize_f32(values, info.scale, info.zero_point, _ROUNDING[profile], into)
    except ValueError as error:  # scale and zero point were checked with the manifest
        raise ShapeError(f"input {info.name!r} takes numbers; NaN was found") from error


def dequantize_into(info: TensorInfo, codes: Buffer, values: Buffer) -> None:
    """Codes of a float32 tensor, or their bytes, into as many values; both contiguous."""
    raw = memoryview(codes).cast("B").cast(_code_format(info))
    _kernel.dequantize(raw, info.scale, info.zero_point, values)


def dequantize(info: TensorInfo, codes: Buffer) -> Any:
    """Values of codes (int8, int16, or their bytes) in the tensor's own dtype, flat."""
    if info.values is not UNSET:
        return _decoded(info, info.values, bytes(codes))
    view = codes_of(info, codes)
    if info.dtype == "float32":
        values = array.array("f", bytes(4 * len(view)))
        _kernel.dequantize(view, info.scale, info.zero_point, values)
        return memoryview(values)
    raw = bytes(view)
    if info.dtype == "uint8":
        return memoryview(raw.translate(_FLIP))
    return memoryview(raw).cast(_code_format(info))


def codes_of(info: TensorInfo, codes: Buffer) -> memoryview:
    """The codes of a tensor, int8 or int16, from any buffer that holds their bytes."""
    if not info.wide:
        return memoryview(codes).cast("B").cast("b")
    return memoryview(bytes(codes)).cast("h")  # a copy is aligned


def _code_format(info: TensorInfo) -> Literal["b", "h"]:
    """The format of a buffer of its codes."""
    return "h" if info.wide else "b"


def _decoded(info: TensorInfo, values: Sequence[float], codes: bytes) -> Any:
    """The value that each code stands for; `values` begin with that of −128."""
    table = [values[(q + 128) & 0xFF] for q in range(256)]  # by the byte of the code
    if info.dtype == "bool":
        return memoryview(bytes(int(table[q]) for q in codes)).cast("?")
    kind = _FORMATS[info.dtype]
    typed = table if kind == "f" else [int(v) for v in table]
    return memoryview(array.array(kind, [typed[q] for q in codes]))


def top_k(info: TensorInfo, codes: Buffer, k: int) -> list[tuple[int, int, float]]:
    """The k largest codes as (index, code, value), largest first, equal ones by index."""
    raw = codes_of(info, codes)
    best = _kernel.top_k(raw, min(k, len(raw)))
    values = dequantize(info, array.array(_code_format(info), [raw[i] for i in best]))
    return [(i, raw[i], value) for i, value in zip(best, values.tolist(), strict=True)]


def shaped(info: TensorInfo, values: memoryview) -> Any:
    """An ndarray of the tensor's shape where numpy is loaded already, else the flat view."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return values
    return numpy.frombuffer(values, dtype=info.dtype).reshape(info.shape)


def _view(values: Values, info: TensorInfo) -> memoryview:
    """A contiguous view of values in the tensor's dtype; ShapeError for other types."""
    wanted = _FORMATS[info.dtype]
    if isinstance(values, (list, tuple)):
        try:
            return memoryview(array.array(wanted, values))
        except (TypeError, OverflowError, ValueError) as error:
            raise ShapeError(f"input {info.name!r} takes {info.dtype} numbers: {error}") from error
    try:
        view = memoryview(values)  # type: ignore[arg-type]  # anything else raises TypeError
    except TypeError as error:
        found = type(values).__name__
        raise ShapeError(f"input {info.name!r}: {found} is no buffer of numbers") from error
    if info.dtype == "float32" and view.format == "d" and view.c_contiguous:
        view = memoryview(array.array("f", view.cast("B").cast("d")))
    raw = isinstance(values, (bytes, bytearray)) and info.dtype in ("int8", "uint8")
    if (view.format != wanted and not raw) or not view.c_contiguous:
        raise ShapeError(
            f"input {info.name!r} takes {info.dtype} in C order; "
            f"a buffer of format {view.format!r} was given"
        )
    return view
