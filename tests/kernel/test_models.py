# SPDX-License-Identifier: Apache-2.0
"""Whole networks through the binding against NumPy models, after every step."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from kernel.programs import Convolution, Programming, random_convolution

from neurovm import _kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 7


def convolutions(seed: int, flags: tuple[str, ...] = ()) -> tuple[list[Convolution], Programming]:
    """Three convolutions in a row, 3 -> 8 -> 5 -> 4 channels, on a 7 x 7 map."""
    rng = np.random.default_rng(seed)
    channels = (3, 8, 5, 4)
    layers = [random_convolution(rng, *pair) for pair in pairwise(channels)]
    made = Programming()
    source = made.add("INPUT", SIDE * SIDE * 3, flags=flags, zeros=(0, 11))
    for layer in layers:
        last = layer is layers[-1]
        source = layer.add(made, source, SIDE, (*flags, "OUTPUT") if last else flags)
    return layers, made


def modelled(layers: list[Convolution], codes: NDArray[np.int8]) -> list[NDArray[np.int8]]:
    maps = [codes.reshape(SIDE, SIDE, 3)]
    for layer in layers:
        maps.append(layer.model(maps[-1]))
    return maps


def assert_layers_equal(session: _kernel.Session, maps: list[NDArray[np.int8]]) -> None:
    for index, codes in enumerate(maps):
        np.testing.assert_array_equal(np.asarray(session.layer(index)[0]), codes.reshape(-1))


@pytest.mark.parametrize("way", ["auto", "events", "dense"])
@pytest.mark.parametrize("seed", range(3))
def test_every_step_equals_the_model(way: str, seed: int) -> None:
    layers, made = convolutions(seed)
    session = _kernel.Session(made.program())
    session.force(way)
    rng = np.random.default_rng(seed + 100)
    codes = np.full(SIDE * SIDE * 3, 11, np.int8)
    assert_layers_equal(session, modelled(layers, codes))
    for _ in range(12):
        count = int(rng.integers(0, 20))
        index = rng.integers(0, codes.size, count).astype(np.uint32)
        value = rng.integers(-128, 128, count).astype(np.int8)
        for i, v in zip(index, value, strict=True):
            codes[i] = v
        output = session.update(index, value)
        maps = modelled(layers, codes)
        assert_layers_equal(session, maps)
        np.testing.assert_array_equal(np.asarray(output), maps[-1].reshape(-1))


def test_unit_spikes_drain_to_the_same_codes() -> None:
    layers, made = convolutions(5, flags=("UNIT",))
    program = made.program()
    assert program.unit
    session = _kernel.Session(program)
    graded = _kernel.Session(convolutions(5)[1].program())
    rng = np.random.default_rng(6)
    for _ in range(4):
        codes = rng.integers(-128, 128, SIDE * SIDE * 3).astype(np.int8)
        session.step(codes)
        graded.step(codes)
        assert_layers_equal(session, modelled(layers, codes))
        for index in range(4):
            np.testing.assert_array_equal(
                np.asarray(session.layer(index)[0]), np.asarray(graded.layer(index)[0])
            )
            if index:
                np.testing.assert_array_equal(
                    np.asarray(session.layer(index)[1]), np.asarray(graded.layer(index)[1])
                )
    # The same distances in many single spikes: more events than graded ones.
    assert session.counters[1] > 10 * graded.counters[1]


def test_predict_is_the_model_row_by_row() -> None:
    layers, made = convolutions(9)
    program = made.program()
    rows = np.random.default_rng(1).integers(-128, 128, (5, SIDE * SIDE * 3)).astype(np.int8)
    out = np.empty((5, program.codes_out), np.int8)
    program.predict(rows, out, 5)
    for row, found in zip(rows, out, strict=True):
        np.testing.assert_array_equal(found, modelled(layers, row)[-1].reshape(-1))


class LifNetwork:
    """Binary LIF layers, fully connected, written down for NumPy alone."""

    def __init__(self, sizes: tuple[int, ...], seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.sizes = sizes
        self.weights = [rng.integers(-90, 128, pair).astype(np.int8) for pair in pairwise(sizes)]
        self.bias = [rng.integers(-20, 40, n).astype(np.int32) for n in sizes[1:]]
        self.theta = [int(rng.integers(100, 400)) for _ in sizes[1:]]
        self.leak_q16 = [int(rng.integers(30000, 65537)) for _ in sizes[1:]]
        self.reset = [str(rng.choice(["ZERO", "SUBTRACT"])) for _ in sizes[1:]]
        self.u = [np.zeros(n, np.int64) for n in sizes[1:]]

    def program(self) -> _kernel.Program:
        made = Programming()
        source = made.add("INPUT", self.sizes[0], flags=("SPIKES",))
        for k, n in enumerate(self.sizes[1:]):
            source = made.add(
                "DENSE",
                n,
                neuron="LIF",
                flags=("OUTPUT",) if k == len(self.sizes) - 2 else (),
                inputs=(source,),
                shape_in=(0, 0, self.sizes[k]),
                shape_out=(0, 0, n),
                offsets={"weights": made.put(self.weights[k]), "bias": made.put(self.bias[k])},
                theta=self.theta[k],
                reset=self.reset[k],
                leak_q16=self.leak_q16[k],
            )
        return made.program()

    def step(self, spikes: NDArray[np.int8]) -> list[NDArray[np.int8]]:
        """One time step; spikes of every layer."""
        out = [spikes]
        for k, weights in enumerate(self.weights):
            leaked = (self.u[k] * self.leak_q16[k] + 32768) // 65536
            u = leaked + self.bias[k] + out[-1].astype(np.int64) @ weights.astype(np.int64)
            fired = u >= self.theta[k]
            after = 0 if self.reset[k] == "ZERO" else u - self.theta[k]
            self.u[k] = np.where(fired, after, u)
            out.append(fired.astype(np.int8))
        return out


@pytest.mark.parametrize("way", ["events", "dense"])
def test_lif_network_equals_its_numpy_model(way: str) -> None:
    network = LifNetwork((30, 40, 25, 10), seed=4)
    session = _kernel.Session(network.program())
    session.force(way)
    rng = np.random.default_rng(2)
    fired = np.zeros(4)
    for step in range(200):
        spikes = (rng.random(30) < 0.2).astype(np.int8)
        layers = network.step(spikes)
        if step % 2:
            session.step(spikes)
        else:
            index = np.flatnonzero(spikes).astype(np.uint32)
            session.update(index, np.ones(index.size, np.int8))
        assert_layers_equal(session, layers)
        for k, u in enumerate(network.u):
            np.testing.assert_array_equal(np.asarray(session.layer(k + 1)[1]), u)
        assert session.changed == layers[-1].any()
        fired += [layer.mean() for layer in layers]
    assert all(0.02 < share / 200 < 0.98 for share in fired)
