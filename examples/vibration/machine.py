# SPDX-License-Identifier: Apache-2.0
"""A simulated motor with a gear, as one accelerometer feels it: 3200 samples a second, in g.

Healthy, it turns at 22 to 26 Hz, slowly drifting, with a few harmonics, a mesh of 29 teeth and
noise. What goes wrong comes slowly (`severity` 0 … 1): a bearing whose outer race is struck at 3.58
times the speed and rings at 910 Hz, a tooth that hits once a turn.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Fault = Literal["none", "bearing", "tooth"]
RATE_HZ = 3200
TEETH = 29
RACE_ORDER = 3.58
RING_HZ, RING_S = 910.0, 0.004

Samples = NDArray[np.float64]


class Machine:
    """Equal seeds give equal machines. `samples` goes on where it ended."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._speed_hz = self._rng.uniform(22, 26)
        self._turns = 0.0
        self._phases = self._rng.uniform(0, 2 * np.pi, 3)

    def samples(self, n: int, fault: Fault = "none", severity: float = 0.0) -> Samples:
        """The next `n` samples with a fault of that severity (0 … 1)."""
        rng = self._rng
        drift = np.cumsum(rng.normal(0, 0.002, n))
        speed_hz = np.clip(self._speed_hz + drift, 21.5, 26.5)
        turns = self._turns + np.cumsum(speed_hz) / RATE_HZ
        angle = 2 * np.pi * turns
        signal = 0.05 * np.sin(angle + self._phases[0]) + 0.02 * np.sin(2 * angle + self._phases[1])
        signal += 0.03 * np.sin(TEETH * angle + self._phases[2]) + rng.normal(0, 0.02, n)
        if fault != "none":
            order = RACE_ORDER if fault == "bearing" else 1.0
            signal += severity * self._blows(turns * order)
        self._turns, self._speed_hz = float(turns[-1]), float(speed_hz[-1])
        return signal

    def _blows(self, count: Samples) -> Samples:
        """A ringing blow at each whole number that `count` passes."""
        struck = np.flatnonzero(np.diff(np.floor(count), prepend=np.floor(count[0])) > 0)
        out = np.zeros(len(count))
        ring = np.arange(int(6 * RING_S * RATE_HZ)) / RATE_HZ
        shape = np.exp(-ring / RING_S) * np.sin(2 * np.pi * RING_HZ * ring)
        for at in struck:
            end = min(len(out), at + len(shape))
            out[at:end] += self._rng.uniform(0.3, 0.6) * shape[: end - at]
        return out


def as_counts(samples: Samples) -> NDArray[np.int16]:
    """What a sensor of ±4 g sends: int16, 8192 counts a g."""
    counts: NDArray[np.int16] = np.clip(np.rint(samples * 8192), -32768, 32767).astype(np.int16)
    return counts
