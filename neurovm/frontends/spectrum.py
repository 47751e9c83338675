# SPDX-License-Identifier: Apache-2.0
"""Spectrum: magnitude or power of the discrete Fourier transform of frames."""

from __future__ import annotations

import math
from typing import Literal

from neurovm.encoders.ranges import check_above, check_count
from neurovm.errors import EventError
from neurovm.frontends.base import Array, Front, check_stream
from neurovm.frontends.frames import MOST_LENGTH, Frames, FramesFront, Transform, check_choice

LogName = Literal["none", "ln", "log10", "db"]


class Spectrum(Frames, frozen=True, tag="spectrum", kw_only=True):
    """y_kb = gain · |X_kb|^power, 0 ≤ b ≤ n_fft / 2, with X_k the transform of frame k (`frames`)
    with zeros after it up to n_fft; then, with z = max(y + log_offset, log_floor),

        log: none   y
        log: ln     ln z
        log: log10  log10 z
        log: db     (20 / power) · log10 z

    n_fft: frame_length … 65536, any number; none: frame_length. power: 1 (magnitude) or 2.
    gain: above 0; 1 / n_fft is that of a periodogram. log_offset, log_floor: 0 or more; a logarithm
    needs one of them above 0, which is what silence becomes.
    """

    n_fft: int | None = None
    power: Literal[1, 2] = 2
    gain: float = 1.0
    log: LogName = "none"
    log_offset: float = 1e-6
    log_floor: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_fft is not None:
            check_count("n_fft", self.n_fft, self.frame_length, MOST_LENGTH)
        check_choice("power", self.power, Literal[1, 2])
        check_above("gain", self.gain, 0)
        check_choice("log", self.log, LogName)
        for key in ("log_offset", "log_floor"):
            if getattr(self, key) != 0:
                check_above(key, getattr(self, key), 0)
        if self.log != "none" and self.log_offset == self.log_floor == 0:
            raise EventError("log_offset: found 0 with log_floor 0; accepted: one above 0 with log")

    @property
    def size(self) -> int:
        """Points of the transform."""
        return self.n_fft or self.frame_length

    @property
    def bins(self) -> int:
        return self.size // 2 + 1

    def stream(self, shape: tuple[int, ...], rate_hz: float | None = None) -> Front:
        spectra, logarithm = self.spectra(), self.logarithm()
        return FramesFront(self, shape, rate_hz, self.bins, lambda x: logarithm(spectra(x)))

    def spectra(self) -> Transform:
        """From frames to gain · |X|^power, each by itself, so the same bits beside any others."""
        import numpy as np

        size, power, gain = self.size, self.power, self.gain

        def computed(frames: Array) -> Array:
            transformed = np.fft.rfft(frames, size)
            # Products, sums and roots are the same bits in vectors and outside; hypot is not.
            squares = transformed.real**2 + transformed.imag**2
            made = squares if power == 2 else np.sqrt(squares)
            return made if gain == 1 else made * gain

        return computed

    def logarithm(self) -> Transform:
        """The stated logarithm, in place."""
        import numpy as np

        if self.log == "none":
            return lambda values: values
        function = np.log if self.log == "ln" else np.log10
        factor = 20 / self.power if self.log == "db" else 1.0
        offset, floor = self.log_offset, self.log_floor

        def computed(values: Array) -> Array:
            values += offset
            if floor:
                np.maximum(values, floor, out=values)
            function(values, out=values)
            if factor != 1:
                values *= factor
            return values

        return computed


def rows_times(rows: Array, matrix: Array) -> Array:
    """(…, k) @ (k, n), row by row: a BLAS may add up several rows in another order than one."""
    import numpy as np

    return np.matmul(rows[..., None, :], matrix)[..., 0, :]


def check_rate(sample_rate: float | None, rate_hz: float | None) -> float:
    """The rate of a stream's rows; EventError where it is unknown, none at all, or two differ."""
    check_stream((), rate_hz)
    if sample_rate is None and rate_hz is None:
        raise EventError("sample_rate: found none, nor a rate of its input; accepted: one of them")
    if sample_rate is None or rate_hz is None:
        return sample_rate or rate_hz or 0.0
    if not math.isclose(sample_rate, rate_hz, rel_tol=1e-9):
        found = f"{sample_rate:g} Hz for rows of {rate_hz:g} Hz"
        raise EventError(f"sample_rate: found {found}; accepted: the rate of its input, or none")
    return sample_rate
