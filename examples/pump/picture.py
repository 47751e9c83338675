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
    heights = [2.3, 0.5] * pumps + [1.4, 1.0]
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
    _work(axes[-2], recording, result, end_s)
    _watts(axes[-1], recording)
    axes[-1].set_xlim(0.0, end_s)
    axes[-1].set_xlabel(f"seconds (the plant runs {recording.speed:g} times faster)")
    share = result.agreed_s / result.decided_s if result.decided_s else 0.0
    figure.suptitle(
        f"{result.events:,} sensor events over MQTT, {result.results:,} results: "
        f"the decision was the true state {share:.1%} of the time",
        fontsize=13,
    )
    _legend(axes[0])
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
    bins = max(int(end_s * 2), 1)
    sops, dense = [0.0] * bins, [0.0] * bins
    for decision in recording.decisions:
        index = min(int(decision.t_s / end_s * bins), bins - 1)
        sops[index] += decision.sops
        dense[index] += decision.dense_macs
    times_s = [(index + 0.5) * end_s / bins for index in range(bins)]
    axis.fill_between(times_s, dense, step="mid", color="#d9d9d9", label="dense MACs")
    axis.fill_between(times_s, sops, step="mid", color="#2ca02c", label="SOPs, event-driven")
    axis.set_ylabel("operations\nper ½ s", fontsize=9)
    axis.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    share = result.sops / result.dense_macs if result.dense_macs else 0.0
    _beside(axis, f"{share:.1%} of the dense work")


def _watts(axis: Any, recording: Recording) -> None:
    known = [power for power in recording.power if power.watts is not None]
    axis.set_ylabel("watts", fontsize=9)
    if not known:
        axis.text(0.01, 0.5, "no figure from the daemon", transform=axis.transAxes, fontsize=9)
        return
    axis.step(
        [power.t_s for power in known],
        [power.watts for power in known],
        where="post",
        color="#444444",
        label=f"drawn ({known[-1].source})",
    )
    axis.set_ylim(bottom=0.0)
    limit = known[-1].limit
    if limit is not None and limit < 3.0 * max(power.watts or 0.0 for power in known):
        axis.axhline(limit, color="#d62728", linestyle="--", label=f"limit {limit:g} W")
    _beside(axis)


def _beside(axis: Any, title: str | None = None) -> None:
    axis.legend(
        loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9, title=title, frameon=False
    )


def _legend(axis: Any) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks = [
        Line2D([], [], color=colour, marker="|", markersize=11, linestyle="", label=group)
        for group, colour in GROUP_COLOUR.items()
    ]
    states = [Patch(color=colour, label=label) for label, colour in CLASS_COLOUR.items()]
    heading = [Line2D([], [], linestyle="", label=text) for text in ("states", "spikes of")]
    axis.legend(
        handles=[heading[0], *states, heading[1], *marks],
        loc="upper left",
        bbox_to_anchor=(1.0, 1.03),
        fontsize=9,
        frameon=False,
    )
