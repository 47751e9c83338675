# SPDX-License-Identifier: Apache-2.0
"""A simulated camera over a conveyor: crates, bottles and balls on a belt, 160 × 120 RGB.

Light, colours, sizes and the belt's texture are drawn anew for each scene. Nothing was
photographed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 160, 120
LABELS = ("crate", "bottle", "ball")
COLOURS = {"crate": (150, 105, 60), "bottle": (60, 130, 75), "ball": (190, 60, 50)}

Picture = NDArray[np.uint8]


class Thing(NamedTuple):
    """Something on the belt: its middle and its size, in pixels."""

    label: str
    x: float
    y: float
    width: float
    height: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        dx, dy = self.width / 2, self.height / 2
        return self.x - dx, self.y - dy, self.x + dx, self.y + dy


def thing(rng: np.random.Generator) -> Thing:
    """Something of random kind, place and size, wholly inside the picture."""
    label = str(rng.choice(LABELS))
    size = rng.uniform(20, 38)
    stretch = {"crate": rng.uniform(1.0, 1.5), "bottle": rng.uniform(0.4, 0.5), "ball": 1.0}[label]
    width, height = size * stretch**0.5, size / stretch**0.5
    x = rng.uniform(width / 2 + 1, WIDTH - width / 2 - 1)
    y = rng.uniform(height / 2 + 1, HEIGHT - height / 2 - 1)
    return Thing(label, x, y, width, height)


def things(count: int, rng: np.random.Generator) -> list[Thing]:
    """Up to `count` things that do not cover one another."""
    found: list[Thing] = []
    for _ in range(20 * count):
        if len(found) == count:
            break
        new = thing(rng)
        apart = all(
            abs(new.x - old.x) > (new.width + old.width) / 2 + 2
            or abs(new.y - old.y) > (new.height + old.height) / 2 + 2
            for old in found
        )
        if apart:
            found.append(new)
    return found


def picture(on_it: list[Thing], rng: np.random.Generator) -> Picture:
    """uint8 (HEIGHT, WIDTH, 3) of things on the belt."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    belt = rng.uniform(70, 120) + 8 * np.sin(columns / rng.uniform(3, 9) + rng.uniform(0, 6))
    image = np.repeat(belt[:, :, None], 3, axis=2) * rng.uniform(0.9, 1.1, 3)
    for each in on_it:
        dx, dy = (columns - each.x) / (each.width / 2), (rows - each.y) / (each.height / 2)
        if each.label == "crate":
            inside = (abs(dx) < 1) & (abs(dy) < 1)
            shade = 1 - 0.35 * ((abs(dx) > 0.82) | (abs(dy) > 0.82) | (abs(dx - dy) < 0.12))
        elif each.label == "ball":
            inside = dx**2 + dy**2 < 1
            shade = 1.15 - 0.5 * np.hypot(dx + 0.3, dy + 0.3)
        else:
            inside = (abs(dx) < np.where(dy < -0.35, 0.4, 1.0)) & (abs(dy) < 1)
            shade = 0.85 + 0.4 * (abs(dx + 0.4) < 0.15)
        colour = np.array(COLOURS[each.label]) * rng.uniform(0.8, 1.25, 3)
        image = np.where(inside[:, :, None], colour * shade[:, :, None], image)
    light = rng.uniform(0.7, 1.2) * (1 + rng.uniform(-0.2, 0.2) * (columns / WIDTH - 0.5))
    image = image * light[:, :, None] + rng.normal(0, 4, image.shape)
    pixels: Picture = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return pixels


def scene(seed: int, most: int = 4) -> tuple[Picture, list[Thing]]:
    """A picture and what is on it (0 … `most` things)."""
    rng = np.random.default_rng(seed)
    on_it = things(int(rng.integers(0, most + 1)), rng)
    return picture(on_it, rng), on_it
