# SPDX-License-Identifier: Apache-2.0
"""What a case of the spiking benchmark is, and the neurons they share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurovm.spiking.plan import Neurons

UNIT = 1 << 26
"""v of a threshold of 1."""
GRID = 4096
"""Weights are whole multiples of 1 / GRID, so that every simulator holds the same ones."""


@dataclass
class Case:
    """One network; `run` gives microseconds a step (or an event, see `unit`)."""

    name: str
    unit: str
    run: Callable[[], float]
    target: str = ""
    peers: dict[str, tuple[str, str, list[str]]] = field(default_factory=dict)
    """Name → (whose Python, script, its arguments)."""
    compare: Callable[[dict[str, Any]], str] | None = None
    """What a peer's first line says of the spikes; begins with DIFFERENT where they should not."""
    note: Callable[[], str] = str
    more: dict[str, Any] = field(default_factory=dict)


def powers(leak: float) -> np.ndarray:
    return np.array([[round(leak ** (2**k) * 2**31)] for k in range(32)], np.uint32)


def one(x: float) -> np.ndarray:
    return np.array([round(x)], np.int32)


def lif(leak: float, *, unit: int = UNIT, gain: int = UNIT // GRID, **more: Any) -> Neurons:
    """Fires at v ≥ 1, to 0; weights on the grid."""
    given = {"theta": one(unit), "reset_to": one(0), "bias": one(0), "initial": one(0), **more}
    return Neurons(leak=powers(leak), gain=one(gain), **given)


def timed(call: Callable[[], object], count: int) -> float:
    """Microseconds a step of `count`."""
    begun = time.perf_counter()
    call()
    return (time.perf_counter() - begun) / count * 1e6


def first_difference(ours: np.ndarray, theirs: list[list[int]]) -> str:
    mine = [tuple(each) for each in np.argwhere(ours).tolist()]
    other = sorted(tuple(each) for each in theirs)
    if mine == other:
        return f"all {len(mine)} spikes equal"
    place = next((i for i, pair in enumerate(zip(mine, other, strict=False)) if pair[0] != pair[1]),
                 min(len(mine), len(other)))  # fmt: skip
    return f"DIFFERENT from spike {place} of {len(mine)} and {len(other)}"
