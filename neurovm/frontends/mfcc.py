# SPDX-License-Identifier: Apache-2.0
"""MFCC: the cosine transform of log-mel bands, of which the first say most."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from neurovm.encoders.ranges import check_above, check_count
from neurovm.frontends.base import Array, Front
from neurovm.frontends.frames import TABLES, FramesFront, check_choice
from neurovm.frontends.log_mel import MOST_MELS, LogMel
from neurovm.frontends.spectrum import rows_times

DctNorm = Literal["htk", "ortho", "none"]


class Mfcc(LogMel, frozen=True, tag="mfcc", kw_only=True):
    """With b_m the bands of `log_mel`, M = n_mels and 0 ≤ c < n_mfcc:

        y_c = lift_c · norm_c · Σ_m b_m cos(πc(2m + 1) / 2M)
        lift_c = 1 + lifter / 2 · sin(πc / lifter)

        dct_norm: htk    norm = √(2 / M)                     (TensorFlow)
        dct_norm: ortho  √(1 / M) for c = 0, √(2 / M) else   (librosa, Kaldi)
        dct_norm: none   2

    n_mfcc: 1 … n_mels. lifter: 0 (none) or above, as HTK and Kaldi count; librosa's lift_c is that
    of c + 1 here.
    Source: Davis, Mermelstein, Comparison of parametric representations for monosyllabic word
    recognition, IEEE Transactions on Acoustics, Speech, and Signal Processing 28 (1980) 357.
    """

    n_mfcc: int = 13
    dct_norm: DctNorm = "htk"
    lifter: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("n_mfcc", self.n_mfcc, 1, min(self.n_mels, MOST_MELS))
        check_choice("dct_norm", self.dct_norm, DctNorm)
        if self.lifter != 0:
            check_above("lifter", self.lifter, 0)

    def stream(self, shape: tuple[int, ...], rate_hz: float | None = None) -> Front:
        bands, cosines = self.bands(rate_hz), cosines_of(self)

        def computed(frames: Array) -> Array:
            return rows_times(bands(frames), cosines)

        return FramesFront(self, shape, rate_hz, self.n_mfcc, computed)


@lru_cache(maxsize=TABLES)
def cosines_of(front_end: Mfcc) -> Array:
    """float64[n_mels, n_mfcc]: the transform with its norm and lift, which all streams share."""
    import numpy as np

    bands, lifter = front_end.n_mels, front_end.lifter
    m, c = np.arange(bands)[:, None], np.arange(front_end.n_mfcc)
    made = np.cos(np.pi * c * (2 * m + 1) / (2 * bands))
    made *= 2 if front_end.dct_norm == "none" else np.sqrt(2 / bands)
    if front_end.dct_norm == "ortho":
        made[:, 0] /= np.sqrt(2)
    if lifter:
        made *= 1 + lifter / 2 * np.sin(np.pi * c / lifter)
    return made
