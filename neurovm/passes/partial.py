# SPDX-License-Identifier: Apache-2.0
"""Note operators on whose inputs the source runtime may end with an error instead of an answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from neurovm.graph import Graph
from neurovm.operators import Div, Operator, Rsqrt, Sqrt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def note_partial(graph: Graph) -> Graph:
    """The graph with a note on divisions by 0 and roots of negative values that codes can make.

    LiteRT stops there with an error. A converted network answers with the end of the range.
    """
    found = [
        f"{operator.source_name} {operator.index}"
        for operator in graph.operators
        if _has_gaps(graph, operator)
    ]
    if not found:
        return graph
    note = (
        f"saturated where LiteRT ends with an error (a division by 0, the root of a negative "
        f"value): {', '.join(found)}"
    )
    return replace(graph, notes=(*graph.notes, note))


def _has_gaps(graph: Graph, operator: Operator) -> bool:
    if isinstance(operator, Div):
        divisor = graph.tensors[operator.inputs[1]]
        data: NDArray[np.generic] | None = divisor.data
        return data is None or bool((data == divisor.zero_point).any())
    if isinstance(operator, Rsqrt | Sqrt):
        return graph.tensors[operator.inputs[0]].codes.as_int8.zero_point > -128
    return False
