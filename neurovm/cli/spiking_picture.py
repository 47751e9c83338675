# SPDX-License-Identifier: Apache-2.0
"""What every neuron of a spiking network did in one run, and the picture of it (matplotlib)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.errors import ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from neurovm.populations import PopulationInfo
    from neurovm.spiking_model import SpikingModel

INPUT, FIRING, RATE = "#6b7280", "#12857f", "#c2410c"
TRACES = ("#12857f", "#5a5fb0", "#c2410c", "#a16207", "#be185d", "#334155")
_RASTER_IN, _TRACES_IN = 1.5, 1.1
"""Height of a panel in inches."""
MOST_VALUES = 1 << 27
"""Spikes and potentials that are recorded together."""
_BINS = 60


@dataclass(frozen=True, slots=True)
class Recorded:
    """One population: counts (T, n), and real potentials (T, n), None of an input."""

    info: PopulationInfo
    spikes: NDArray[np.int8]
    potentials: NDArray[np.float64] | None

    @property
    def threshold(self) -> float | None:
        """Real potential of the first neuron at which it fires."""
        if self.info.threshold is None:
            return None
        return self.info.threshold * self.info.scale + self.info.offset


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """The chosen populations of one run."""

    name: str
    dt_ms: float
    ticks: int
    populations: tuple[Recorded, ...]

    def summary(self) -> str:
        """Ticks, and the spikes of each population."""
        parts = [
            f"{p.info.name} {int(p.spikes.astype(np.int64).sum())}"
            for p in self.populations
            if p.info.fires or p.potentials is None
        ]
        return f"{self.ticks} ticks of {self.dt_ms:g} ms; spikes: {', '.join(parts)}"


def record(
    model: SpikingModel, train: NDArray[np.int8], names: Sequence[str], ticks: int | None
) -> RecordedRun:
    """Run a train (T, n_in) and keep what the named populations did; none: inputs and outputs."""
    info = model.spiking
    known = {p.name: i for i, p in enumerate(info.populations)}
    for name in names:
        if name not in known:
            raise ShapeError(f"population {name!r} is not known; there are {', '.join(known)}")
    chosen = [known[name] for name in names] or [
        i for i, p in enumerate(info.populations) if p.kind == "input" or p.output
    ]
    count = len(train) if ticks is None else ticks
    size = count * sum(info.populations[i].size for i in chosen)
    if size > MOST_VALUES:
        raise ShapeError(f"{size} spikes to record; at most {MOST_VALUES}: choose populations")
    spikes = {i: np.zeros((count, info.populations[i].size), np.int8) for i in chosen}
    shown = {i: np.zeros(found.shape, np.int32) for i, found in spikes.items()}
    session = model.session()
    silence = np.zeros(model.n_in, np.int8)
    for t in range(count):
        session.step((train[t] if t < len(train) else silence).data)
        for i in chosen:
            state = session.population(i)
            spikes[i][t] = state.spikes
            shown[i][t] = state.v
    made = []
    for i in chosen:
        p = info.populations[i]
        v = shown[i].astype(np.float64) * p.scale + p.offset
        made.append(Recorded(p, spikes[i], None if p.kind == "input" else v))
    return RecordedRun(model.name, info.dt_us / 1000, count, tuple(made))


def draw(run: RecordedRun, *, traces: int) -> Any:
    """A matplotlib figure: a raster with its rate for each population, traces below it."""
    from matplotlib.figure import Figure

    rows = [(p, kind) for p in run.populations for kind in _panels(p, traces)]
    heights = [_RASTER_IN if kind == "raster" else _TRACES_IN for _, kind in rows]
    figure = Figure(figsize=(9, 0.9 + sum(heights)), layout="constrained")
    grid = figure.subplots(
        len(rows), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    end_ms = max(run.ticks, 1) * run.dt_ms
    for axes, (population, kind) in zip(grid, rows, strict=True):
        if kind == "raster":
            _raster(axes, population, run)
        else:
            _traces(axes, population, run, traces)
        axes.set_xlim(0, end_ms)
        axes.spines[["top", "right"]].set_visible(False)
    grid[-1].set_xlabel("time, ms")
    figure.suptitle(f"{run.name}: {run.ticks} ticks of {run.dt_ms:g} ms", fontsize=11)
    return figure


def _panels(population: Recorded, traces: int) -> list[str]:
    fires = population.info.fires or population.potentials is None
    traced = population.potentials is not None and (traces or not fires)
    return ["raster"] * fires + ["traces"] * bool(traced)


def _raster(axes: Any, population: Recorded, run: RecordedRun) -> None:
    """A mark for each spike, and the mean rate of the neurons behind it."""
    spikes = population.spikes
    colour = INPUT if population.potentials is None else FIRING
    ticks, neurons = np.nonzero(spikes)
    # A mark as high as a neuron's share of the panel, in points squared.
    size = float(np.clip((_RASTER_IN * 55 / spikes.shape[1]) ** 2, 0.5, 80))
    axes.scatter(ticks * run.dt_ms, neurons, s=size, marker="|", color=colour, linewidths=1.2)
    axes.set_ylim(-0.5, spikes.shape[1] - 0.5)
    axes.set_ylabel(f"{population.info.name}\nneuron", fontsize=8)
    axes.tick_params(labelsize=7)
    rate = axes.twinx()
    span = max(1, -(-run.ticks // _BINS))
    starts = np.arange(0, run.ticks, span)
    if starts.size:
        sums = np.add.reduceat(spikes.astype(np.int64).sum(axis=1), starts)
        lengths = np.diff([*starts, run.ticks]) * run.dt_ms / 1000
        hertz = sums / lengths / spikes.shape[1]
        edges = [*(starts * run.dt_ms), run.ticks * run.dt_ms]
        rate.stairs(hertz, edges, color=RATE, linewidth=1, alpha=0.7)
        rate.set_ylim(0, max(float(hertz.max()) * 1.25, 1e-9))
    rate.set_ylabel("rate, Hz", fontsize=7, color=RATE)
    rate.tick_params(labelsize=7, colors=RATE)
    rate.spines[["top"]].set_visible(False)


def _traces(axes: Any, population: Recorded, run: RecordedRun, traces: int) -> None:
    """Potentials of the neurons that fired most; of a readout those that rose highest."""
    potentials = population.potentials
    if potentials is None:
        return
    info = population.info
    merit = population.spikes.astype(np.int64).sum(axis=0) if info.fires else potentials.max(axis=0)
    order = np.argsort(-merit, kind="stable")[: traces or 4]
    at = (np.arange(run.ticks) + 1) * run.dt_ms
    for number, neuron in enumerate(sorted(order.tolist())):
        colour = TRACES[number % len(TRACES)]
        axes.plot(at, potentials[:, neuron], lw=1, color=colour, label=str(neuron))
    if population.threshold is not None:
        axes.axhline(population.threshold, color="#6b7280", lw=0.8, ls="--")
    axes.set_ylabel(f"{info.name}\npotential", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(
        title="neuron", fontsize=6, title_fontsize=6, loc="upper left", bbox_to_anchor=(1, 1)
    )
