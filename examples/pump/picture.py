# SPDX-License-Identifier: Apache-2.0
"""The run as a picture: rasters, truth and decision, work against dense, watts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from examples.pump.faults import CLASSES
from examples.pump.recording import Recording, Score, spans
from examples.pump.screen import DOT_ROW
from examples.pump.sensors import NAMES, group_of

CLASS_COLOUR = dict(
    zip(
        CLASSES,
        (
            "#cfe8cf",
            "#17becf",
            "#ff7f0e",
            "#bcbd22",
            "#1f77b4",
            "#d62728",
            "#e377c2",
            "#9467bd",
        ),
        strict=True,
    )
)
GROUP_COLOUR = {
    "water": "#1f77b4",
    "valves": "#17a2a2",
    "electric": "#c9a400",
    "heat": "#d62728",
    "vibration": "#a03fa0",
    "site": "#2f8f2f",
}


def save(recording: Recording, result: Score, end_s: float, path: Path) -> Path:
    """Write a PNG; ImportError when matplotlib is missing. Returns the absolute path."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    pumps = len(recording.pumps)
    heights = [2.3, 0.5] * pumps + [1.3, 1.1, 0.9]
    figure, axes = plt.subplots(
        len(heights),
        1,
        sharex=True,
        figsize=(14.0, sum(heights) + 1.2),
        gridspec_kw={"height_ratios": heights},
        layout="constrained",
    )
    for pump in range(pumps):
        _raster(axes[2 * pump], recording, pump)
        _bands(axes[2 * pump + 1], recording, pump, end_s)
    _work(axes[-3], recording, result, end_s)
    _spikes(axes[-2], recording)
    _watts(axes[-1], recording)
    axes[-1].set_xlim(0.0, end_s)
    axes[-1].set_xlabel(f"seconds (the plant runs {recording.speed:g} times faster)")
    share = result.agreed_s / result.decided_s if result.decided_s else 0.0
    figure.suptitle(
        f"{result.events:,} sensor events over MQTT, {result.results:,} results: "
        f"the decision was the true state {share:.1%} of the time",
        fontsize=13,
    )
    _legend(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path.resolve()


def _raster(axis: Any, recording: Recording, pump: int) -> None:
    events = [event for event in recording.events if event.pump == pump]
    axis.scatter(
        [event.t_s for event in events],
        [DOT_ROW[event.sensor] for event in events],
        c=[GROUP_COLOUR[group_of(NAMES[event.sensor])] for event in events],
        marker="|",
        s=9,
        linewidths=0.9,
    )
    axis.set_ylim(len(NAMES), -1)
    axis.set_yticks([])
    axis.set_ylabel(f"pump {recording.pumps[pump]}\n64 sensors", fontsize=9)


def _bands(axis: Any, recording: Recording, pump: int, end_s: float) -> None:
    timelines = (spans(recording.truths, pump, end_s), spans(recording.decisions, pump, end_s))
    for row, timeline in enumerate(timelines):
        for span in timeline:
            colour = CLASS_COLOUR.get(span.label, "#808080")
            axis.barh(row, span.end_s - span.start_s, left=span.start_s, height=0.9, color=colour)
    axis.set_yticks([0, 1], ["true", "decided"], fontsize=8)
    axis.set_ylim(1.5, -0.5)
    axis.tick_params(axis="y", length=0)


def _work(axis: Any, recording: Recording, result: Score, end_s: float) -> None:
    times_s, sops, dense = [0.0], [0.0], [0.0]
    for decision in recording.decisions:
        times_s.append(decision.t_s)
        sops.append(sops[-1] + decision.sops / 1e6)
        dense.append(dense[-1] + decision.dense_macs / 1e6)
    times_s.append(end_s)
    for total, colour, label in (
        (dense, "#d9d9d9", f"dense: {result.dense_macs:,} MACs"),
        (sops, "#2ca02c", f"events: {result.sops:,} SOPs"),
    ):
        axis.fill_between(times_s, [*total, total[-1]], step="post", color=colour, label=label)
    axis.set_ylim(bottom=0.0)
    axis.set_ylabel("work so far,\nmillions", fontsize=9)
    share = result.sops / result.dense_macs if result.dense_macs else 0.0
    axis.legend(loc="upper left", fontsize=9, title=f"{share:.1%} of the dense work")


def _spikes(axis: Any, recording: Recording) -> None:
    samples = recording.samples
    axis.set_ylabel("spikes\nper second", fontsize=9)
    times_s = [sample.t_s for sample in samples[1:]]
    for name, colour, label in (
        ("spikes_out", "#7f4fbf", "of the neurons"),
        ("spikes_in", "#444444", "into the network"),
    ):
        counts = [getattr(sample, name) for sample in samples]
        rates = [
            (after - before) / max(later.t_s - earlier.t_s, 1e-9)
            for before, after, earlier, later in zip(
                counts, counts[1:], samples, samples[1:], strict=False
            )
        ]
        axis.step(times_s, rates, where="pre", color=colour, label=label, linewidth=1.2)
    axis.set_ylim(bottom=0.0)
    axis.legend(loc="upper left", fontsize=9, ncols=2)


def _watts(axis: Any, recording: Recording) -> None:
    known = [sample for sample in recording.samples if sample.watts is not None]
    axis.set_ylabel("watts", fontsize=9)
    if not known:
        axis.text(0.01, 0.5, "no figure from the daemon", transform=axis.transAxes, fontsize=9)
        return
    axis.step(
        [sample.t_s for sample in known],
        [sample.watts for sample in known],
        where="post",
        color="#444444",
        label=f"mean of the window ({known[-1].source})",
    )
    top = max(sample.watts or 0.0 for sample in known)
    limit_w = known[-1].limit_w
    if limit_w is not None and limit_w < 3.0 * top:
        axis.axhline(limit_w, color="#d62728", linestyle="--", label=f"limit {limit_w:g} W")
        top = max(top, limit_w)
    axis.set_ylim(0.0, 1.8 * top or 1.0)
    duty = axis.twinx()
    duty.step(
        [sample.t_s for sample in recording.samples],
        [100.0 * sample.duty for sample in recording.samples],
        where="post",
        color="#2ca02c",
        linewidth=0.9,
    )
    duty.set_ylim(0.0, 110.0)
    duty.set_ylabel("duty, %", fontsize=9, color="#2ca02c")
    axis.legend(loc="lower left", fontsize=9, ncols=2)


def _legend(figure: Any) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks = [
        Line2D([], [], color=colour, marker="|", markersize=11, linestyle="", label=group)
        for group, colour in GROUP_COLOUR.items()
    ]
    states = [Patch(color=colour, label=label) for label, colour in CLASS_COLOUR.items()]
    heading = [Line2D([], [], linestyle="", label=text) for text in ("states", "spikes of")]
    figure.legend(
        handles=[heading[0], *states, heading[1], *marks],
        loc="outside right upper",
        fontsize=9,
        frameon=False,
    )
