# SPDX-License-Identifier: Apache-2.0
"""python -m examples.event_camera.picture [FILE.bin]: what the camera sends and the network does.

Writes event_camera.png beside this file: the events of three moments, the spikes of both layers
tick by tick, and how often each output has spiked. Needs matplotlib.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import neurovm
from neurovm.events import Recording, read

from .scenes import DURATION_US, HEIGHT, LABELS, WIDTH, scene
from .train import DT_US, MODEL, TICKS, trains

TARGET = Path(__file__).with_name("event_camera.png")
RED, BLUE, GREY = "#c23b22", "#2a5d9f", "#444444"


def spikes(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """(ticks, neurons) of the hidden and of the output neurons."""
    counts = trains([recording])[0].astype(np.int8).reshape(TICKS, -1)
    with neurovm.load(MODEL) as model:
        session = model.session()
        hidden, shape = [], []
        for row in counts:
            shape.append(np.asarray(session.step(row.tobytes())).copy())
            hidden.append(np.asarray(session.population(1).spikes).copy())
        del session
    return np.array(hidden), np.array(shape)


def draw(recording: Recording, target: Path) -> None:
    """The picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(10, 5), layout="constrained")
    grid = figure.add_gridspec(2, 5, height_ratios=(1, 1.5))
    times, x, y, p = (
        np.asarray(each) for each in (recording.times_us, recording.x, recording.y, recording.p)
    )
    for column, start_us in enumerate((0, DURATION_US * 2 // 5, DURATION_US * 4 // 5)):
        axes = figure.add_subplot(grid[0, column])
        inside = (times >= start_us) & (times < start_us + 12_000)
        for polarity, colour in ((1, RED), (0, BLUE)):
            those = inside & (p == polarity)
            axes.scatter(x[those], y[those], s=4, c=colour, marker="s", linewidths=0)
        axes.set(xlim=(-1, WIDTH), ylim=(HEIGHT, -1), aspect="equal", xticks=[], yticks=[])
        axes.set_title(f"{start_us // 1000} … {(start_us + 12_000) // 1000} ms", fontsize=9)
    hidden, shape = spikes(recording)
    axes = figure.add_subplot(grid[1, :])
    ticks, neurons = np.nonzero(hidden)
    axes.scatter(ticks * DT_US / 1000, neurons, s=5, c=GREY, marker="|")
    for at, label in enumerate(LABELS):
        row = hidden.shape[1] + 8 + 9 * at
        sent = np.flatnonzero(shape[:, at]) * DT_US / 1000
        axes.scatter(sent, np.full(len(sent), row), s=30, c=RED, marker="|")
        axes.text(DURATION_US / 1000 + 1, row, label, fontsize=8, va="center")
    axes.set(xlim=(-1, DURATION_US / 1000 + 9), ylim=(-2, hidden.shape[1] + 52), yticks=[])
    axes.set_xlabel("ms of the camera's time", fontsize=9)
    axes.set_ylabel("64 hidden, 5 outputs", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes = figure.add_subplot(grid[0, 3:])
    axes.barh(LABELS, shape.sum(axis=0), color=RED)
    axes.set_xlabel("spikes in 100 ms", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?", help="a recording of 34 × 34 pixels")
    parser.add_argument("--out", type=Path, default=TARGET)
    args = parser.parse_args()
    draw(read(args.file) if args.file else scene("triangle", 5_000_002), args.out)


if __name__ == "__main__":
    main()
