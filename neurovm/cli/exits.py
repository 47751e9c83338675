# SPDX-License-Identifier: Apache-2.0
"""Exit codes (BSD sysexits where one fits) and the one line of text that goes with each."""

from __future__ import annotations

import errno
from enum import IntEnum

import click

from neurovm.errors import (
    BackendError,
    BundleError,
    ConfigError,
    EventError,
    ModelError,
    RecordingError,
    ShapeError,
    StepError,
)


class Exit(IntEnum):
    """What a script may rely on. `neurovm --help` and the tests enumerate this."""

    OK = 0
    DIFFERENT = 1
    USAGE = 64
    DATA = 65
    NO_INPUT = 66
    UNAVAILABLE = 69
    INTERNAL = 70
    CANNOT_CREATE = 73
    IO = 74
    PERMISSION = 77
    CONFIG = 78
    TIMEOUT = 124
    INTERRUPTED = 130


class CannotCreateError(Exception):
    """A file the user named for output cannot be created."""


class ReadError(Exception):
    """A stream could not be read: closed standard input, or a terminal in its place."""


_BY_TYPE: tuple[tuple[type[BaseException], Exit], ...] = (
    (click.UsageError, Exit.USAGE),
    (click.FileError, Exit.NO_INPUT),
    (click.Abort, Exit.INTERRUPTED),
    (KeyboardInterrupt, Exit.INTERRUPTED),
    (CannotCreateError, Exit.CANNOT_CREATE),
    (ReadError, Exit.IO),
    (ConfigError, Exit.CONFIG),
    (BackendError, Exit.UNAVAILABLE),
    (ModelError, Exit.DATA),
    (BundleError, Exit.DATA),
    (ShapeError, Exit.DATA),
    (RecordingError, Exit.DATA),
    (EventError, Exit.DATA),
    (StepError, Exit.CONFIG),
    (FileNotFoundError, Exit.NO_INPUT),
    (IsADirectoryError, Exit.NO_INPUT),
    (NotADirectoryError, Exit.NO_INPUT),
    (PermissionError, Exit.PERMISSION),
    (TimeoutError, Exit.TIMEOUT),
)


def code_of(error: BaseException) -> Exit:
    """The exit code of an exception; what nobody foresaw is INTERNAL."""
    for kind, code in _BY_TYPE:
        if isinstance(error, kind):
            return code
    return Exit.IO if isinstance(error, OSError) else Exit.INTERNAL


def text_of(error: BaseException) -> str:
    """One line: what happened and where; empty where the code says everything."""
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return "interrupted"
    if isinstance(error, click.UsageError):
        return _usage_text(error)
    if isinstance(error, click.ClickException):
        return _one_line(error.format_message())
    if isinstance(error, OSError):
        return _os_text(error)
    if code_of(error) is Exit.INTERNAL:
        return (
            f"internal error: {type(error).__name__}: {_one_line(str(error))} "
            f"(NEUROVM_DEBUG=1 shows where)"
        )
    return _one_line(str(error)) or type(error).__name__


def _usage_text(error: click.UsageError) -> str:
    text = _one_line(error.format_message())
    if error.ctx is None:
        return text
    return f"{text} (`{error.ctx.command_path} --help` explains)"


def _os_text(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename is not None else ""
    what = error.strerror or str(error) or type(error).__name__
    if error.errno == errno.ENOENT:
        what = "no such file"
    elif error.errno == errno.EISDIR:
        what = "is a directory; a file is needed"
    return _one_line(f"{where}{what}")


def _one_line(text: str) -> str:
    return " ".join(text.split())
