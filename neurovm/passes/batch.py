# SPDX-License-Identifier: Apache-2.0
"""Fix an open batch axis to 1: a stream has one sample at a time."""

from __future__ import annotations

from dataclasses import replace

from neurovm.errors import ModelError
from neurovm.graph import Graph, Tensor


def fix_batch(graph: Graph) -> Graph:
    """Every input whose first axis the source leaves open gets 1 there.

    Raises ModelError where another axis is open: a network needs a fixed size.
    """
    tensors = list(graph.tensors)
    fixed = []
    for i in graph.inputs:
        signature = tensors[i].signature
        if signature is None:
            continue
        if -1 in signature[1:]:
            raise ModelError(
                f"{graph.source.name}: input {tensors[i].name!r} has shape {signature} with open "
                f"axes; only the first (the batch) may be open"
            )
        tensors[i] = _with_batch_1(tensors[i])
        fixed.append(tensors[i].name)
    if not fixed:
        return graph
    note = f"batch fixed to 1: {', '.join(fixed)}"
    return replace(graph, tensors=tuple(tensors), notes=(*graph.notes, note))


def _with_batch_1(tensor: Tensor) -> Tensor:
    return replace(tensor, shape=(1, *tensor.shape[1:]), signature=None)
