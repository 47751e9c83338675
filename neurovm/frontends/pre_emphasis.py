# SPDX-License-Identifier: Apache-2.0
"""Pre-emphasis: the first-order high-pass that sound is given before its spectrum."""

from __future__ import annotations

import math

from neurovm.encoders.ranges import check_above
from neurovm.frontends.base import Array, Front, FrontEnd, as_float


class PreEmphasis(FrontEnd, frozen=True, tag="pre_emphasis"):
    """y_i = x_i − coefficient · x_(i − 1), with 0 before the first row.

    coefficient: above 0 to 1; the field's are 0.95 and 0.97, microcontrollers' 1 − 2^-5.
    """

    coefficient: float = 0.97

    def __post_init__(self) -> None:
        check_above("coefficient", self.coefficient, 0, 1)

    def stream(self, shape: tuple[int, ...], rate_hz: float | None = None) -> Front:
        return PreEmphasisFront(self, shape, rate_hz)


class PreEmphasisFront(Front):
    """Keeps the last row."""

    def __init__(
        self, front_end: PreEmphasis, shape: tuple[int, ...], rate_hz: float | None
    ) -> None:
        super().__init__(shape, shape, rate_hz)
        self._coefficient = front_end.coefficient
        self.span = 2
        self.reset()

    @property
    def state_bytes(self) -> int:
        return 8 * math.prod(self.shape)

    def reset(self) -> None:
        import numpy as np

        self._last = np.zeros((1, *self.shape))

    def advance(self, rows: Array) -> Array:
        import numpy as np

        rows = np.concatenate((self._last, as_float(rows)))
        self._last = rows[-1:].copy()
        return rows[1:] - self._coefficient * rows[:-1]
