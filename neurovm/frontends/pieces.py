# SPDX-License-Identifier: Apache-2.0
"""Rows that wait for others: pieces are joined while small, so that single rows do not pile up."""

from __future__ import annotations

from neurovm.frontends.base import Array


class Pieces:
    """Owns copies of what is added; `rows` of them wait."""

    def __init__(self) -> None:
        self._pieces: list[Array] = []
        self.rows = 0

    def add(self, rows: Array) -> None:
        import numpy as np

        if not len(rows):
            return
        self._pieces.append(rows.copy())
        self.rows += len(rows)
        while len(self._pieces) > 8 and len(self._pieces[-2]) <= 2 * len(self._pieces[-1]):
            self._pieces[-2:] = [np.concatenate(self._pieces[-2:])]

    def take(self, rows: Array) -> Array:
        """All that wait and `rows` behind them; nothing waits then."""
        import numpy as np

        joined = np.concatenate((*self._pieces, rows)) if self._pieces else rows
        self._pieces, self.rows = [], 0
        return joined
