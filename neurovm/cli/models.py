# SPDX-License-Identifier: Apache-2.0
"""A model named on the command line: .nvm bundles are loaded, .tflite files converted in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurovm.cli import show
from neurovm.cli.exits import CannotCreateError
from neurovm.errors import ModelError
from neurovm.regular import read_regular

if TYPE_CHECKING:
    from neurovm.model import Model
    from neurovm.quantization import Quantized

TFLITE_MARK = b"TFL3"
"""Bytes 4 to 8 of a TFLite flatbuffer."""
MAX_LABEL_BYTES = 16 << 20


def is_tflite(path: Path) -> bool:
    """Whether a file is, or by its name wants to be, a TFLite model; OSError where unreadable."""
    with path.open("rb") as file:
        return file.read(8)[4:] == TFLITE_MARK or path.suffix == ".tflite"


def read_labels(path: Path | None) -> list[str] | None:
    """One label a line; empty lines at the end are dropped."""
    if path is None:
        return None
    try:
        text = read_regular(path, MAX_LABEL_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: labels are not UTF-8 text ({error.reason})") from error
    return text.rstrip().splitlines()


def open_model(
    path: Path,
    *,
    quiet: bool,
    profile: str = "xnnpack",
    coding: str = "graded",
    labels: Path | None = None,
    name: str | None = None,
    steps: int = 64,
    calibrate: Any = None,
) -> Model:
    """Load a bundle, or convert a .tflite in memory; the options concern conversion only."""
    import neurovm

    if not is_tflite(path):
        return neurovm.load(path)
    names = read_labels(labels)
    with show.waiting(f"converting {path.name}", quiet=quiet):
        return neurovm.convert_tflite(
            path,
            profile=profile,
            coding=coding,
            labels=names,
            name=name,
            steps=steps,
            calibrate=calibrate,
        )


def open_quantized(
    made: Quantized,
    *,
    quiet: bool,
    profile: str,
    coding: str,
    labels: Path | None,
    name: str | None,
    steps: int = 64,
    calibrate: Any = None,
) -> Model:
    """Convert an int8 network that was quantised here, as `open_model` does a file."""
    from neurovm.convert import convert_quantized

    names = read_labels(labels)
    with show.waiting(f"converting {made.name}", quiet=quiet):
        return convert_quantized(
            made,
            profile=profile,
            coding=coding,
            labels=names,
            name=name,
            steps=steps,
            calibrate=calibrate,
        )


def destination(source: Path, wanted: Path | None, *, force: bool) -> Path:
    """Where a bundle goes: beside the source, into a folder, or where it was said.

    A file there that is not a bundle is not overwritten without `force`.
    """
    target = source.with_suffix(".nvm") if wanted is None else wanted
    if target.is_dir():
        target = target / source.with_suffix(".nvm").name
    if not force and target.exists() and not _replaceable(target):
        raise CannotCreateError(f"{target}: exists and is not a .nvm bundle; --force overwrites it")
    return target


def _replaceable(target: Path) -> bool:
    """An empty file, or one that begins as a safetensors file does: header length, then '{'."""
    try:
        with target.open("rb") as file:
            head = file.read(9)
    except OSError:
        return True  # writing it will say what is wrong
    return not head or head[8:] == b"{"


def save(model: Model, target: Path) -> None:
    """Write the bundle; CannotCreateError where that cannot be (a full disk stays OSError)."""
    import errno

    try:
        model.save(target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EIO, errno.EDQUOT):
            raise
        reason = error.strerror or str(error)
        raise CannotCreateError(f"{os.fspath(target)}: cannot be written: {reason}") from error
