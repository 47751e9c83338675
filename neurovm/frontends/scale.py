# SPDX-License-Identifier: Apache-2.0
"""Scale, offset and clip: a straight line through every value, for all alike or by channel."""

from __future__ import annotations

import math
from typing import Annotated, Any

from msgspec import Meta

from neurovm.encoders.ranges import check_above, check_finite
from neurovm.errors import EventError
from neurovm.frontends.base import Array, Front, FrontEnd, as_float

MOST_CHANNELS = 65536
Channels = float | Annotated[tuple[float, ...], Meta(min_length=1, max_length=MOST_CHANNELS)]
"""One number for all channels, or one for each; channels are a row's last axis."""


class Scale(FrontEnd, frozen=True, tag="scale"):
    """y = min(max(scale · x + offset, low), high), in this order.

    scale, offset: a number, or one a channel (the last axis of a row). low, high: in y's units,
    none: no bound. Standardisation by known statistics is scale = 1 / std, offset = −mean / std.
    """

    scale: Channels = 1.0
    offset: Channels = 0.0
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        for key in ("scale", "offset"):
            value = getattr(self, key)
            for number in value if isinstance(value, tuple) else (value,):
                check_finite(key, number)
        low, high = self.low, self.high
        if low is not None:
            check_finite("low", low)
        if high is not None:
            check_above("high", high, -math.inf if low is None else low)

    def stream(self, shape: tuple[int, ...], rate_hz: float | None = None) -> Front:
        return ScaleFront(self, shape, rate_hz)


class ScaleFront(Front):
    """Without state: each row stands for itself."""

    def __init__(self, front_end: Scale, shape: tuple[int, ...], rate_hz: float | None) -> None:
        super().__init__(shape, shape, rate_hz)
        self._scale = by_channel("scale", front_end.scale, shape)
        self._offset = by_channel("offset", front_end.offset, shape)
        self._bounds = (front_end.low, front_end.high)

    def advance(self, rows: Array) -> Array:
        made = as_float(rows) * self._scale + self._offset
        return made if self._bounds == (None, None) else made.clip(*self._bounds)


def by_channel(key: str, value: float | tuple[float, ...], shape: tuple[int, ...]) -> Any:
    """float64[1] or float64[channels]; EventError where there are other channels than numbers."""
    import numpy as np

    if isinstance(value, tuple) and (shape[-1] if shape else 1) != len(value):
        found = f"{len(value)} numbers for rows of shape {shape}"
        raise EventError(f"{key}: found {found}; accepted: one, or one for each of the last axis")
    numbers = np.atleast_1d(np.asarray(value, np.float64))
    return numbers if shape else numbers[0]
