# SPDX-License-Identifier: Apache-2.0
"""Refuse networks whose conversion would take memory or time without measure.

A file of a few bytes can state a network of any size: constants used a thousand times, windows over
images of padding. The limits are far above what a box can run.
"""

from __future__ import annotations

import math

from neurovm.errors import ModelError
from neurovm.graph import Graph
from neurovm.operators import (
    AveragePool2D,
    BatchMatMul,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    MaxPool2D,
    Operator,
    Svdf,
    TransposeConv,
    UnidirectionalSequenceLstm,
)
from neurovm.operators.recurrent import GATES

MAX_CODES = 1 << 25
"""Elements of all activations together."""
MAX_CONSTANT_ELEMENTS = 1 << 29
"""Elements of the constants of all operators, counted at every use."""
MAX_TAPS = 1 << 36
"""Codes read by one dense run, about as many multiplications."""


def check_limits(graph: Graph) -> Graph:
    """The graph itself; ModelError where it exceeds a limit, with figure and limit."""
    tensors = graph.tensors
    constants = sum(
        tensors[i].size
        for operator in graph.operators
        for i in operator.inputs
        if i != -1 and tensors[i].data is not None
    )
    for what, found, most in (
        ("activations", sum(t.size for t in tensors if t.data is None), MAX_CODES),
        ("constants, counted at every use,", constants, MAX_CONSTANT_ELEMENTS),
        ("multiplications", sum(_taps(graph, o) for o in graph.operators), MAX_TAPS),
    ):
        if found > most:
            raise ModelError(f"{graph.source.name}: {found} {what}; at most {most} are accepted")
    return graph


def _taps(graph: Graph, operator: Operator) -> int:
    out = graph.tensors[operator.outputs[0]].size
    if isinstance(operator, AveragePool2D | MaxPool2D):
        return out * math.prod(operator.window)
    if isinstance(operator, Conv2D | FullyConnected | TransposeConv):
        return out * math.prod(graph.tensors[operator.inputs[1]].shape[1:])
    if isinstance(operator, BatchMatMul):
        return out * operator.matrices(graph.tensors)[2]
    if isinstance(operator, Svdf):
        batches, inputs, filters, times = operator.sizes(graph.tensors)
        return batches * filters * (inputs + times)
    if isinstance(operator, UnidirectionalSequenceLstm):
        batches, times, inputs, units = operator.sizes(graph.tensors)
        return batches * times * GATES * units * (inputs + units)
    if isinstance(operator, DepthwiseConv2D):
        return out * math.prod(graph.tensors[operator.inputs[1]].shape[1:3])
    return out
