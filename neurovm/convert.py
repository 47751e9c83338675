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
from neurovm.costs import is_wanted
from neurovm.errors import ModelError
from neurovm.model import Model, replay_golden
from neurovm.passes import prepare
from neurovm.ports import open_inputs
from neurovm.program import CODINGS, ProgramBuilder, compile_graph
from neurovm.quantization import Quantized, is_float, quantize
from neurovm.rate import Calibration, calibration, compile_rate
from neurovm.rows import codes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neurovm.arithmetic import Profile
    from neurovm.description import ApproxInfo
    from neurovm.graph import Graph


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
    if calibrate is not None and coding == "rate" and mixed is None and not is_float(source):
        return _model(_compiled(source, profile, coding, labels, name, steps, calibrate))
    if calibrate is not None:
        made = quantize(source, calibrate, mixed=mixed)
        return convert_quantized(
            made,
            profile=profile,
            coding=coding,
            labels=labels,
            name=name,
            steps=steps,
            calibrate=calibrate if coding == "rate" else None,
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
    calibrate: Any = None,
) -> Model:
    """The model of an int8 network that was quantised here; its manifest says from what.

    calibrate: rows as the model takes them, on which rates are balanced.
    """
    _check_options(profile, coding)
    name = name or Path(made.info.source.name).stem
    content = _compiled(made.data, profile, coding, labels, name, steps, calibrate)
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
    calibrate: Any = None,
) -> Bundle:
    graph = prepare(tflite.read(source, name=name))
    if coding == "rate":
        rule = PROFILES[profile]
        known = None if calibrate is None else _calibration(graph, rule, calibrate)
        return compile_rate(graph, rule, steps, labels=labels, calibrated=known)
    return compile_graph(graph, PROFILES[profile], coding, labels=labels)


def _calibration(graph: Graph, profile: Profile, rows: Any) -> Calibration:
    inputs = open_inputs(ProgramBuilder(graph, profile))
    codes = codes_of(graph.name, inputs, profile.name, rows)
    if not len(codes):
        raise ModelError("calibrate: found no rows; accepted: 1 or more")
    return calibration(graph, profile, codes)


def _model(content: Bundle) -> Model:
    model = Model(content)
    if is_wanted(None):
        model.calibrate()
    replay_golden(model, content, content.manifest.source.name)
    return model
