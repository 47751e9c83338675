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

from neurovm.arithmetic import NoExactRuleError, Reals
from neurovm.errors import ModelError, UnsupportedOperatorError
from neurovm.graph import Graph, Tensor
from neurovm.operators import (
    Dequantize,
    ExpandDims,
    Fill,
    Movement,
    Operator,
    Pad,
    Range,
    ReadVariable,
    ReduceProd,
    Reshape,
    ShapeOf,
    SpaceToBatchND,
    Squeeze,
)
from neurovm.passes.values import evaluate, has_rule

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Fold = Callable[[Any, Sequence[Tensor]], Any]

MAX_ELEMENTS = 1 << 27
"""Elements of one tensor."""
MAX_FOLDED = 1 << 22
"""Elements of a constant that is computed here."""


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
    fold: _Fold | None = FOLDS.get(type(operator))
    if isinstance(operator, Movement) and not _pads(operator):
        fold = _move
    constant = all(i == -1 or tensors[i].data is not None for i in operator.inputs)
    codes = tensors[operator.outputs[0]].dtype in ("int8", "uint8", "int16")
    if fold is None and constant and not codes:
        fold = _evaluated if has_rule(operator) else None
    if fold is not None and (constant or isinstance(operator, ShapeOf)):
        _check_folded(operator, tensors)
        results = fold(operator, tensors)
        for out, result in zip(operator.outputs, results, strict=True):
            data = np.asarray(result).astype(tensors[out].dtype).reshape(tensors[out].shape)
            tensors[out] = replace(tensors[out], data=data)
        folded.append(f"{operator.source_name} {operator.index}")
        return
    if type(operator).lower is Operator.lower and not has_rule(operator):
        raise UnsupportedOperatorError(
            graph.source.name, operator.source_name, operator.index,
            "it is folded where its inputs are constants (shapes); on data it has no event rule",
        )  # fmt: skip
    kept.append(operator)


def _check_folded(operator: Operator, tensors: Sequence[Tensor]) -> None:
    """Refuse constants that a few bytes of a file would blow up."""
    for i in operator.outputs:
        if tensors[i].size > MAX_FOLDED:
            raise ModelError(
                f"operator {operator.index} ({operator.source_name}) makes a constant of "
                f"{tensors[i].size} elements; at most {MAX_FOLDED} are accepted"
            )


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
    # What an operator makes is no constant, whatever the file gives it for data.
    return replace(tensor, shape=shape, signature=None, data=None)


def _constant(tensors: Sequence[Tensor], index: int) -> NDArray[np.generic]:
    return np.asarray(tensors[index].data)


def _shape_of(operator: Operator, tensors: Sequence[Tensor]) -> Any:
    return [tensors[operator.inputs[0]].shape]


def _unchanged(operator: Operator, tensors: Sequence[Tensor]) -> Any:
    return [_constant(tensors, operator.inputs[0])]


def _product(operator: ReduceProd, tensors: Sequence[Tensor]) -> Any:
    x = _constant(tensors, operator.inputs[0])
    return [np.prod(x.astype(np.int64), axis=operator.axes, keepdims=operator.keep_dims)]


def _filled(operator: Fill, tensors: Sequence[Tensor]) -> Any:
    out = tensors[operator.outputs[0]]
    return [np.full(out.shape, _constant(tensors, operator.inputs[1]).reshape(-1)[0])]


def _listed(operator: Range, tensors: Sequence[Tensor]) -> Any:
    start, _, delta = operator.bounds(tensors)
    return [start + delta * np.arange(tensors[operator.outputs[0]].size)]


def _dequantized(operator: Dequantize, tensors: Sequence[Tensor]) -> Any:
    x = tensors[operator.inputs[0]]
    if x.dtype == "float16":
        return [np.asarray(x.data).astype(np.float32)]
    codes = x.codes
    steps = np.asarray(x.data).astype(np.int64) - codes.zero_point
    return [steps.astype(np.float32) * np.float32(codes.scale)]


def _evaluated(operator: Operator, tensors: Sequence[Tensor]) -> Any:
    """Values of constants, which every runtime must compute alike."""
    operands = [Reals.exactly(_constant(tensors, i)) for i in operator.inputs]
    result = evaluate(operator, operands, tensors[operator.outputs[0]].dtype)
    if not result.exact:
        raise NoExactRuleError(
            f"operator {operator.index} ({operator.source_name}): runtimes compute it from "
            f"constants with other last bits; the model with the constant itself is needed"
        )
    return [result.value]


def _pads(operator: Movement) -> bool:
    """Whether it may write a code of its own, which is the profile's to say."""
    return isinstance(operator, Pad | SpaceToBatchND)


def _move(operator: Movement, tensors: Sequence[Tensor]) -> Any:
    values = [_constant(tensors, i).reshape(-1) for i in operator.data_inputs]
    codes = np.concatenate(values)
    return [codes[index] for index in operator.sources(tensors)]


FOLDS: dict[type[Operator], _Fold] = {
    Dequantize: _dequantized,
    ExpandDims: _unchanged,
    Fill: _filled,
    Range: _listed,
    ReadVariable: _unchanged,
    ReduceProd: _product,
    Reshape: _unchanged,
    ShapeOf: _shape_of,
    Squeeze: _unchanged,
}
"""How an operator of constants is computed, besides movements. One line an operator."""
