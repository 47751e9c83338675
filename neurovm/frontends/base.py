# SPDX-License-Identifier: Apache-2.0
"""What all front ends share: their parameters, and the state of one stream of rows."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from neurovm.errors import EventError, ShapeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

Array = Any
"""An array of numpy, which no module here loads before a front end is built."""

MOST_ELEMENTS = 1 << 24
"""Elements of a row, in or out."""
MOST_VALUES = 1 << 24
"""Values that one push may take or give."""
MOST_STATE = 1 << 28
"""Bytes that a stream may keep."""
MOST_RATE_HZ = 1e9
_WIDEST = 3.4028234663852886e38
"""The widest float32: what is made of such values stays finite in float64."""


class Front(ABC):
    """The state of one stream: rows go in as they come, and each row out is made once.

    takes, shape: of one row in and out; the rows of a push stand along a first axis of their own.
    rate_hz: rows out a second (None: unknown). dtype: of rows out, float32 or an integer type.
    Row k out, k ≥ 0, is there at the latest with row first + k · step in (counted from 1), and
    depends on none but the last `span` rows in up to that one (infinite: on all before it).
    state_bytes: the most that is kept between pushes. needs_whole: it can do with whole windows
    alone (`whole`, never `push`).
    Used by one thread.
    """

    dtype: str = "float32"
    needs_whole: bool = False
    steady: bool = True
    """Whether each row out comes with the very row in that is named for it, not before."""
    _none: Array = None
    first: int = 1
    step: int = 1
    span: float = 1

    def __init__(
        self, takes: tuple[int, ...], shape: tuple[int, ...], rate_hz: float | None
    ) -> None:
        check_stream(takes, rate_hz)
        check_stream(shape, None)
        self.takes, self.shape, self.rate_hz = takes, shape, rate_hz

    @property
    def state_bytes(self) -> int:
        """The most bytes that are kept between pushes."""
        return 0

    def push(self, rows: ArrayLike) -> NDArray[Any]:
        """(m, *shape): the rows that `rows`, (n, *takes), complete; m may be 0.

        The same rows out, bit for bit, however the rows in are cut into pushes. ShapeError for
        other shapes, EventError for a value that is not finite, or more than 2^24 values: the
        stream is then as it was before. EventError too where what is made of them would overflow
        or be more than 2^24 values: the stream then begins anew.
        """
        array = self._checked(rows)
        if self.needs_whole:
            raise EventError("found a push; accepted: whole windows, as a step looks at all of one")
        due = self.due(array)
        return self._no_rows() if due is None else self._finite(due, self.advance)

    def whole(self, rows: ArrayLike) -> NDArray[Any]:
        """`push` of a whole window from the beginning of a stream, which then begins anew."""
        array = self._checked(rows)
        self.reset()
        made = self._finite(array, self.advance_whole)
        self.reset()
        return made

    def reset(self) -> None:  # noqa: B027  # many have no state
        """As before the first row."""

    @abstractmethod
    def advance(self, rows: Array) -> Array:
        """As `push`, of a checked array; floats are float64 here, in and out."""

    def due(self, rows: Array) -> Array | None:
        """What `advance` is to take; None where the rows wait, as none out would come of them."""
        return rows

    def advance_whole(self, rows: Array) -> Array:
        """As `advance` right after `reset`, of a whole window."""
        return self.advance(rows)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether rows of `shape` can be taken."""
        return shape == self.takes

    def _no_rows(self) -> Array:
        """An empty array, made once: most packets are smaller than a step."""
        if self._none is None:
            import numpy as np

            self._none = np.empty((0, *self.shape), self.dtype)
        return self._none

    def _finite(self, rows: Array, computed: Callable[[Array], Array]) -> NDArray[Any]:
        """What is `computed` of the rows, as `dtype`; EventError and a reset where it overflows."""
        import numpy as np

        try:
            with np.errstate(all="ignore"):  # what overflows is found below
                made: NDArray[Any] = computed(rows).astype(self.dtype, copy=False)
        except BaseException:
            self.reset()
            raise
        if made.dtype.kind == "f" and not np.isfinite(made).all():
            self.reset()
            raise EventError("found a row out that is not finite; accepted: smaller values")
        return made

    def _checked(self, rows: ArrayLike) -> Array:
        import numpy as np

        try:
            array = np.asarray(rows)
        except ValueError as error:
            raise ShapeError(f"rows: {error}; accepted: {self.accepts()}") from None
        shape = array.shape
        fits = len(shape) == 1 + len(self.takes) and self.fits(shape[1:])
        if not fits or array.dtype.kind not in "fiub":
            found = f"shape {shape} of {array.dtype}"
            raise ShapeError(f"rows: found {found}; accepted: {self.accepts()}")
        if array.size > MOST_VALUES:
            raise EventError(f"found {array.size} values; accepted: {MOST_VALUES} in a push")
        if array.dtype.kind == "f":
            sound = np.abs(array) <= _WIDEST  # not of NaN
            if not sound.all():
                at = np.argwhere(~sound)[0]
                found = f"{array[tuple(at)]} in row {at[0]}"
                raise EventError(f"found {found}; accepted: finite numbers of float32", int(at[0]))
            array = array.astype(np.float64, copy=False)
        return array

    def accepts(self) -> str:
        """What rows it takes, in words."""
        shape = ", ".join(("n", *map(str, self.takes)))
        return f"numbers of shape ({shape})"


def check_stream(shape: tuple[int, ...], rate_hz: float | None) -> None:
    """EventError unless rows of `shape` at `rate_hz` can be a stream."""
    sound = len(shape) <= 8 and all(type(n) is int and n >= 1 for n in shape)
    if not sound or math.prod(shape) > MOST_ELEMENTS:
        accepted = f"up to 8 sizes of 1 or more, {MOST_ELEMENTS} elements together"
        raise EventError(f"shape: found {shape!r:.80}; accepted: {accepted}")
    if rate_hz is not None and not 0 < rate_hz <= MOST_RATE_HZ:
        raise EventError(f"rate_hz: found {rate_hz!r}; accepted: above 0 to {MOST_RATE_HZ:g}")


def check_state(front: Front) -> Front:
    """`front`; EventError where it would keep too much."""
    if front.state_bytes > MOST_STATE:
        found = f"{front.state_bytes} bytes of state"
        raise EventError(
            f"found {found}; accepted: {MOST_STATE} (a shorter frame, or fewer values)"
        )
    return front


class FrontEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """The parameters of a front end; equal where all of them are."""

    def stream(self, shape: tuple[int, ...], rate_hz: float | None = None) -> Front:
        """The beginning of a stream of rows of `shape` (() for single samples), at `rate_hz`.

        EventError where the parameters do not fit them. Imports numpy.
        """
        raise NotImplementedError  # each front end has its own


def as_float(rows: Array) -> NDArray[np.float64]:
    """Rows as float64, without a copy where they are."""
    import numpy as np

    return rows.astype(np.float64, copy=False)  # type: ignore[no-any-return]  # an array of numpy
