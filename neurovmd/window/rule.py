# SPDX-License-Identifier: Apache-2.0
"""`window` of an input: how samples become windows of frames, as a VM's file has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from neurovm import quantity
from neurovm.frontends import AnyFrontEnd

MOST_S = 1e9
"""The longest duration."""
Frames = Annotated[int, Meta(ge=1, le=1 << 24)]
Rate = Annotated[float, Meta(ge=1e-6, le=1e9)]
Channels = Annotated[list[float], Meta(min_length=1, max_length=1 << 16)]


class Window(Struct, frozen=True, forbid_unknown_fields=True):
    """A window of `size` frames (none: as the model has them) that moves on by `hop` frames.

    `by: time`: both are durations (`1 s`), which the rate of the frames makes numbers of frames.
    `hop: auto`: the cheapest hop of at least `period` (none: one that is cheap to slide). `axis`:
    which axis of the input tensor is time. `whole`: every message holds a whole window.

    `time` is the payload's, or that of arrival; none: the payload's where it has one. Samples
    are put in order by it where they come at most `late` after newer ones, and are let go beyond.
    Further apart than `gap_after` is a `gap`: the window begins anew, or what is missing is
    filled with the last row or a straight line (a gap longer than the window begins anew).
    `rate_hz`: rows are found on a grid of that rate, by straight lines between samples.

    Values are multiplied by `scale`, then `offset` is added (one for all channels of a frame, or
    one each). `normalize`: each channel of each whole window is divided by its largest magnitude,
    or by its standard deviation after its mean was taken away. `front_end` makes something else of
    every whole window; that of the input itself is computed once for each sample.
    """

    size: Frames | str | None = None
    hop: Frames | str = 1
    by: Literal["count", "time"] = "count"
    axis: Annotated[int, Meta(ge=0, le=15)] | Literal["auto"] = "auto"
    exact: bool = True
    whole: bool = False
    period: str | float | None = None
    time: Literal["payload", "arrival"] | None = None
    late: str | float | None = None
    gap: Literal["reset", "hold", "interpolate"] = "reset"
    gap_after: str | float | None = None
    rate_hz: Rate | None = None
    scale: float | Channels = 1.0
    offset: float | Channels = 0.0
    normalize: Literal["none", "peak", "mean_variance"] = "none"
    front_end: list[AnyFrontEnd] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.exact:
            raise ValueError(
                "exact: found false; accepted: true (rows at the ends of a window are always "
                "computed anew)"
            )
        self._check_lengths()
        for key in ("period", "late", "gap_after"):
            value = getattr(self, key)
            if value is not None:
                _check_duration(value, key)
        if self.period is not None and self.hop != "auto":
            raise ValueError(f"period: found {self.period!r}; accepted: it with hop: auto")
        for key in ("scale", "offset"):
            value = getattr(self, key)
            numbers = value if isinstance(value, list) else [value]
            if not all(map(math.isfinite, numbers)):
                raise ValueError(f"{key}: found {value}; accepted: finite numbers")
        self._check_whole()

    def _check_lengths(self) -> None:
        for key in ("size", "hop"):
            value = getattr(self, key)
            if value is None or (key == "hop" and value == "auto"):
                continue
            if self.by == "time":
                if key == "hop" and value == 1 and isinstance(value, int):
                    continue  # the default: one frame
                _check_duration(value, key)
            elif isinstance(value, str):
                also = " or auto" if key == "hop" else ""
                accepted = f"a number of frames{also}; a duration with by: time"
                raise ValueError(f"{key}: found {value!r}; accepted: {accepted}")

    def _check_whole(self) -> None:
        if not self.whole:
            return
        for key, nothing in (("rate_hz", None), ("late", None), ("gap_after", None), ("hop", 1)):
            if getattr(self, key) != nothing:
                found = f"{key}: found {getattr(self, key)!r} with whole: true"
                raise ValueError(f"{found}; accepted: nothing (each message is one window)")

    @property
    def late_us(self) -> int:
        """How long a sample is waited for, in µs."""
        return microseconds(self.late) or 0

    @property
    def gap_us(self) -> int | None:
        """From where on a silence is a gap, in µs."""
        return microseconds(self.gap_after)

    @property
    def period_s(self) -> float | None:
        """The wanted time between two results."""
        if self.period is None:
            return None
        return quantity.parse(self.period, quantity.SECONDS)

    @property
    def is_timed(self) -> bool:
        """Whether it matters when samples were taken."""
        given = (self.time, self.late, self.gap_after, self.rate_hz)
        return self.gap != "reset" or any(each is not None for each in given)


def _check_duration(value: str | float, key: str) -> None:
    """ValueError unless it is one, and one that somebody may wait for."""
    if quantity.parse(value, quantity.SECONDS, key=key) > MOST_S:
        raise ValueError(f"{key}: found {value!r:.60}; accepted: at most {MOST_S:g} s")


def microseconds(value: str | float | None) -> int | None:
    """A duration in whole µs, at least 1; None for none."""
    if value is None:
        return None
    return max(1, round(quantity.parse(value, quantity.SECONDS) * 1e6))


def of_channel(values: float | Sequence[float], width: int) -> list[float]:
    """One number for each of `width` channels; ValueError where a list has another length."""
    if isinstance(values, (int, float)):
        return [float(values)] * width
    if len(values) != width:
        raise ValueError(f"found {len(values)} numbers; accepted: one, or {width}")
    return list(values)
