# SPDX-License-Identifier: Apache-2.0
"""Values as functions of codes: of none (constants), of one tensor's, or of two tensors'."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from neurovm.arithmetic import NoExactRuleError, Reals

if TYPE_CHECKING:
    from numpy.typing import NDArray

CODES = ("int8", "uint8")
MAX_TABLES = 4096
"""Tables of one function that differs from place to place."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Meaning:
    """What a tensor holds, as a function of the codes of `sources`.

    `reals` by the number of sources: none (*shape, 1); one (…, 256), where the function differs
    along axes its leading axes are theirs, else 1; two (256, 256), the sources broadcast.
    """

    sources: tuple[int, ...]
    reals: Reals

    @property
    def uniform(self) -> bool:
        """Whether the function is the same everywhere."""
        return len(self.sources) == 2 or math.prod(self.reals.value.shape[:-1]) == 1

    def same_function(self, other: Meaning) -> bool:
        """Whether both make the same values of a code."""
        return all(
            np.array_equal(a.reshape(-1), b.reshape(-1))
            for a, b in (
                (self.reals.value, other.reals.value),
                (self.reals.low, other.reals.low),
                (self.reals.high, other.reals.high),
            )
        )


def as_values(source: int, shape: Sequence[int], reals: Reals) -> Meaning:
    """A value for each of the 256 codes of a tensor, in int8 order."""
    leading = (1,) * len(shape)
    return Meaning(sources=(source,), reals=reals.map(lambda v: v.reshape(*leading, 256)))


def constant_of(data: NDArray[np.generic]) -> Meaning:
    """A constant: the same whatever the codes are."""
    return Meaning(sources=(), reals=Reals.exactly(np.asarray(data)[..., None]))


def merge(parts: Sequence[Meaning], function: Callable[..., Reals]) -> Meaning:
    """A function of values that together depend on at most two sources."""
    sources = tuple(dict.fromkeys(s for part in parts for s in part.sources))
    if len(sources) < 2:
        _check_places(parts)
        return Meaning(sources=sources, reals=function(*(part.reals for part in parts)))
    result = function(*(_paired(part, sources) for part in parts))
    return Meaning(sources=sources, reals=result.map(lambda v: np.broadcast_to(v, (256, 256))))


def _check_places(parts: Sequence[Meaning]) -> None:
    """Refuse constants that make more functions than a table holds, before they are made."""
    try:
        places = np.broadcast_shapes(*(part.reals.value.shape[:-1] for part in parts))
    except ValueError as e:
        raise NoExactRuleError("its inputs do not broadcast") from e
    _check_count(math.prod(places))


def _check_count(count: int) -> None:
    if count > MAX_TABLES:
        raise NoExactRuleError(
            f"its constants make {count} different functions of a code; at most {MAX_TABLES} are "
            f"accepted"
        )


def _paired(part: Meaning, sources: tuple[int, ...]) -> Reals:
    """A part along the axes of both sources."""
    if not part.uniform:
        raise NoExactRuleError(
            "it joins values of two tensors with another constant from place to place; one "
            "constant for all is needed"
        )
    if len(part.sources) == 2:
        return part.reals if part.sources == sources else part.reals.map(np.transpose)
    if not part.sources:
        return part.reals.map(lambda v: v.reshape(1, 1))
    shape = (256, 1) if part.sources[0] == sources[0] else (1, 256)
    return part.reals.map(lambda v: v.reshape(shape))


def as_tables(reals: Reals, shape: Sequence[int]) -> tuple[Reals, int]:
    """Values (…, 256) of a tensor of this shape as (tables, 256) and a run: see `Lookup`."""
    leading = (1,) * (len(shape) + 1 - reals.value.ndim) + reals.value.shape[:-1]
    varied = [a for a, n in enumerate(leading) if n != 1]
    first, end = (varied[0], varied[-1] + 1) if varied else (0, 0)
    wide = (*(shape[a] if first <= a < end else 1 for a in range(len(shape))), 256)
    count = math.prod(wide[:-1])
    _check_count(count)
    tables = reals.map(lambda v: np.broadcast_to(v, wide).reshape(count, 256))
    return tables, max(1, math.prod(shape[end:])) if varied else 1
