# SPDX-License-Identifier: Apache-2.0
"""Refuse float networks whose int8 form no conversion accepts, before minutes go into making it.

The limits are those of `passes.check_limits`, on the shapes that the file states: what lies about
them is measured as it is once it is quantized.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from neurovm.converters.tflite_parts import parts
from neurovm.errors import ModelError
from neurovm.graph import Graph
from neurovm.passes import check_limits
from neurovm.quantization.constants import without_constants

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from neurovm.converters.tflite_parts import Part
    from neurovm.converters.tflite_plain import PlainModel
    from neurovm.graph import Tensor
    from neurovm.operators import Operator


def check_size(model: PlainModel, data: bytes) -> None:
    """ModelError where the network in the .tflite `data` exceeds a limit, with figure and limit."""
    whole = parts(model.source.name, data)
    left = {op.index for op in without_constants(model).operators}
    live = [part for part in whole.operators if part.index in left]
    tensors = _only(whole.tensors, {*model.inputs, *(i for part in live for i in part.outputs)})
    operators = (_judged(part, tensors) for part in live)
    check_limits(
        Graph(
            name=model.source.name,
            source=model.source,
            tensors=tensors,
            operators=tuple(op for op in operators if op is not None),
            inputs=model.inputs,
            outputs=model.outputs,
        )
    )


def _only(tensors: Sequence[Tensor], live: Collection[int]) -> tuple[Tensor, ...]:
    """The tensors; those that depend on no input hold a constant of their shape, whatever it is."""
    return tuple(
        tensor
        if i in live or tensor.data is not None
        else dataclasses.replace(tensor, data=np.broadcast_to(np.float32(0), tensor.shape))
        for i, tensor in enumerate(tensors)
    )


def _judged(part: Part, tensors: Sequence[Tensor]) -> Operator | None:
    """The operator; None where its shapes hang on constants that are yet to be computed."""
    if part.operator is None:
        return None
    try:
        part.operator.infer_shapes(tensors)
    except ModelError:
        return None
    return part.operator
