# SPDX-License-Identifier: Apache-2.0
"""Which rows of a sliding window are new numbers, by stamps: slow, obvious, independent of any
rule about time.

Every element carries a stamp, an integer that stands for the whole expression it is computed by:
the operator, and the stamps and constants it reads, padding among them. Elements of two windows
with one stamp are therefore equal, whatever the codes are. Nothing here knows what a stride or a
cone is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from neurovm.operators import (
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    ExpandDims,
    FullyConnected,
    L2Normalization,
    LogSoftmax,
    MaxPool2D,
    Operator,
    Quantize,
    Reshape,
    Softmax,
    Squeeze,
)
from neurovm.operators.elementwise import Elementwise
from neurovm.operators.movement import Movement
from neurovm.operators.reduction import Reduction
from neurovm.operators.unary import Unary
from neurovm.reference.rules import RULES, Call
from neurovm.reference.window import patches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.arithmetic import Profile
    from neurovm.graph import Graph

    Stamps = NDArray[np.int64]

_FIRST = 1 << 20
"""Stamps begin here: codes that a movement fills in stand for themselves."""
_MOVES = (Movement, Reshape, Squeeze, ExpandDims)
_ALIKE = (Elementwise, Unary, Quantize, Dequantize)
_LINES = (FullyConnected, L2Normalization, LogSoftmax, Softmax)
_PADDING = -1


class Stamper:
    """Stamps of all tensors of a graph, window by window; equal expressions keep their stamp."""

    def __init__(self, graph: Graph, profile: Profile, frames: int) -> None:
        """`frames`: into how many equal rows the one input is cut."""
        self._graph, self._profile = graph, profile
        self._frames = frames
        self._known: dict[tuple[object, ...], int] = {}

    def run(self, start: int) -> dict[int, Stamps]:
        """Tensor index → stamps of its shape, for the window that begins at frame `start`."""
        graph = self._graph
        (source,) = graph.inputs
        shape = graph.tensors[source].shape
        width = graph.tensors[source].size // self._frames
        rows = np.arange(start, start + self._frames)
        places = rows[:, None] * width + np.arange(width)
        names = [("frame", int(i)) for i in places.reshape(-1)]
        found = {source: self._numbers(names).reshape(shape)}
        for operator in graph.operators:
            for i, stamps in zip(operator.outputs, self._outputs(operator, found), strict=True):
                found[i] = stamps.reshape(graph.tensors[i].shape)
        return found

    def _numbers(self, names: Iterable[tuple[object, ...]]) -> Stamps:
        known = self._known
        return np.array([known.setdefault(n, _FIRST + len(known)) for n in names], np.int64)

    def _outputs(self, operator: Operator, found: dict[int, Stamps]) -> Sequence[Stamps]:
        if isinstance(operator, _MOVES):
            return self._moved(operator, found)
        if isinstance(operator, _ALIKE):
            return [self._element_by_element(operator, found)]
        if isinstance(operator, Conv2D | DepthwiseConv2D | AveragePool2D | MaxPool2D):
            return [self._windows(operator, found[operator.inputs[0]])]
        if isinstance(operator, _LINES):
            return [self._lines(operator, found[operator.inputs[0]])]
        if isinstance(operator, Reduction):
            return [self._reduced(operator, found[operator.inputs[0]])]
        live = [found[i].reshape(-1).tolist() for i in operator.inputs if i in found]
        whole = self._numbers([(operator.index, str(live))])[0]
        sizes = [self._graph.tensors[i].size for i in operator.outputs]
        return [
            self._numbers((operator.index, k, j, int(whole)) for j in range(size))
            for k, size in enumerate(sizes)
        ]

    def _moved(self, operator: Operator, found: dict[int, Stamps]) -> Sequence[Stamps]:
        values = [
            None if i == -1 else found[i][None] if i in found else self._constant(i)
            for i in operator.inputs
        ]
        call = Call(
            operator=operator, tensors=self._graph.tensors, profile=self._profile, values=values
        )
        result = RULES[type(operator)](call)
        every = result if isinstance(result, tuple) else (result,)
        return [np.asarray(one, np.int64) for one in every]

    def _constant(self, tensor: int) -> Stamps:
        """A constant's codes, which stand for themselves."""
        return np.asarray(self._graph.tensors[tensor].data, np.int64)[None]

    def _element_by_element(self, operator: Operator, found: dict[int, Stamps]) -> Stamps:
        shape = self._graph.tensors[operator.outputs[0]].shape
        live = [
            found[i] if i in found else np.asarray(self._graph.tensors[i].data)
            for i in operator.inputs
            if i != -1
        ]
        columns = [np.broadcast_to(x, shape).reshape(-1).tolist() for x in live]
        return self._numbers((operator.index, *each) for each in zip(*columns, strict=True))

    def _windows(
        self, operator: Conv2D | DepthwiseConv2D | AveragePool2D | MaxPool2D, stamps: Stamps
    ) -> Stamps:
        """All channels of an output pixel by all that its window reads."""
        tensors = self._graph.tensors
        if isinstance(operator, Conv2D | DepthwiseConv2D):
            kernel = tensors[operator.inputs[1]].shape[1:3]
            dilation = operator.dilation
        else:
            kernel, dilation = operator.window, (1, 1)
        taps = [
            patch
            for _, patch in patches(
                stamps.reshape(-1, *stamps.shape[-3:]),
                kernel,
                operator.stride,
                operator.padding,
                fill=_PADDING,
                dilation=dilation,
            )
        ]
        read = np.stack(taps, axis=3)
        pixels = read.reshape(-1, int(np.prod(read.shape[3:])))
        wholes = self._numbers((operator.index, tuple(p)) for p in pixels.tolist())
        channels = tensors[operator.outputs[0]].shape[-1]
        return self._numbers(
            (operator.index, whole, c) for whole in wholes.tolist() for c in range(channels)
        )

    def _lines(self, operator: Operator, stamps: Stamps) -> Stamps:
        """Each line of the last axis, or of what the weights span, by itself."""
        tensors = self._graph.tensors
        span, outputs = stamps.shape[-1], stamps.shape[-1]
        if isinstance(operator, FullyConnected):
            outputs, span = tensors[operator.inputs[1]].shape
        return self._numbers(
            (operator.index, tuple(line), c)
            for line in stamps.reshape(-1, span).tolist()
            for c in range(outputs)
        )

    def _reduced(self, operator: Reduction, stamps: Stamps) -> Stamps:
        axes = tuple(operator.axes)
        last = np.moveaxis(stamps, axes, range(-len(axes), 0))
        parts = last.reshape(-1, int(np.prod(last.shape[last.ndim - len(axes) :])))
        return self._numbers((operator.index, tuple(part)) for part in parts.tolist())


def dirty_rows(now: Stamps, before: Iterable[Stamps], rows: int) -> int:
    """How many of the `rows` outermost rows of a tensor cannot be taken from one earlier window,
    moved as a whole.
    """
    new = now.reshape(rows, -1)
    least = rows
    for one in before:
        old = one.reshape(rows, -1)
        for moved in range(rows):
            same = (new[: rows - moved] == old[moved:]).all(axis=1)
            least = min(least, rows - int(same.sum()))
    return least
