# SPDX-License-Identifier: Apache-2.0
"""The recipes of docs/frontends.md, each against what it stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from frontends import alone, recipes

from examples.keywords.features import mfcc
from neurovm.frontends import AnyFrontEnd, Micro, chain

Array = np.ndarray[Any, Any]
TOP = Path(__file__).resolve().parents[2]
RECIPES = dict(recipes((TOP / "docs" / "frontends.md").read_text("utf-8")))


def recipe(beginning: str) -> list[AnyFrontEnd]:
    (found,) = (listed for title, listed in RECIPES.items() if title.startswith(beginning))
    return found


def sound(samples: int, seed: int = 0) -> Array:
    """int16: a falling tone in noise, near the whole range."""
    at = np.arange(samples) / 16000
    noise = np.random.default_rng(seed).normal(0, 300, samples)
    tone = 30000 * np.sin(2 * np.pi * (900 - 200 * at) * at) * np.exp(-at)
    return np.clip(np.rint(tone + noise), -32768, 32767).astype(np.int16)


def test_all_are_here() -> None:
    assert len(RECIPES) == 7


@pytest.mark.parametrize("title", [t for t in RECIPES if "Pictures" not in t])
def test_each_can_be_built(title: str) -> None:
    rate_hz = 1600 if title == "Vibration" else 16000
    front = chain(RECIPES[title], (), rate_hz)
    assert np.isfinite(front.whole(sound(16000))).all()


def test_keywords_are_those_of_the_example() -> None:
    clip = sound(16000)
    made = chain(recipe("Keyword spotting, DS-CNN (")).whole(clip)
    wanted = mfcc(clip / np.abs(clip).max())
    assert made.shape == (49, 10)
    assert np.abs(made - wanted).max() < 1e-5


def test_the_running_keywords_follow_the_loudest() -> None:
    """After a loud sample the gain is that of the clip, but for its decay."""
    clip = sound(16000)
    front = chain(recipe("Keyword spotting, DS-CNN, running"))
    made = np.concatenate([front.push(clip[at : at + 320]) for at in range(0, 16000, 320)])
    assert made.shape == (49, 10)
    level, rows = 0.0, []
    for block in clip.reshape(-1, 320).astype(float):
        level = max(float(np.abs(block).max()), 0.999 * level)
        rows.append(block / max(level, 8000.0))
    assert np.abs(made - mfcc(np.concatenate(rows))).max() < 1e-5


def test_the_wake_words_bands_are_their_equations() -> None:
    samples = sound(8000) / 32768
    wave = samples - (1 - 2.0**-5) * np.concatenate(([0], samples[:-1]))
    n = np.arange(1024)
    hamming = 0.54 - 0.46 * np.cos(2 * np.pi * n / 1024)
    power = np.stack(
        [np.abs(np.fft.rfft(wave[a : a + 1024] * hamming)) ** 2 for a in range(0, 6977, 512)]
    )
    edges = 700 * (np.exp(np.linspace(0, 1127 * np.log(1 + 8000 / 700), 42) / 1127) - 1)
    to_mel = lambda hertz: 1127 * np.log(1 + np.asarray(hertz) / 700)  # noqa: E731 - as on paper
    at = to_mel(np.arange(513) * 15.625)[:, None]
    low, middle, high = (to_mel(edges[k : 40 + k]) for k in range(3))
    triangles = np.clip(
        np.minimum((at - low) / (middle - low), (high - at) / (high - middle)), 0, 1
    )
    decibels = 10 * np.log10(power / 1024 @ triangles + 1e-12)
    wanted = np.clip((decibels + 52) / 64, 0, 1)
    made = chain(recipe("Streaming wake word")).whole(sound(8000))
    assert made.shape == (14, 40)
    assert np.abs(made - wanted).max() < 1e-5
    assert 0.2 < made.mean() < 0.9


def test_the_integer_recipes_are_the_micro_front_end() -> None:
    assert recipe("micro_speech") == [Micro(window_step=20, constants="signal", output="int8")]
    assert recipe("okay_nabu") == [Micro()]


def test_pictures_for_mobilenet() -> None:
    pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    front = chain(recipe("Pictures for MobileNet"), (0, 0, 3))
    made = front.push(np.random.default_rng(1).integers(0, 256, (2, 240, 320, 3)).astype(np.uint8))
    assert made.shape == (2, 128, 128, 3)
    assert made.dtype == np.float32
    assert -1 <= made.min() < made.max() <= 1


def test_the_benchmark_computes_just_the_rows_it_says() -> None:
    for title in ("Streaming wake word", "micro_speech"):
        front = chain(recipe(title), (), 16000)
        for rows in (1, 2, 7):
            assert len(front.whole(alone(front, rows, sound(16000)))) == rows
