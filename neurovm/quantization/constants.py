# SPDX-License-Identifier: Apache-2.0
"""What depends on no row is a constant: shapes, initial states, masks, folded before quantising.

LiteRT gives the values, as the float network computes them, so every operator that it runs is
folded, whether it has an 8-bit form or not.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from neurovm.errors import ModelError
from neurovm.quantization.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from neurovm.converters.tflite_plain import PlainModel, PlainOperator
    from neurovm.graph import Tensor
    from neurovm.quantization.probe import Rows

MAX_ELEMENTS = 1 << 22
"""Of one constant that is computed here; the passes accept as much."""

_SHAPES = ("SHAPE", "RANK")
"""They read of a tensor what is the same for every row."""
_NEVER_CONSTANT = (
    "BERNOULLI", "CUSTOM", "HASHTABLE", "MULTINOMIAL", "RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM",
    "READ_VARIABLE", "STABLEHLO_RNG_BIT_GENERATOR", "VAR_HANDLE",
)  # fmt: skip
"""Whatever they read, their results may differ from run to run, or are none to keep."""


def without_constants(model: PlainModel) -> PlainModel:
    """The network without the operators that work on constants only, or that nobody reads.

    What they make has no value yet: for those who ask which operators a calibration leaves.
    """
    folded = {op.index for op in _foldable(model)}
    return _left(model, folded, model.tensors)


def fold(model: PlainModel, rows: Rows, *, timeout_s: float) -> PlainModel:
    """The network with the values of such operators in their place.

    rows: as in `observe`; the first is run. ModelError where an output depends on no input, and
    where a constant grows too large; BackendError where LiteRT fails.
    """
    operators = _foldable(model)
    folded = {op.index for op in operators}
    made = {i for op in operators for i in op.outputs}
    left = _left(model, folded, model.tensors)
    read = {i for op in left.operators for i in op.inputs}
    wanted = sorted(made & read)
    for i in model.outputs:
        if i in made or (model.tensors[i].data is not None):
            raise ModelError(
                f"{model.source.name}: output {model.tensors[i].name!r} depends on no input"
            )
    if not wanted:
        return left
    tensors = list(model.tensors)
    for i, tensor in _values(model, wanted, rows, timeout_s).items():
        tensors[i] = tensor
    return _left(model, folded, tuple(tensors))


def _left(model: PlainModel, folded: Collection[int], tensors: tuple[Tensor, ...]) -> PlainModel:
    kept = tuple(op for op in model.operators if op.index not in folded)
    return _needed(dataclasses.replace(model, operators=kept, tensors=tensors), model.outputs)


def _foldable(model: PlainModel) -> list[PlainOperator]:
    constant = {i for i, t in enumerate(model.tensors) if t.data is not None} | {-1}
    found = []
    for op in model.operators:
        if op.name in _NEVER_CONSTANT or not op.inputs or not op.outputs:
            continue
        if any(model.tensors[i].dtype == "resource" for i in (*op.inputs, *op.outputs)):
            continue
        if constant.issuperset(op.inputs) or op.name in _SHAPES:
            constant |= set(op.outputs)
            found.append(op)
    return found


def _values(
    model: PlainModel, wanted: list[int], rows: Rows, timeout_s: float
) -> dict[int, Tensor]:
    """Tensor -> the constant that it is."""
    with Probe(_needed(model, wanted), wanted, timeout_s=timeout_s) as probe:
        found, shapes = probe.run([r[:1] for r in rows]), probe.shapes
    return {i: _constant(model, i, shapes[i], found[i]) for i in wanted}


def _constant(model: PlainModel, index: int, shape: tuple[int, ...], row: NDArray[Any]) -> Tensor:
    tensor = model.tensors[index]
    if math.prod(shape) > MAX_ELEMENTS:
        raise ModelError(
            f"{model.source.name}: constant {tensor.name!r} would have {math.prod(shape)} "
            f"elements; at most {MAX_ELEMENTS} are accepted"
        )
    return dataclasses.replace(tensor, shape=shape, signature=None, data=row[0].reshape(shape))


def _needed(model: PlainModel, wanted: Sequence[int]) -> PlainModel:
    """The operators that lead to some tensors, which are the outputs."""
    reached = set(wanted)
    operators = []
    for op in reversed(model.operators):
        if not reached.isdisjoint(op.outputs):
            reached |= set(op.inputs)
            operators.append(op)
    return dataclasses.replace(model, operators=tuple(reversed(operators)), outputs=tuple(wanted))
