# SPDX-License-Identifier: Apache-2.0
"""What `bench.py` has found: rows, the rules they are judged by, the table and the picture."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GROUPS_OF_4 = "random"
MOST_OF_ALL = {"all": 1.1, "random": 1.05, "real": 1.0}
"""Times LiteRT's time that is never to be exceeded, by kind of stream."""
SLACK, FLOOR = 1.5, 0.03
"""A step may take SLACK times its part of the work, and FLOOR of a whole run."""
NOTHING, NOTHING_US = 0.02, 0.2


@dataclass(frozen=True)
class Spread:
    """Median and the ends of the middle half."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        if len(values) < 4:
            return cls(statistics.median(values), min(values), max(values))
        low, median, high = statistics.quantiles(values, n=4)
        return cls(median, low, high)

    def text(self) -> str:
        return f"{self.median:.3g}", f"{self.low:.3g}–{self.high:.3g}"


@dataclass
class Row:
    """Microseconds a run (of `batch`: a row), and as a ratio to LiteRT's in the same round.

    elements, groups: the stream's exact part of a dense run's weights (bench_work.py).
    """

    network: str
    stream: str
    kind: str
    who: str
    mode: str
    us: Spread | None = None
    ratio: Spread | None = None
    elements: float | None = None
    groups: float | None = None
    stateful: bool = False
    note: str = ""
    limit: float | None = field(default=None)
    passed: bool | None = field(default=None)

    def judge(self) -> None:
        """`limit` and `passed`, for sessions that step; others are not judged."""
        if self.ratio is None or self.us is None or self.mode not in ("step", "update"):
            return
        if self.kind == "none" and (not self.stateful or self.us.median < NOTHING_US):
            self.limit = NOTHING
            self.passed = self.ratio.median <= NOTHING or self.us.median < NOTHING_US
            return
        limits = [MOST_OF_ALL[self.kind]] if self.kind in MOST_OF_ALL else []
        part = self.groups if self.kind == GROUPS_OF_4 else self.elements
        if self.kind != "all" and part is not None:
            limits.append(SLACK * part + FLOOR)
        if limits:
            self.limit = min(limits)
            self.passed = self.ratio.median <= self.limit


COLUMNS = ("network", "stream", "who", "µs", "middle half", "× LiteRT", "middle half",
           "MACs", "by 4", "at most", "")  # fmt: skip


def cells(row: Row) -> list[str]:
    us = row.us.text() if row.us else ("–", "")
    ratio = row.ratio.text() if row.ratio else ("–", "")
    parts = ["" if part is None else f"{part:.3f}" for part in (row.elements, row.groups)]
    limit = "" if row.limit is None else f"{row.limit:.3f}"
    word = {None: row.note, True: "ok", False: "MISSED"}[row.passed]
    return [row.network, row.stream, who(row), *us, *ratio, *parts, limit, word]


def who(row: Row) -> str:
    return row.who if row.mode in ("step", "") else f"{row.who}, {row.mode}"


def table(rows: Sequence[Row], columns: Sequence[str] = COLUMNS) -> str:
    lines = [cells(row) for row in rows]
    return markdown(columns, lines)


def markdown(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]

    def line(values: Sequence[str]) -> str:
        return "| " + " | ".join(f"{v:<{w}}" for v, w in zip(values, widths, strict=True)) + " |"

    return "\n".join([line(columns), line(["-" * w for w in widths]), *map(line, lines)])


@dataclass(frozen=True)
class Aim:
    """One thing that is wanted, and what was found; `passed` None: not measured."""

    what: str
    wanted: str
    found: str
    passed: bool | None

    def line(self) -> list[str]:
        word = {None: "not measured", True: "reached", False: "MISSED"}[self.passed]
        return [self.what, self.wanted, self.found, word]


def aims(rows: Sequence[Row], judged: Sequence[str], extra: dict[str, Any]) -> list[Aim]:
    """The aims of this kernel. judged: the networks whose geometric mean counts."""
    return [
        *_all_changed(rows, judged),
        _worst(rows, "nothing changed", "none", f"≤ {NOTHING} or < {NOTHING_US} µs"),
        _worst(rows, "changes in blocks", "block", f"≤ {SLACK} × MACs + {FLOOR}"),
        _worst(rows, "random changes", "random", f"≤ {SLACK} × MACs by 4 + {FLOOR}, ≤ 1.05"),
        _worst(rows, "real streams", "real", f"≤ {SLACK} × MACs + {FLOOR}, ≤ 1.0"),
        _single(rows, "pretrainedResnet_quant", "1 % block", 0.15),
        _single(rows, "ad01_int8", "one by 16", 0.4),
        _avx2(rows),
        *_batch(rows),
        *_memory(extra),
    ]


def _of(rows: Sequence[Row], **wanted: str) -> list[Row]:
    return [
        row for row in rows
        if row.ratio and all(getattr(row, key) == value for key, value in wanted.items())
    ]  # fmt: skip


def _geometric(values: Sequence[float]) -> float:
    return statistics.geometric_mean(values)


def _all_changed(rows: Sequence[Row], judged: Sequence[str]) -> list[Aim]:
    steps = _of(rows, kind="all", who="neurovm", mode="step")
    ratios = {row.network: row.ratio.median for row in steps}
    named = [ratios[name] for name in judged if name in ratios]
    found = []
    if named:
        mean, worst = _geometric(named), max(named)
        whole = len(named) == len(judged)
        text = f"{mean:.2f} ({worst:.2f}) of {len(named)}"
        found.append(Aim("all changed: geometric mean (worst)", "≤ 1.0 (1.1)", text,
                         mean <= 1 and worst <= 1.1 if whole else None))  # fmt: skip
    if "trained_lstm_int8" in ratios:
        lstm = ratios["trained_lstm_int8"]
        found.append(Aim("LSTM on MNIST, all changed", "≤ 0.1", f"{lstm:.3f}", lstm <= 0.1))
    return found


def _worst(rows: Sequence[Row], what: str, kind: str, wanted: str) -> Aim:
    """How many streams of a kind are within their limits, and the one furthest out."""
    found = [row for row in rows if row.kind == kind and row.passed is not None]
    if not found:
        return Aim(what, wanted, "–", None)
    good = sum(bool(row.passed) for row in found)
    text = f"{good} of {len(found)}"
    missed = [row for row in found if not row.passed]
    if missed:
        worst = max(missed, key=lambda row: row.ratio.median / row.limit)
        text += f"; worst {worst.network}, {worst.stream}: {worst.ratio.median:.3g}"
        text += f" of {worst.limit:.3g}"
    return Aim(what, wanted, text, not missed)


def _single(rows: Sequence[Row], network: str, stream: str, limit: float) -> Aim:
    found = _of(rows, network=network, stream=stream, who="neurovm", mode="step")
    name = f"{network}, {stream}"
    if not found:
        return Aim(name, f"≤ {limit}", "–", None)
    ratio = found[0].ratio.median
    return Aim(name, f"≤ {limit}", f"{ratio:.3f}", ratio <= limit)


def _avx2(rows: Sequence[Row]) -> Aim:
    found = _of(rows, kind="all", who="neurovm, avx2 forced", mode="step")
    what, wanted = "AVX2 forced, all changed: worst (geometric mean)", "≤ 2.0"
    if not found:
        return Aim(what, wanted, "–", None)
    ratios = [row.ratio.median for row in found]
    worst = max(found, key=lambda row: row.ratio.median)
    text = f"{max(ratios):.2f} {worst.network} ({_geometric(ratios):.2f})"
    return Aim(what, wanted, text, max(ratios) <= 2)


def _batch(rows: Sequence[Row]) -> list[Aim]:
    found = _of(rows, mode="batch", who="neurovm")
    aims = []
    if found:
        worst = max(found, key=lambda row: row.ratio.median)
        good = sum(row.ratio.median <= 1 for row in found)
        text = f"{good} of {len(found)}; slowest {worst.network}: {1 / worst.ratio.median:.2f} ×"
        aims.append(Aim("batch predict, rows a second", "≥ LiteRT's", text, good == len(found)))
    nets = [row for row in rows if row.network == "50 kMAC" and row.who == "neurovm"]
    for row in nets:
        if (
            row.us is not None
            and row.mode in ("step", "run", "batch", "from C")
            and row.kind in ("all", "batch")
        ):
            rate = 1e6 / row.us.median
            aims.append(Aim(f"50 kMAC, all changed, {who(row)}", "≥ 10^6 a second",
                            f"{rate / 1e6:.2f} · 10^6", rate >= 1e6))  # fmt: skip
    return aims


def _memory(extra: dict[str, Any]) -> list[Aim]:
    what, wanted = "peak RSS beside LiteRT's process: worst", "≤ 60 %"
    sizes = {name: kib for name, kib in extra.get("memory", {}).items() if "litert" in kib}
    if not sizes:
        return [Aim(what, wanted, "–", None)]
    parts = {name: kib["neurovm"] / kib["litert"] for name, kib in sizes.items()}
    worst = max(parts, key=parts.__getitem__)
    own, other = (sizes[worst][each] / 1024 for each in ("neurovm", "litert"))
    text = f"{parts[worst]:.0%} {worst} ({own:.1f} of {other:.1f} MiB)"
    return [Aim(what, wanted, text, parts[worst] <= 0.6)]


def plot(rows: Sequence[Row], title: str, target: Path) -> None:
    """Time against changed part, one panel a network, LiteRT at 1; .png or .svg."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    steps = [row for row in rows if row.who == "neurovm" and row.mode == "step" and row.ratio]
    names = list(dict.fromkeys(row.network for row in steps if row.kind == "block"))
    if not names:
        return
    across = min(3, len(names))
    down = -(-len(names) // across)
    figure, panels = plt.subplots(
        down, across, figsize=(3.6 * across, 2.9 * down), layout="constrained", squeeze=False
    )
    for panel, name in zip(panels.flat, names, strict=False):
        _panel(panel, name, [row for row in steps if row.network == name])
    for panel in panels.flat[len(names) :]:
        panel.set_axis_off()
    panels.flat[0].legend(fontsize=7, loc="upper left")
    figure.supxlabel("changed input elements, %", fontsize=9)
    figure.supylabel("time of a step, × LiteRT's", fontsize=9)
    figure.suptitle(title, fontsize=9)
    figure.savefig(target, dpi=150)
    plt.close(figure)


TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


def _panel(panel: Any, name: str, rows: list[Row]) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    for kind, colour, part in (
        ("block", "tab:blue", "elements"),
        ("random", "tab:orange", "groups"),
    ):
        chosen = [row for row in rows if row.kind in (kind, "all")]
        x = [float(row.stream.split(" %")[0]) if row.kind == kind else 100.0 for row in chosen]
        order = sorted(range(len(x)), key=x.__getitem__)
        ratios = [chosen[i].ratio for i in order]
        at = [x[i] for i in order]
        panel.plot(at, [r.median for r in ratios], "o-", ms=3, lw=1.2, color=colour, label=kind)
        panel.fill_between(at, [r.low for r in ratios], [r.high for r in ratios],
                           color=colour, alpha=0.2, lw=0)  # fmt: skip
        limits = [min(1.05, SLACK * (getattr(chosen[i], part) or 0) + FLOOR) for i in order]
        panel.plot(at, limits, ":", lw=1, color=colour, label=f"{kind}: at most")
    panel.axhline(1, color="black", lw=0.8)
    low = min(r.low for r in (row.ratio for row in rows if row.kind in ("block", "random", "all")))
    high = max(1.0, *(row.ratio.high for row in rows if row.kind in ("block", "random", "all")))
    low = min(low, *limits)
    panel.set_xscale("log")
    panel.set_yscale("log")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    panel.set_yticks([each for each in TICKS if low / 1.5 <= each <= high * 1.5])
    panel.set_title(name, fontsize=8)
    panel.tick_params(labelsize=7)
