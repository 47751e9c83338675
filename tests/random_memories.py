# SPDX-License-Identifier: Apache-2.0
"""Random small networks that remember, and streams for them: `random_memory(seed)`.

Variables are read and assigned in any order among sums, maxima, windows and LSTMs; the stream is a
walk from nothing changed to everything changed.
"""

from __future__ import annotations

import numpy as np
from case_net import Case
from memory_cases import SHAPE, SIDE, Remembering, lstm, svdf

STEPS = 24


class _Growing:
    """A network in the making: values of one shape and scale, variables, and what left it."""

    def __init__(self, seed: int) -> None:
        self.net = Remembering(f"READ_VARIABLE:random-{seed}")
        self.values = [self.net.x()]
        self.names = [self.net.variable(f"v{i}") for i in range(int(self.net.rng.integers(1, 4)))]
        self.heads: list[int] = []

    def any_value(self) -> int:
        """A value, the newest more likely."""
        back = min(int(self.net.rng.geometric(0.5)), len(self.values))
        return self.values[-back]

    def any_name(self) -> str:
        return self.names[int(self.net.rng.integers(len(self.names)))]

    def read(self) -> None:
        self.values.append(self.net.read(self.any_name()))

    def assign(self) -> None:
        self.net.assign(self.any_name(), self.any_value())

    def add(self) -> None:
        """A sum, or more often half of it, which does not run into the ends of the range."""
        net = self.net
        total = net.add(self.any_value(), self.any_value())
        if net.rng.random() < 0.8:
            half = net.writer.constant(
                "half", np.full((1, 1, 1), 64, np.int8), scale=1 / 128, zero_point=0
            )
            out = net.output(SHAPE, **SIDE)
            net.writer.operator("MUL", [total, half], [out], FusedActivationFunction="NONE")
            total = out
        self.values.append(total)

    def largest(self) -> None:
        out = self.net.output(SHAPE, **SIDE)
        self.net.writer.operator("MAXIMUM", [self.any_value(), self.any_value()], [out])
        self.values.append(out)

    def turn(self) -> None:
        """The rows one place on: what leaves below comes in above."""
        net, value = self.net, self.any_value()
        places = net.integers("places", [(i + 1) % SHAPE[1] for i in range(SHAPE[1])])
        out = net.output(SHAPE, **SIDE)
        net.writer.operator("GATHER", [value, places], [out], Axis=1)
        self.values.append(out)

    def lstm(self) -> None:
        units = int(self.net.rng.integers(1, 6))
        gain = float(self.net.rng.choice([0.5, 1.0, 3.0]))
        zero = int(self.net.rng.integers(-30, 31))
        self.heads.append(
            lstm(self.net, self.any_value(), SHAPE, units, gain=gain, zero_point=zero)
        )

    def svdf(self) -> None:
        net, size = self.net, SHAPE[1] * SHAPE[2]
        flat = net.output((1, size), **SIDE)
        wanted = net.integers("shape", [1, size])
        net.writer.operator("RESHAPE", [self.any_value(), wanted], [flat], NewShape=[1, size])
        rank, times = (int(n) for n in net.rng.integers(1, 4, 2))
        self.heads.append(svdf(net, flat, (1, size), 3, rank=rank, times=times))


def random_memory(seed: int) -> Case:
    """A network of 6 to 16 operators with 1 to 3 variables, and STEPS steps of a stream."""
    growing = _Growing(seed)
    net = growing.net
    moves = (growing.read, growing.assign, growing.add, growing.largest, growing.turn)
    growing.read()
    for _ in range(int(net.rng.integers(4, 12))):
        moves[int(net.rng.choice(5, p=[0.25, 0.25, 0.3, 0.1, 0.1]))]()
    growing.add()
    growing.assign()
    if net.rng.random() < 0.5:
        growing.lstm()
    if net.rng.random() < 0.3:
        growing.svdf()
    case = net.case(growing.values[-1], *growing.heads)
    return Case(case.name, case.model, [_walk(net.rng)])


def _walk(rng: np.random.Generator) -> np.ndarray:
    rows = [rng.integers(-128, 128, SHAPE)]
    while len(rows) < STEPS:
        row = rows[-1].copy()
        touched = rng.random(SHAPE) < rng.choice([0.0, 0.0, 0.1, 0.4, 1.0])
        row[touched] = rng.integers(-128, 128, int(touched.sum()))
        rows.append(row)
    return np.stack(rows).astype(np.int8)
