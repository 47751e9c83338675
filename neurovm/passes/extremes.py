# SPDX-License-Identifier: Apache-2.0
"""Note weights of −128: with them the source runtime itself answers differently on ARM."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurovm.graph import Graph
from neurovm.operators import Conv2D, DepthwiseConv2D, FullyConnected, TransposeConv


def note_extremes(graph: Graph) -> Graph:
    """The graph with a note on operators that have weights of −128.

    XNNPACK's NEON kernels add two int8 products in int16, which (−128)(−128) + (−128)(−128)
    overflows; its x86 kernels, and this package everywhere, do not.
    """
    found = [
        f"{operator.source_name} {operator.index}"
        for operator in graph.operators
        if isinstance(operator, Conv2D | DepthwiseConv2D | FullyConnected | TransposeConv)
        and _holds_minimum(graph, operator.inputs[1])
    ]
    if not found:
        return graph
    note = f"weights of -128, which LiteRT on ARM may multiply wrongly: {', '.join(found)}"
    return replace(graph, notes=(*graph.notes, note))


def _holds_minimum(graph: Graph, index: int) -> bool:
    data = graph.tensors[index].data
    return data is not None and data.dtype == np.int8 and bool((data == -128).any())
