# SPDX-License-Identifier: Apache-2.0
"""The terminal: a live view where there is one, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from examples.pump.faults import CLASSES, NORMAL
from examples.pump.raster import band, bar, braille
from examples.pump.recording import Decision, Recording, label_at, latest, spans
from examples.pump.sensors import NAMES, SENSORS, group_of

CLASS_STYLE = dict(
    zip(
        CLASSES,
        ("green", "bright_cyan", "orange1", "yellow", "dodger_blue1", "red", "magenta", "purple"),
        strict=True,
    )
)
GROUP_STYLE = {
    "water": "dodger_blue1",
    "valves": "cyan",
    "electric": "yellow",
    "heat": "red",
    "vibration": "magenta",
    "site": "green",
}
WINDOW_S = 12.0
BAR_COLUMNS = 24


class Screen:
    """Draws a recording; every call takes the present second `now_s`.

    Args:
        recording: what to draw; read only.
        title: first line, says what runs where.
        seconds: planned length of the run.
    """

    def __init__(self, recording: Recording, title: str, seconds: float) -> None:
        self._recording = recording
        self._title = title
        self._seconds = seconds
        self._counted = 0
        self._sops = self._dense = 0

    def render(self, now_s: float, width: int, height: int) -> RenderableType:
        """The whole view for a terminal of `width` × `height` characters."""
        pumps = len(self._recording.pumps)
        column = max((width - 1) // pumps, 20)
        rows = 16 if height >= 34 else 8
        table = Table.grid(padding=0)
        table.add_row(*(self._pump(pump, now_s, column - 4, rows) for pump in range(pumps)))
        head = Text(f" {self._title}", style="bold", no_wrap=True, overflow="ellipsis")
        head.append(f"   {now_s:4.1f} of {self._seconds:g} s", style="default")
        spare = height - (rows + 5) - 9  # beside the head, the legend, the figures, the cursor
        parts: list[RenderableType] = [head, table, self._legend()]
        parts.append(self._figures(now_s, width))
        parts.extend(self._newest(min(max(spare, 0), 5)))
        return Group(*parts)

    def _pump(self, pump: int, now_s: float, columns: int, rows: int) -> Panel:
        start_s = max(now_s - WINDOW_S, 0.0)
        truth = spans(latest(self._recording.truths, pump, start_s), pump, now_s)
        decided = spans(latest(self._recording.decisions, pump, start_s), pump, now_s)
        lines = self._raster(pump, start_s, columns, rows)
        for name, timeline in (("true", truth), ("vm", decided)):
            line = Text(f"{name:<5}")
            for label in band(timeline, start_s, start_s + WINDOW_S, columns - 5):
                line.append("█" if label else " ", style=CLASS_STYLE.get(label or "", "white"))
            lines.append(line)
        lines.append(self._verdict(pump, label_at(truth, now_s) or NORMAL))
        return Panel(
            Group(*lines),
            title=f"{self._recording.pumps[pump]}",
            width=columns + 4,
            height=rows + 5,
        )

    def _raster(self, pump: int, start_s: float, columns: int, rows: int) -> list[Text]:
        step_s = WINDOW_S / (2 * columns)
        recent = takewhile(lambda event: event.t_s >= start_s, reversed(self._recording.events))
        points = (
            (DOT_ROW[event.sensor] * rows // 16, int((event.t_s - start_s) / step_s))
            for event in recent
            if event.pump == pump
        )
        return [
            Text(line, style=ROW_STYLE[row * 64 // rows])
            for row, line in enumerate(braille(points, rows, columns))
        ]

    def _verdict(self, pump: int, truth: str) -> Text:
        last = self._last(pump)
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(truth, style=CLASS_STYLE[truth])
        if last is None:
            return line.append("  vm: waiting for all sensors", style="dim")
        line.append(" ✓ " if last.label == truth else " ≠ ", style="bold")
        line.append(last.label, style=f"bold {CLASS_STYLE.get(last.label, 'white')}")
        return line.append(f" {last.value:.2f}")

    def _last(self, pump: int) -> Decision | None:
        decisions = reversed(self._recording.decisions)
        return next((decision for decision in decisions if decision.pump == pump), None)

    def _legend(self) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(" spikes: ", style="dim")
        for group, style in GROUP_STYLE.items():
            line.append(f"⣿ {group} ", style=style)
        line.append("  states: ", style="dim")
        for label, style in CLASS_STYLE.items():
            line.append(f"█ {label} ", style=style)
        return line

    def _figures(self, now_s: float, width: int) -> Panel:
        recording = self._recording
        decisions = recording.decisions
        for decision in decisions[self._counted :]:
            self._counted += 1
            self._sops += decision.sops
            self._dense += decision.dense_macs
        share = self._sops / self._dense if self._dense else 0.0
        second = [d for d in decisions[-2000:] if d.t_s > now_s - 1.0]
        events = sum(
            1 for _ in takewhile(lambda e: e.t_s > now_s - 1.0, reversed(recording.events))
        )
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"events  {events:5d}/s   {len(recording.events):7,d} so far")
        text.append(f"      results {len(second):4d}/s   {len(decisions):6,d} so far\n")
        text.append(f"work    {self._sops:,} SOPs for {self._dense:,} dense MACs: ")
        text.append(f"{share:.1%}", style="bold green")
        text.append(f" ▕{bar(share, BAR_COLUMNS)}▏\n")
        text.append(f"spikes  {spikes(recording, now_s)}\n")
        text.append(f"power   {power(recording)}")
        return Panel(text, width=width - 1, height=6)

    def _newest(self, count: int) -> list[Text]:
        lines = []
        for event in self._recording.events[len(self._recording.events) - count :]:
            pump, sensor = self._recording.pumps[event.pump], SENSORS[event.sensor]
            text = f" plant/{pump}/sensor/{sensor.name} = {event.value:g} {event.unit}"
            lines.append(Text(text, style="dim", no_wrap=True, overflow="ellipsis"))
        return lines


def power(recording: Recording) -> str:
    """The daemon's last figure with its source and limit."""
    if not recording.samples:
        return "not heard from the daemon yet"
    last = recording.samples[-1]
    drawn = "? W" if last.watts is None else f"{last.watts:.2f} W"
    if last.limit_w is None:
        return f"{drawn} ({last.source}), no limit"
    paused = ", paused: the limit is reached without any model" if last.duty == 0.0 else ""
    return f"{drawn} ({last.source}), limit {last.limit_w:g} W, duty {last.duty:.0%}{paused}"


def spikes(recording: Recording, now_s: float) -> str:
    """The kernel's counts, and the rates of the last two seconds."""
    if not recording.samples:
        return "not heard from the daemon yet"
    last = recording.samples[-1]
    recent = takewhile(lambda sample: sample.t_s >= now_s - 2.0, reversed(recording.samples))
    first = min(recent, key=lambda sample: sample.t_s, default=last)
    elapsed_s = last.t_s - first.t_s
    rate = (last.spikes_out - first.spikes_out) / elapsed_s if elapsed_s > 0.0 else 0.0
    into, out = last.spikes_in, last.spikes_out
    return f"{into:,} into the network, {out:,} of its neurons, now {rate:,.0f}/s"


def _dot_rows() -> list[int]:
    """Sensors ordered by group: the dot row of each."""
    order = list(GROUP_STYLE)
    ranked = sorted(range(len(NAMES)), key=lambda index: order.index(group_of(NAMES[index])))
    rows = [0] * len(NAMES)
    for row, sensor in enumerate(ranked):
        rows[sensor] = row
    return rows


DOT_ROW = _dot_rows()
ROW_STYLE = [GROUP_STYLE[group_of(NAMES[DOT_ROW.index(row)])] for row in range(len(NAMES))]


class PlainLog:
    """One line a second and one for every change of a decision, for pipes and log files."""

    def __init__(self, recording: Recording, write: Callable[[str], None]) -> None:
        self._recording = recording
        self._write = write
        self._seen = 0
        self._labels: dict[int, str] = {}
        self._next_s = 1.0

    def update(self, now_s: float) -> None:
        """Write what is new."""
        recording = self._recording
        while self._seen < len(recording.decisions):
            decision = recording.decisions[self._seen]
            self._seen += 1
            if self._labels.get(decision.pump) != decision.label:
                self._labels[decision.pump] = decision.label
                self._write(self._change(decision))
        if now_s >= self._next_s:
            self._next_s = now_s + 1.0
            events, results = len(recording.events), len(recording.decisions)
            self._write(f"{now_s:6.1f} s  {events} events  {results} results")

    def _change(self, decision: Decision) -> str:
        truth = label_at(spans(self._recording.truths, decision.pump, 1e9), decision.t_s)
        return (
            f"{decision.t_s:6.1f} s  {self._recording.pumps[decision.pump]}: {decision.label} "
            f"{decision.value:.2f} (true: {truth}), {decision.sops} SOPs of {decision.dense_macs}"
        )


def console(*, color: bool) -> Console:
    """The console of the demo; `color` False leaves out all styles."""
    return Console(no_color=not color, highlight=False)
