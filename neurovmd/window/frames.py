# SPDX-License-Identifier: Apache-2.0
"""Rows through a front end: the frames that windows are made of."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from neurovmd.window.block import Flat, Rows

if TYPE_CHECKING:
    from neurovm.frontends import Front

WIDEST = 3.4028234663852886e38
"""The widest float32."""


class Frames(NamedTuple):
    """As `Rows`, behind a front end: `values` are `n` frames, one after the other."""

    first_us: int
    last_us: int
    n: int
    values: Flat
    filled: int
    anew: bool


class FrontStage:
    """The front end of one stream; none: frames are the rows themselves.

    A frame's time is that of the row that completed it. EventError and ShapeError as `Front.push`.
    """

    def __init__(self, front: Front | None) -> None:
        self._front = front
        self._taken = 0
        self._made = 0
        self._anew = False

    def push(self, rows: Rows) -> Frames:
        """The frames that further rows complete; there may be none."""
        front = self._front
        if front is None:
            values = rows.values
            return Frames(rows.first_us, rows.last_us, rows.n, values, rows.filled, rows.anew)
        if rows.anew:
            self.reset()
        made = front.push(in_rows(rows.values, rows.n, rows.shape or front.takes))
        n = len(made)
        before, self._taken = self._taken, self._taken + rows.n
        first = front.first + self._made * front.step - 1 - before
        self._made += n
        anew, filled = self._anew, min(rows.filled, n)
        if not n:
            return Frames(rows.last_us, rows.last_us, 0, array("f"), 0, False)
        self._anew = False
        return Frames(
            _at(rows, first), _at(rows, first + (n - 1) * front.step), n, flat(made), filled, anew
        )

    def reset(self) -> None:
        """As before the first row."""
        if self._front is not None:
            self._front.reset()
        self._taken = self._made = 0
        self._anew = True


def _at(rows: Rows, index: int) -> int:
    """The time of one of the rows."""
    if rows.n < 2:
        return rows.last_us
    index = min(max(index, 0), rows.n - 1)
    return rows.first_us + (rows.last_us - rows.first_us) * index // (rows.n - 1)


def in_rows(values: Flat, n: int, shape: tuple[int, ...]) -> memoryview:
    """`n` rows of `shape` as a front end takes them; TypeError where they are not so many."""
    view: Any = memoryview(values)
    return view.cast("B").cast(values.typecode, shape=[n, *shape])  # type: ignore[no-any-return]  # of any format


def flat(made: object) -> Flat:
    """An array of numpy as one of ours, without importing it."""
    view = memoryview(made)  # type: ignore[arg-type]  # it has the buffer's protocol
    numbers: array[float] = array(view.format)
    numbers.frombytes(view.tobytes())
    return numbers


def scaled(values: Flat, scale: Sequence[float], offset: Sequence[float]) -> Flat:
    """Every value times its channel's scale, plus its offset, within the range of float32."""
    width = len(scale)
    found = array("d", values)
    for channel in range(width):
        a, b = scale[channel], offset[channel]
        found[channel::width] = array(
            "d", [min(max(x * a + b, -WIDEST), WIDEST) for x in found[channel::width]]
        )
    return found
