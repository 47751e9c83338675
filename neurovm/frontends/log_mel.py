# SPDX-License-Identifier: Apache-2.0
"""Log-mel: spectra summed in bands as wide as the ear's, and their logarithm."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

from neurovm.encoders.ranges import check_above, check_count
from neurovm.errors import EventError
from neurovm.frontends.base import MOST_RATE_HZ, Array, Front
from neurovm.frontends.frames import TABLES, FramesFront, Transform, check_choice
from neurovm.frontends.spectrum import LogName, Spectrum, check_rate, rows_times

MOST_MELS = 1024
MOST_WEIGHTS = 1 << 22

MelScale = Literal["htk", "slaney"]
Triangles = Literal["mel", "hertz"]


class LogMel(Spectrum, frozen=True, tag="log_mel", kw_only=True):
    """Spectra (`spectrum`) times n_mels triangles, then the logarithm.

    The corners are n_mels + 2 frequencies from fmin to fmax, equally far apart in mel; triangle m
    rises from corner m to 1 at corner m + 1 and falls to corner m + 2, straight in `triangles`' own
    unit: mel (TensorFlow, Kaldi) or hertz (librosa). mel of f in Hz:

        htk     1127 ln(1 + f / 700)
        slaney  f · 3 / 200 up to 1000 Hz, then 15 + 27 ln(f / 1000) / ln 6.4

    mel_norm: slaney divides each triangle by half its width in Hz (librosa); none does not.
    sample_rate: Hz, none: the rate of the rows. n_mels: 1 … 1024. fmin: 0 or more; fmax: above it,
    to half the rate (none: that). log is ln here unless another is named.
    Sources: Young et al., The HTK Book (2002) 5.4; Slaney, Auditory Toolbox (1998).
    """

    sample_rate: float | None = None
    n_mels: int = 40
    fmin: float = 0.0
    fmax: float | None = None
    mel_scale: MelScale = "htk"
    triangles: Triangles = "mel"
    mel_norm: Literal["none", "slaney"] = "none"
    log: LogName = "ln"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample_rate is not None:
            check_above("sample_rate", self.sample_rate, 0, MOST_RATE_HZ)
        check_count("n_mels", self.n_mels, 1, MOST_MELS)
        if self.n_mels * self.bins > MOST_WEIGHTS:
            found = f"{self.n_mels} with {self.bins} bins"
            raise EventError(f"n_mels: found {found}; accepted: {MOST_WEIGHTS} weights in all")
        if self.fmin != 0:
            check_above("fmin", self.fmin, 0, MOST_RATE_HZ)
        if self.fmax is not None:
            check_above("fmax", self.fmax, self.fmin, MOST_RATE_HZ)
        check_choice("mel_scale", self.mel_scale, MelScale)
        check_choice("triangles", self.triangles, Triangles)
        check_choice("mel_norm", self.mel_norm, Literal["none", "slaney"])

    def stream(self, shape: tuple[int, ...], rate_hz: float | None = None) -> Front:
        bands = self.bands(rate_hz)
        return FramesFront(self, shape, rate_hz, self.n_mels, bands)

    def bands(self, rate_hz: float | None) -> Transform:
        """From frames of rows at `rate_hz` to the logarithm of their bands."""
        spectra, logarithm = self.spectra(), self.logarithm()
        weights = weights_of(self, check_rate(self.sample_rate, rate_hz))

        def computed(frames: Array) -> Array:
            return logarithm(rows_times(spectra(frames), weights))

        return computed


@lru_cache(maxsize=TABLES)
def weights_of(front_end: LogMel, rate_hz: float) -> Array:
    """float64[bins, n_mels]: the triangles, which all streams share."""
    import numpy as np

    fmin, fmax = front_end.fmin, rate_hz / 2 if front_end.fmax is None else front_end.fmax
    if not fmin < fmax <= rate_hz / 2:
        found = f"{fmin:g} to {fmax:g} Hz at {rate_hz:g} Hz"
        raise EventError(f"fmax: found {found}; accepted: above fmin, to half the rate")
    scale = front_end.mel_scale
    ends = to_mel(np.array([fmin, fmax]), scale)
    corners = np.linspace(ends[0], ends[1], front_end.n_mels + 2)
    hertz = from_mel(corners, scale)
    bins = np.arange(front_end.bins) * (rate_hz / front_end.size)
    if front_end.triangles == "mel":
        bins = to_mel(bins, scale)
    else:
        corners = hertz
    rising = (bins[:, None] - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - bins[:, None]) / (corners[2:] - corners[1:-1])
    weights = np.maximum(0, np.minimum(rising, falling))
    if front_end.mel_norm == "slaney":
        weights *= 2 / (hertz[2:] - hertz[:-2])
    return np.ascontiguousarray(weights)


_KNEE_HZ, _KNEE_MEL, _SLANEY_LOG = 1000.0, 15.0, 27.0


def to_mel(hertz: Any, scale: MelScale) -> Any:
    """Frequencies in Hz, 0 or more, as mel."""
    import numpy as np

    if scale == "htk":
        return 1127 * np.log1p(hertz / 700)
    above = _KNEE_MEL + _SLANEY_LOG / np.log(6.4) * np.log(np.maximum(hertz, 1) / _KNEE_HZ)
    return np.where(hertz < _KNEE_HZ, hertz * 3 / 200, above)


def from_mel(mel: Any, scale: MelScale) -> Any:
    """`to_mel` undone."""
    import numpy as np

    if scale == "htk":
        return 700 * np.expm1(mel / 1127)
    above = _KNEE_HZ * np.exp((mel - _KNEE_MEL) * np.log(6.4) / _SLANEY_LOG)
    return np.where(mel < _KNEE_MEL, mel * 200 / 3, above)
