# SPDX-License-Identifier: Apache-2.0
"""Whole windows made comparable: each channel by its own loudness, or mean and variance."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable

from neurovmd.window.block import Flat


def peak(channel: Flat) -> list[float]:
    """x / max |x|; all zeros stay."""
    most = max(map(abs, channel))
    return [x / most for x in channel] if most else list(channel)


def mean_variance(channel: Flat) -> list[float]:
    """(x − mean) / standard deviation (of the population); of a constant channel all are zero.

    Sums are rounded once (fsum), so that the result does not depend on the order of samples.
    """
    n = len(channel)
    mean = math.fsum(channel) / n
    away = [x - mean for x in channel]
    deviation = math.sqrt(math.fsum([x * x for x in away]) / n)
    return [x / deviation for x in away] if deviation else [0.0] * n


RULES: dict[str, Callable[[Flat], list[float]]] = {"peak": peak, "mean_variance": mean_variance}


def normalized(window: Flat, width: int, rule: str) -> Flat:
    """A window of frames of `width` channels, each channel normalised by itself."""
    of_channel = RULES[rule]
    found = array("d", window)
    for channel in range(width):
        found[channel::width] = array("d", of_channel(found[channel::width]))
    return found
