# SPDX-License-Identifier: Apache-2.0
"""Drop operators whose results nothing reads."""

from __future__ import annotations

from dataclasses import replace

from neurovm.graph import Graph


def drop_dead(graph: Graph) -> Graph:
    """The graph without operators and states that no output depends on, now or in a later step.

    Tensors keep their indices.
    """
    needed = set(graph.outputs)
    found = 0
    while found != len(needed):  # a state that is needed needs its next value, and so on
        found = len(needed)
        needed.update(state.next for state in graph.states if state.read in needed)
        for operator in reversed(graph.operators):
            if not needed.isdisjoint(operator.outputs):
                needed.update(operator.inputs)
    kept = tuple(op for op in graph.operators if not needed.isdisjoint(op.outputs))
    states = tuple(state for state in graph.states if state.read in needed)
    dropped = [
        f"{op.source_name} {op.index}" for op in graph.operators if needed.isdisjoint(op.outputs)
    ] + [f"variable {state.name}" for state in graph.states if state.read not in needed]
    if not dropped:
        return graph
    note = f"dropped, nothing reads them: {', '.join(dropped)}"
    return replace(graph, operators=kept, states=states, notes=(*graph.notes, note))
