# SPDX-License-Identifier: Apache-2.0
"""Sliding windows of dense images, one tap at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from neurovm.operators import Padding
from neurovm.operators.window import axis

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Number = TypeVar("_Number", bound=np.generic)


def patches(
    images: NDArray[_Number],
    kernel: Sequence[int],
    stride: tuple[int, int],
    padding: Padding,
    *,
    fill: float,
    dilation: tuple[int, int] = (1, 1),
) -> Iterator[tuple[tuple[int, int], NDArray[_Number]]]:
    """For each tap (i, j): what every window reads there, (N, out H, out W, C), `fill` outside.

    images (N, H, W, C).
    """
    axes = [
        axis(n, k, s, d, padding)
        for n, k, s, d in zip(images.shape[1:3], kernel, stride, dilation, strict=True)
    ]
    margins = [
        (a.before, max((a.size - 1) * s + (k - 1) * d + 1 - n - a.before, 0))
        for a, n, k, s, d in zip(axes, images.shape[1:3], kernel, stride, dilation, strict=True)
    ]
    padded = np.pad(images, [(0, 0), *margins, (0, 0)], constant_values=fill)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows, columns = (
                slice(t * d, t * d + (a.size - 1) * s + 1, s)
                for t, d, a, s in zip((i, j), dilation, axes, stride, strict=True)
            )
            yield (i, j), padded[:, rows, columns]
