# SPDX-License-Identifier: Apache-2.0
"""Passes: Graph → Graph, one idea a file. Each says in `Graph.notes` what it did."""

from neurovm.graph import Graph
from neurovm.passes.batch import fix_batch
from neurovm.passes.coded import code_states
from neurovm.passes.dead import drop_dead
from neurovm.passes.dilation import fuse_dilation
from neurovm.passes.extremes import note_extremes
from neurovm.passes.formats import check_formats
from neurovm.passes.islands import fold_islands
from neurovm.passes.limits import check_limits
from neurovm.passes.partial import note_partial
from neurovm.passes.resolve import resolve

PASSES = (
    fix_batch,
    code_states,
    resolve,
    fold_islands,
    drop_dead,
    check_formats,
    fuse_dilation,
    check_limits,
    note_extremes,
    note_partial,
)
"""In the order they run: what a reader hands over becomes what lowering and the oracle take."""


def prepare(graph: Graph) -> Graph:
    """All passes in order; ModelError where the graph contradicts itself or is not an int8
    network.
    """
    for one in PASSES:
        graph = one(graph)
    graph.check()
    return graph


__all__ = [
    "PASSES",
    "check_formats",
    "check_limits",
    "code_states",
    "drop_dead",
    "fix_batch",
    "fold_islands",
    "fuse_dilation",
    "note_extremes",
    "note_partial",
    "prepare",
    "resolve",
]
