# SPDX-License-Identifier: Apache-2.0
"""What the keyword network of MLPerf Tiny (DS-CNN) hears of one second of sound: 49 × 10 MFCC."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np

Rows = np.ndarray


def clip(path: Path) -> Rows:
    """float64[16000]: the first second of a 16 kHz mono WAV, divided by its largest sample, padded
    with zeros.
    """
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(16000), "<i2").astype(np.float64)
    peak = max(1.0, float(np.abs(samples).max(initial=0)))
    return np.pad(samples / peak, (0, 16000 - len(samples)))


def mfcc(sound: Rows) -> Rows:
    """(49, 10) of float64[16000]: frames of 480 every 320, Hann, 512-point magnitude, 40 mels
    from 20 to 4000 Hz, log, the first 10 of an orthonormal DCT-II but for the first's factor.
    """
    frames = np.stack([sound[i : i + 480] for i in range(0, 16000 - 480 + 1, 320)])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(480) / 480)
    magnitude = np.abs(np.fft.rfft(frames * hann, 512))
    log_mel = np.log(magnitude @ _mel_triangles() + 1e-6)
    k, n = np.arange(10)[:, None], np.arange(40)
    dct = 2 * np.cos(np.pi * k * (2 * n + 1) / 80)
    return (log_mel @ dct.T) / np.sqrt(80)


def _mel_triangles() -> Rows:
    def mel(hertz: Any) -> Any:
        return 1127 * np.log1p(np.asarray(hertz) / 700)

    edges = np.linspace(mel(20), mel(4000), 42)
    bins = mel(np.arange(257) * 16000 / 512)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0, np.minimum(rising, falling))
    triangles[0] = 0
    return triangles
