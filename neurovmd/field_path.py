# SPDX-License-Identifier: Apache-2.0
"""Paths into JSON, such as `values[0]` or `top[0].label`: read, followed, put in templates."""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import Meta

_STEP = re.compile(r"([^.\[\]]+)|\[([0-9]{1,6})\]")

FieldPath = Annotated[
    str,
    Meta(
        pattern=r"^(?:[A-Za-z0-9_ -]+)(?:\.[A-Za-z0-9_ -]+|\[[0-9]{1,6}\])*$",
        max_length=256,
        description="a path such as values[0] or top[0].label",
    ),
]
"""Names of letters, digits, space, `_` and `-`, so that one can stand in a template as it is."""


def steps(path: str) -> tuple[str | int, ...]:
    """The names and indices of a path, from the outside in."""
    return tuple(name or int(index) for name, index in _STEP.findall(path))


def follow(value: Any, path: tuple[str | int, ...]) -> Any:
    """What is at the path; None where nothing is."""
    try:
        for step in path:
            value = value[step]
    except (KeyError, IndexError, TypeError):
        return None
    return value


def in_template(path: str) -> str:
    """The path as Jinja reads it in `value_json`, none where nothing is at it.

    By brackets, as `.values` is a method there; what is missing or null on the way holds nothing.
    """
    found = "value_json"
    for step in steps(path):
        inside = found if found == "value_json" else f"({found} | default({{}}, true))"
        found = f"{inside}[{step!r}]"
    return f"{found} | default(none)"
