# SPDX-License-Identifier: Apache-2.0
"""Note factors of −128: with them the source runtime itself answers differently on ARM."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurovm.graph import Graph
from neurovm.operators import (
    BatchMatMul,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Operator,
    TransposeConv,
)


def note_extremes(graph: Graph) -> Graph:
    """The graph with a note on operators with weights, or live factors, of −128.

    XNNPACK's NEON kernels add two int8 products in int16, which (−128)(−128) + (−128)(−128)
    overflows; its x86 kernels, and this package everywhere, do not.
    """
    found = [
        f"{operator.source_name} {operator.index}"
        for operator in graph.operators
        if _meets_minimum(graph, operator)
    ]
    if not found:
        return graph
    note = f"factors of -128, which LiteRT on ARM may multiply wrongly: {', '.join(found)}"
    return replace(graph, notes=(*graph.notes, note))


def _meets_minimum(graph: Graph, operator: Operator) -> bool:
    """Whether XNNPACK multiplies codes by a −128."""
    if isinstance(operator, BatchMatMul):
        b = graph.tensors[operator.inputs[1]]
        return b.zero_point == 0 and (b.data is None or bool((b.data == -128).any()))
    if not isinstance(operator, Conv2D | DepthwiseConv2D | FullyConnected | TransposeConv):
        return False
    data = graph.tensors[operator.inputs[1]].data
    return data is not None and data.dtype == np.int8 and bool((data == -128).any())
