# SPDX-License-Identifier: Apache-2.0
"""Printing: tables for people, JSON and YAML for programs, progress bars on stderr.

Results go to stdout, everything else to stderr. Colour and bars only where a terminal listens.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDE = 200
"""Columns of a table that nobody looks at: pipes and files get untruncated lines."""

Advance = Callable[[int, int], None]
"""progress(done, total)"""


def data(form: str, value: Any) -> bool:
    """Print `value` as JSON or YAML; False (and nothing printed) where a table is wanted."""
    if form == "json":
        click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
        return True
    if form == "yaml":
        import yaml

        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False)
        click.echo(text, nl=False)
        return True
    return False


def console() -> Console:
    """Standard output: coloured on a terminal, plain and wide elsewhere."""
    from rich.console import Console

    wide = None if sys.stdout.isatty() else WIDE
    return Console(file=sys.stdout, width=wide, highlight=False, soft_wrap=False, emoji=False)


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    left: Sequence[str] = (),
    whole: Sequence[str] = (),
    fit: bool = False,
) -> None:
    """A table with numbers to the right.

    `left` names the columns of text, `whole` those among them that never break a line. With `fit`
    a narrow terminal gets fewer columns, from the left, and is told so.
    """
    from rich.table import Table
    from rich.text import Text

    out = console()
    kept = _fitting(columns, rows, out.width) if fit and out.is_terminal else len(columns)
    grid = Table(
        box=None, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="bold"
    )
    for column in columns[:kept]:
        text = column in left
        grid.add_column(
            column,
            justify="left" if text else "right",
            no_wrap=not text or column in whole,
            overflow="fold",
        )
    for row in rows:
        grid.add_row(*(Text(cell(value)) for value in row[:kept]))
    _print(grid)
    if kept < len(columns):
        click.echo(f"not shown here: {', '.join(columns[kept:])}")


def _fitting(columns: Sequence[str], rows: Sequence[Sequence[object]], width: int) -> int:
    """How many columns, one blank apart, fit a line; at least one."""
    used = -1
    for position, column in enumerate(columns):
        used += 1 + max(len(column), *(len(cell(row[position])) for row in rows), 0)
        if used > width:
            return max(1, position)
    return len(columns)


def facts(pairs: Sequence[tuple[str, object]]) -> None:
    """Two columns: what, value. A value of None is left out."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, show_header=False)
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for what, value in pairs:
        if value is not None:
            grid.add_row(Text(what), Text(cell(value)))
    _print(grid)


def _print(grid: Table) -> None:
    """To a terminal as rich draws it; elsewhere without the blanks that fill its lines."""
    out = console()
    if out.is_terminal:
        out.print(grid)
        return
    with out.capture() as captured:
        out.print(grid)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def cell(value: object) -> str:
    """Numbers as people read them: thousands apart, six significant digits, shapes with ×."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (tuple, list)):
        return "×".join(str(v) for v in value) if value else "scalar"
    return str(value)


def remark(text: str, *, quiet: bool) -> None:
    """A word beside the result, on stderr."""
    if not quiet:
        click.echo(text, err=True)


@contextlib.contextmanager
def progress(what: str, *, quiet: bool) -> Iterator[Advance]:
    """A bar on stderr once the work has lasted a second; nothing where no terminal is."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    bar = _Bar(what)
    try:
        yield bar.advance
    finally:
        bar.close()


class _Bar:
    """Starts rich when a second has gone by: short work draws nothing."""

    def __init__(self, what: str) -> None:
        import time

        self._what = what
        self._clock = time.monotonic
        self._start_s = self._clock()
        self._live: Any = None
        self._task: Any = None

    def advance(self, done: int, total: int) -> None:
        if self._live is None:
            if self._clock() - self._start_s < 1.0:
                return
            self.open()
        self._live.update(self._task, completed=done, total=total)

    def open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._live = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._live.start()
        self._task = self._live.add_task(self._what, total=None)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()


@contextlib.contextmanager
def waiting(what: str, *, quiet: bool) -> Iterator[None]:
    """A moving bar on stderr for work of unknown length, once it has lasted a second."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    import threading

    bar = _Bar(what)
    timer = threading.Timer(1.0, bar.open)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        bar.close()
