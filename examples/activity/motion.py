# SPDX-License-Identifier: Apache-2.0
"""What an accelerometer on a belt feels: simulated motion, 26 rows (x, y, z) a second, in g.

Gravity in a direction that differs from wearer to wearer, steps as two harmonics with the jolt of a
heel, noise, and now and then somebody who turns. Nothing was recorded: a network trained on it
shows how such a box works, not how well it would tell people apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 26
ROWS = 52
"""Of a window: two seconds."""
ACTIVITIES = ("resting", "walking", "running", "stairs")

Rows = NDArray[np.float64]


class Wearer:
    """Equal seeds give equal wearers. `rows` goes on where it ended."""

    def __init__(self, seed: int) -> None:
        self._rng = rng = np.random.default_rng(seed)
        tilt = rng.normal(0, 0.35, 3) + np.array([0.0, 0.0, 1.0])
        self._down = tilt / np.linalg.norm(tilt)
        ahead = np.cross(self._down, rng.normal(0, 1, 3))
        self._ahead = ahead / np.linalg.norm(ahead)
        self._aside = np.cross(self._down, self._ahead)
        self._walk_hz, self._run_hz = rng.uniform(1.6, 2.0), rng.uniform(2.5, 3.0)
        self._lean = 0.0
        self._steps = 0.0

    def rows(self, activity: str, n: int) -> Rows:
        """The next `n` rows (n, 3) of an activity."""
        rng = self._rng
        hz, up, on = {
            "resting": (0.0, 0.0, 0.0),
            "walking": (self._walk_hz, 0.25, 0.12),
            "running": (self._run_hz, 1.1, 0.45),
            "stairs": (self._walk_hz * 0.75, 0.4, 0.07),
        }[activity]
        pace = hz * (1 + 0.03 * rng.standard_normal(n))
        steps = self._steps + np.cumsum(pace) / RATE_HZ
        self._steps = float(steps[-1])
        strength = rng.uniform(0.8, 1.25)
        beat = np.sin(2 * np.pi * steps) + 0.4 * np.sin(4 * np.pi * steps + 0.8)
        heel = np.exp(-((steps % 1) / 0.12)) * (1.6 if activity == "stairs" else 0.7)
        sway = np.sin(np.pi * steps)  # left and right: half as fast
        lean = self._lean + np.cumsum(rng.normal(0, 0.004, n))
        self._lean = float(lean[-1]) * 0.9
        upward = 1 + up * strength * (beat + heel * (hz > 0))
        forward = on * strength * np.cos(2 * np.pi * steps) * (hz > 0) + lean
        sideward = 0.6 * on * strength * sway + 0.5 * lean
        if activity == "stairs":
            forward = forward + 0.1
        rows = (
            upward[:, None] * self._down
            + forward[:, None] * self._ahead
            + sideward[:, None] * self._aside
        )
        return rows + rng.normal(0, 0.03, (n, 3))


def windows(each: int, seeds: Sequence[int]) -> tuple[Rows, NDArray[np.int64]]:
    """`each` windows (n, ROWS, 3) an activity and wearer, and the activities' numbers."""
    rows, labels = [], []
    for seed in seeds:
        wearer = Wearer(seed)
        for label, activity in enumerate(ACTIVITIES):
            motion = wearer.rows(activity, ROWS * each)
            rows.append(motion.reshape(each, ROWS, 3))
            labels += [label] * each
    return np.concatenate(rows), np.array(labels)
