# SPDX-License-Identifier: Apache-2.0
"""What an interpreter is made with: the model, the kernels meant, threads and delegates."""

from __future__ import annotations

import io
import os
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn


class OpResolverType(Enum):
    """Which kernels TFLite would take. AUTO and BUILTIN are profile `xnnpack`, BUILTIN_REF is
    `tflm`; BUILTIN_WITHOUT_DEFAULT_DELEGATES is refused: its answers depend on the processor.
    """

    AUTO = 0
    BUILTIN = 1
    BUILTIN_REF = 2
    BUILTIN_WITHOUT_DEFAULT_DELEGATES = 3


_PROFILES = {"AUTO": "xnnpack", "BUILTIN": "xnnpack", "BUILTIN_REF": "tflm"}
UNUSED = frozenset(
    {
        "experimental_preserve_all_tensors",
        "experimental_disable_delegate_clustering",
        "experimental_default_delegate_latest_features",
        "experimental_compress_quantization_zero_points",
        "experimental_disable_delegate_node_fusion",
        "experimental_force_delegate_node_profiling",
    }
)
"""Options that change no answer here: accepted, and without effect."""


class Delegate:
    """Stands for TFLite's class of that name; there is nothing to delegate to."""

    def __init__(self, library: str, options: dict[str, Any] | None = None) -> None:
        del options
        refuse_delegate(library)


def load_delegate(library: str, options: dict[str, Any] | None = None) -> NoReturn:
    """No delegate runs here: raises what is both an OSError and a ValueError, as TFLite raises one
    or the other where a library cannot be loaded.
    """
    del options
    refuse_delegate(library)


def refuse_delegate(library: object) -> NoReturn:
    """What is both an OSError and a ValueError."""
    raise io.UnsupportedOperation(
        f"delegate {library!r}: networks run on neurovm's own kernel; accepted: none"
    )


def check_threads(num_threads: int | None) -> None:
    """ValueError where it is no int, or below 1."""
    if num_threads is None:
        return
    if not isinstance(num_threads, int):
        raise ValueError(f"num_threads {num_threads!r}; an int is accepted")  # noqa: TRY004 - as LiteRT's
    if num_threads < 1:
        raise ValueError(f"num_threads {num_threads}; 1 or more is accepted")


def profile_of(resolver: Any) -> str:
    """The profile that a resolver type means; TFLite's own enumerations are understood too."""
    name = getattr(resolver, "name", None)
    if name not in _PROFILES:
        raise ValueError(
            f"experimental_op_resolver_type {resolver!r}; accepted: {', '.join(_PROFILES)}"
        )
    return _PROFILES[name]


def content(path: str | os.PathLike[str] | None, content: bytes | None) -> tuple[str, bytes]:
    """Name and bytes of the model."""
    if path is not None and content is not None:
        raise ValueError("model_path and model_content were given; one of them is accepted")
    if content is not None:
        return "model.tflite", bytes(content)
    if path is None:
        raise ValueError("model_path or model_content is needed")
    place = Path(path)
    try:
        return place.name, place.read_bytes()
    except OSError as error:
        raise ValueError(f"{place}: cannot be opened: {error.strerror or error}") from error
