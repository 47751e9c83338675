# SPDX-License-Identifier: Apache-2.0
"""What a VM file says of its input, for the scripts that train its network: one truth for both."""

from __future__ import annotations

from pathlib import Path

import msgspec
import yaml

from neurovm.frontends import AnyFrontEnd, Front, chain


def front(path: Path, number: int = 0, rate_hz: float | None = None) -> Front:
    """The beginning of a stream through the front ends of an input (0 …) of single samples."""
    entry = yaml.safe_load(path.read_text())["inputs"][number]
    front_ends = msgspec.convert(entry["front_end"], list[AnyFrontEnd])
    return chain(front_ends, rate_hz=rate_hz or entry["payload"].get("rate_hz"))
