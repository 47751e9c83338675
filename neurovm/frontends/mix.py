# SPDX-License-Identifier: Apache-2.0
"""Mix: one channel of several, such as stereo as mono, or the first of four microphones."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from neurovm.encoders.ranges import check_finite
from neurovm.errors import EventError
from neurovm.frontends.base import Array, Front, FrontEnd, as_float

MOST_MIXED = 64


class Mix(FrontEnd, frozen=True, tag="mix", kw_only=True):
    """y = Σ_c weights_c · x_c over the last axis of a row, which is gone then.

    weights: 1 … 64 numbers, one a channel: [0.5, 0.5] makes mono of stereo, [1, 0] takes the left.
    """

    weights: Annotated[tuple[float, ...], Meta(min_length=1, max_length=MOST_MIXED)]

    def __post_init__(self) -> None:
        weights: object = self.weights  # from Python it may be anything
        if not isinstance(weights, tuple) or not 1 <= len(weights) <= MOST_MIXED:
            accepted = f"a tuple of 1 to {MOST_MIXED} numbers"
            raise EventError(f"weights: found {weights!r:.60}; accepted: {accepted}")
        for weight in weights:
            check_finite("weights", weight)

    def stream(self, shape: tuple[int, ...], rate_hz: float | None = None) -> Front:
        return MixFront(self, shape, rate_hz)


class MixFront(Front):
    """Without state: each row stands for itself."""

    def __init__(self, front_end: Mix, shape: tuple[int, ...], rate_hz: float | None) -> None:
        self._weights = front_end.weights
        if not shape or shape[-1] != len(self._weights):
            found = f"{len(self._weights)} for rows of shape {shape}"
            raise EventError(f"weights: found {found}; accepted: one for each of the last axis")
        super().__init__(shape, shape[:-1], rate_hz)

    def advance(self, rows: Array) -> Array:
        rows = as_float(rows)
        made = rows[..., 0] * self._weights[0]
        for channel, weight in enumerate(self._weights[1:], 1):
            made += rows[..., channel] * weight
        return made
