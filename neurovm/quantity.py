# SPDX-License-Identifier: Apache-2.0
"""Numbers with units as a configuration has them: `5 W`, `500 ms`, `64 MB`, or a bare number."""

from __future__ import annotations

import re
from collections.abc import Mapping

WATTS: Mapping[str, float] = {"W": 1.0, "mW": 1e-3, "kW": 1e3}
SECONDS: Mapping[str, float] = {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}
DURATIONS: Mapping[str, float] = {**SECONDS, "m": 60.0, "d": 86400.0}
BYTES: Mapping[str, float] = {
    "B": 1.0,
    "kB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "KiB": 2.0**10,
    "MiB": 2.0**20,
    "GiB": 2.0**30,
    # As Kubernetes writes them.
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
}
CPUS: Mapping[str, float] = {"": 1.0, "m": 1e-3}

_FORM = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\Z")


def parse(text: str | float, units: Mapping[str, float], *, key: str = "") -> float:
    """The value in the base unit (the first of `units`); ValueError names what is accepted.

    A bare number is taken in the base unit. Zero and negative values are refused. `key` is what
    the message calls the value.
    """
    base = next(iter(units))
    named = ", ".join(unit for unit in units if unit)
    unit = (
        f"with one of {named} ({base} where none is given)" if base else f"with {named} or without"
    )
    accepted = f"a number above 0 {unit}"
    match = _FORM.match(str(text).strip())
    unit = (match[2] or base) if match else ""
    if match is None or unit not in units or float(match[1]) <= 0:
        where = f"{key}: " if key else ""
        raise ValueError(f"{where}found {text!r}; accepted: {accepted}")
    return float(match[1]) * units[unit]
