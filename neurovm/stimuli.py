# SPDX-License-Identifier: Apache-2.0
"""What a proof feeds a network: given rows, random ones, and a walk of small changes.

Everything random comes from a seed, so that a certificate can be made again. Rows are in the source
model's own dtypes, one array (n, *row shape) an input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import UNSET

from neurovm.errors import ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.description import TensorInfo

    Rows = list[NDArray[np.generic]]
    Codes = NDArray[np.signedinteger[Any]]

CALM_SHARE = 0.25
"""Share of random rows near the zero point; the others use the whole range of codes."""


def row_shape(info: TensorInfo) -> tuple[int, ...]:
    """The shape of one row: without the batch axis of 1."""
    return info.shape[1:] if info.shape[:1] == (1,) else info.shape


def starts(info: TensorInfo) -> NDArray[np.float32]:
    """float32[256]: a value of each code of an input with thresholds, the lowest but for −128.

    A code that no value has takes the value of the next one below.
    """
    steps = np.array(info.thresholds, np.uint32).view(np.float32)
    known = steps[~np.isnan(steps)]
    below = np.nextafter(known[:1], np.float32(-np.inf)) if known.size else np.zeros(1, np.float32)
    return np.concatenate([below, known, np.repeat(known[-1:], 255 - known.size)])


def given(inputs: Sequence[Any], infos: Sequence[TensorInfo], batch: int) -> Iterator[Rows]:
    """The caller's rows in order. Each of `inputs`: an array (n, *row shape), or a dict by name."""
    for number, item in enumerate(inputs):
        named = item if isinstance(item, Mapping) else {infos[0].name: item}
        if set(named) != {t.name for t in infos}:
            names = ", ".join(repr(t.name) for t in infos)
            raise ShapeError(f"inputs[{number}]: {sorted(named)} were given; {names} are needed")
        rows = [_checked(named[t.name], t, number) for t in infos]
        if len({len(r) for r in rows}) != 1:
            raise ShapeError(f"inputs[{number}]: the inputs have different numbers of rows")
        for start in range(0, len(rows[0]), batch):
            yield [r[start : start + batch] for r in rows]


def _checked(values: Any, info: TensorInfo, number: int) -> NDArray[np.generic]:
    array = np.asarray(values)
    wanted = row_shape(info)
    if array.dtype != np.dtype(info.dtype) or array.shape[1:] != wanted:
        raise ShapeError(
            f"inputs[{number}]: input {info.name!r} takes {info.dtype} (n, {wanted}), "
            f"found {array.dtype} {array.shape}"
        )
    return np.ascontiguousarray(array)


def random(
    infos: Sequence[TensorInfo], count: int, batch: int, rng: np.random.Generator
) -> Iterator[Rows]:
    """Independent rows. The first three are the zero point, the lowest and the highest codes."""
    for start in range(0, count, batch):
        numbers = range(start, min(start + batch, count))
        rows = [np.stack([_random_row(t, n, rng) for n in numbers]) for t in infos]
        yield [_values(r, t, rng) for r, t in zip(rows, infos, strict=True)]


def _random_row(info: TensorInfo, number: int, rng: np.random.Generator) -> Codes:
    shape = row_shape(info)
    low, high = info.limits
    if number < 3:
        return np.full(shape, (info.zero_point, low, high)[number], _code_type(info))
    if rng.random() < CALM_SHARE:
        near = info.zero_point + rng.normal(0, (high - low) / 21, shape)
        return np.clip(np.rint(near), low, high).astype(_code_type(info))
    return rng.integers(low, high + 1, shape).astype(_code_type(info))


def _code_type(info: TensorInfo) -> np.dtype[np.signedinteger[Any]]:
    return np.dtype(np.int16 if info.wide else np.int8)


def walk(
    infos: Sequence[TensorInfo], count: int, batch: int, rng: np.random.Generator
) -> Iterator[Rows]:
    """A stream: each row changes few elements of the one before, none, one, up to a tenth."""
    last = [_values(_random_row(t, 3, rng)[np.newaxis], t, rng)[0] for t in infos]
    for start in range(0, count, batch):
        rows: list[list[NDArray[np.generic]]] = [[] for _ in infos]
        for _ in range(min(batch, count - start)):
            last = [_changed(x, t, rng) for x, t in zip(last, infos, strict=True)]
            for column, x in zip(rows, last, strict=True):
                column.append(x)
        yield [np.stack(column) for column in rows]


def _changed(
    row: NDArray[np.generic], info: TensorInfo, rng: np.random.Generator
) -> NDArray[np.generic]:
    """The row with none, one, about 2 % or about 10 % of its elements drawn again."""
    most = (0, 1, max(1, info.size // 50), max(1, info.size // 10))[rng.integers(0, 4)]
    row = row.copy()
    places = rng.integers(0, info.size, most)
    low, high = info.limits
    codes = rng.integers(low, high + 1, most).astype(_code_type(info))
    row.reshape(-1)[places] = _values(codes, info, rng)
    return row


def _values(codes: Codes, info: TensorInfo, rng: np.random.Generator) -> NDArray[np.generic]:
    """Codes in the source's dtype; float32 anywhere in a code's step, a few beyond the range."""
    if info.dtype in ("int8", "int16"):
        return codes
    if info.dtype == "uint8":
        return np.asarray(codes.view(np.uint8) ^ np.uint8(0x80), np.uint8)
    if info.dtype != "float32":
        return codes.astype(info.dtype)
    if info.thresholds is not UNSET:
        low = starts(info)[codes.astype(np.int16) + 128]
        return np.asarray(low + np.abs(low) * rng.uniform(0, 0.01, codes.shape), np.float32)
    steps = codes.astype(np.float64) - info.zero_point + rng.uniform(-0.75, 0.75, codes.shape)
    return np.asarray(steps * info.scale, np.float32)
