# SPDX-License-Identifier: Apache-2.0
"""Recordings of an event camera that nobody owns: shapes that move before a simulated sensor.

The scene is a bright shape on a dark ground, drawn with smooth edges at any instant. A pixel holds
the logarithm of the brightness at which it last sent, and sends when that has moved by its
contrast threshold, as `neurovm.encoders.level_crossing` says; times between two drawn instants are
interpolated. To that come noise events at any pixel and thresholds that differ between pixels.
A model of a sensor, not a recording of one: no latency, no refractory time, no hot pixels.
Source of the pixel: Lichtsteiner, Posch, Delbruck, IEEE JSSC 43 (2008) 566; of the interpolation:
Rebecq, Gehrig, Scaramuzza, ESIM: an open event camera simulator, CoRL 2018.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurovm.errors import EventError
from neurovm.events.address import Recording, check_side

Reals = NDArray[np.float64]
Shape = Callable[[Reals, Reals, float], Reals]
"""Signed distance in pixels, positive inside, at (x, y) from the centre, of a shape of a size."""


def _square(x: Reals, y: Reals, size: float) -> Reals:
    return size - np.maximum(np.abs(x), np.abs(y))


def _disc(x: Reals, y: Reals, size: float) -> Reals:
    inside: Reals = size - np.hypot(x, y)
    return inside


def _triangle(x: Reals, y: Reals, size: float) -> Reals:
    slope: Reals = 0.5 * (np.sqrt(3.0) * np.abs(x) - y)
    inside: Reals = size * 0.7 - np.maximum(slope, y)
    return inside


def _cross(x: Reals, y: Reals, size: float) -> Reals:
    long, short = size, size / 3
    upright = np.minimum(long - np.abs(y), short - np.abs(x))
    return np.maximum(upright, np.minimum(long - np.abs(x), short - np.abs(y)))


def _bar(x: Reals, y: Reals, size: float) -> Reals:
    return np.minimum(size - np.abs(y), size / 4 - np.abs(x))


SHAPES: dict[str, Shape] = {
    "square": _square,
    "disc": _disc,
    "triangle": _triangle,
    "cross": _cross,
    "bar": _bar,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A shape of `size` pixels (half its height) that goes round its place on a circle of `orbit`
    pixels, `turns` times, while it is rotated by `spin` radians; `angle` is where it begins.
    """

    shape: str
    width: int = 34
    height: int = 34
    duration_us: int = 100_000
    size: float = 9.0
    centre: tuple[float, float] = (0.0, 0.0)
    """Its place, in pixels from the middle of the picture."""
    orbit: float = 3.0
    turns: float = 1.0
    angle: float = 0.0
    spin: float = 0.0
    threshold: float = 0.25
    """Natural logarithm of brightness between two events of a pixel."""
    mismatch: float = 0.03
    """Standard deviation of the threshold between pixels."""
    noise_hz: float = 0.5
    """Events by chance, per pixel and second."""

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise EventError(f"shape: found {self.shape!r}; accepted: {', '.join(SHAPES)}")
        check_side("scene", "width", self.width)
        check_side("scene", "height", self.height)
        for key, least in (("duration_us", 1), ("size", 0.1), ("threshold", 0.01), ("noise_hz", 0)):
            value = getattr(self, key)
            if not least <= value < 1e9:
                raise EventError(f"{key}: found {value}; accepted: {least} to 1e9")


FRAME_US = 1000
_DARK, _BRIGHT = 0.1, 1.0


def brightness(scene: Scene, t_us: float) -> Reals:
    """(height, width): the scene at an instant, `_DARK` … `_BRIGHT`."""
    y, x = np.mgrid[: scene.height, : scene.width].astype(np.float64)
    share = t_us / scene.duration_us
    way = scene.angle + 2 * np.pi * scene.turns * share
    x -= (scene.width - 1) / 2 + scene.centre[0] + scene.orbit * np.cos(way)
    y -= (scene.height - 1) / 2 + scene.centre[1] + scene.orbit * np.sin(way)
    turn = scene.spin * share
    across, down = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    inside = np.clip(SHAPES[scene.shape](across, down, scene.size) + 0.5, 0.0, 1.0)
    return _DARK + (_BRIGHT - _DARK) * inside


def record(scene: Scene, *, seed: int) -> Recording:
    """What the sensor sends of a scene; the same for the same seed."""
    rng = np.random.default_rng(seed)
    shape = (scene.height, scene.width)
    thresholds = np.maximum(
        scene.threshold * (1 + scene.mismatch * rng.standard_normal(shape)), scene.threshold / 4
    )
    edges = [*range(0, scene.duration_us, FRAME_US), scene.duration_us]
    before = np.log(brightness(scene, 0.0))
    held = before.copy()
    parts = []
    for start, end in itertools.pairwise(edges):
        after = np.log(brightness(scene, end))
        parts.append(_crossings(before, after, held, thresholds, (start, end)))
        before = after
    parts.append(_noise(scene, rng))
    events = np.concatenate(parts)
    events = events[np.lexsort((events[:, 3], events[:, 1], events[:, 2], events[:, 0]))]
    return Recording(
        array("q", events[:, 0].tolist()),
        array("H", events[:, 1].tolist()),
        array("H", events[:, 2].tolist()),
        array("B", events[:, 3].tolist()),
        scene.width,
        scene.height,
    )


def _crossings(
    before: Reals, after: Reals, held: Reals, thresholds: Reals, span: tuple[int, int]
) -> NDArray[np.int64]:
    """(events, 4) of t, x, y, p between two drawn instants; `held` moves with what was sent."""
    found = []
    start, end = span
    for sign, polarity in ((1, 1), (-1, 0)):
        while True:
            ys, xs = np.nonzero(sign * (after - held) >= thresholds)
            if not len(ys):
                break
            level = held[ys, xs] + sign * thresholds[ys, xs]
            change = after[ys, xs] - before[ys, xs]
            # A level that stood crossed before this span's change (by rounding) is sent at its end.
            share = np.divide(
                level - before[ys, xs], change, out=np.ones_like(level), where=change != 0
            )
            times = start + np.floor(np.clip(share, 0, 1) * (end - start - 1))
            held[ys, xs] = level
            found.append(np.stack([times, xs, ys, np.full(len(ys), polarity)], axis=1))
    return np.concatenate([np.zeros((0, 4)), *found]).astype(np.int64)


def _noise(scene: Scene, rng: np.random.Generator) -> NDArray[np.int64]:
    pixels = scene.width * scene.height
    count = rng.poisson(scene.noise_hz * pixels * scene.duration_us / 1e6)
    columns = (
        rng.integers(0, scene.duration_us, count),
        rng.integers(0, scene.width, count),
        rng.integers(0, scene.height, count),
        rng.integers(0, 2, count),
    )
    return np.stack(columns, axis=1)
