# SPDX-License-Identifier: Apache-2.0
"""Spike trains from files, as counts tick by tick of all inputs of a spiking model."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neurovm.errors import ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from neurovm.spiking_model import SpikingModel

MOST_BYTES = 1 << 28
"""Of the counts of one train, of its answer too."""
FORMS = ".npy (counts: ticks × inputs, or rows × ticks × inputs), .csv (t_us,address) or events"


def read(path: Path, model: SpikingModel) -> NDArray[np.int8]:
    """(rows, ticks, n_in) counts; ShapeError or EventError says what does not fit."""
    if path.suffix == ".npy":
        return _counts(path, model)
    if path.suffix == ".csv":
        times, addresses = _listed(path)
    else:
        from neurovm import events

        found = events.read(path).events()
        first = found.times_us[0] if found.times_us else 0
        times = np.array(found.times_us, np.int64) - first
        addresses = np.array(found.addresses, np.int64)
    return _ticks(path, times, addresses, model)[None]


def _counts(path: Path, model: SpikingModel) -> NDArray[np.int8]:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ShapeError(f"{path}: not a .npy file of numbers: {error}") from error
    n_in = model.n_in
    shapes = {(n_in,)} | ({model.inputs[0].shape} if len(model.inputs) == 1 else set())
    lead = next(
        (k for s in shapes for k in (1, 2) if found.ndim == k + len(s) and found.shape[k:] == s), 0
    )
    if not lead or found.dtype.kind not in "iub":
        raise ShapeError(
            f"{path}: {found.dtype} of shape {found.shape}; whole counts (ticks, {n_in}) or (rows, "
            f"ticks, {n_in}) are accepted"
        )
    if found.size > MOST_BYTES:
        raise ShapeError(f"{path}: {found.size} counts; at most {MOST_BYTES} are accepted")
    rows = np.array(found).reshape(*(1, *found.shape)[lead - 1 : lead + 1], n_in)
    if rows.size and not 0 <= rows.min() <= rows.max() <= 127:
        raise ShapeError(f"{path}: counts of {rows.min()} to {rows.max()}; 0 to 127 are accepted")
    return rows.astype(np.int8)


def _listed(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lines of time (µs) and address; a first line of words is passed over."""
    times, addresses = [], []
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            for number, row in enumerate(csv.reader(file), 1):
                if not row or (number == 1 and not row[0].strip().lstrip("-").isdigit()):
                    continue
                try:
                    time, address = (int(cell) for cell in row)
                except ValueError:
                    raise ShapeError(
                        f"{path}:{number}: found {','.join(row)!r}; accepted: t_us,address"
                    ) from None
                if abs(time) >= 1 << 62 or not 0 <= address < 1 << 32:
                    raise ShapeError(f"{path}:{number}: {time} µs at {address} is out of range")
                times.append(time)
                addresses.append(address)
        except (UnicodeDecodeError, csv.Error) as error:
            raise ShapeError(f"{path}: not a text of t_us,address: {error}") from error
    return np.array(times, np.int64), np.array(addresses, np.int64)


def _ticks(
    path: Path, times: NDArray[np.int64], addresses: NDArray[np.int64], model: SpikingModel
) -> NDArray[np.int8]:
    """Counts of spikes at times; ShapeError names the first that cannot be."""
    if not times.size:
        return np.zeros((0, model.n_in), np.int8)
    wrong = _first(times < 0), _first(np.diff(times) < 0), _first(addresses >= model.n_in)
    if wrong[0] is not None:
        raise ShapeError(f"{path}: spike {wrong[0]} is at {times[wrong[0]]} µs, before the start")
    if wrong[1] is not None:
        at = wrong[1]
        raise ShapeError(f"{path}: after spike {at} time goes back to {times[at + 1]} µs")
    if wrong[2] is not None:
        raise ShapeError(
            f"{path}: spike {wrong[2]} is of address {addresses[wrong[2]]}; the model's inputs are "
            f"0 to {model.n_in - 1}"
        )
    n, d = model.dt_us.as_integer_ratio()
    last = int(times[-1]) * d // n
    widest = max(model.n_in, model.n_out)
    if (last + 1) * widest > MOST_BYTES:
        raise ShapeError(
            f"{path}: {last + 1} ticks of {widest} inputs or outputs; at most {MOST_BYTES} counts "
            f"are accepted: a session's advance() takes longer recordings"
        )
    ticks = np.array([t * d // n for t in times.tolist()], np.int64)
    counts = np.zeros((last + 1, model.n_in), np.int64)
    np.add.at(counts, (ticks, addresses), 1)
    return np.minimum(counts, 127).astype(np.int8)


def _first(wrong: NDArray[np.bool_]) -> int | None:
    found = np.flatnonzero(wrong)
    return int(found[0]) if found.size else None


def by_output(model: SpikingModel, rows: NDArray[np.generic]) -> Sequence[NDArray[np.generic]]:
    """(…, n_out) split into the outputs."""
    ends = np.cumsum([info.size for info in model.outputs])[:-1]
    return np.split(rows, ends, axis=-1)
