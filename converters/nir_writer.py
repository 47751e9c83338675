# SPDX-License-Identifier: Apache-2.0
"""A bundle of a spiking network as a .nir file, written by the nir package."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from neurovm.converters.nir_export import Exported, exported
from neurovm.errors import ModelError
from neurovm.spiking.unpack import unpack

if TYPE_CHECKING:
    from neurovm.bundle import Bundle


def write(content: Bundle, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Write the network; the options of `convert_nir` (beside dt) that read it as it runs here.

    The file is written whole or not at all. ModelError where the bundle is no spiking network or
    NIR cannot say what it does.
    """
    info = content.manifest.spiking
    if info is UNSET:
        raise ModelError(
            f"{content.manifest.name} is no spiking network; NIR describes nothing else"
        )
    program = unpack(content.populations, content.projections, content.arena)
    made = exported(program, info)
    _save(made, Path(path))
    return {key: value for key, value in made.decisions.items() if value is not None}


def _save(made: Exported, path: Path) -> None:
    try:
        import nir
    except ImportError as error:
        raise ModelError(
            f"{path}: writing NIR files needs the nir package: pip install 'neurovm[nir]' ({error})"
        ) from None
    nodes = {name: _node(nir, kind, fields) for name, (kind, fields) in made.nodes.items()}
    graph = nir.NIRGraph(nodes=nodes, edges=list(made.edges), type_check=False)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".nir", delete=False) as file:
        temporary = Path(file.name)
    try:
        nir.write(temporary, graph)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _node(nir: Any, kind: str, fields: dict[str, Any]) -> Any:
    if kind in ("Input", "Output"):
        return getattr(nir, kind)(fields["shape"])
    return getattr(nir, kind)(**fields)
