# SPDX-License-Identifier: Apache-2.0
"""What the keyword example makes of sound."""

import wave
from pathlib import Path

import numpy as np

from examples.keywords.features import clip, mfcc


def test_silence_is_the_floor_of_the_logarithm() -> None:
    features = mfcc(np.zeros(16000))
    assert features.shape == (49, 10)
    assert np.allclose(features[:, 0], 2 * 40 * np.log(1e-6) / np.sqrt(80))
    assert np.allclose(features[:, 1:], 0, atol=1e-9)


def test_a_short_clip_is_scaled_and_padded(tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(np.array([100, -200, 50], "<i2").tobytes())
    sound = clip(path)
    assert sound.shape == (16000,)
    assert sound[:3].tolist() == [0.5, -1.0, 0.25]
    assert not sound[3:].any()
