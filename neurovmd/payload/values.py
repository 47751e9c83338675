# SPDX-License-Identifier: Apache-2.0
"""What a payload decodes to, whatever its format."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Union

MOST_US = 1 << 62
"""Times are whole microseconds between −2^62 and 2^62."""


class PayloadError(ValueError):
    """A payload that does not hold what its configuration says."""


@dataclass(frozen=True, slots=True)
class Codes:
    """Quantised values as the source model has them, of type `dtype`: bytes, or int16."""

    data: bytes | array[int]
    dtype: str


@dataclass(frozen=True, slots=True)
class Image:
    """A decoded picture: rows from the top, `channels` (1 grey, 3 red green blue) bytes a pixel."""

    width: int
    height: int
    channels: int
    data: bytes


# A real number; a list of them; reals by element name; packed numbers; codes; a picture. JSON and
# CBOR may also hold text, null or lists here: whoever uses a value checks it.
Values = Union[float, list[object], dict[str, object], "array[float]", "array[int]", Codes, Image]


class Sample(NamedTuple):
    """What a payload says of one moment.

    `t_us` is its time in µs by the payload's own clock (None: it says none); where `values` hold
    several rows of a signal with a rate, the time of the first.
    """

    t_us: int | None
    values: Values


Reader = Callable[[str | None, bytes], Sequence[Sample]]
"""From a message's topic and payload to its samples, oldest first, at least one; PayloadError for
what cannot be read. A reader may remember what it has read: one for each worker."""


def bounded_us(t_us: float, where: str) -> int:
    """A time as whole µs; PayloadError where it is no time at all."""
    if not -MOST_US <= t_us <= MOST_US:  # NaN too
        raise PayloadError(f"{where}: found {t_us!r:.40}; accepted: a time within ±2^62 µs")
    return round(t_us)
