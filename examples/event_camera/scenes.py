# SPDX-License-Identifier: Apache-2.0
"""What the simulated camera of this example sees: one of five shapes, moving for 100 ms.

Nothing here was recorded: a network trained on it shows how such a box works, not how well it would
see. Place, size, path and rotation differ from scene to scene; a seed gives the same scene again.
"""

from __future__ import annotations

import numpy as np

from neurovm.events import Recording
from neurovm.events.synthetic import SHAPES, Scene, record

LABELS = tuple(SHAPES)
WIDTH = HEIGHT = 34
DURATION_US = 100_000


def scene(label: str, seed: int) -> Recording:
    """A recording of a shape."""
    rng = np.random.default_rng((seed, LABELS.index(label)))
    return record(
        Scene(
            shape=label,
            width=WIDTH,
            height=HEIGHT,
            duration_us=DURATION_US,
            size=rng.uniform(8.0, 11.0),
            centre=(rng.uniform(-2.5, 2.5), rng.uniform(-2.5, 2.5)),
            orbit=rng.uniform(2.0, 4.0),
            turns=rng.uniform(0.6, 1.2) * rng.choice([-1, 1]),
            angle=rng.uniform(0, 2 * np.pi),
            spin=rng.uniform(-0.4, 0.4),
        ),
        seed=int(rng.integers(1 << 32)),
    )


def scenes(count: int, seed: int) -> tuple[list[Recording], np.ndarray]:
    """`count` scenes, shapes taking turns, and the number of each one's label."""
    answers = np.arange(count) % len(LABELS)
    seen = [scene(LABELS[answer], seed + at) for at, answer in enumerate(answers)]
    return seen, answers
