# SPDX-License-Identifier: Apache-2.0
"""Random spiking networks in integers: every kind of neuron and of synapses, from a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.spiking.plan import (
    Convolution,
    Dense,
    LoihiNeurons,
    Neurons,
    Plan,
    Population,
    Procedural,
    Projection,
    Sparse,
    SumPool,
    TrueNorthNeurons,
    Wires,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.spiking.plan import Synapses


def leak_powers(leak: NDArray[np.int64]) -> NDArray[np.uint32]:
    """(32, n): λ^(2^k) in Q0.31."""
    rows = [leak.astype(np.int64)]
    for _ in range(31):
        rows.append((rows[-1] * rows[-1] + (1 << 30)) >> 31)
    return np.stack(rows).astype(np.uint32)


class Draw:
    """Draws the parts of a plan; `extreme` makes numbers that saturate and wrap likely."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.extreme = self.chance(0.2)

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def one_of(self, *values: object) -> object:
        return values[int(self.rng.integers(len(values)))]

    def ints(self, low: int, high: int, n: int) -> NDArray[np.int32]:
        """low … high, one or n of them."""
        count = n if self.chance(0.5) else 1
        return self.rng.integers(low, high + 1, count).astype(np.int32)

    def leak(self, n: int) -> NDArray[np.uint32]:
        count = n if self.chance(0.4) else 1
        kind = self.rng.integers(4)
        if kind == 0:
            return leak_powers(np.full(count, 1 << 31))
        if kind == 1:
            return leak_powers(np.zeros(count, np.int64))
        return leak_powers(self.rng.integers(1 << 29, 1 << 31, count))

    def neurons(self, n: int, *, cuba: bool) -> Neurons:
        top = (1 << 31) - 1
        big = top if self.extreme else 1 << 16
        fire = self.one_of("none", "one", "one", "one", "many")
        reset = "subtract" if fire == "many" else self.one_of("value", "subtract")
        low = 1 if fire == "many" else -(big // 8)
        scale = 1 << 14 if self.chance(0.5) else 1
        return Neurons(
            theta=self.ints(-200 if self.chance(0.1) else 1, 200 * scale, n),
            reset_to=self.ints(low, 200 * scale, n),
            leak=self.leak(n),
            gain=self.ints(-big, big, n) if self.chance(0.2) else self.ints(scale, scale, n),
            bias=self.ints(-9 * scale, 20 * scale, n) if self.chance(0.3) else self.ints(0, 0, n),
            initial=self.ints(-50 * scale, 150 * scale, n)
            if self.chance(0.3)
            else self.ints(0, 0, n),
            leak_current=self.leak(n) if cuba else None,
            coupling=self.ints(-top - 1, top, n) if cuba else None,
            fire=fire,  # type: ignore[arg-type] # one of its values
            reset=reset,  # type: ignore[arg-type] # one of its values
            refractory=int(self.one_of(0, 0, 1, 2, 9)),  # type: ignore[call-overload] # an int
            v_min=-int(self.rng.integers(0, 500 * scale)) if self.chance(0.3) else -(1 << 31),
        )

    def population(self, name: str, n: int, group: int, *, is_output: bool) -> Population:
        kind = self.one_of("lif", "lif", "lif", "cuba", "cuba", "loihi", "truenorth")
        if kind == "loihi":
            neurons: Neurons | LoihiNeurons | TrueNorthNeurons = LoihiNeurons(
                self.ints(0, 4095, n),
                self.ints(0, 4095, n),
                self.ints(0, 300, n),
                self.ints(-1000, 3000, n),
                int(self.rng.integers(-8, 8)),
            )
        elif kind == "truenorth":
            draw = self.rng.integers
            neurons = TrueNorthNeurons(
                draw(-20, 21, n).astype(np.int32),
                draw(1, 1500, n).astype(np.int32),
                -draw(0, 500, n).astype(np.int32),
                draw(-100, 100, n).astype(np.int32),
                int(draw(3)),
                int(draw(2)),
            )
        else:
            neurons = self.neurons(n, cuba=kind == "cuba")
        groups = group if kind in ("lif", "cuba") else 0
        return Population(name, n, kind, neurons, groups, is_output=is_output)  # type: ignore[arg-type] # a Kind

    def weights(self, *shape: int) -> NDArray[np.int8] | NDArray[np.int16]:
        if self.chance(0.5):
            return self.rng.integers(-128, 128, shape).astype(np.int8)
        return self.rng.integers(
            -32768 if self.extreme else -300, 32768 if self.extreme else 300, shape
        ).astype(np.int16)

    def sparse(self, n_source: int, n_target: int) -> Sparse:
        with_delays = self.chance(0.5)
        row, target, delays = [0], [], []
        for _ in range(n_source):
            count = int(self.rng.integers(0, n_target + 1))
            to = np.sort(self.rng.choice(n_target, count, replace=False))
            late = np.sort(self.rng.integers(0, 4, count)) if with_delays else np.zeros(count, int)
            for d in range(4):
                target += sorted(to[late == d].tolist())
            delays += late.tolist()
            row.append(len(target))
        return Sparse(
            np.array(row, np.uint64),
            np.array(target, np.uint32),
            self.rng.integers(-128, 128, len(target)).astype(np.int8),
            np.array(delays, np.uint16) if with_delays else None,
        )

    def synapses(self, n_source: int, n_target: int) -> Synapses:
        kind = self.rng.integers(4)
        if kind == 0:
            return Dense(self.weights(n_source, n_target))
        if kind == 1:
            return self.sparse(n_source, n_target)
        if kind == 2:
            target = self.rng.integers(-1, n_target, n_source).astype(np.int32)
            count = n_source if self.chance(0.5) else 1
            return Wires(target, self.rng.integers(-300, 300, count).astype(np.int16))
        low = int(self.rng.integers(-128, 100))
        return Procedural(
            seed=int(self.rng.integers(1 << 62)),
            fan_out=int(self.rng.integers(1, 9)),
            low=low,
            high=int(self.rng.integers(low, 128)),
            delay_high=int(self.one_of(0, 0, 3)),  # type: ignore[call-overload] # an int
        )

    def image(self) -> tuple[tuple[int, int, int], tuple[int, int, int], Synapses]:
        """Shapes of a source and a target (HWC), and a convolution or a pool between them."""
        draw = self.rng.integers
        h, w = int(draw(3, 9)), int(draw(3, 9))
        groups = int(draw(1, 4))
        in_c = groups * int(draw(1, 4))
        chw = self.chance(0.5)
        stride = (int(draw(1, 3)), int(draw(1, 3)))
        pad = (int(draw(0, 2)), int(draw(0, 2)))
        kernel = (int(draw(1, 4)), int(draw(1, 4)))
        if self.chance(0.35):
            out = tuple(
                (e + 2 * p - k) // s + 1
                for e, p, k, s in zip((h, w), pad, kernel, stride, strict=True)
            )
            shape = (out[0], out[1], in_c)
            weight = int(draw(-99, 100))
            return (
                (h, w, in_c),
                shape,
                SumPool((h, w, in_c), shape, kernel, stride, pad, weight, chw),
            )
        out_c = groups * int(draw(1, 5))
        dilation = (int(draw(1, 3)), 1)
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        out = tuple(
            max((e + 2 * p - k) // s + 1, 1)
            for e, p, k, s in zip((h, w), pad, spans, stride, strict=True)
        )
        shape = (out[0], out[1], out_c)
        weights = self.weights(*kernel, in_c // groups, out_c)
        synapses = Convolution(weights, (h, w, in_c), shape, stride, pad, dilation, groups, chw)
        return (h, w, in_c), shape, synapses


def random_plan(seed: int) -> Plan:
    """A small network: 1 or 2 inputs, 1 to 4 populations, perhaps recurrent, perhaps delayed."""
    draw = Draw(seed)
    if draw.chance(0.35):
        source_shape, target_shape, synapses = draw.image()
        sizes = [int(np.prod(source_shape)), int(np.prod(target_shape))]
        populations = [Population("x", sizes[0], "input")]
        last = draw.chance(0.5)
        group = target_shape[2] if draw.chance(0.7) else 0
        populations.append(draw.population("image", sizes[1], group, is_output=not last))
        projections = [Projection(0, 1, synapses, int(draw.rng.integers(0, 3)))]
        if last:
            n = int(draw.rng.integers(1, 30))
            populations.append(draw.population("last", n, 0, is_output=True))
            projections.append(Projection(1, 2, draw.synapses(sizes[1], n)))
        return Plan(tuple(populations), tuple(projections), dt_us=1000.0)
    inputs = int(draw.rng.integers(1, 3))
    populations = [
        Population(f"x{i}", int(draw.rng.integers(1, 40)), "input") for i in range(inputs)
    ]
    projections = []
    for i in range(int(draw.rng.integers(1, 5))):
        group = int(draw.rng.integers(1, 9))
        n = (
            group * int(draw.rng.integers(1, 9))
            if draw.chance(0.5)
            else int(draw.rng.integers(1, 70))
        )
        use = group if n % group == 0 and draw.chance(0.5) else 0
        populations.append(draw.population(f"p{i}", n, use, is_output=draw.chance(0.5)))
        me = len(populations) - 1
        for source in range(me):
            if source == me - 1 or draw.chance(0.3):
                late = int(draw.rng.integers(0, 5)) if draw.chance(0.4) else 0
                projections.append(
                    Projection(source, me, draw.synapses(populations[source].n, n), late)
                )
        if draw.chance(0.3):
            late = int(draw.rng.integers(1, 5))
            projections.append(Projection(me, me, draw.synapses(n, n), late))
    return Plan(tuple(populations), tuple(projections), dt_us=1000.0)
