# SPDX-License-Identifier: Apache-2.0
"""Which layer of a program holds the codes of a tensor of its source."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurovm.description import Manifest
    from neurovm.graph import Graph


def holders_of(manifest: Manifest, graph: Graph) -> dict[int, int] | None:
    """The layer that holds each tensor that one holds; None for a program made otherwise."""
    ours = [(op.index, op.source_name, len(op.outputs)) for op in graph.operators]
    if ours != [(op.index, op.source_op, len(op.holders)) for op in manifest.operators]:
        return None
    inputs = [layer.index for layer in manifest.layers if layer.kind == "INPUT"]
    held = dict(zip(graph.inputs, inputs, strict=True))
    for operator, info in zip(graph.operators, manifest.operators, strict=True):
        pairs = zip(operator.outputs, info.holders, strict=True)
        held.update({tensor: layer for tensor, layer in pairs if layer is not None})
    return held
