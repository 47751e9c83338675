# SPDX-License-Identifier: Apache-2.0
"""neurovm: quantized networks as exact, event-driven spiking networks.

model = neurovm.convert_tflite("pump.tflite")     # or neurovm.load("pump.nvm")
session = model.session()
codes = session.step(model.to_codes(x))            # bit for bit what LiteRT answers
session.update(indices, changed_codes)             # costs what changed
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, Literal

from neurovm.errors import (
    BackendError,
    BundleError,
    ConfigError,
    EventError,
    ModelError,
    NeurovmError,
    RecordingError,
    ShapeError,
    StepError,
    UnsupportedOperatorError,
)
from neurovm.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neurovm.description import Counters, LayerInfo, OperatorInfo, TensorInfo
    from neurovm.loading import load
    from neurovm.model import Model
    from neurovm.session import Answer, LayerState, Session
    from neurovm.spiking.network import Network
    from neurovm.spiking_model import SpikingModel
    from neurovm.spiking_session import SpikingSession
    from neurovm.windows import Window, WindowPlan, WindowSession

__all__ = [
    "Answer",
    "BackendError",
    "BundleError",
    "ConfigError",
    "Counters",
    "EventError",
    "LayerInfo",
    "LayerState",
    "Model",
    "ModelError",
    "NeurovmError",
    "OperatorInfo",
    "Session",
    "RecordingError",
    "ShapeError",
    "SpikingModel",
    "SpikingSession",
    "StepError",
    "TensorInfo",
    "UnsupportedOperatorError",
    "Window",
    "WindowPlan",
    "WindowSession",
    "__version__",
    "convert_network",
    "convert_nir",
    "convert_tflite",
    "load",
]


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
    """Convert a .tflite (a path, or the file's bytes) into a spiking network ready to run.

    profile: the rounding rules the answer is exact to (`xnnpack`: LiteRT as everybody runs it).
    coding: `graded` (events carry any delta), `unit` (+1 and −1 only, drained to rest each step),
    `bitplane` (the bit planes of a code that changed) or `ttfs` (the time of one spike); all give
    the same codes. `rate` approximates them in `steps` time steps of IF neurons.
    labels: names of the first output's elements.
    calibrate: for a float network (float32, float16-stored or hybrid): rows of real values as it
    takes them in use, (n, *shape[1:]) or a mapping by input name. It is quantized to int8 over
    their range (`neurovm.quantization`), an approximation that `manifest.approx` names and
    measures; what follows is exact to that int8 network. Needs LiteRT.
    With `rate` the rows (of an int8 network in its own dtypes, as `Model.predict` takes them) also
    balance the thresholds, and say after how many steps an answer may be read.
    mixed: with `calibrate`, the share of the work (0 … 1) that may stay at 16-bit activations,
    where 8 bit costs most.

    Raises ModelError for a file that cannot be read, UnsupportedOperatorError (naming file,
    operator, index and what would be needed) for what has no exact rule here, ShapeError for rows
    that do not fit. Imports numpy.
    """
    from neurovm.convert import convert_tflite as convert

    return convert(
        source,
        profile=profile,
        coding=coding,
        labels=labels,
        name=name,
        steps=steps,
        calibrate=calibrate,
        mixed=mixed,
    )


def convert_network(
    network: Network,
    *,
    weights: Literal["auto", "int8", "int16"] = "auto",
    labels: Sequence[str] | None = None,
) -> SpikingModel:
    """Turn a network of spiking neurons (`neurovm.spiking.network`) into integers, ready to run.

    weights: `int8`, `int16`, or `auto`: int8 where that is exact or synapses are few in a large
    projection, else int16; the manifest says what each projection lost.
    labels: names of the neurons of its only output.

    Raises ModelError naming the population or projection that cannot be run. Imports numpy.
    """
    from neurovm.spiking_conversion import convert_network as convert

    return convert(network, weights=weights, labels=labels)


def convert_nir(
    source: str | os.PathLike[str],
    *,
    dt: float,
    dialect: str = "nir",
    weights: Literal["auto", "int8", "int16"] = "auto",
    labels: Sequence[str] | None = None,
    name: str | None = None,
    **options: Any,
) -> SpikingModel:
    """Convert a .nir file (Neuromorphic Intermediate Representation) into a network ready to run.

    dt: seconds of a tick; a file carries none. dialect: what else it leaves open, as the framework
    that it is from means it: `nir` (forward Euler, fires above the threshold), `snntorch`, `norse`,
    `norse_export`, `sinabs`, `spikingjelly`. options: single decisions in its place (`fires_at`,
    `reset`, `spikes`, `reset_delay`, `decay`, …): `docs/nir.md`. weights, labels: as
    `convert_network`.

    Raises ModelError naming file and node where it cannot be read, UnsupportedOperatorError where
    a node is no primitive of NIR 1.0.8. Needs the nir package (`pip install 'neurovm[nir]'`).
    """
    from neurovm.spiking_conversion import convert_nir as convert

    return convert(
        source, dt=dt, dialect=dialect, weights=weights, labels=labels, name=name, **options
    )


# What needs the extension is loaded when it is first asked for, so that the arithmetic and the
# oracle can be used without one; the rest, so that the command begins to answer at once.
_LAZY = {
    **dict.fromkeys(("Counters", "LayerInfo", "OperatorInfo", "TensorInfo"), "neurovm.description"),
    "Answer": "neurovm.session",
    "LayerState": "neurovm.session",
    "Model": "neurovm.model",
    "Session": "neurovm.session",
    "SpikingModel": "neurovm.spiking_model",
    "SpikingSession": "neurovm.spiking_session",
    **dict.fromkeys(("Window", "WindowPlan", "WindowSession"), "neurovm.windows"),
    "load": "neurovm.loading",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'neurovm' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
