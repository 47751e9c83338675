# SPDX-License-Identifier: Apache-2.0
"""Simulated data of two templates of `neurovm create`: spoken commands made of tones, a machine.

Both are synthesised as signals and turned into features as a device would do it. Nothing here was
recorded: networks trained on it show how such a box works, not how well it would hear or feel.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# ---- keyword: words of tones -----------------------------------------------------------------

WORDS = ("silence", "up", "down", "on", "off", "alarm")
AUDIO_HZ = 8000
FRAMES, BANDS = 16, 12
FRAME = 400  # samples: 50 ms
LOWEST_HZ, HIGHEST_HZ = 150.0, 3600.0


def _pitch(word: str, t_s: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Frequency (Hz) and loudness (0..1) of a word at each moment; it lasts 0.35 to 0.6 s."""
    length_s = rng.uniform(0.35, 0.6)
    start_s = rng.uniform(0.05, t_s[-1] - length_s)
    base_hz = rng.uniform(500, 800)
    u = (t_s - start_s) / length_s
    inside = ((u >= 0) & (u < 1)).astype(float)
    if word == "up":
        return base_hz * 2 ** (1.6 * u), inside
    if word == "down":
        return base_hz * 2 ** (1.6 * (1 - u)), inside
    if word == "on":
        return np.full_like(u, 2 * base_hz), inside * ((u < 0.3) | (u > 0.6))
    if word == "off":
        return np.full_like(u, 0.6 * base_hz), inside
    if word == "alarm":
        return base_hz * np.where((u * 6).astype(int) % 2, 2.2, 1.1), inside
    return np.full_like(u, base_hz), 0 * inside


def sound(word: str, rng: np.random.Generator) -> Floats:
    """0.8 s of a word over noise and hum, −1..1."""
    t_s = np.arange(FRAMES * FRAME) / AUDIO_HZ
    hz, loudness = _pitch(word, t_s, rng)
    phase = 2 * np.pi * np.cumsum(hz) / AUDIO_HZ
    voice = np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.15 * np.sin(3 * phase)
    hum = 0.03 * np.sin(2 * np.pi * 100 * t_s + rng.uniform(0, 6))
    noise = rng.normal(0, rng.uniform(0.01, 0.12), t_s.size)
    return rng.uniform(0.15, 0.6) * loudness * voice + hum + noise


def spectrogram(signal: Floats) -> Floats:
    """(FRAMES, BANDS): log energies of bands equally wide in octaves, 0..1 for −70 to 0 dB."""
    frames = signal.reshape(FRAMES, FRAME) * np.hanning(FRAME)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2 / (FRAME / 4) ** 2
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1) * FRAME / AUDIO_HZ
    columns = [power[:, int(a) : int(b) + 1].sum(axis=1) for a, b in itertools.pairwise(edges)]
    decibel = 10 * np.log10(np.stack(columns, axis=1) + 1e-7)
    return np.clip(decibel / 70 + 1, 0, 1)


def keyword(seed: int, each: int) -> tuple[Floats, NDArray[np.int64]]:
    """`each` spectrograms a word, (n, FRAMES, BANDS, 1), and the words' numbers."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(len(WORDS)), each)
    x = np.stack([spectrogram(sound(WORDS[i], rng)) for i in labels])
    return x[..., None], labels


# ---- vibration: a motor and what it drives ---------------------------------------------------

STATES = ("normal", "imbalance", "misalignment", "looseness", "bearing")
SENSOR_HZ = 3200
SAMPLES = 3200  # one second
ORDERS = 16
AXES = ("horizontal", "vertical", "axial")
BEARING_ORDER = 3.58  # passes of the outer race in one turn
BLADES = 6


def _harmonics(
    axis: str, state: str, severity: float, rng: np.random.Generator
) -> dict[float, float]:
    """Amplitude of each order of the shaft's speed on one axis, in mm/s."""
    found = {1.0: 0.9, 2.0: 0.3, 3.0: 0.1, float(BLADES): 0.25}
    found = {order: a * rng.uniform(0.7, 1.3) for order, a in found.items()}
    axial = axis == "axial"
    if state == "imbalance":
        found[1.0] += severity * (0.4 if axial else 3.5)
    elif state == "misalignment":
        found[1.0] += severity * (1.8 if axial else 0.6)
        found[2.0] += severity * (1.6 if axial else 2.4)
    elif state == "looseness":
        for k in range(1, 16):
            found[k / 2] = found.get(k / 2, 0.0) + severity * (0.3 if axial else 0.8) / (1 + k / 4)
    elif state == "bearing":
        for k in (1, 2, 3, 4):
            found[k * BEARING_ORDER] = severity * 0.9 / k
            found[k * BEARING_ORDER - 1] = severity * 0.35 / k
            found[k * BEARING_ORDER + 1] = severity * 0.35 / k
    return found


def vibration_signal(state: str, rng: np.random.Generator) -> tuple[Floats, float]:
    """(axes, SAMPLES) in mm/s, and the shaft's speed in Hz."""
    speed_hz = rng.uniform(22, 26)
    severity = rng.uniform(0.45, 1.3)
    t_s = np.arange(SAMPLES) / SENSOR_HZ
    rows = []
    for axis in AXES:
        signal = rng.normal(0, rng.uniform(0.2, 0.5), SAMPLES)
        for order, amplitude in _harmonics(axis, state, severity, rng).items():
            phase = rng.uniform(0, 2 * np.pi)
            signal += amplitude * np.sin(2 * np.pi * order * speed_hz * t_s + phase)
        rows.append(signal)
    return np.stack(rows), speed_hz


def orders(signal: Floats, speed_hz: float) -> Floats:
    """(axes, ORDERS): log amplitude around each half order up to 8, 0..1 for 0.01 to 10 mm/s."""
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(SAMPLES), axis=1)) / (SAMPLES / 4)
    hz = np.fft.rfftfreq(SAMPLES, 1 / SENSOR_HZ)
    bands = [np.abs(hz / speed_hz - (k + 1) / 2) < 0.25 for k in range(ORDERS)]
    peaks = np.stack([spectrum[:, band].max(axis=1) for band in bands], axis=1)
    return np.clip(np.log10(peaks / 0.01) / 3, 0, 1)


def vibration(seed: int, each: int) -> tuple[Floats, NDArray[np.int64]]:
    """`each` seconds a state, (n, 3 · ORDERS), and the states' numbers."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(len(STATES)), each)
    rows = [orders(*vibration_signal(STATES[i], rng)).reshape(-1) for i in labels]
    return np.stack(rows), labels
