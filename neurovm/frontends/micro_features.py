# SPDX-License-Identifier: Apache-2.0
"""The integer arithmetic of TensorFlow Lite Micro's sound front end, stage by stage.

Arrays are int64 (or uint64 where it says), large enough for every product; what the C code keeps in
32 bits stays below 2^32 for the parameters that `Micro` accepts. Rows stand along the first axes.
Source: tensorflow/lite/experimental/microfrontend/lib.
"""

from __future__ import annotations

from typing import Any, Literal

from neurovm.frontends.fixed_fft import FixedRfft

ConstantsName = Literal["microfrontend", "signal"]

WINDOW_BITS = 12
BAND_BITS = 12
NOISE_BITS = 14
SNR_BITS = 12
GAIN_OUT_BITS = 6
LOG_SEGMENTS = 128
LOG_E_2 = 45426
"""ln 2 in Q16."""
_U32 = 0xFFFFFFFF


def hann(length: int, constants: ConstantsName) -> Any:
    """int64[length]: the window in Q12, symmetric between samples."""
    import numpy as np

    if constants == "signal":
        angle = 2 * np.pi / length * (np.arange(length) + 0.5)
        return np.rint((0.5 - 0.5 * np.cos(angle)) * (1 << WINDOW_BITS)).astype(np.int64)
    # In float32 where the C code is: a coefficient on the edge of two codes rounds as there.
    step = np.float32(np.pi * 2) / np.float32(length)
    at = step * (np.arange(length, dtype=np.float32) + np.float32(0.5))
    value = np.float32(0.5) - np.float32(0.5) * np.cos(at.astype(np.float64)).astype(np.float32)
    return np.floor(value * (1 << WINDOW_BITS) + 0.5).astype(np.int64)


def mel_bands(
    rate_hz: float,
    bins: int,
    channels: int,
    low_hz: float,
    high_hz: float,
    constants: ConstantsName,
) -> Any:
    """float64[bins, channels]: triangles in Q12 between `channels` + 2 corners equally far apart in
    mel, in float32 as the C code has them. What rises in one band falls in the one before.
    """
    import numpy as np

    f32 = np.float32
    half = f32(0.5 if constants == "microfrontend" else 0)

    def mel(hertz: Any) -> Any:
        return f32(1127) * np.log1p(hertz / f32(700)).astype(f32)

    def quantized(weight: Any) -> Any:
        return np.floor(weight * f32(1 << BAND_BITS) + half)

    lowest = mel(f32(low_hz))
    spacing = (mel(f32(high_hz)) - lowest) / f32(channels + 1)
    corners = lowest + spacing * np.arange(1, channels + 2, dtype=f32)
    bin_hz = f32(0.5) * f32(rate_hz) / f32(bins - 1)
    mels = mel(np.arange(bins, dtype=f32) * bin_hz)
    band = np.searchsorted(corners, mels, side="left")
    below = np.concatenate(([lowest], corners[:-1]))
    made = np.zeros((bins, channels))
    for b in range(int(f32(1.5) + f32(low_hz) / bin_hz), bins):
        c = band[b]
        if c > channels:
            break
        falling = (corners[c] - mels[b]) / (corners[c] - below[c])
        if c > 0:
            made[b, c - 1] = quantized(falling)
        if c < channels:
            made[b, c] = quantized(f32(1) - falling)
    return made


def band_levels(frames: Any, window: Any, rfft: FixedRfft, bands: Any) -> Any:
    """int64[m, channels]: square roots of the energy in each band of (m, length) int16 samples."""
    import numpy as np

    windowed = (frames * window) >> WINDOW_BITS
    # |−32768| is no int16: it stays negative there, and the loudest sample is another.
    loudest = np.abs(windowed.astype(np.int16)).max(axis=1, initial=0)
    shift = 15 - bit_length(loudest)
    padded = np.zeros((len(frames), rfft.size), np.int32)
    padded[:, : windowed.shape[1]] = (windowed << shift[:, None]).astype(np.int16)
    spectrum = rfft(padded)
    parts = spectrum.astype(np.float64)
    energy = parts[0] * parts[0] + parts[1] * parts[1]
    # The transform is divided by its length, so a frame's energies are below 2^31 together: sums
    # weighted by up to 2^12 are exact in float64, in any order.
    sums = energy @ bands
    return square_root(sums.astype(np.int64)) >> shift[:, None]


def square_root(values: Any) -> Any:
    """The nearest whole number to the root, of int64 from 0 to below 2^62."""
    import numpy as np

    root = np.sqrt(values.astype(np.float64)).astype(np.int64)
    root -= root * root > values
    root += (root + 1) * (root + 1) <= values
    root += (values - root * root > root) & ~((values < 1 << 32) & (root == 0xFFFF))
    return root


def bit_length(values: Any) -> Any:
    """How many bits each number of 0 … 2^53 has; 0 has none."""
    import numpy as np

    return np.frexp(values.astype(np.float64))[1].astype(np.int64)


def gain_table(strength: float, offset: float, gain_bits: int, input_bits: int) -> Any:
    """int64[33, 3]: a parabola (value, slope, bend) for each power of two of the noise; the gain of
    noise x is 2^gain_bits · (x / 2^input_bits + offset)^−strength, at most 32767.
    """
    import numpy as np

    f32 = np.float32

    def gain(x: int) -> int:
        level = f32(x) / f32(1 << input_bits)
        value = f32(1 << gain_bits) * f32(
            np.float64(level + f32(offset)) ** -np.float64(f32(strength))
        )
        return 0x7FFF if value > 0x7FFF else int(value + f32(0.5))

    table = np.zeros((33, 3), np.int64)
    table[0, 0], table[1, 0] = gain(0), gain(1)
    for bits in range(2, 33):
        x = 1 << (bits - 1)
        first, middle, last = gain(x), gain(x + x // 2), gain(min(2 * x, _U32))
        slope = 4 * (middle - first) - (last - first)
        table[bits] = first, slope, last - first - slope
    return table


def gains(noise: Any, table: Any) -> Any:
    """The table's gain for each noise of 0 … 2^32 − 1; of one that int16 cannot hold, what the C
    code makes of it: its 16 bits, extended by their sign to uint32.
    """
    import numpy as np

    bits = bit_length(noise)
    first, slope, bend = table[bits, 0], table[bits, 1], table[bits, 2]
    up, down = np.maximum(0, 11 - bits), np.maximum(0, bits - 11)
    at = ((noise << up) >> down) & 0x3FF
    curve = (((bend * at) >> 5) + (slope << 5)) * at
    made = first + ((curve + (1 << 14)) >> 15)
    return np.where(noise <= 2, first, made.astype(np.int16).astype(np.int64) & _U32)


def ratios(signal: Any, gain: Any, shift: int) -> Any:
    """signal · gain in Q12, as uint32 holds it."""
    return ((signal * gain) >> shift) & _U32


def shrunk(ratio: Any) -> Any:
    """A signal-to-noise ratio in Q12, its start bent to a parabola, in Q6."""
    import numpy as np

    small = np.minimum(ratio, 2 << SNR_BITS)
    bent = small * small >> (2 + 2 * SNR_BITS - GAIN_OUT_BITS)
    straight = (ratio >> (SNR_BITS - GAIN_OUT_BITS)) - (1 << GAIN_OUT_BITS)
    return np.where(ratio < 2 << SNR_BITS, bent, straight)


def log_table() -> Any:
    """int64[129 + 1]: log2(1 + i / 128) − i / 128 in Q16."""
    import numpy as np

    at = np.arange(LOG_SEGMENTS + 2) / LOG_SEGMENTS
    table = np.rint((np.log2(1 + at) - at) * 65536).astype(np.int64)
    table[-1] = 0  # behind the end, where nothing is weighed with it
    return table


def scaled_log(values: Any, table: Any, scale_shift: int) -> Any:
    """ln of each number of 0 … 2^32 − 1 times 2^scale_shift; of 0 and 1 that is 0."""
    import numpy as np

    whole = np.maximum(bit_length(values) - 1, 0)
    rest = values - (np.int64(1) << whole)
    part = (rest << np.maximum(0, 16 - whole)) >> np.maximum(0, whole - 16)
    segment = part >> 9
    lower, upper = table[segment], table[segment + 1]
    bent = lower + (((upper - lower) * (part - (segment << 9))) >> 16)
    natural = (LOG_E_2 * ((whole << 16) + part + bent) + (1 << 15)) >> 16
    return np.where(values > 1, ((natural << scale_shift) + (1 << 15)) >> 16, 0)
