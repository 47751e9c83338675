# SPDX-License-Identifier: Apache-2.0
"""Drop operators whose results nothing reads."""

from __future__ import annotations

from dataclasses import replace

from neurovm.graph import Graph


def drop_dead(graph: Graph) -> Graph:
    """The graph without operators that no output depends on. Tensors keep their indices."""
    needed = set(graph.outputs)
    kept = []
    dropped = []
    for operator in reversed(graph.operators):
        if needed.isdisjoint(operator.outputs):
            dropped.append(f"{operator.source_name} {operator.index}")
            continue
        kept.append(operator)
        needed.update(operator.inputs)
    if not dropped:
        return graph
    note = f"dropped, nothing reads them: {', '.join(reversed(dropped))}"
    return replace(graph, operators=tuple(reversed(kept)), notes=(*graph.notes, note))
