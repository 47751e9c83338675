# SPDX-License-Identifier: Apache-2.0
"""What a parameter may be, said by its name, whether it comes from a file or from Python."""

from __future__ import annotations

import math

from neurovm.errors import EventError

MOST_TICKS = 1 << 16
MOST_SEED = (1 << 64) - 1


def _refuse(key: str, found: object, accepted: str) -> EventError:
    return EventError(f"{key}: found {found!r:.60}; accepted: {accepted}")


def check_count(key: str, value: object, low: int, high: int) -> None:
    """EventError unless `value` is a whole number of low … high."""
    if type(value) is not int or not low <= value <= high:
        raise _refuse(key, value, f"a whole number, {low} to {high}")


def check_flag(key: str, value: object) -> None:
    """EventError unless `value` is a bool."""
    if type(value) is not bool:
        raise _refuse(key, value, "true or false")


def check_finite(key: str, value: object) -> None:
    """EventError unless `value` is a finite number."""
    if not _is_finite(value):
        raise _refuse(key, value, "a finite number")


def check_above(key: str, value: object, low: float, high: float = math.inf) -> None:
    """EventError unless `value` is a finite number, low < value ≤ high."""
    if not (_is_finite(value) and low < value <= high):  # type: ignore[operator]  # a number here
        upper = "" if high == math.inf else f" to {high:g}"
        raise _refuse(key, value, f"a number, above {low:g}{upper}")


def check_between(key: str, value: object, low: float, high: float) -> None:
    """EventError unless low < value < high."""
    if not (_is_finite(value) and low < value < high):  # type: ignore[operator]  # a number here
        raise _refuse(key, value, f"a number between {low:g} and {high:g}")


def _is_finite(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]  # as said
