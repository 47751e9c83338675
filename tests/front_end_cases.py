# SPDX-License-Identifier: Apache-2.0
"""Front ends of every kind, each with rows it can take; every kind has to stand here."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from neurovm.frontends import Difference, FrontEnd, Scale


class Case(NamedTuple):
    name: str
    front_ends: list[FrontEnd]
    shape: tuple[int, ...] = ()
    rate_hz: float | None = None
    rows: int = 200
    integer: bool = False

    def samples(self, seed: int = 0) -> np.ndarray[Any, Any]:
        """(rows, *shape): a slow wave with noise, int16 or float64."""
        rng = np.random.default_rng(seed)
        wave = np.sin(np.arange(self.rows) * 0.05).reshape(-1, *(1 for _ in self.shape))
        values = 0.5 * wave + rng.normal(0, 0.1, (self.rows, *self.shape))
        return np.rint(values * 20000).astype(np.int16) if self.integer else values


CASES = [
    Case("scale", [Scale(scale=1 / 32768)], integer=True),
    Case("scale-channels", [Scale((1.0, -2.0, 0.5), (0.0, 1.0, -1.0), -1, 1)], (3,)),
    Case("difference", [Difference()]),
    Case("difference-padding", [Difference(lag=3, padding=True)], (2, 2)),
    Case("difference-lag", [Difference(lag=7)], (3,)),
    Case("chain", [Scale(scale=2), Difference(), Difference(lag=2, padding=True)], (2,)),
    Case("nothing", [], (2,)),
]
