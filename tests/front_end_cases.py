# SPDX-License-Identifier: Apache-2.0
"""Front ends of every kind, each with rows it can take; every kind has to stand here."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from neurovm.frontends import (
    Colours,
    Crop,
    Difference,
    Frames,
    FrontEnd,
    LogMel,
    Mfcc,
    Micro,
    Mix,
    Normalize,
    PreEmphasis,
    Resize,
    Scale,
    Spectrum,
    Transpose,
)


class Case(NamedTuple):
    name: str
    front_ends: list[FrontEnd]
    shape: tuple[int, ...] = ()
    rate_hz: float | None = None
    rows: int = 200
    integer: bool = False
    pixels: bool = False

    def samples(self, seed: int = 0) -> np.ndarray[Any, Any]:
        """(rows, *shape): a slow wave with noise, int16 or float64; or bytes by chance."""
        rng = np.random.default_rng(seed)
        if self.pixels:
            return rng.integers(0, 256, (self.rows, *self.shape)).astype(np.uint8)
        wave = np.sin(np.arange(self.rows) * 0.05).reshape(-1, *(1 for _ in self.shape))
        values = 0.5 * wave + rng.normal(0, 0.1, (self.rows, *self.shape))
        return np.rint(values * 20000).astype(np.int16) if self.integer else values


CASES = [
    Case("scale", [Scale(scale=1 / 32768)], integer=True),
    Case("scale-channels", [Scale((1.0, -2.0, 0.5), (0.0, 1.0, -1.0), -1, 1)], (3,)),
    Case("mix", [Mix(weights=(0.5, 0.25, -1.0))], (2, 3)),
    Case("mix-mono", [Mix(weights=(0.5, 0.5)), PreEmphasis()], (2,), integer=True),
    Case("difference", [Difference()]),
    Case("difference-padding", [Difference(lag=3, padding=True)], (2, 2)),
    Case("difference-lag", [Difference(lag=7)], (3,)),
    Case("chain", [Scale(scale=2), Difference(), Difference(lag=2, padding=True)], (2,)),
    Case("nothing", [], (2,)),
    Case("pre-emphasis", [PreEmphasis(coefficient=0.9)], (2,)),
    Case("normalize-window", [Normalize()], (2,)),
    Case("normalize-window-spread", [Scale(), Normalize(method="mean_variance", by_channel=True)]),
    Case("normalize-block", [Normalize(block_length=16)], (2,)),
    Case("normalize-running", [Normalize(block_length=5, decay=0.9, by_channel=True)], (3,)),
    Case("normalize-gain", [Normalize(block_length=1, decay=0.99)]),
    Case("normalize-spread", [Normalize("mean_variance", 8, by_channel=True, decay=0.5)], (3,)),
    Case("normalize-spread-all", [Normalize("mean_variance", 9)], (2,)),
    Case("frames", [Frames(frame_length=16, frame_step=5, window="blackman")]),
    Case("frames-apart", [Frames(frame_length=4, frame_step=11, window="povey")], (2,)),
    Case("spectrum", [Spectrum(frame_length=32, frame_step=8, n_fft=64, power=1)]),
    Case("spectrum-odd", [Spectrum(frame_length=15, frame_step=15, log="db", log_floor=0.1)], (2,)),
    Case(
        "log-mel",
        [LogMel(frame_length=400, frame_step=160, n_fft=512, fmin=20, fmax=7600, n_mels=40)],
        rate_hz=16000,
        rows=3000,
    ),
    Case(
        "log-mel-vibration",
        [
            Difference(),
            LogMel(
                sample_rate=1600,
                frame_length=64,
                frame_step=32,
                n_mels=8,
                mel_scale="slaney",
                triangles="hertz",
                mel_norm="slaney",
                log="log10",
                window="hamming",
            ),
            Difference(padding=True),
        ],
        (3,),
        rows=700,
    ),
    Case(
        "mfcc",
        [
            Scale(scale=1 / 32768),
            PreEmphasis(),
            Mfcc(
                sample_rate=16000, frame_length=480, frame_step=320, n_fft=512, power=1, n_mfcc=10
            ),
        ],
        rows=4000,
        integer=True,
    ),
    Case(
        "mfcc-lifted",
        [Mfcc(frame_length=64, frame_step=16, n_mels=20, dct_norm="ortho", lifter=22)],
        rate_hz=8000,
        rows=600,
    ),
    Case("micro", [Micro()], rows=3000, integer=True),
    Case(
        "micro-slow",
        [Micro(window_step=20, constants="signal", output="int8")],
        rows=3000,
        integer=True,
    ),
    Case(
        "micro-stereo",
        [Micro(sample_rate=8000, window_size=25, num_channels=20, upper_band_limit=3800)],
        (2,),
        rows=1500,
        integer=True,
    ),
    Case("crop", [Crop(width=4, height=5)], (9, 10, 3), rows=12, pixels=True),
    Case(
        "picture",
        [
            Resize(width=8, height=6, fit="cover"),
            Colours(to="bgr"),
            Scale(scale=(1, 2, 3), offset=-128),
            Transpose(axes=(2, 0, 1)),
        ],
        (20, 30, 3),
        rows=12,
        pixels=True,
    ),
    Case(
        "picture-changes",
        [Colours(to="grey"), Resize(width=5, height=5), Difference(padding=True)],
        (12, 9, 3),
        rows=20,
        pixels=True,
    ),
    Case("transpose", [Transpose(axes=(1, 0))], (3, 4)),
]
