# SPDX-License-Identifier: Apache-2.0
"""Log lines on stderr: `event key=value`, one write each, so that processes never mix a line.

Levels are error, warning, info and debug; `set_level` is called once after the configuration is
read. A value with spaces, quotes or control characters is quoted as JSON text. Where nobody else
notes when a line was said (NEUROVMD_LOG_TIME=1), it begins with the time in UTC.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

LEVELS = ("error", "warning", "info", "debug")

_PLAIN = re.compile(r"[^\s\"\\=\x00-\x1f\x7f]+\Z")


@dataclass(slots=True)
class _State:
    """What is logged, and how."""

    level: int = LEVELS.index("info")
    context: str = ""
    hidden: tuple[str, ...] = ()
    timed: bool = os.environ.get("NEUROVMD_LOG_TIME") == "1"


_state = _State()


def set_level(level: str) -> None:
    _state.level = LEVELS.index(level)


def hide(secrets: Iterable[str]) -> None:
    """Texts that no later line of this process may hold: `…` stands for them."""
    # A shorter one would take the letters out of every word, and is no secret.
    _state.hidden = tuple(sorted((text for text in secrets if len(text) > 3), key=len)[::-1])


def set_context(**fields: object) -> None:
    """Fields that every later line of this process carries (a worker: its VM)."""
    _state.context = _format(fields)


def line(event: str, fields: dict[str, object]) -> str:
    return f"{_clock()}{event}{_state.context}{_format(fields)}\n"


def _clock() -> str:
    """`2026-11-20T08:57:15.123Z ` where lines are timed."""
    if not _state.timed:
        return ""
    seconds, ns = divmod(time.time_ns(), 10**9)
    return time.strftime(f"%Y-%m-%dT%H:%M:%S.{ns // 10**6:03d}Z ", time.gmtime(seconds))


def error(event: str, /, **fields: object) -> None:
    _write(0, event, fields)


def warning(event: str, /, **fields: object) -> None:
    _write(1, event, fields)


def info(event: str, /, **fields: object) -> None:
    _write(2, event, fields)


def debug(event: str, /, **fields: object) -> None:
    _write(3, event, fields)


def _write(level: int, event: str, fields: dict[str, object]) -> None:
    if level > _state.level:
        return
    # A full disk or a closed pipe behind stderr must not stop the work.
    with contextlib.suppress(OSError):
        os.write(2, line(event, fields).encode("utf-8", "backslashreplace"))


def _format(fields: dict[str, object]) -> str:
    return "".join(f" {key}={_value(value)}" for key, value in fields.items())


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    for secret in _state.hidden:
        text = text.replace(secret, "…")
    return text if _PLAIN.match(text) else msgspec.json.encode(text).decode()
