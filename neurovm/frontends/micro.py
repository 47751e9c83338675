# SPDX-License-Identifier: Apache-2.0
"""The sound front end of TensorFlow Lite Micro, as microWakeWord and micro_speech were trained on.

With the settings of microWakeWord `pymicro-features` computes it, where that is installed; without
it, and for other settings, NumPy does in the same integers.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from neurovm.encoders.ranges import check_above, check_between, check_count, check_flag
from neurovm.errors import EventError
from neurovm.frontends.base import Array, Front, FrontEnd
from neurovm.frontends.fixed_fft import FixedRfft
from neurovm.frontends.frames import TABLES, Frames, FramesFront, check_choice
from neurovm.frontends.micro_features import ConstantsName
from neurovm.frontends.spectrum import check_rate

CHUNK = 160
"""Samples that pymicro-features takes at a time."""
UNIT = 0.0390625
"""What pymicro-features multiplies features by: 1 / 25.6."""

OutputName = Literal["float", "uint16", "int8"]


class Micro(FrontEnd, frozen=True, tag="micro", kw_only=True):
    """Frames under a Hann window, energies in mel bands, less a noise that each band remembers, an
    automatic gain (PCAN) and a logarithm; all in integers, bit for bit those of the C code.

    Rows are samples of int16; reals are rounded and held to that range. The parameters are those of
    TensorFlow's audio_microfrontend; window_size and window_step in ms, at sample_rate (Hz) whole
    samples. The defaults are microWakeWord's; micro_speech has window_step 20, constants signal and
    output int8.

    constants: whose: microfrontend rounds window and bands to the nearest; signal, which
    TensorFlow Lite Micro's audio_preprocessor was made with, rounds the bands down.
    output: uint16  the features
            float   their 1 / 25.6, as pymicro-features gives them and microWakeWord was trained on
            int8    (256 · feature + 333) / 666 − 128, held to int8, as microcontrollers do
    Sources: tensorflow/lite/experimental/microfrontend; Wang et al., Trainable frontend for robust
    and far-field keyword spotting, ICASSP 2017.
    """

    sample_rate: int = 16000
    window_size: int = 30
    window_step: int = 10
    num_channels: int = 40
    lower_band_limit: float = 125.0
    upper_band_limit: float = 7500.0
    smoothing_bits: int = 10
    even_smoothing: float = 0.025
    odd_smoothing: float = 0.06
    min_signal_remaining: float = 0.05
    enable_pcan: bool = True
    pcan_strength: float = 0.95
    pcan_offset: float = 80.0
    gain_bits: int = 21
    enable_log: bool = True
    scale_shift: int = 6
    constants: ConstantsName = "microfrontend"
    output: OutputName = "float"

    def __post_init__(self) -> None:
        check_count("sample_rate", self.sample_rate, 1000, 384000)
        check_count("window_size", self.window_size, 1, 1000)
        check_count("window_step", self.window_step, 1, 10000)
        if not 8 <= self.length <= 4096:
            found = f"{self.window_size} ms, {self.length} samples"
            raise EventError(f"window_size: found {found}; accepted: 8 to 4096 samples")
        check_count("num_channels", self.num_channels, 1, 256)
        check_above("lower_band_limit", self.lower_band_limit, 0, self.sample_rate)
        check_above(
            "upper_band_limit", self.upper_band_limit, self.lower_band_limit, self.sample_rate / 2
        )
        correction = self.correction_bits
        check_count("smoothing_bits", self.smoothing_bits, max(0, correction), 10)
        for key in ("even_smoothing", "odd_smoothing", "min_signal_remaining"):
            check_between(key, getattr(self, key), 0, 1)
        check_flag("enable_pcan", self.enable_pcan)
        check_above("pcan_strength", self.pcan_strength, 0, 4)
        check_above("pcan_offset", self.pcan_offset, 0, 1e6)
        check_count("gain_bits", self.gain_bits, 12 + max(0, correction), 31)
        check_flag("enable_log", self.enable_log)
        check_count("scale_shift", self.scale_shift, 0, 11)
        check_choice("constants", self.constants, ConstantsName)
        check_choice("output", self.output, OutputName)

    @property
    def length(self) -> int:
        """Samples of a frame."""
        return self.window_size * self.sample_rate // 1000

    @property
    def size(self) -> int:
        """Points of the transform: the next power of two."""
        return 1 << (self.length - 1).bit_length()

    @property
    def correction_bits(self) -> int:
        """Bits by which a level is smaller for the length of its transform."""
        return self.size.bit_length() - 1 - 6

    def stream(self, shape: tuple[int, ...], rate_hz: float | None = None) -> Front:
        check_rate(float(self.sample_rate), rate_hz)
        plain = Micro(output=self.output)
        if self == plain and math.prod(shape) == 1:
            try:
                return PymicroFront(self, shape, rate_hz)
            except ImportError:
                pass
        return MicroFront(self, shape, rate_hz)


def written(features: Array, output: OutputName) -> Array:
    """Features as `output` says, whole numbers but for float."""
    import numpy as np

    if output == "uint16":
        return features
    if output == "float":
        return features * UNIT
    return np.clip((256 * features + 333) // 666 - 128, -128, 127)


def samples_of(rows: Array) -> Array:
    """Rows as numbers within int16."""
    import numpy as np

    if rows.dtype == np.int16:
        return rows
    return np.clip(np.rint(rows.astype(np.float64)), -32768, 32767)


class Tables(NamedTuple):
    """What the parameters come to (`neurovm.frontends.micro_features`)."""

    hann: Array
    bands: Array
    gains: Array
    logs: Array
    smoothing: Array
    rfft: FixedRfft


@lru_cache(maxsize=TABLES)
def tables_of(front_end: Micro) -> Tables:
    """The tables of a front end, which all streams share."""
    import numpy as np

    from neurovm.frontends import micro_features as stages

    p = front_end
    low, high, bins = p.lower_band_limit, p.upper_band_limit, p.size // 2 + 1
    one = 1 << stages.NOISE_BITS
    smoothing = np.full(p.num_channels, int(p.even_smoothing * one), np.int64)
    smoothing[1::2] = int(p.odd_smoothing * one)
    return Tables(
        hann=stages.hann(p.length, p.constants),
        bands=stages.mel_bands(p.sample_rate, bins, p.num_channels, low, high, p.constants),
        gains=stages.gain_table(
            p.pcan_strength, p.pcan_offset, p.gain_bits, p.smoothing_bits - p.correction_bits
        ),
        logs=stages.log_table(),
        smoothing=smoothing,
        rfft=FixedRfft(p.size),
    )


class MicroFront(FramesFront):
    """Keeps the rows of the frame that is not full, and a noise for each band."""

    def __init__(self, front_end: Micro, shape: tuple[int, ...], rate_hz: float | None) -> None:
        step = front_end.window_step * front_end.sample_rate // 1000
        frames = Frames(frame_length=front_end.length, frame_step=step, window="rectangular")
        self._parameters = front_end
        self._channels = front_end.num_channels
        self._tables = tables_of(front_end)
        super().__init__(frames, shape, rate_hz, self._channels, self._features)
        self.dtype = dtype_of(front_end.output)
        self.span = math.inf

    @property
    def state_bytes(self) -> int:
        return super().state_bytes + 8 * self._elements * self._channels

    def reset(self) -> None:
        import numpy as np

        super().reset()
        self._noise = np.zeros((self._elements, self._channels), np.int64)

    def advance(self, rows: Array) -> Array:
        return super().advance(samples_of(rows))

    def _features(self, frames: Array) -> Array:
        """(m, elements, channels) of (m, elements, samples)."""
        import numpy as np

        from neurovm.frontends import micro_features as stages

        p = self._parameters
        count, elements, length = frames.shape
        samples = frames.reshape(-1, length).astype(np.int64)
        levels = stages.band_levels(
            samples, self._tables.hann, self._tables.rfft, self._tables.bands
        )
        levels = levels.reshape(count, elements, self._channels)
        signal, noise = self._denoised(levels)
        if p.enable_pcan:
            shift = p.gain_bits - p.correction_bits - stages.SNR_BITS
            gain = stages.gains(noise, self._tables.gains)
            signal = stages.shrunk(stages.ratios(signal, gain, shift))
        if p.enable_log:
            correction = p.correction_bits
            signal = signal << correction if correction >= 0 else signal >> -correction
            signal = stages.scaled_log(signal, self._tables.logs, p.scale_shift)
        return written(np.minimum(signal, 0xFFFF), p.output)

    def _denoised(self, levels: Array) -> tuple[Array, Array]:
        """The levels less the noise, and the noise after each frame; one frame after another."""
        import numpy as np

        from neurovm.frontends import micro_features as stages

        p = self._parameters
        bits, one = stages.NOISE_BITS, 1 << stages.NOISE_BITS
        least = int(p.min_signal_remaining * one)
        raised = levels << p.smoothing_bits
        new, kept = raised * self._tables.smoothing, one - self._tables.smoothing
        noises = np.empty_like(levels)
        for at, part in enumerate(new):
            self._noise = (part + self._noise * kept) >> bits
            noises[at] = self._noise
        rest = (raised - np.minimum(noises, raised)) >> p.smoothing_bits
        return np.maximum(rest, (levels * least) >> bits), noises


class PymicroFront(Front):
    """The same by pymicro-features, which keeps the frame and the noise; owns its front end."""

    def __init__(self, front_end: Micro, shape: tuple[int, ...], rate_hz: float | None) -> None:
        from pymicro_features import MicroFrontend

        rate = None if rate_hz is None else rate_hz / CHUNK
        super().__init__(shape, (*shape, front_end.num_channels), rate)
        self.dtype = dtype_of(front_end.output)
        self.first, self.step, self.span = 480, CHUNK, math.inf
        self._output = front_end.output
        self._front_end: Any = MicroFrontend()
        self.reset()

    @property
    def state_bytes(self) -> int:
        # What waits for a chunk; within, a frame of int16, its transform and a noise a band.
        return 2 * CHUNK + 2 * 480 + 6 * 514 + 4 * 40

    def reset(self) -> None:
        self._waiting = b""
        self._front_end.reset()

    def advance(self, rows: Array) -> Array:
        import numpy as np

        samples = self._waiting + samples_of(rows).astype("<i2").tobytes()
        end = len(samples) - len(samples) % (2 * CHUNK)
        made = [
            features
            for at in range(0, end, 2 * CHUNK)
            if (features := self._front_end.process_samples(samples[at : at + 2 * CHUNK]).features)
        ]
        self._waiting = samples[end:]
        counts = np.rint(np.asarray(made, np.float64).reshape(len(made), *self.shape) / UNIT)
        return written(counts, self._output)


def dtype_of(output: OutputName) -> str:
    return "float32" if output == "float" else output
