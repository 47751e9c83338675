# SPDX-License-Identifier: Apache-2.0
"""Linear interpolation along one axis in fixed point: what RESIZE_BILINEAR reads, and how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Interpolation:
    """Output k is (one − weight[k]) · x[lower[k]] + weight[k] · x[upper[k]], one = 2^bits.

    `half_away`: products of both axes are rounded half away from zero, else half up.
    """

    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    weight: NDArray[np.int64]
    bits: int
    half_away: bool = False


def interpolation_float(
    length: int, size: int, *, align_corners: bool, half_pixel_centers: bool
) -> Interpolation:
    """Positions in float32, weights of 11 bits.

    Source: XNNPACK, indirection.c (xnn_indirection_init_resize_bilinear2d_hwc_q11).
    """
    corners = int(align_corners and size > 1)
    scale = np.float32(length - corners) / np.float32(size - corners)
    at = np.arange(size, dtype=np.float32) * scale
    if half_pixel_centers:
        at = at + (np.float32(0.5) * scale - np.float32(0.5))
    at = np.clip(at, np.float32(0), np.float32(length - 1))
    lower = np.floor(at).astype(np.int64)
    weight = np.rint((at - lower.astype(np.float32)) * np.float32(2048)).astype(np.int64)
    return Interpolation(
        lower=lower, upper=np.minimum(lower + 1, length - 1), weight=weight, bits=11
    )


def interpolation_integer(
    length: int, size: int, *, align_corners: bool, half_pixel_centers: bool
) -> Interpolation:
    """Positions and weights of 10 bits in integers, divisions truncated as in C.

    Source: tensorflow/lite/kernels/internal/reference/resize_bilinear.h (ResizeBilinearInteger).
    """
    scale = (1024 * length + size // 2) // size
    if align_corners and size > 1:
        scale = (1024 * (length - 1) + (size - 1) // 2) // (size - 1)
    at = np.arange(size, dtype=np.int64) * scale
    if half_pixel_centers:
        at = at + scale // 2 - 512
    lower = np.maximum(np.where(at < 0, 0, at >> 10), 0)
    above = at + 1023
    upper = np.minimum(np.where(above < 0, -(-above >> 10), above >> 10), length - 1)
    return Interpolation(
        lower=np.minimum(lower, length - 1), upper=np.maximum(upper, 0), weight=at - 1024 * lower,
        bits=10, half_away=True,
    )  # fmt: skip
