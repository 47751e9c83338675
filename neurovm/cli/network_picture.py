# SPDX-License-Identifier: Apache-2.0
"""`neurovm explain --plot`: a network as a picture, operator by operator, with its figures.

Read from above: each operator is a row, coloured by what became of it; lines show what feeds what,
bars how neurons, synapses, multiplications and state are spread. A long network goes on in a
further column.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurovm.cli import drawing
from neurovm.cli.drawing import Drawing, Line, Rectangle, Text

GROUND, INK, PALE, GRID = "#fbfaf6", "#22272b", "#7c838a", "#e4e1d8"
COLOURS = {
    "events": "#12857f",
    "table": "#d9922b",
    "dense": "#5a5fb0",
    "folded": "#b4b1a6",
    "refused": "#c4433a",
    None: "#8d8d8d",
    "port": "#22272b",
}
TINTS = {
    "events": "#dcefec",
    "table": "#f9ebd2",
    "dense": "#e3e4f4",
    "folded": "#f0eee7",
    "refused": "#f7dedb",
    None: "#ececec",
    "port": "#ffffff",
}
FIGURES = (
    ("neurons", "neurons"),
    ("synapses", "synapses"),
    ("macs", "MACs"),
    ("session_bytes", "session bytes"),
)

MARGIN, TOP = 36.0, 142.0
ROW, THIN_ROW, GAP = 34.0, 20.0, 10.0
LANE, MOST_LANES = 9.0, 6
BOX, SHAPE, BAR, BOUND = 236.0, 92.0, 104.0, 46.0
BAR_GAP = 16.0
ASPECT = 1.35
"""Width to height that the number of columns comes closest to."""


@dataclass(slots=True)
class Node:
    """One row: an operator, an input or an output. `reads` are places in the list of rows."""

    title: str
    fate: str | None
    reads: list[int]
    shape: Sequence[int] | None = None
    figures: dict[str, int] | None = None
    bound: int = 0
    state_bytes: int = 0
    note: str = ""
    second: str = ""
    x: float = 0.0
    y: float = 0.0
    column: int = 0

    @property
    def height(self) -> float:
        return THIN_ROW if self.fate == "folded" and not self.second else ROW

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


def write(result: dict[str, Any], path: Path) -> None:
    """Draw what `explanation` tells of a model; see `drawing.write`."""
    drawing.write(picture(result), path)


def picture(result: dict[str, Any]) -> Drawing:
    """The whole drawing."""
    rows = nodes(result)
    lanes = _lanes(rows)
    room = MARGIN + LANE * (1 + min(MOST_LANES, max(lanes.values(), default=0)))
    column = room + BOX + SHAPE + len(FIGURES) * (BAR + BAR_GAP) + BOUND
    count = _columns(rows, column)
    tallest = _place(rows, count, room, column)
    page = Drawing(
        width=count * column + MARGIN,
        height=TOP + tallest + MARGIN,
        ground=GROUND,
        title=f"{result['name']}: {len(result['operators'])} operators",
    )
    _heading(page, result)
    for k in range(count):
        _columns_heading(page, k * column + room)
    for place, node in enumerate(rows):
        for source in node.reads:
            page.add(*_edge(rows, source, place, lanes))
    most = {key: max((n.figures or {}).get(key, 0) for n in rows) for key, _ in FIGURES}
    for node in rows:
        page.add(*_row(node, most))
    return page


def nodes(result: dict[str, Any]) -> list[Node]:
    """The rows, in the order they run."""
    inputs = result["inputs"]
    rows = [_port(port, "input", []) for port in inputs]
    rows += [_operator(op, len(inputs)) for op in result["operators"]]
    return rows + [
        _port(port, "output", _places(port["reads"], len(inputs))) for port in result["outputs"]
    ]


def _places(reads: Sequence[int], inputs: int) -> list[int]:
    """Places in the list of rows, which begins with the inputs."""
    return [-1 - i if i < 0 else i + inputs for i in reads]


def _operator(op: dict[str, Any], inputs: int) -> Node:
    return Node(
        title=f"{op['index']}  {op['op']}",
        fate=op["fate"],
        reads=_places(op["reads"], inputs),
        shape=op["shape"],
        figures={key: op[key] for key, _ in FIGURES} if op["layers"] else None,
        bound=op["acc_bound"],
        state_bytes=op["state_bytes"],
        note=f"needed: {op['needed']}" if op["needed"] else op["note"],
        second=f"nearest: {op['nearest']}" if op["nearest"] else "",
    )


def _port(port: dict[str, Any], what: str, reads: list[int]) -> Node:
    title = f"{what}  {port['name']}"
    return Node(title=title, fate="port", reads=reads, shape=port["shape"], note=port["dtype"])


def _adjacent(rows: Sequence[Node], source: int, target: int) -> bool:
    """Whether nothing but folded rows, which nobody reads, stands between two rows."""
    return all(rows[i].fate == "folded" for i in range(source + 1, target))


def _lanes(rows: Sequence[Node]) -> dict[tuple[int, int], int]:
    """Lines that skip rows, each in a lane where no other runs beside it; 0: the straight way."""
    lanes: dict[tuple[int, int], int] = {}
    ends: list[int] = []
    for source, target in sorted((s, t) for t, node in enumerate(rows) for s in node.reads):
        if _adjacent(rows, source, target):
            lanes[source, target] = 0
            continue
        free = next((k for k, end in enumerate(ends) if end <= source), len(ends))
        ends[free:] = [target, *ends[free + 1 :]]
        lanes[source, target] = 1 + free % MOST_LANES
    return lanes


def _columns(rows: Sequence[Node], width: float) -> int:
    whole = sum(node.height + GAP for node in rows)
    counts = range(1, max(2, math.ceil(math.sqrt(len(rows)))))
    return min(counts, key=lambda n: abs(math.log(n * width / (TOP + whole / n) / ASPECT)))


def _place(rows: Sequence[Node], count: int, room: float, column: float) -> float:
    """Set rows below each other in `count` columns of about equal height; the tallest's height."""
    share = sum(node.height + GAP for node in rows) / count
    at, k, tallest = 0.0, 0, 0.0
    for node in rows:
        if at + node.height / 2 > share and k < count - 1:
            at, k = 0.0, k + 1
        node.x, node.y, node.column = k * column + room, TOP + at, k
        at += node.height + GAP
        tallest = max(tallest, at)
    return tallest


def _edge(
    rows: Sequence[Node], source: int, target: int, lanes: dict[tuple[int, int], int]
) -> Iterator[drawing.Shape]:
    """The line from one row to another; between columns two stubs that name each other."""
    a, b, lane = rows[source], rows[target], lanes[source, target]
    if a.column != b.column:
        x, y = b.x, b.middle
        yield Line(((x - LANE, y), (x, y)), PALE, dashed=True)
        yield Text(x - LANE - 2, y + 3.5, a.title.split()[0], 9, PALE, "end")
        return
    if lane == 0:
        x = a.x + 18
        yield Line(((x, a.y + a.height), (x, b.y)), PALE)
        yield Line(((x - 3, b.y - 4), (x, b.y)), PALE)
        yield Line(((x + 3, b.y - 4), (x, b.y)), PALE)
        return
    x, out = a.x, a.x - lane * LANE
    y, z = a.middle + 5, b.middle - 5
    turn = min(8.0, (z - y) / 2)
    yield Line(((x, y), (out, y), (out, y), (out, y + turn)), PALE)
    yield Line(((out, y + turn), (out, z - turn)), PALE)
    yield Line(((out, z - turn), (out, z), (out, z), (x, z)), PALE)
    yield Line(((x - 4, z - 3), (x, z)), PALE)
    yield Line(((x - 4, z + 3), (x, z)), PALE)


def _row(node: Node, most: dict[str, int]) -> Iterator[drawing.Shape]:
    colour = COLOURS[node.fate]
    stroke = colour if node.fate == "port" else "none"
    yield Rectangle(node.x, node.y, BOX, node.height, TINTS[node.fate], 5, stroke)
    if node.fate != "port":
        yield Rectangle(node.x, node.y, 5, node.height, colour, 2)
    thin = node.height == THIN_ROW
    size, ink = (10.5, PALE) if thin else (12.5, INK)
    room = BOX - (104 if node.state_bytes else 24)
    title = drawing.shortened(node.title, room, size, bold=not thin)
    if node.state_bytes:
        yield Text(
            node.x + BOX - 10, node.middle + 4, f"keeps {node.state_bytes:,} B", 10.5, colour, "end"
        )
    yield Text(node.x + 14, node.middle + 4.2, title, size, ink, bold=not thin)
    at = node.x + BOX + 12
    if node.figures is None:
        yield from _words(node, at)
        return
    yield Text(at, node.middle + 4, _shape(node.shape), 11.5, INK)
    at += SHAPE
    for key, _ in FIGURES:
        yield from _bar(at, node, node.figures[key], most[key], colour)
        at += BAR + BAR_GAP
    if node.bound:
        bound = f"2^{node.bound.bit_length()}"
        yield Text(at + BOUND - 12, node.middle + 4, bound, 11, PALE, "end")


def _words(node: Node, at: float) -> Iterator[drawing.Shape]:
    """What there is to say of a row without layers."""
    room = SHAPE + len(FIGURES) * (BAR + BAR_GAP) + BOUND - 24
    if node.fate == "port":
        yield Text(at, node.middle + 4, f"{_shape(node.shape)}   {node.note}", 11.5, INK)
        return
    ink = COLOURS["refused"] if node.fate == "refused" else PALE
    first = node.middle - 2 if node.second else node.middle + 3.5
    yield Text(at, first, drawing.shortened(node.note, room, 11), 11, ink)
    if node.second:
        yield Text(at, node.middle + 12, drawing.shortened(node.second, room, 10.5), 10.5, PALE)


def _bar(at: float, node: Node, value: int, most: int, colour: str) -> Iterator[drawing.Shape]:
    """A bar as long as the row's share of the largest, and the number."""
    if not value:
        return
    y = node.y + node.height - 12
    yield Rectangle(at, y, BAR, 5, GRID, 2.5)
    length = max(2.0, BAR * value / most)
    yield Rectangle(at, y, length, 5, colour, min(2.5, length / 2))
    yield Text(at, y - 5, f"{value:,}", 11.5, INK)


def _shape(shape: Sequence[int] | None) -> str:
    if not shape:
        return ""
    shown = list(shape[1:] if shape[0] == 1 and len(shape) > 1 else shape)
    return " × ".join(map(str, shown))


def _heading(page: Drawing, result: dict[str, Any]) -> None:
    """Name, sums, and a legend with counts."""
    page.add(Text(MARGIN, 46, drawing.shortened(result["name"], 640, 25), 25, INK, bold=True))
    sums = (
        f"{len(result['operators'])} operators  ·  {result['neurons']:,} neurons  ·  "
        f"{result['synapses']:,} synapses  ·  {result['macs']:,} MACs dense  ·  "
        f"{result['session_bytes']:,} bytes a session  ·  profile {result['profile']}"
    )
    page.add(Text(MARGIN, 70, sums, 13, PALE))
    at = MARGIN
    for fate in ("events", "table", "dense", "folded", "refused"):
        count = sum(op["fate"] == fate for op in result["operators"])
        if count:
            page.add(Rectangle(at, 86, 12, 12, COLOURS[fate], 3))
            page.add(Text(at + 18, 96.5, f"{fate} {count}", 12, INK))
            at += 40 + 8 * len(f"{fate} {count}")


def _columns_heading(page: Drawing, x: float) -> None:
    at = x + BOX + 12
    page.add(Text(at, TOP - 12, "output", 11, PALE))
    at += SHAPE
    for _, name in FIGURES:
        page.add(Text(at, TOP - 12, name, 11, PALE))
        at += BAR + BAR_GAP
    page.add(Text(at + BOUND - 12, TOP - 12, "sums <", 11, PALE, "end"))
