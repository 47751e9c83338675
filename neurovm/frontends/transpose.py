# SPDX-License-Identifier: Apache-2.0
"""Transpose: the axes of a row in another order, such as channels before height and width."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from neurovm.encoders.ranges import check_count
from neurovm.errors import EventError
from neurovm.frontends.base import Array, Front, FrontEnd


class Transpose(FrontEnd, frozen=True, tag="transpose", kw_only=True):
    """Axis k of a row out is axis `axes[k]` of the row in, counted from 0: [2, 0, 1] makes
    (channels, height, width) of (height, width, channels).
    """

    axes: Annotated[tuple[int, ...], Meta(min_length=1, max_length=8)]

    def __post_init__(self) -> None:
        axes: object = self.axes  # from Python it may be anything
        if not isinstance(axes, tuple) or not axes:
            raise EventError(f"axes: found {axes!r:.60}; accepted: a tuple of axes")
        for axis in self.axes:
            check_count("axes", axis, 0, 7)
        if sorted(self.axes) != list(range(len(self.axes))):
            raise EventError(f"axes: found {list(self.axes)}; accepted: each axis once, from 0")

    def stream(self, shape: tuple[int, ...], rate_hz: float | None = None) -> Front:
        return TransposeFront(self, shape, rate_hz)


class TransposeFront(Front):
    """Without state: each row stands for itself."""

    def __init__(self, front_end: Transpose, shape: tuple[int, ...], rate_hz: float | None) -> None:
        if len(front_end.axes) != len(shape):
            found = f"{list(front_end.axes)} for rows of shape {shape}"
            raise EventError(f"axes: found {found}; accepted: each of their axes once")
        super().__init__(shape, tuple(shape[axis] for axis in front_end.axes), rate_hz)
        self._axes = (0, *(axis + 1 for axis in front_end.axes))

    def advance(self, rows: Array) -> Array:
        import numpy as np

        return np.ascontiguousarray(rows.transpose(self._axes))
