# SPDX-License-Identifier: Apache-2.0
"""From a message to rows: whole ones, packets of them, or single columns by name or topic."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from neurovmd.payload import Aer, Codes, Image, PayloadError, Sample
from neurovmd.refusal import MappingError, RefusedError
from neurovmd.schema import Input
from neurovmd.shared import DropReason
from neurovmd.topics import TopicPattern
from neurovmd.window.block import Flat
from neurovmd.window.frames import WIDEST


class Piece(NamedTuple):
    """`n` rows (of `column`: values) of one message; `t_us` of the first, where the payload says.

    `shape`: of the row that a picture is.
    """

    t_us: int | None
    n: int
    values: Flat
    column: int | None = None
    shape: tuple[int, ...] | None = None


class RowBinding:
    """One entry of `inputs` whose messages are rows of `width` values; `codes` are the real values
    that the model's own codes stand for, from −128 or 0 on (None: they are taken as numbers).
    """

    def __init__(
        self, source: Input, pattern: TopicPattern, key: str, width: int, codes: list[float] | None
    ) -> None:
        self.pattern, self.source, self.key = pattern, source, key
        self._width, self._codes = width, codes
        if isinstance(source.payload, Aer):
            raise MappingError(f"{key}.payload.format", "aer", "a format of values: no spikes")
        try:
            self.reader, self.timed = source.payload.samples(), source.payload.timed
        except ValueError as error:  # what its format needs is not installed
            found = type(source.payload).__name__
            raise MappingError(f"{key}.payload.format", found, str(error)) from None
        names = source.to.elements
        self._numbers = None if names is None else {name: at for at, name in enumerate(names)}

    def element(self, levels: list[str]) -> int | None:
        """The column that a topic names, None where it names none."""
        name = self.pattern.element(levels)
        if name is None:
            return None
        if self._numbers is not None:
            number = self._numbers.get(name)
        else:
            number = int(name) if name.isascii() and name.isdigit() and len(name) < 10 else None
        if number is None or number >= self._width:
            raise RefusedError(DropReason.TOPIC, f"no element {name!r:.80}")
        return number

    def read(self, topic: str | None, payload: bytes, element: int | None) -> list[Piece]:
        """What a message holds, oldest first, which may be nothing by design; RefusedError where
        any of it is wrong.
        """
        try:
            samples = self.reader(topic, payload)
        except PayloadError as error:
            raise RefusedError(DropReason.PAYLOAD, str(error)) from None
        return [piece for sample in samples for piece in self._pieces(sample, element)]

    def _pieces(self, sample: Sample, element: int | None) -> list[Piece]:
        t_us, values = sample.t_us, sample.values
        if isinstance(values, dict):
            return self._named(t_us, values)
        if isinstance(values, Image):
            shape = (values.height, values.width, values.channels)
            if not self.source.front_end and len(values.data) != self._width:
                detail = f"a picture of {len(values.data)} values; accepted: {self._width}"
                raise RefusedError(DropReason.PAYLOAD, detail)
            return [Piece(t_us, 1, array("B", values.data), None, shape)]
        flat = self._flat(values)
        if element is not None:
            if not flat:
                raise RefusedError(DropReason.PAYLOAD, "found 0 values; accepted: one or more")
            return [Piece(t_us, len(flat), flat, element)]
        if not flat or len(flat) % self._width:
            accepted = f"a multiple of {self._width}, the values of a row"
            detail = f"found {len(flat)} values; accepted: {accepted}"
            raise RefusedError(DropReason.PAYLOAD, detail)
        return [Piece(t_us, len(flat) // self._width, flat)]

    def _named(self, t_us: int | None, values: Mapping[str, object]) -> list[Piece]:
        """An object by column; names that are no columns are other data, and ignored."""
        known = [(at, values[name]) for name, at in (self._numbers or {}).items() if name in values]
        if not known:
            raise RefusedError(DropReason.VALUE, "an object with none of the elements")
        single = not any(isinstance(value, (list, array)) for _, value in known)
        if single and len(known) == self._width:
            return [Piece(t_us, 1, self._flat([value for _, value in known]))]
        columns = [(at, self._flat(value)) for at, value in known]
        pieces = [Piece(t_us, len(flat), flat, at) for at, flat in columns if flat]
        if not pieces:
            raise RefusedError(DropReason.VALUE, "an object of elements without a value")
        return pieces

    def _flat(self, values: object) -> Flat:
        """Finite numbers of float32's range; RefusedError else."""
        if isinstance(values, Codes):
            return self._decoded(values)
        if isinstance(values, array) and values.typecode not in "fd":
            return values
        if isinstance(values, (list, array)):
            return _checked(_rows_of(values))
        return _checked([values])

    def _decoded(self, codes: Codes) -> Flat:
        data, table = codes.data, self._codes
        numbers = data
        if isinstance(data, bytes):
            numbers = array("B" if codes.dtype == "uint8" else "b", data)
        assert isinstance(numbers, array)  # noqa: S101  # int16 has its own
        if table is None:
            return numbers
        low = 0 if codes.dtype == "uint8" else -(len(table) // 2)
        return array("d", [table[number - low] for number in numbers])


def _rows_of(values: Sequence[object]) -> Sequence[object]:
    """Numbers of rows; rows as lists of their own are joined."""
    if not isinstance(values, list) or not values or not isinstance(values[0], list):
        return values
    if any(not isinstance(row, list) or len(row) != len(values[0]) for row in values):
        raise RefusedError(DropReason.VALUE, "rows of different lengths")
    return [value for row in values for value in row]


def _checked(values: Sequence[object]) -> Flat:
    numbers = [value for value in values if isinstance(value, (int, float))]
    try:
        if len(numbers) == len(values):
            flat = array("d", numbers)
            if not flat or (
                math.isfinite(sum(flat)) and -WIDEST <= min(flat) <= max(flat) <= WIDEST
            ):
                return flat
    except OverflowError:
        pass
    raise RefusedError(DropReason.VALUE, "a value that is not a finite number of float32")
