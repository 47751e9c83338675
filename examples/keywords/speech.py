# SPDX-License-Identifier: Apache-2.0
"""Words of a simulated speaker: vowels that glide into one another, and noise.

A train of pulses at the pitch of a voice passes three resonances (formants) that move from vowel to
vowel (Klatt, Software for a cascade/parallel formant synthesizer, J. Acoust. Soc. Am. 67 (1980)
971; frequencies of men after Peterson and Barney, J. Acoust. Soc. Am. 24 (1952) 175). Pitch, speed,
size of the head, loudness and background are drawn anew for each word. 16 kHz mono, int16.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
CLIP = RATE_HZ
"""Samples of a clip."""
VOWELS = {
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
}
WORDS = {"open": "oe", "close": "ou", "higher": "aia", "lower": "oa", "ahoy": "aoi"}
"""What a word sounds like, told in vowels."""
OTHERS = ("ue", "ia", "eiu", "eu", "uei", "ea", "uia")
"""Words that are said but not meant."""
LABELS = (*WORDS, "unknown", "silence")
BANDWIDTHS_HZ = (80.0, 100.0, 150.0)

Sound = NDArray[np.float64]


def _resonator(sound: Sound, centre_hz: Sound, bandwidth_hz: float) -> Sound:
    """y_n = g x_n + 2 r cos(θ_n) y_(n−1) − r² y_(n−2): a resonance whose centre moves."""
    r = np.exp(-np.pi * bandwidth_hz / RATE_HZ)
    turn = 2 * r * np.cos(2 * np.pi * centre_hz / RATE_HZ)
    gain = 1 - turn + r * r
    out, before, last = np.empty_like(sound), 0.0, 0.0
    for at, (x, g, c) in enumerate(zip(sound.tolist(), gain.tolist(), turn.tolist(), strict=True)):
        before, last = last, g * x + c * last - r * r * before
        out[at] = last
    return out


def say(vowels: str, rng: np.random.Generator) -> Sound:
    """A word, 0.3 to 0.6 s long, of loudness 1 at its loudest."""
    n = int(RATE_HZ * rng.uniform(0.14, 0.22) * len(vowels))
    pitch_hz = rng.uniform(90, 220) * np.linspace(rng.uniform(0.95, 1.1), rng.uniform(0.8, 1.0), n)
    phase = np.cumsum(pitch_hz / RATE_HZ)
    pulses = np.diff(np.floor(phase), prepend=0.0) + 0.02 * rng.standard_normal(n)
    size = rng.uniform(0.9, 1.15)
    targets = np.array([VOWELS[each] for each in vowels], float) * size
    targets *= rng.uniform(0.96, 1.04, targets.shape)
    # A vowel is held for most of its share, then glides on.
    place = np.linspace(0, len(vowels) - 1, n)
    glide = np.floor(place) + np.clip((place % 1 - 0.25) * 2, 0, 1)
    sound = pulses
    for formant, bandwidth_hz in enumerate(BANDWIDTHS_HZ):
        track = np.interp(glide, np.arange(len(vowels)), targets[:, formant])
        sound = _resonator(sound, track, bandwidth_hz)
    edge = int(0.02 * RATE_HZ)
    sound[:edge] *= np.linspace(0, 1, edge)
    sound[-edge:] *= np.linspace(1, 0, edge)
    return sound / np.abs(sound).max()


def background(n: int, rng: np.random.Generator) -> Sound:
    """Noise of a room, 20 to 60 dB below full scale, brighter or duller."""
    white, dull = rng.standard_normal(n), rng.uniform(0, 0.95)
    noise, last = np.empty(n), 0.0
    for at, x in enumerate(white.tolist()):
        last = dull * last + (1 - dull) * x
        noise[at] = last
    return noise / (noise.std() + 1e-12) * 10 ** rng.uniform(-3, -2)


def clip(label: str, seed: int) -> NDArray[np.int16]:
    """One second that holds what `label` says, somewhere in it."""
    rng = np.random.default_rng(seed)
    sound = background(CLIP, rng)
    if label != "silence":
        word = say(WORDS.get(label) or str(rng.choice(OTHERS)), rng)
        start = int(rng.integers(0, CLIP - len(word)))
        sound[start : start + len(word)] += word * 10 ** rng.uniform(-1.0, -0.1)
    return as_samples(sound)


def clips(each: int, seed: int) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """`each` clips of every label, twice as many of unknown ones: int16 (n, 16000), labels (n,)."""
    wanted = [label for label in (*LABELS, "unknown") for _ in range(each)]
    sounds = np.stack([clip(label, seed * 1_000_003 + at) for at, label in enumerate(wanted)])
    return sounds, np.array([LABELS.index(label) for label in wanted])


def recording(words: list[str], seed: int) -> tuple[NDArray[np.int16], list[tuple[float, str]]]:
    """Words with pauses of 0.8 to 1.6 s between them; when each begins (s), and the word."""
    rng = np.random.default_rng(seed)
    parts, said, at = [np.zeros(RATE_HZ)], [], RATE_HZ
    for label in words:
        word = say(WORDS.get(label) or str(rng.choice(OTHERS)), rng)
        said.append((at / RATE_HZ, label))
        pause = np.zeros(int(RATE_HZ * rng.uniform(0.8, 1.6)))
        parts += [word * 10 ** rng.uniform(-0.8, -0.2), pause]
        at += len(word) + len(pause)
    sound = np.concatenate(parts)
    return as_samples(sound + background(len(sound), rng)), said


def as_samples(sound: Sound) -> NDArray[np.int16]:
    """int16 of −1 … 1, clipped."""
    samples: NDArray[np.int16] = np.clip(np.rint(sound * 32767), -32768, 32767).astype(np.int16)
    return samples
