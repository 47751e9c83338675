# SPDX-License-Identifier: Apache-2.0
"""Refuse networks whose conversion would take memory or time without measure.

A file of a few bytes can state a network of any size: constants used a thousand times, windows
over images of padding, a row and a column that meet in every pair. What the conversion will cost
is known from the shapes, and is asked for before any table, map or golden vector is made.

The limits lie above networks that boxes run: MobileNetV2 (224²) applies 0.3·10⁹ weights to 7·10⁶
codes, EfficientDet-Lite0 (320²) 1·10⁹, ResNet-50 4·10⁹; their largest tensors have 1 to 3·10⁶
codes.
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
    LookupPair,
    MaxPool2D,
    Operator,
    Svdf,
    TransposeConv,
    UnidirectionalSequenceLstm,
)
from neurovm.operators.elementwise import Elementwise
from neurovm.operators.recurrent import GATES

MAX_CODES = 1 << 25
"""Elements of all activations together."""
MAX_CONSTANT_ELEMENTS = 1 << 29
"""Elements of the constants of all operators, counted at every use."""
MAX_TENSOR_CODES = 1 << 23
"""Elements of one activation. The oracle holds the sums of one operator at a time, in 64 bits and
several copies: the golden vectors of a convolution take about 160 bytes for each of its outputs.
"""
MAX_SPREAD_CODES = 1 << 23
"""Elements of all inputs that are broadcast; each is four bytes of a map, in memory and bundle."""
MAX_TAPS = 1 << 33
"""Codes read by one dense run, about as many multiplications: twice ResNet-50. The golden vectors
are two runs of the oracle at least, and it takes 1 to 10 ns for each.
"""


def check_limits(graph: Graph) -> Graph:
    """The graph itself; ModelError where it exceeds a limit, with figure and limit."""
    tensors = graph.tensors
    constants = sum(
        tensors[i].size
        for operator in graph.operators
        for i in operator.inputs
        if i != -1 and tensors[i].data is not None
    )
    sizes = [t.size for t in tensors if t.data is None]
    for what, found, most in (
        ("activations", sum(sizes), MAX_CODES),
        ("activations in one tensor", max(sizes, default=0), MAX_TENSOR_CODES),
        ("constants, counted at every use,", constants, MAX_CONSTANT_ELEMENTS),
        (
            "elements of broadcast inputs",
            sum(_spread(graph, o) for o in graph.operators),
            MAX_SPREAD_CODES,
        ),
        ("multiplications", sum(_taps(graph, o) for o in graph.operators), MAX_TAPS),
    ):
        if found > most:
            raise ModelError(f"{graph.source.name}: {found} {what}; at most {most} are accepted")
    return graph


def _spread(graph: Graph, operator: Operator) -> int:
    """Elements of the inputs that a map repeats."""
    if isinstance(operator, BatchMatMul):
        sizes = [graph.tensors[i].size for i in operator.inputs]
        leading, rows, inner, columns = operator.matrices(graph.tensors)
        each = math.prod(leading) * inner
        pairs = zip(sizes, (each * rows, each * columns), strict=True)
        return sum(whole for size, whole in pairs if size != whole)
    if isinstance(operator, Elementwise | LookupPair):
        out = graph.tensors[operator.outputs[0]].size
        live = [i for i in operator.inputs if graph.tensors[i].data is None]
        return out * sum(graph.tensors[i].size != out for i in live)
    return 0


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
