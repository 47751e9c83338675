# SPDX-License-Identifier: Apache-2.0
"""Frames: overlapping stretches of a signal under a window function."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from neurovm.encoders.ranges import check_count, check_flag
from neurovm.errors import EventError
from neurovm.frontends.base import MOST_ELEMENTS, MOST_VALUES, Array, Front, FrontEnd, as_float

MOST_LENGTH = 1 << 16
MOST_STEP = 1 << 24
_AT_ONCE = 1 << 16
"""Values of frames that are computed at a time: temporary arrays stay in the cache."""

TABLES = 8
"""Tables of each kind that are kept for further streams of the same front end."""

WindowName = Literal["hann", "hamming", "blackman", "povey", "rectangular"]
Transform = Callable[[Array], Array]
"""From (frames, elements, frame_length) under the window to (frames, elements, values)."""


class Frames(FrontEnd, frozen=True, tag="frames", kw_only=True):
    """Frame k, k ≥ 0, of every element: y_kn = w_n · x_(k · frame_step + n), 0 ≤ n < frame_length.

    frame_length: 1 … 65536 rows, frame_step: 1 … 2^24; rows between frames further apart than
    long are left out. A row out is (*takes, frame_length).
    With N = frame_length (periodic, default), or frame_length − 1 (symmetric), and c = 2πn / N:

        hann        0.5 − 0.5 cos c
        hamming     0.54 − 0.46 cos c
        blackman    0.42 − 0.5 cos c + 0.08 cos 2c
        povey       (0.5 − 0.5 cos c)^0.85
        rectangular 1

    Source: Harris, On the use of windows for harmonic analysis with the discrete Fourier transform,
    Proceedings of the IEEE 66 (1978) 51; povey is Kaldi's.
    """

    frame_length: int
    frame_step: int
    window: WindowName = "hann"
    periodic: bool = True

    def __post_init__(self) -> None:
        check_count("frame_length", self.frame_length, 1, MOST_LENGTH)
        check_count("frame_step", self.frame_step, 1, MOST_STEP)
        check_choice("window", self.window, WindowName)
        check_flag("periodic", self.periodic)

    def stream(self, shape: tuple[int, ...], rate_hz: float | None = None) -> Front:
        return FramesFront(self, shape, rate_hz, self.frame_length, lambda frames: frames)


def check_choice(key: str, value: object, choices: object) -> None:
    """EventError unless `value` is one of a Literal's."""
    accepted = choices.__args__  # type: ignore[attr-defined]  # of every Literal
    if value not in accepted:
        names = ", ".join(map(str, accepted))
        raise EventError(f"{key}: found {value!r:.60}; accepted: {names}")


class FramesFront(Front):
    """Keeps the rows of the frame that is not full; `transform` makes `values` of each frame."""

    def __init__(
        self,
        front_end: Frames,
        shape: tuple[int, ...],
        rate_hz: float | None,
        values: int,
        transform: Transform,
    ) -> None:
        self._length, self._step = front_end.frame_length, front_end.frame_step
        rate = None if rate_hz is None else rate_hz / self._step
        super().__init__(shape, (*shape, values), rate)
        self.first = self._length
        self.step = self._step
        self.span = self._length
        self._elements = math.prod(shape)
        if self._elements * self._length > MOST_ELEMENTS:
            found = f"frames of {self._length} rows of {self._elements}"
            raise EventError(f"frame_length: found {found}; accepted: {MOST_ELEMENTS} values")
        self._window = window_of(front_end)
        self._transform = transform
        self.reset()

    @property
    def state_bytes(self) -> int:
        return 8 * self._elements * self._length

    def reset(self) -> None:
        import numpy as np

        self._kept = np.empty((self._length, self._elements))
        self._filled = 0
        self._skipped = 0

    def advance(self, rows: Array) -> Array:
        import numpy as np

        rows = as_float(rows).reshape(len(rows), self._elements)
        if self._skipped:
            left_out = min(self._skipped, len(rows))
            self._skipped -= left_out
            rows = rows[left_out:]
        have = self._filled + len(rows)
        if have < self._length:
            self._keep(rows)
            return np.empty((0, *self.shape))
        rows = np.concatenate((self._kept[: self._filled], rows))
        count = (have - self._length) // self._step + 1
        made = self._frames(rows, count)
        after = count * self._step
        self._skipped = max(0, after - have)
        self._filled = 0
        self._keep(rows[after:])
        return made

    def _keep(self, rows: Array) -> None:
        end = self._filled + len(rows)
        self._kept[self._filled : end] = rows
        self._filled = end

    def _frames(self, rows: Array, count: int) -> Array:
        """What is made of the `count` frames that begin with the first of the rows."""
        import numpy as np

        values = self._elements * self.shape[-1]
        if count * values > MOST_VALUES:
            found = f"{count} frames of {values} values"
            raise EventError(f"found {found}; accepted: {MOST_VALUES} values out of a push")
        made = np.empty((count, self._elements, self.shape[-1]))
        at_once = max(1, _AT_ONCE // (self._elements * self._length))
        row = 8 * self._elements
        for at in range(0, count, at_once):
            part = min(at_once, count - at)
            frames = np.ndarray(
                (part, self._elements, self._length),
                np.float64,
                rows,
                at * self._step * row,
                (self._step * row, 8, row),
            )
            windowed = np.multiply(frames, self._window, order="C")
            made[at : at + part] = self._transform(windowed)
        return made.reshape(count, *self.shape)


@lru_cache(maxsize=TABLES)
def window_of(front_end: Frames) -> Array:
    """float64[frame_length]: its window function, which all streams share."""
    import numpy as np

    length, name = front_end.frame_length, front_end.window
    period = length if front_end.periodic else max(1, length - 1)
    angle = 2 * np.pi * np.arange(length) / period
    if not front_end.periodic and length == 1:
        return np.ones(1)
    if name == "hann":
        return 0.5 - 0.5 * np.cos(angle)
    if name == "hamming":
        return 0.54 - 0.46 * np.cos(angle)
    if name == "blackman":
        return 0.42 - 0.5 * np.cos(angle) + 0.08 * np.cos(2 * angle)
    if name == "povey":
        return (0.5 - 0.5 * np.cos(angle)) ** 0.85
    return np.ones(length)
