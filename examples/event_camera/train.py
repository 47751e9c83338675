# SPDX-License-Identifier: Apache-2.0
"""python -m examples.event_camera.train: train the network of this example anew, in NumPy.

2312 pixels (34 × 34, two polarities) → 64 LIF neurons → 5 LIF neurons, ticks of 4 ms; the answer is
the output that spikes most in 100 ms. Trained with surrogate gradients through time (Neftci,
Mostafa, Zenke, Surrogate gradient learning in spiking neural networks, IEEE Signal Processing
Magazine 36 (2019) 51): forwards a step, backwards the slope 1 / (1 + 4 |v − 1|)². The four pixels
of a block of 2 × 2 share their weights, which makes training quick and hardly costs accuracy. The
weights then become int8 in `neurovm.convert_network`.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np

import neurovm
from neurovm.events import Recording
from neurovm.spiking.network import Network
from neurovm.spiking.neurons import LIF
from neurovm.spiking.synapses import Dense

from .scenes import DURATION_US, HEIGHT, LABELS, WIDTH, scenes

MODEL = Path(__file__).with_name("shapes.nvm")
DT_US = 4000
TICKS = DURATION_US // DT_US
HIDDEN = 64
TAU_US = (20_000, 40_000)
"""Of the hidden and of the output neurons."""
NAMES = ("hidden", "shape")
LEAK = tuple(math.exp(-DT_US / tau) for tau in TAU_US)
SHARPNESS = 0.3
"""Of the softmax over spike counts."""

Weights = list[np.ndarray]


def trains(recordings: list[Recording]) -> np.ndarray:
    """uint8 (recordings, ticks, 2, height, width): spikes a tick and pixel."""
    counts = np.zeros((len(recordings), TICKS, 2 * HEIGHT * WIDTH), np.uint8)
    for row, recording in zip(counts, recordings, strict=True):
        times, addresses = recording.events()
        np.add.at(row, (np.asarray(times) // DT_US, np.asarray(addresses, np.intp)), 1)
    return counts.reshape(-1, TICKS, 2, HEIGHT, WIDTH)


def pooled(counts: np.ndarray) -> np.ndarray:
    """float32 (recordings, ticks, blocks): sums of 2 × 2 pixels."""
    blocks = counts.reshape(*counts.shape[:3], HEIGHT // 2, 2, WIDTH // 2, 2).sum(axis=(4, 6))
    return blocks.reshape(*counts.shape[:2], -1).astype(np.float32)


def run(drive: np.ndarray, leak: float) -> tuple[np.ndarray, np.ndarray]:
    """Potentials and spikes (recordings, ticks, neurons) of a layer of that drive."""
    v = np.zeros_like(drive[:, 0])
    potentials, spikes = np.empty_like(drive), np.empty_like(drive)
    for tick in range(TICKS):
        v = leak * v + drive[:, tick]
        potentials[:, tick], spikes[:, tick] = v, v >= 1.0
        v = v - spikes[:, tick]
    return potentials, spikes


def back(to_spikes: np.ndarray, potentials: np.ndarray, leak: float) -> np.ndarray:
    """The gradient of the drive, given that of the spikes; the reset is part of the way."""
    slopes, flow = slope(potentials), np.zeros_like(potentials[:, 0])
    to_drive = np.empty_like(potentials)
    for tick in reversed(range(TICKS)):
        kept = leak * flow  # of the potential that the reset has left
        flow = kept + (to_spikes[:, tick] - kept) * slopes[:, tick]
        to_drive[:, tick] = flow
    return to_drive


def gradients(weights: Weights, x: np.ndarray, answers: np.ndarray) -> tuple[float, Weights]:
    """Loss, the cross entropy of the spike counts, and its gradients."""
    v_hidden, hidden = run(x @ weights[0].T, LEAK[0])
    v_output, output = run(hidden @ weights[1].T, LEAK[1])
    scores = SHARPNESS * output.sum(axis=1)
    scores -= scores.max(axis=1, keepdims=True)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    rows = np.arange(len(x))
    loss = float(-np.log(shares[rows, answers] + 1e-9).mean())
    shares[rows, answers] -= 1
    to_counts = np.repeat((SHARPNESS * shares / len(x))[:, None], TICKS, axis=1)
    to_output = back(to_counts, v_output, LEAK[1])
    to_hidden = back(to_output @ weights[1], v_hidden, LEAK[0])
    return loss, [
        np.tensordot(to_hidden, x, ((0, 1), (0, 1))),
        np.tensordot(to_output, hidden, ((0, 1), (0, 1))),
    ]


def slope(v: np.ndarray) -> np.ndarray:
    """What stands for the derivative of a step at 1."""
    return 1.0 / (1.0 + 4.0 * np.abs(v - 1.0)) ** 2


def accuracy(weights: Weights, x: np.ndarray, answers: np.ndarray) -> float:
    """Share of right answers; of equal counts the first wins, as in a VM."""
    _, hidden = run(x @ weights[0].T, LEAK[0])
    _, output = run(hidden @ weights[1].T, LEAK[1])
    return float((output.sum(axis=1).argmax(axis=1) == answers).mean())


def train(x: np.ndarray, answers: np.ndarray, epochs: int, seed: int) -> Weights:
    """Adam, batches of 50, the rate falling to 0 along a cosine."""
    rng = np.random.default_rng(seed)
    sizes = (x.shape[2], HIDDEN, len(LABELS))
    weights = [
        (rng.standard_normal((n, m)) * scale).astype(np.float32)
        for m, n, scale in zip(sizes, sizes[1:], (0.1, 0.3), strict=False)
    ]
    first, second = [[np.zeros_like(w) for w in weights] for _ in range(2)]
    size = min(50, len(x))
    steps = epochs * (len(x) // size)
    step = 0
    for epoch in range(epochs):
        losses = []
        order = rng.permutation(len(x))
        for batch in order[: len(x) // size * size].reshape(-1, size):
            step += 1
            loss, found = gradients(weights, x[batch], answers[batch])
            losses.append(loss)
            rate = 2e-3 * (1 + math.cos(math.pi * step / steps))
            for w, g, m, s in zip(weights, found, first, second, strict=True):
                m[:] = 0.9 * m + 0.1 * g
                s[:] = 0.999 * s + 0.001 * g * g
                bend = np.sqrt(s / (1 - 0.999**step)) + 1e-8
                w[:] = w - rate * m / (1 - 0.9**step) / bend
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}", flush=True)
    return weights


def network(weights: Weights) -> Network:
    """The same network in the terms of neurovm, a weight for every pixel."""
    blocks = weights[0].reshape(HIDDEN, 2, HEIGHT // 2, WIDTH // 2)
    pixels = blocks.repeat(2, axis=2).repeat(2, axis=3).reshape(HIDDEN, -1)
    built = Network(DT_US, "shapes")
    node = built.input((2, HEIGHT, WIDTH), "camera")
    for name, w, tau_us, leak in zip(NAMES, (pixels, weights[1]), TAU_US, LEAK, strict=True):
        # κ · r = 1: training adds the weights as they are.
        neuron = LIF(
            tau_us=tau_us, r=1 / (1 - leak), fires_at=">=", reset="subtract", decay="exponential"
        )
        after = built.population(len(w), neuron, name)
        built.project(node, after, Dense(w))
        node = after
    built.output(node)
    return built


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=1500)
    parser.add_argument("--held", type=int, default=500, help="scenes to test with")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, default=MODEL)
    args = parser.parse_args()
    seen, answers = scenes(args.scenes, seed=0)
    weights = train(pooled(trains(seen)), answers, args.epochs, seed=1)
    held, right = scenes(args.held, seed=1_000_000)
    x = trains(held)
    with neurovm.convert_network(network(weights), weights="int8", labels=LABELS) as model:
        spikes = np.asarray(model.predict(x.astype(np.int8))).sum(axis=1)
        result = {
            "float": accuracy(weights, pooled(x), right),
            "int8": float((spikes.argmax(axis=1) == right).mean()),
            "chance": 1 / len(LABELS),
        }
        model.save(args.out)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
