# SPDX-License-Identifier: Apache-2.0
"""Decide at conversion what does not depend on data: shapes, and constants made of them.

Shapes and constants depend on each other (SHAPE → STRIDED_SLICE → PACK → RESHAPE is how an open
batch is written), so one walk in execution order does both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.errors import ModelError, UnsupportedOperatorError
from neurovm.graph import Graph, Tensor
from neurovm.operators import Operator, Pack, Reshape, ShapeOf, StridedSlice

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_ELEMENTS = 1 << 27
"""Elements of one tensor."""


def resolve(graph: Graph) -> Graph:
    """Give every tensor the shape its operator makes, and replace operators of constants by
    constants.

    Raises ModelError where an operator contradicts its inputs or the source's own shape, and where
    a tensor is empty or too large; UnsupportedOperatorError where an operator that only handles
    shapes meets data.
    """
    tensors = list(graph.tensors)
    operators: list[Operator] = []
    folded: list[str] = []
    for operator in graph.operators:
        try:
            _resolve_one(graph, operator, tensors, operators, folded)
        except UnsupportedOperatorError:
            raise
        except ModelError as e:
            raise ModelError(f"{graph.source.name}: {e}") from e
    notes = (f"folded to constants: {', '.join(folded)}",) if folded else ()
    return replace(
        graph, tensors=tuple(tensors), operators=tuple(operators), notes=graph.notes + notes
    )


def _resolve_one(
    graph: Graph,
    operator: Operator,
    tensors: list[Tensor],
    kept: list[Operator],
    folded: list[str],
) -> None:
    shapes = operator.infer_shapes(tensors)
    for i, shape in zip(operator.outputs, shapes, strict=True):
        tensors[i] = _with_shape(operator, tensors[i], shape)
    fold = FOLDS.get(type(operator))
    constant = all(i == -1 or tensors[i].data is not None for i in operator.inputs)
    if fold is not None and (constant or isinstance(operator, ShapeOf)):
        out = operator.outputs[0]
        data = np.asarray(fold(operator, tensors)).astype(tensors[out].dtype)
        tensors[out] = replace(tensors[out], data=data.reshape(tensors[out].shape))
        folded.append(f"{operator.source_name} {operator.index}")
        return
    if isinstance(operator, StridedSlice | Pack):
        raise UnsupportedOperatorError(
            graph.source.name, operator.source_name, operator.index,
            "it is folded where its inputs are constants (shapes); on data it has no event rule",
        )  # fmt: skip
    kept.append(operator)


def _with_shape(operator: Operator, tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The tensor with the inferred shape, which must agree with what the source states of it."""
    stated = tensor.signature or tensor.shape
    open_axes = -1 in stated
    agrees = len(stated) == len(shape) and all(
        s in (-1, n) for s, n in zip(stated, shape, strict=True)
    )
    where = f"operator {operator.index} ({operator.source_name}), tensor {tensor.name!r}"
    if not agrees and (open_axes or math.prod(stated) != math.prod(shape)):
        raise ModelError(f"{where}: its inputs make shape {shape}; the file states {stated}")
    if not 1 <= math.prod(shape) <= MAX_ELEMENTS:
        raise ModelError(f"{where}: shape {shape}; 1 to {MAX_ELEMENTS} elements are accepted")
    return replace(tensor, shape=shape, signature=None)


def _constant(tensors: Sequence[Tensor], index: int) -> NDArray[np.generic]:
    return np.asarray(tensors[index].data)


def _shape_of(operator: Operator, tensors: Sequence[Tensor]) -> Any:
    return tensors[operator.inputs[0]].shape


def _strided_slice(operator: StridedSlice, tensors: Sequence[Tensor]) -> Any:
    return _constant(tensors, operator.inputs[0])[operator.slices(tensors)]


def _pack(operator: Pack, tensors: Sequence[Tensor]) -> Any:
    return np.stack([_constant(tensors, i) for i in operator.inputs], axis=operator.axis)


def _reshape(operator: Reshape, tensors: Sequence[Tensor]) -> Any:
    return _constant(tensors, operator.inputs[0])


FOLDS: dict[type[Operator], Callable[[Any, Sequence[Tensor]], Any]] = {
    Pack: _pack,
    Reshape: _reshape,
    ShapeOf: _shape_of,
    StridedSlice: _strided_slice,
}
"""How an operator of constants is computed. One line an operator."""
