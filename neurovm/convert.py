# SPDX-License-Identifier: Apache-2.0
"""`convert_tflite`: from a source file to a model, through reader, passes and compiler."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from neurovm.arithmetic import PROFILES
from neurovm.bundle import Bundle
from neurovm.converters import tflite
from neurovm.errors import ModelError
from neurovm.model import Model, replay_golden
from neurovm.passes import prepare
from neurovm.program import CODINGS, compile_graph
from neurovm.quantization import Quantized, quantize
from neurovm.rate import compile_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neurovm.description import ApproxInfo


def convert_tflite(
    source: str | os.PathLike[str] | bytes,
    *,
    profile: str = "xnnpack",
    coding: str = "graded",
    labels: Sequence[str] | None = None,
    name: str | None = None,
    steps: int = 64,
    calibrate: Any = None,
    mixed: float | None = None,
) -> Model:
    """See `neurovm.convert_tflite`."""
    _check_options(profile, coding)
    if calibrate is not None:
        made = quantize(source, calibrate, mixed=mixed)
        return convert_quantized(
            made, profile=profile, coding=coding, labels=labels, name=name, steps=steps
        )
    if mixed is not None:
        raise ModelError("mixed: it goes with calibrate, for a float network")
    content = _compiled(source, profile, coding, labels, name, steps)
    return _model(content)


def convert_quantized(
    made: Quantized,
    *,
    profile: str = "xnnpack",
    coding: str = "graded",
    labels: Sequence[str] | None = None,
    name: str | None = None,
    steps: int = 64,
) -> Model:
    """The model of an int8 network that was quantised here; its manifest says from what."""
    _check_options(profile, coding)
    name = name or Path(made.info.source.name).stem
    content = _compiled(made.data, profile, coding, labels, name, steps)
    manifest = content.manifest
    source = structs.replace(manifest.source, name=made.name)
    notes = (*manifest.notes, _note(made.info))
    manifest = structs.replace(manifest, source=source, approx=made.info, notes=notes)
    return _model(Bundle(manifest=manifest, tensors=content.tensors))


def _note(info: ApproxInfo) -> str:
    return (
        f"approximate: quantized here from {info.source.name} ({info.number_format}) "
        f"on {info.rows} rows; exact to the int8 network made of it"
    )


def _check_options(profile: str, coding: str) -> None:
    if profile not in PROFILES:
        raise ModelError(f"profile {profile!r} is not known; accepted: {', '.join(PROFILES)}")
    if coding not in CODINGS:
        raise ModelError(f"coding {coding!r} is not known; accepted: {', '.join(CODINGS)}")


def _compiled(
    source: str | os.PathLike[str] | bytes,
    profile: str,
    coding: str,
    labels: Sequence[str] | None,
    name: str | None,
    steps: int,
) -> Bundle:
    graph = prepare(tflite.read(source, name=name))
    if coding == "rate":
        return compile_rate(graph, PROFILES[profile], steps, labels=labels)
    return compile_graph(graph, PROFILES[profile], coding, labels=labels)


def _model(content: Bundle) -> Model:
    model = Model(content)
    replay_golden(model, content, content.manifest.source.name)
    return model
