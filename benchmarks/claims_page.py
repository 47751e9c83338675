# SPDX-License-Identifier: Apache-2.0
"""What `claims.py` writes: docs/claims.md, and the README's table of ratios."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_report import markdown
from bench_streams import ONE_BY


@dataclass(frozen=True)
class Claim:
    """One promise: what was found, beside what, whether that is reached, and how to see it."""

    promise: str
    found: str
    beside: str
    reached: str
    command: str


class Bench:
    """The rows of `bench.py`."""

    def __init__(self, path: Path) -> None:
        self.all: dict[str, Any] = json.loads(path.read_text())
        self.rows: list[dict[str, Any]] = self.all["rows"]

    def ours(self, **wanted: str) -> list[dict[str, Any]]:
        """Our rows with a ratio to LiteRT; a mode that is not named is `step`."""
        wanted = {"who": "neurovm", "mode": "step", **wanted}
        return [
            row for row in self.rows
            if row["ratio"] and all(row[key] == value for key, value in wanted.items())
        ]  # fmt: skip

    @property
    def machine(self) -> str:
        return f"{self.all['machine']}, instruction set {self.all['isa']}"


def page(claims: list[Claim], bench: Bench) -> str:
    """docs/claims.md."""
    rows = [[c.promise, c.found, c.beside, c.reached, f"`{c.command}`"] for c in claims]
    table = markdown(("promised", "measured here", "beside what", "reached", "command"), rows)
    aims = bench.all["aims"]
    words = {True: "reached", False: "**missed**", None: "not measured"}
    lines = [[a["what"], a["wanted"], a["found"], words[a["passed"]]] for a in aims]
    versions = "; ".join(bench.all["versions"].values())
    return f"""# What is promised, and what was measured

Figures that are promised of spiking and event-driven networks, and of int8, beside ours. This
page is written by `make claims MODELS=… DATA=…`; on another machine it says something else. Here:
{bench.machine}, one thread on one core, medians of
{bench.all["rounds"]} rounds in turns; {versions}.

{table}

*reached*: "yes" where every network or stream of the line does, "in part" where some do. How much
faster a step is depends on what changed: nothing is an idle sensor; real streams are sound, video
and a machine's noise, in which most inputs change in every step.

## What this kernel aims at

Ratios are times over LiteRT's, with XNNPACK on one thread. MACs are the weights that meet a changed
code, as a part of all (`benchmarks/bench.py --help`); "by 4" counts whole groups of four channels.

{markdown(("aim", "wanted", "found", ""), lines)}

## Other runtimes

Times over LiteRT's, everything changed, one thread. OpenVINO and TVM read the .tflite itself (TVM
compiles it for this processor, not tuned), ONNX Runtime what tf2onnx makes of it.

{peers(bench)}
"""


def peers(bench: Bench) -> str:
    """Everything changed: ratios to LiteRT of all that ran, and why the others did not."""
    rows = [row for row in bench.rows if row["kind"] in ("all", "none") and row["stream"] == "all"]
    rows = [row for row in rows if row["mode"] in ("step", "") and row["who"] != "litert"]
    names, sides = (list(dict.fromkeys(row[key] for row in rows)) for key in ("network", "who"))
    found = {(row["network"], row["who"]): row for row in rows}
    lines, reasons = [], {}
    for name in names:
        line = [name]
        for side in sides:
            row = found.get((name, side))
            if row is not None and row["ratio"] is None:
                reasons[side, name] = row["note"]
            line.append("–" if row is None or not row["ratio"] else short(row["ratio"]["median"]))
        lines.append(line)
    said = [f"* {name} in {side}: {note}" for (side, name), note in reasons.items()]
    return "\n".join([markdown(("network", *sides), lines), "", *said])


def short(ratio: float | None) -> str:
    if ratio is None:
        return "–"
    return f"{ratio:.3f}" if ratio < 0.1 else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def readme_block(bench: Bench) -> str:
    """The README's table of ratios, between its marks."""
    names = dict.fromkeys(row["network"] for row in bench.ours(kind="all"))
    streams = ("all", "10 % block", "1 % block", f"one by {ONE_BY}", "nothing")
    lines = []
    for name in names:
        found = {row["stream"]: row["ratio"]["median"] for row in bench.ours(network=name)}
        base = [row["us"]["median"] for row in bench.rows if row["network"] == name
                and row["who"] == "litert" and row["stream"] == "all"]  # fmt: skip
        cells = [short(found.get(s)) for s in streams]
        lines.append([f"{name} ({base[0]:.3g})" if base else name, *cells])
    columns = ("× LiteRT's time (µs of LiteRT)", "all changed", "10 % in a block", "1 % in a block",
               "one, a little", "nothing")  # fmt: skip
    return f"Measured on {bench.machine}.\n\n{markdown(columns, lines)}"


def with_block(text: str, block: str) -> str:
    """README.md with another table between `<!-- bench -->` and `<!-- end of bench -->`."""
    head, mark, rest = text.partition("<!-- bench -->\n")
    _, end, tail = rest.partition("<!-- end of bench -->")
    if not mark or not end:
        raise ValueError("README.md: there is no <!-- bench --> … <!-- end of bench -->")
    return f"{head}{mark}{block}\n{end}{tail}"
