# SPDX-License-Identifier: Apache-2.0
"""What a power source answers: energy since the last question, or the reason why there is none."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """Where the kernel's files are; a test or a replay points these at a recorded tree."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")


@dataclass(frozen=True, slots=True)
class Missing:
    """No figure, and why; ``passing`` when the next one may well be there."""

    reason: str
    passing: bool = False


class Sensor(Protocol):
    """A meter that counts energy between two readings; the first interval starts when it is
    opened.
    """

    @property
    def name(self) -> str:
        """The source as it is named beside every figure, such as ``powercap:psys``."""

    def energy_j(self, elapsed_s: float) -> float | Missing:
        """Joules (>= 0) drawn since the previous call, ``elapsed_s`` (> 0) seconds ago."""


def read_text(path: Path) -> str | Missing:
    """The stripped text of a kernel file, or why it cannot be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        return Missing(f"{path}: {error.strerror or error}")


def read_count(path: Path) -> int | Missing:
    """The non-negative decimal integer in a kernel file, or why there is none."""
    text = read_text(path)
    if isinstance(text, Missing):
        return text
    if not (text.isascii() and text.isdigit()):
        return Missing(f"{path}: found {text[:40]!r}; accepted: a non-negative integer")
    return int(text)
