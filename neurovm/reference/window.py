# SPDX-License-Identifier: Apache-2.0
"""Sliding windows of dense images, one tap at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from neurovm.operators import Padding
from neurovm.operators.window import axis, outputs_inside

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

    Taps that read nothing but `fill` are left out. images (N, H, W, C).
    """
    axes = [
        axis(n, k, s, d, padding)
        for n, k, s, d in zip(images.shape[1:3], kernel, stride, dilation, strict=True)
    ]
    shape = (images.shape[0], axes[0].size, axes[1].size, images.shape[3])
    for i, j in itertools.product(*(range(k) for k in kernel)):
        offsets = [t * d - a.before for t, d, a in zip((i, j), dilation, axes, strict=True)]
        inside = [
            outputs_inside(n, a.size, s, o)
            for n, a, s, o in zip(images.shape[1:3], axes, stride, offsets, strict=True)
        ]
        if not all(inside):
            continue
        rows, columns = (
            slice(p[0] * s + o, p[-1] * s + o + 1, s)
            for p, s, o in zip(inside, stride, offsets, strict=True)
        )
        read = images[:, rows, columns]
        if read.shape != shape:
            patch = np.full(shape, fill, images.dtype)
            patch[:, inside[0][0] : inside[0][-1] + 1, inside[1][0] : inside[1][-1] + 1] = read
            read = patch
        yield (i, j), read
