# SPDX-License-Identifier: Apache-2.0
"""Front ends one after another."""

from __future__ import annotations

import math
from collections.abc import Sequence

from neurovm.errors import EventError
from neurovm.frontends.base import Array, Front, FrontEnd, check_state
from neurovm.frontends.pieces import Pieces

MOST_STAGES = 32


def chain(
    front_ends: Sequence[FrontEnd], shape: tuple[int, ...] = (), rate_hz: float | None = None
) -> Front:
    """The beginning of a stream of rows of `shape` (() for single samples) through `front_ends`.

    rate_hz: rows in a second; None: unknown, for front ends that need none. Pictures of any size
    have the shape (0, 0, channels). EventError names the
    front end (by its number and kind) that does not fit what comes before it. Imports numpy.
    """
    if len(front_ends) > MOST_STAGES:
        raise EventError(f"found {len(front_ends)} front ends; accepted: up to {MOST_STAGES}")
    stages: list[Front] = []
    last: tuple[tuple[int, ...], float | None] = (shape, rate_hz)
    for number, front_end in enumerate(front_ends):
        try:
            stage = check_state(front_end.stream(*last))
        except EventError as error:
            kind = type(front_end).__struct_config__.tag
            raise EventError(f"front end {number} ({kind}): {error}") from None
        stages.append(stage)
        last = (stage.shape, stage.rate_hz)
    if 0 in last[0]:
        accepted = "a crop or a resize, after which all are alike"
        raise EventError(f"front ends: found pictures of any size out; accepted: {accepted}")
    return stages[0] if len(stages) == 1 else Chain(stages, shape, rate_hz)


class Chain(Front):
    """Owns its stages, of which each takes what the one before gives; none: rows pass as reals.

    Rows wait until they complete a row out: small packets cost little more than few large ones.
    """

    def __init__(
        self, stages: Sequence[Front], takes: tuple[int, ...], rate_hz: float | None
    ) -> None:
        last = stages[-1] if stages else None
        super().__init__(
            last.shape if last else takes,
            last.shape if last else takes,
            last.rate_hz if last else rate_hz,
        )
        self.takes = takes  # which the first stage has checked
        self._stages = tuple(stages)
        self.dtype = last.dtype if last else "float32"
        self.needs_whole = any(stage.needs_whole for stage in stages)
        # The k-th row of a stage (from 1) needs first + (k - 1) · step rows of the one before.
        self.steady = all(stage.steady for stage in stages)
        for stage in stages:
            self.first += (stage.first - 1) * self.step
            self.span += (stage.span - 1) * self.step
            self.step *= stage.step
        self.reset()

    @property
    def state_bytes(self) -> int:
        waiting = max(self.first, self.step) - 1 if self.steady else 0
        stages = sum(stage.state_bytes for stage in self._stages)
        return stages + 8 * waiting * math.prod(max(1, n) for n in self.takes)

    def reset(self) -> None:
        self._waiting = Pieces()
        self._until = self.first
        for stage in self._stages:
            stage.reset()

    def due(self, rows: Array) -> Array | None:
        have = self._waiting.rows + len(rows)
        if not self.steady:
            return rows
        if have < self._until:
            self._waiting.add(rows)
            return None
        self._until = self.step - (have - self._until) % self.step
        return self._waiting.take(rows)

    def fits(self, shape: tuple[int, ...]) -> bool:
        return self._stages[0].fits(shape) if self._stages else super().fits(shape)

    def accepts(self) -> str:
        return self._stages[0].accepts() if self._stages else super().accepts()

    def advance(self, rows: Array) -> Array:
        for stage in self._stages:
            rows = stage.advance(rows)
            if not len(rows):
                return self._no_rows()
        return rows

    def advance_whole(self, rows: Array) -> Array:
        for stage in self._stages:
            rows = stage.advance_whole(rows)
        return rows
