# SPDX-License-Identifier: Apache-2.0
"""Tensors of the Open Inference Protocol (KServe v2): a request read into codes, outputs written.

A tensor has the source model's own type: FP32 are real values, INT8 a quantized model's codes. Data
stand in the JSON, flat or nested, or behind it as little-endian bytes (the binary extension).
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from neurovm import codec
from neurovm.errors import ShapeError
from neurovmd.http import RefusedError

if TYPE_CHECKING:
    from neurovm import Model
    from neurovm.description import TensorInfo

# Rows of one request; each is a run of the network.
MOST_ROWS = 1024
DATATYPES = {
    "float32": ("FP32", "f"),
    "int8": ("INT8", "b"),
    "uint8": ("UINT8", "B"),
    "int16": ("INT16", "h"),
    "int32": ("INT32", "i"),
    "int64": ("INT64", "q"),
    "bool": ("BOOL", "B"),
}
Parameters = dict[str, Any]


class Tensor(msgspec.Struct):
    """An input as a request gives it."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = {}
    data: Any = None


class Wanted(msgspec.Struct):
    """An output as a request asks for it."""

    name: str
    parameters: Parameters = {}


class Request(msgspec.Struct):
    """The JSON of a request."""

    inputs: list[Tensor]
    id: str = ""
    parameters: Parameters = {}
    outputs: list[Wanted] | None = None


_decode = msgspec.json.Decoder(Request).decode


def read(body: bytes, json_bytes: int | None) -> tuple[Request, memoryview]:
    """A request and what stands behind its JSON; RefusedError: 400."""
    if json_bytes is not None and json_bytes > len(body):
        raise RefusedError(
            400, f"inference-header-content-length: {json_bytes} of {len(body)} bytes"
        )
    end = len(body) if json_bytes is None else json_bytes
    try:
        return _decode(body[:end]), memoryview(body)[end:]
    except (ValueError, RecursionError) as error:  # also of msgspec and of UTF-8
        raise RefusedError(400, f"not a request: {error}") from None


def metadata(info: TensorInfo) -> dict[str, Any]:
    """A tensor as the model's metadata name it."""
    return {"name": info.name, "datatype": DATATYPES[info.dtype][0], "shape": list(info.shape)}


def codes(model: Model, request: Request, tail: memoryview) -> tuple[bytes, int]:
    """The input codes of all rows, one row after the other, and their number; RefusedError: 400."""
    given = {tensor.name: tensor for tensor in request.inputs}
    names = [info.name for info in model.inputs]
    if len(given) != len(request.inputs) or set(given) != set(names):
        found = [tensor.name for tensor in request.inputs]
        raise RefusedError(400, f"inputs: found {found!r:.200}; accepted: {names!r:.200}")
    behind = _behind(request.inputs, tail)
    rows = _rows(model, given)
    ports = []
    for number, info in enumerate(model.inputs):
        values = _values(info, given[info.name], behind, rows)
        try:
            ports.append(model.quantize(number, values, count=info.size * rows))
        except ShapeError as error:
            raise RefusedError(400, str(error)) from None
    return _interleaved(ports, rows), rows


def _behind(inputs: list[Tensor], tail: memoryview) -> dict[str, memoryview]:
    """The bytes of each tensor that stand behind the JSON, in order."""
    found: dict[str, memoryview] = {}
    at = 0
    for tensor in inputs:
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            continue
        if type(size) is not int or size < 0 or size > len(tail) - at:
            raise RefusedError(
                400, f"{tensor.name}: binary_data_size {size!r:.40} of {len(tail) - at} bytes left"
            )
        found[tensor.name] = tail[at : at + size]
        at += size
    if at != len(tail):
        raise RefusedError(400, f"{len(tail) - at} bytes behind the JSON belong to no tensor")
    return found


def _rows(model: Model, given: Mapping[str, Tensor]) -> int:
    """How many rows all inputs have."""
    rows = set()
    for info in model.inputs:
        shape = tuple(given[info.name].shape)
        batched = info.shape[:1] == (1,) and len(shape) == len(info.shape)
        if shape == info.shape:
            rows.add(1)
        elif batched and shape[1:] == info.shape[1:] and 0 < shape[0] <= MOST_ROWS:
            rows.add(shape[0])
        else:
            raise RefusedError(
                400, f"{info.name}: found shape {list(shape)!r:.100}; accepted: {list(info.shape)}"
            )
    if len(rows) != 1:
        raise RefusedError(400, "inputs: found different numbers of rows; accepted: one number")
    return rows.pop()


def _values(
    info: TensorInfo, tensor: Tensor, behind: Mapping[str, memoryview], rows: int
) -> array[Any]:
    """The values of one input, in the model's type."""
    datatype, kind = DATATYPES[info.dtype]
    if tensor.datatype != datatype:
        raise RefusedError(
            400, f"{info.name}: found datatype {tensor.datatype!r:.40}; accepted: {datatype}"
        )
    wanted = info.size * rows
    values: array[Any] = array(kind)
    if tensor.name in behind:
        raw = behind[tensor.name]
        if len(raw) != wanted * values.itemsize or tensor.data is not None:
            needed = f"{wanted * values.itemsize} bytes, without data"
            raise RefusedError(400, f"{info.name}: found {len(raw)} bytes; accepted: {needed}")
        values.frombytes(raw)
        if sys.byteorder == "big":
            values.byteswap()
    else:
        try:
            values.extend(_flat(tensor.data, wanted))
        except (TypeError, OverflowError, ValueError) as error:
            raise RefusedError(400, f"{info.name}: data: {error}") from None
        if len(values) != wanted:
            raise RefusedError(400, f"{info.name}: found {len(values)} values; accepted: {wanted}")
    if kind == "f" and not all(map(math.isfinite, values)):
        raise RefusedError(400, f"{info.name}: found a value that is no finite float32")
    return values


def _flat(data: Any, wanted: int) -> Iterator[Any]:
    """The numbers of a list of lists, in order; ValueError beyond `wanted`, else TypeError."""
    if not isinstance(data, list):
        raise TypeError(f"found {_shown(data)}; accepted: a list of numbers")
    open_lists = [iter(data)]
    count = 0
    while open_lists:
        for item in open_lists[-1]:
            if isinstance(item, list):
                open_lists.append(iter(item))
                break
            if not isinstance(item, (int, float)):
                raise TypeError(f"found {_shown(item)}; accepted: numbers")
            count += 1
            if count > wanted:
                raise ValueError(f"found more than {wanted} values")
            yield item
        else:
            open_lists.pop()


def _shown(found: Any) -> str:
    return repr(found)[:40]


def _interleaved(ports: list[bytes], rows: int) -> bytes:
    """Row by row instead of input by input."""
    if rows == 1 or len(ports) == 1:
        return b"".join(ports)
    sizes = [len(port) // rows for port in ports]
    return b"".join(
        port[row * size : (row + 1) * size]
        for row in range(rows)
        for port, size in zip(ports, sizes, strict=True)
    )


def written(
    model: Model, request: Request, answers: bytes, rows: int
) -> tuple[list[dict[str, Any]], bytes]:
    """The outputs that a request asks for, of `rows` rows, and the bytes behind the JSON."""
    asked = wanted(model, request)
    outputs: list[dict[str, Any]] = []
    tail = b""
    row_bytes = len(answers) // rows
    start = 0
    for info in model.outputs:
        if info.name in asked:
            parts = [
                answers[row * row_bytes + start : row * row_bytes + start + info.bytes]
                for row in range(rows)
            ]
            said, raw = _output(info, b"".join(parts), rows, binary=asked[info.name])
            outputs.append(said)
            tail += raw
        start += info.bytes
    return outputs, tail


def wanted(model: Model, request: Request) -> dict[str, bool]:
    """The outputs that a request asks for, and whether as bytes; RefusedError: 400."""
    binary = request.parameters.get("binary_data_output") is True
    names = [info.name for info in model.outputs]
    if not request.outputs:
        return dict.fromkeys(names, binary)
    found = {}
    for each in request.outputs:
        if each.name not in names:
            raise RefusedError(400, f"outputs: found {each.name!r:.100}; accepted: {names!r:.200}")
        if each.parameters.get("classification"):
            raise RefusedError(400, f"{each.name}: classification is not offered")
        found[each.name] = each.parameters.get("binary_data", binary) is True
    return found


def _output(
    info: TensorInfo, raw: bytes, rows: int, *, binary: bool
) -> tuple[dict[str, Any], bytes]:
    values = codec.dequantize(info, raw)
    shape = list(info.shape) if rows == 1 else [rows, *info.shape[1:]]
    said = {**metadata(info), "shape": shape}
    if not binary:
        return {**said, "data": values.tolist()}, b""
    data = values.tobytes()
    return {**said, "parameters": {"binary_data_size": len(data)}}, data
