# SPDX-License-Identifier: Apache-2.0
"""A file of samples -> batches of rows in the model's own types.

    .npy           (n, *shape) or one sample
    .npz           one array an input, by name (a single array needs no name)
    .csv           one sample a line, all elements in C order; a first line of names is skipped
    .jsonl .json   one sample a line: a list (nested or flat), or an object of lists by input name
    .bin .raw      little-endian rows of the model's own type, nothing else

What comes on standard input is recognised by its first bytes. Wrong counts, types, ranges and NaN
are ShapeErrors that name file, line and column.
"""

from __future__ import annotations

import io
import itertools
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np

from neurovm.cli.exits import ReadError
from neurovm.cli.text_rows import csv_rows, json_rows
from neurovm.cli.typed_rows import typed
from neurovm.errors import ShapeError
from neurovm.stimuli import row_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Self

    from neurovm.description import TensorInfo

    Array = NDArray[np.generic]

FORMATS = ("npy", "npz", "csv", "jsonl", "bin")
BATCH_ROWS = 256
SUFFIXES = {
    ".npy": "npy",
    ".npz": "npz",
    ".csv": "csv",
    ".txt": "csv",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".bin": "bin",
    ".raw": "bin",
}
T = TypeVar("T")


class Samples:
    """The rows of one source for the inputs of one model; iterate once, batch by batch.

    Owns the stream: use it with `with`.

    A batch is a list with one array (n, *shape[1:]) an input, in the source model's dtype, or
    float32 real values where `real` is set.
    """

    def __init__(
        self, inputs: Sequence[TensorInfo], *, where: str, stream: BinaryIO, form: str, real: bool
    ) -> None:
        self._inputs = inputs
        self._where = where
        self._stream = stream
        self._form = form
        self._real = real

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def __iter__(self) -> Iterator[list[Array]]:
        return {
            "npy": self._npy,
            "npz": self._npz,
            "csv": self._csv,
            "jsonl": self._jsonl,
            "bin": self._bin,
        }[self._form]()

    def _npy(self) -> Iterator[list[Array]]:
        array = self._load()
        if not isinstance(array, np.ndarray):
            raise ShapeError(f"{self._where}: holds several arrays; rename it to .npz")
        if len(self._inputs) != 1:
            names = ", ".join(repr(t.name) for t in self._inputs)
            raise ShapeError(
                f"{self._where}: one array for {len(self._inputs)} inputs; "
                f"an .npz with {names} is needed"
            )
        yield from self._batches([array])

    def _npz(self) -> Iterator[list[Array]]:
        file = self._load()
        if isinstance(file, np.ndarray):
            yield from self._batches([file])
            return
        found = list(file.keys())
        if len(self._inputs) == 1 and len(found) == 1:
            yield from self._batches([file[found[0]]])
            return
        missing = [t.name for t in self._inputs if t.name not in found]
        if missing:
            raise ShapeError(
                f"{self._where}: no array for input {missing[0]!r}; found {', '.join(found)}"
            )
        yield from self._batches([file[t.name] for t in self._inputs])

    def _load(self) -> Any:
        try:
            return np.load(self._stream, allow_pickle=False)
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ShapeError(f"{self._where}: not a {self._form} file: {error}") from error

    def _batches(self, arrays: Sequence[Array]) -> Iterator[list[Array]]:
        """Whole arrays, cut into batches; counts must agree."""
        rows = [
            self._rows(a, info, f"{self._where}")
            for a, info in zip(arrays, self._inputs, strict=True)
        ]
        counts = {len(r) for r in rows}
        if len(counts) != 1:
            raise ShapeError(
                f"{self._where}: the inputs have different numbers of rows: {sorted(counts)}"
            )
        for start in range(0, counts.pop(), BATCH_ROWS):
            yield [
                typed(r[start : start + BATCH_ROWS], info, self._where, start, real=self._real)
                for r, info in zip(rows, self._inputs, strict=True)
            ]

    def _rows(self, array: Array, info: TensorInfo, where: str) -> Array:
        """The array as (n, *row shape): n samples, one sample, or flat rows."""
        inner = row_shape(info)
        if array.shape in (inner, info.shape):
            return array.reshape(1, *inner)
        if array.shape[1:] in (inner, info.shape, (info.size,)) or (
            array.ndim == 1 and info.size == 1
        ):
            return array.reshape(len(array), *inner)
        if array.shape == (info.size,):
            return array.reshape(1, *inner)
        raise ShapeError(
            f"{where}: shape {array.shape}; input {info.name!r} takes {inner}, "
            f"or (n, {', '.join(map(str, inner))})"
        )

    def _csv(self) -> Iterator[list[Array]]:
        size = sum(t.size for t in self._inputs)
        row = 0
        for lines in _grouped(csv_rows(self._stream, self._where, size)):
            table = np.asarray(lines, np.float64)
            batch, at = [], 0
            for info in self._inputs:
                part = table[:, at : at + info.size].reshape(len(lines), *row_shape(info))
                batch.append(typed(part, info, self._where, row, real=self._real))
                at += info.size
            yield batch
            row += len(lines)

    def _jsonl(self) -> Iterator[list[Array]]:
        rows = (
            self._json_row(value, f"{self._where}: line {number}")
            for number, value in json_rows(self._stream, self._where)
        )
        for batch in _grouped(rows):
            yield [np.concatenate(column) for column in zip(*batch, strict=True)]

    def _json_row(self, value: Any, where: str) -> list[Array]:
        if isinstance(value, dict):
            missing = [t.name for t in self._inputs if t.name not in value]
            if missing:
                raise ShapeError(
                    f"{where}: no key {missing[0]!r}; found {', '.join(map(str, value))}"
                )
            parts = [value[t.name] for t in self._inputs]
        elif len(self._inputs) == 1:
            parts = [value]
        else:
            names = ", ".join(t.name for t in self._inputs)
            raise ShapeError(f"{where}: an object with {names} is needed")
        return [self._json_array(p, i, where) for p, i in zip(parts, self._inputs, strict=True)]

    def _json_array(self, value: Any, info: TensorInfo, where: str) -> Array:
        try:
            array = np.asarray(value, np.float64)
        except (ValueError, TypeError, OverflowError):
            raise ShapeError(f"{where}: a list of numbers of one length is needed") from None
        if array.size != info.size:
            raise ShapeError(f"{where}: {array.size} values, input {info.name!r} takes {info.size}")
        array = array.reshape(1, *row_shape(info))
        return typed(array, info, where, None, real=self._real)

    def _bin(self) -> Iterator[list[Array]]:
        dtypes = [np.dtype("<f4") if self._real else np.dtype(t.dtype) for t in self._inputs]
        row_bytes = sum(t.size * d.itemsize for t, d in zip(self._inputs, dtypes, strict=True))
        row = 0
        while data := self._stream.read(row_bytes * BATCH_ROWS):
            if len(data) % row_bytes:
                raise ShapeError(
                    f"{self._where}: ends inside row {row + len(data) // row_bytes}; a row is "
                    f"{row_bytes} bytes ({_layout(self._inputs, dtypes)})"
                )
            table = np.frombuffer(data, np.uint8).reshape(-1, row_bytes)
            batch, at = [], 0
            for info, dtype in zip(self._inputs, dtypes, strict=True):
                width = info.size * dtype.itemsize
                part = np.ascontiguousarray(table[:, at : at + width]).view(dtype)
                part = part.reshape(len(table), *row_shape(info))
                batch.append(typed(part, info, self._where, row, real=self._real))
                at += width
            row += len(table)
            yield batch


def open_samples(
    path: Path, inputs: Sequence[TensorInfo], *, form: str | None, real: bool
) -> Samples:
    """Open a file, or standard input for `-`; ReadError, OSError or ShapeError."""
    if str(path) == "-":
        stream, kind = _stdin(form)
        return Samples(inputs, where="standard input", stream=stream, form=kind, real=real)
    by_name = form or SUFFIXES.get(path.suffix.lower())
    if by_name is None:
        raise ShapeError(
            f"{path}: the ending {path.suffix!r} names no format; "
            f"--format {'|'.join(FORMATS)} says which it is"
        )
    return Samples(inputs, where=str(path), stream=path.open("rb"), form=by_name, real=real)


def _stdin(form: str | None) -> tuple[BinaryIO, str]:
    """Standard input and what it holds: `form`, else what its first bytes look like."""
    if sys.stdin is None or sys.stdin.closed:
        raise ReadError("standard input is closed; samples were to come from it")
    if sys.stdin.isatty():
        raise ReadError("standard input is a terminal; pipe samples into it")
    source = sys.stdin.buffer
    head = source.peek(8)[:8] if isinstance(source, io.BufferedReader) else b""
    kind = form or _kind_of(head)
    # NumPy's formats are read by seeking, which pipes cannot.
    return (io.BytesIO(source.read()) if kind in ("npy", "npz") else source), kind


def _kind_of(head: bytes) -> str:
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"PK\x03\x04"):
        return "npz"
    return "jsonl" if head.lstrip()[:1] in (b"[", b"{") else "csv"


def _layout(inputs: Sequence[TensorInfo], dtypes: Sequence[np.dtype[Any]]) -> str:
    parts = (f"{info.size} {dtype.name}" for info, dtype in zip(inputs, dtypes, strict=True))
    return " + ".join(parts)


def _grouped(rows: Iterable[T]) -> Iterator[list[T]]:
    """Lists of BATCH_ROWS, the last one shorter."""
    source = iter(rows)
    while batch := list(itertools.islice(source, BATCH_ROWS)):
        yield batch
