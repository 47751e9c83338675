# SPDX-License-Identifier: Apache-2.0
"""`convert_network`, `convert_nir`: from a network of spiking neurons to a model."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurovm.converters import nir
from neurovm.description import SourceInfo
from neurovm.errors import ModelError
from neurovm.spiking_model import SpikingModel, replay_trains
from neurovm.spiking_program import compile_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neurovm.spiking.codes import Weights
    from neurovm.spiking.network import Network


def convert_network(
    network: Network,
    *,
    weights: Weights = "auto",
    labels: Sequence[str] | None = None,
    source: SourceInfo | None = None,
    notes: Sequence[str] = (),
) -> SpikingModel:
    """See `neurovm.convert_network`. `source`, `notes`: the file it was read from."""
    content = compile_network(network, weights=weights, labels=labels, source=source, notes=notes)
    model = SpikingModel(content)
    replay_trains(model, content, network.name)
    return model


def convert_nir(
    source: str | os.PathLike[str],
    *,
    dt: float,
    dialect: str = "nir",
    weights: Weights = "auto",
    labels: Sequence[str] | None = None,
    name: str | None = None,
    **options: Any,
) -> SpikingModel:
    """See `neurovm.convert_nir`."""
    path = Path(source)
    found = nir.imported(path, dt=dt, dialect=dialect, name=name, **options)
    given = "".join(f", {key} {value}" for key, value in options.items() if value is not None)
    read = f"read from NIR {found.version or 'of no version'} as {dialect}{given}, dt {dt:g} s"
    renamed = [f"Output {a} is {b}" for a, b in found.outputs.items() if a != b]
    return convert_network(
        found.network,
        weights=weights,
        labels=labels,
        source=_source(path),
        notes=(read, *found.notes, *renamed),
    )


def _source(path: Path) -> SourceInfo:
    whole = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                whole.update(block)
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    return SourceInfo(format="nir", sha256=whole.hexdigest(), bytes=size, name=path.name)
