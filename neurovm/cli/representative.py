# SPDX-License-Identifier: Apache-2.0
"""Calibration rows from a file, or a folder of files: as many as wanted, spread over all there are.

The first rows of a file are seldom like the rest (classes stand one after the other, a machine
warms up), so every k-th row is taken. One pass, bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.cli import models
from neurovm.cli.recorded_rows import is_recording, recorded_rows
from neurovm.cli.samples import SUFFIXES, open_samples
from neurovm.errors import ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.description import TensorInfo

    Row = list[NDArray[Any]]

DEFAULT_ROWS = 256
MOST_BYTES = 1 << 30
"""So much is read to choose from; a text of it takes about a minute."""


@dataclass(slots=True)
class Evenly:
    """Keeps `most` to twice as many of all rows put, every `step`-th, and their numbers."""

    most: int
    step: int = 1
    seen: int = 0
    kept: list[tuple[int, Row]] = field(default_factory=list)

    def put(self, row: Row) -> None:
        if self.seen % self.step == 0:
            self.kept.append((self.seen, row))
            if len(self.kept) == 2 * self.most:
                self.kept = self.kept[::2]
                self.step *= 2
        self.seen += 1

    def taken(self) -> list[tuple[int, Row]]:
        """`most` of them, or all where there are fewer."""
        if len(self.kept) <= self.most:
            return self.kept
        places = np.linspace(0, len(self.kept) - 1, self.most).astype(int)
        return [self.kept[i] for i in places]


@dataclass(frozen=True, slots=True, eq=False)
class Representative:
    """Rows by input name, and the number of each among all that were read."""

    rows: dict[str, NDArray[np.float32]]
    numbers: tuple[int, ...]
    seen: int


def read_rows(path: Path, infos: Sequence[TensorInfo], most: int) -> Representative:
    """At most `most` rows of real values; ShapeError names file and row of what does not fit."""
    chosen = Evenly(most)
    files = list(_files(path))
    size = sum(file.stat().st_size for file in files)
    if size > MOST_BYTES:
        raise ShapeError(
            f"{path}: {size:,} bytes of samples; accepted: up to {MOST_BYTES:,}: all are read to "
            f"take {most} rows of them"
        )
    for file in files:
        for row in _rows(file, infos):
            chosen.put(row)
    taken = chosen.taken()
    if not taken:
        raise ShapeError(f"{path}: no rows; calibration needs one at least, better a hundred")
    rows = [np.stack([row[p] for _, row in taken]) for p in range(len(infos))]
    named = {info.name: r for info, r in zip(infos, rows, strict=True)}
    return Representative(named, tuple(number for number, _ in taken), chosen.seen)


def _rows(file: Path, infos: Sequence[TensorInfo]) -> Iterator[Row]:
    if is_recording(file):
        for row in recorded_rows(file, infos):
            yield [row]
        return
    with open_samples(file, infos, form=None, real=True) as batches:
        for batch in batches:
            for i in range(len(batch[0])):
                yield [np.array(part[i], np.float32) for part in batch]


def answers_of(path: Path, found: Representative) -> NDArray[np.int64]:
    """The right classes of the rows taken; the file has one a line for every row there was."""
    return read_answers(path, found.seen)[list(found.numbers)]


def _files(path: Path) -> Iterator[Path]:
    """The file itself; of a folder all below it that hold samples, in the order of their names."""
    if not path.is_dir():
        yield path
        return
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not files:
        raise ShapeError(f"{path}: no file with samples in this folder: {' '.join(SUFFIXES)}")
    yield from files


def read_answers(path: Path, count: int) -> NDArray[np.int64]:
    """The class of each row: one whole number a line."""
    lines = (models.read_labels(path) or [])[:count]
    try:
        values = [int(line) for line in lines]
    except ValueError as error:
        raise ShapeError(f"{path}: a whole number a line is needed: {error}") from None
    if len(values) < count:
        raise ShapeError(f"{path}: {len(values)} answers for {count} rows")
    return np.array(values, np.int64)
