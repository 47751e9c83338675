# SPDX-License-Identifier: Apache-2.0
"""Rate coding against graded events on the digits network: accuracy, spikes and time against T.

    PYTHONPATH=. python benchmarks/rate.py [--model FILE.tflite] [--plot rate.png]

The rows are the 128 test images of tests/fixtures. Times are CPU time of one thread of this
machine, with a new image each time (little is left of the last one for `graded` to save). --plot
needs the extra [plot]. Of REPEATS runs the quickest counts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import neurovm
from neurovm.cli.calibration import Measured, sweep

TOP = Path(__file__).resolve().parents[1]
FIXTURES = TOP / "tests" / "fixtures"
REPEATS = 5
INSET_PERCENT = 90
CHOSEN = 256  # the table goes to 4 times this


def rows() -> tuple[np.ndarray, np.ndarray]:
    """Codes of the test images (n, 64), and their digits."""
    pixels = np.load(FIXTURES / "digits_x.npy")
    codes = (np.rint(pixels / 16 * 255) - 128).astype(np.int8)
    return codes, np.load(FIXTURES / "digits_y.npy").astype(np.int64)


def table(lines: list[Measured], dense_macs: int) -> str:
    """Markdown."""
    text = "| T | accuracy | agreement | code gap | spikes | SOPs | × dense | µs |\n"
    text += "| --- " * 8 + "|\n"
    for m in lines:
        name = "graded" if m.steps is None else str(m.steps)
        text += (
            f"| {name} | {m.accuracy:.1%} | {m.agreement:.1%} | {m.gap:.2f} | {m.spikes:,.0f} "
            f"| {m.sops:,.0f} | {m.sops / dense_macs:.2f} | {m.us:,.0f} |\n"
        )
    return text


def plot(lines: list[Measured], target: Path, title: str) -> None:
    """Accuracy, spikes and time over the steps, with the graded network as lines across."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    graded, rated = lines[0], lines[1:]
    steps = [m.steps for m in rated]
    percent = [100 * (m.accuracy or 0.0) for m in rated]
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), constrained_layout=True)
    for axis, name, label in zip(
        axes,
        ("accuracy", "spikes", "us"),
        ("right answers, %", "spikes an answer", "µs of CPU an answer"),
        strict=True,
    ):
        is_share = name == "accuracy"
        values = percent if is_share else [getattr(m, name) for m in rated]
        across = getattr(graded, name) * (100 if is_share else 1)
        axis.plot(steps, values, "o-", label="rate")
        axis.axhline(across, color="k", linestyle="--", label="graded (exact)")
        axis.set(xscale="log", xlabel="time steps T", ylabel=label)
        axis.set_xscale("log", base=2)
        if name != "accuracy":
            axis.set_yscale("log")
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right" if is_share else "upper left")
    # From 8 steps on everything happens in the last tenth.
    inset = axes[0].inset_axes((0.5, 0.36, 0.47, 0.34))
    late = [(t, value) for t, value in zip(steps, percent, strict=True) if value >= INSET_PERCENT]
    inset.plot(*zip(*late, strict=True), "o-", markersize=3)
    inset.axhline(100 * (graded.accuracy or 0.0), color="k", linestyle="--")
    inset.set_xscale("log", base=2)
    inset.set(ylim=(INSET_PERCENT, 100))
    inset.grid(alpha=0.3)
    figure.suptitle(title)
    figure.savefig(target, dpi=120)


def main() -> None:
    """Print the table; draw the plot where one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=FIXTURES / "digits_mlp.tflite")
    parser.add_argument("--plot", type=Path, help="write the plot into this file (.png, .svg)")
    options = parser.parse_args()
    codes, digits = rows()
    with (
        neurovm.convert_tflite(options.model) as graded,
        neurovm.convert_tflite(options.model, coding="rate") as model,
    ):
        runs = [
            sweep(model, graded, codes, digits, CHOSEN, lambda _done, _total: None)
            for _ in range(REPEATS)
        ]
        lines = [min(same, key=lambda m: m.us) for same in zip(*runs, strict=True)]
        print(
            f"{options.model.stem}: {len(codes)} rows, {graded.manifest.macs:,} weights a dense run"
        )
        print(table(lines, graded.manifest.macs))
        if options.plot is not None:
            title = (
                f"{options.model.stem}: rate coding against exact graded events, {len(codes)} rows"
            )
            plot(lines, options.plot, title)


if __name__ == "__main__":
    main()
