# SPDX-License-Identifier: Apache-2.0
"""`convert_tflite`: from a source file to a model, through reader, passes and compiler."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from neurovm.arithmetic import PROFILES
from neurovm.converters import tflite
from neurovm.errors import ModelError
from neurovm.model import Model, replay_golden
from neurovm.passes import prepare
from neurovm.program import CODINGS, compile_graph
from neurovm.rate import compile_rate

if TYPE_CHECKING:
    from collections.abc import Sequence


def convert_tflite(
    source: str | os.PathLike[str] | bytes,
    *,
    profile: str = "xnnpack",
    coding: str = "graded",
    labels: Sequence[str] | None = None,
    name: str | None = None,
    steps: int = 64,
) -> Model:
    """See `neurovm.convert_tflite`."""
    if profile not in PROFILES:
        raise ModelError(f"profile {profile!r} is not known; accepted: {', '.join(PROFILES)}")
    if coding not in CODINGS:
        raise ModelError(f"coding {coding!r} is not known; accepted: {', '.join(CODINGS)}")
    graph = prepare(tflite.read(source, name=name))
    if coding == "rate":
        content = compile_rate(graph, PROFILES[profile], steps, labels=labels)
    else:
        content = compile_graph(graph, PROFILES[profile], coding, labels=labels)
    model = Model(content)
    replay_golden(model, content, graph.source.name)
    return model
