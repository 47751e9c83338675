# SPDX-License-Identifier: Apache-2.0
"""Samples as text: numbers separated by commas, or JSON lines. Blank lines do not count."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

from neurovm.errors import ShapeError

# A row of a million values takes some 20 MB.
MAX_LINE_BYTES = 64 << 20


def csv_rows(stream: BinaryIO, where: str, size: int) -> Iterator[list[float]]:
    """The numbers of each line, `size` of them; a first line of names is skipped.

    Cells are separated by comma, semicolon, tab or blanks. ShapeError names line and column.
    """
    header = True
    for number, line in _lines(stream, where):
        values = _numbers(line, f"{where}: line {number}", header=header)
        header = False
        if values is None:
            continue
        if len(values) != size:
            raise ShapeError(
                f"{where}: line {number}: {len(values)} columns, the model takes {size}"
            )
        yield values


def json_rows(stream: BinaryIO, where: str) -> Iterator[tuple[int, Any]]:
    """(line number, value) of each line."""
    for number, line in _lines(stream, where):
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ShapeError(f"{where}: line {number}: not JSON: {error}") from error


def _lines(stream: BinaryIO, where: str) -> Iterator[tuple[int, str]]:
    encoding = "utf-8-sig"
    for number, raw in enumerate(iter(lambda: stream.readline(MAX_LINE_BYTES + 1), b""), 1):
        if len(raw) > MAX_LINE_BYTES:
            raise ShapeError(f"{where}: line {number}: more than {MAX_LINE_BYTES:,} bytes")
        try:
            line = raw.decode(encoding).strip()
        except UnicodeDecodeError as error:
            raise ShapeError(f"{where}: line {number}: not text ({error.reason})") from error
        encoding = "utf-8"
        if line:
            yield number, line


def _numbers(line: str, where: str, *, header: bool) -> list[float] | None:
    """The numbers of a line; None for a line of names where `header` allows one."""
    values = []
    for column, cell in enumerate(_cells(line), 1):
        try:
            value = float(cell)
        except ValueError:
            if header:
                return None
            raise ShapeError(f"{where}, column {column}: {cell[:40]!r} is no number") from None
        if math.isnan(value):
            raise ShapeError(f"{where}, column {column}: NaN")
        values.append(value)
    return values


def _cells(line: str) -> list[str]:
    for separator in (",", ";", "\t"):
        if separator in line:
            return [cell.strip() for cell in line.split(separator)]
    return line.split()
