# SPDX-License-Identifier: Apache-2.0
"""Any float network -> one in which every activation and every weight is float32.

Three kinds of file hold one: float32 throughout; weights stored as float16 (or int8) behind a
DEQUANTIZE of a constant; weights of int8 or int4 that a float operator reads as they are
(dynamic-range quantisation, "hybrid"). The values are those the source computes with. What was int8
keeps its codes in `Unpacked.codes`, so that quantising it again loses nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from neurovm.converters.tflite_plain import Options, PlainModel, PlainOperator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.graph import Quantization, Tensor

FloatFormat = Literal["float32", "float16", "hybrid"]

_STORED = ("float16", "int8", "int4", "uint8")
"""Element types of constants that stand for float32 ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Unpacked:
    """A float32 network, and the codes of weights that its source stores as int8."""

    model: PlainModel
    codes: dict[int, Tensor]


def number_format(model: PlainModel) -> FloatFormat | None:
    """How a file stores its floats, None where it has none.

    Any operator that makes float32 out of float32 makes it a float network.
    """
    tensors = model.tensors
    floats = [op for op in model.operators if _computes_floats(tensors, op)]
    if not floats:
        return None
    weights = {
        tensors[i].dtype for op in floats for i in op.inputs if i >= 0 and _is_constant(tensors, i)
    }
    if weights & {"int8", "int4", "uint8"}:
        return "hybrid"
    stored = {
        tensors[op.inputs[0]].dtype
        for op in model.operators
        if op.name == "DEQUANTIZE" and _is_constant(tensors, op.inputs[0])
    }
    return "float16" if stored else "float32"


def _computes_floats(tensors: Sequence[Tensor], op: PlainOperator) -> bool:
    live = [i for i in op.inputs if i >= 0 and not _is_constant(tensors, i)]
    made = [tensors[i].dtype for i in op.outputs]
    return "float32" in made and any(tensors[i].dtype == "float32" for i in live)


def _is_constant(tensors: Sequence[Tensor], index: int) -> bool:
    return tensors[index].data is not None


def unpack(model: PlainModel) -> Unpacked:
    """The network with float32 constants and without the operators that made them.

    Raises ModelError where a stored constant has no scale, and where int8 activations and float
    ones stand in one network.
    """
    tensors = list(model.tensors)
    codes: dict[int, Tensor] = {}
    operators = []
    for op in model.operators:
        if op.name == "DEQUANTIZE":
            if not _is_constant(tensors, op.inputs[0]):
                raise model.error(op, _partly("int8 activations"))
            source, target = tensors[op.inputs[0]], op.outputs[0]
            tensors[target] = dataclasses.replace(tensors[target], data=_real(model, op, source))
            _keep_codes(codes, target, source)
            continue
        if op.name == "QUANTIZE":
            raise model.error(op, _partly("int8 activations"))
        if _computes_floats(tensors, op):
            for i in op.inputs:
                if i >= 0 and tensors[i].dtype in _STORED and _is_constant(tensors, i):
                    source = tensors[i]
                    tensors[i] = dataclasses.replace(
                        source, dtype="float32", quantization=None, data=_real(model, op, source)
                    )
                    _keep_codes(codes, i, source)
        operators.append(_with_form(op))
    return Unpacked(
        dataclasses.replace(model, tensors=tuple(tensors), operators=tuple(operators)), codes
    )


def _with_form(op: PlainOperator) -> PlainOperator:
    """SQUARE has no 8-bit kernel in LiteRT; x · x is the same value."""
    if op.name != "SQUARE" or len(op.inputs) != 1:
        return op
    options = Options(kind="MulOptions", values={"FusedActivationFunction": 0})
    return dataclasses.replace(op, name="MUL", inputs=op.inputs * 2, options=options, version=1)


def _partly(what: str) -> str:
    return (
        f"a network that is quantized in part ({what} beside float ones); quantize its float source"
    )


def _keep_codes(codes: dict[int, Tensor], index: int, source: Tensor) -> None:
    """Symmetric int8 weights stay as they are. −128 is no code of symmetric weights."""
    q = source.quantization
    if source.dtype != "int8" or q is None or any(q.zero_point) or source.data is None:
        return
    if all(scale > 0 for scale in q.scale) and source.data.min() > -128:
        codes[index] = source


def _real(model: PlainModel, op: PlainOperator, tensor: Tensor) -> NDArray[np.float32]:
    """The values that stored constants stand for."""
    data = np.asarray(tensor.data)
    if tensor.dtype == "float16":
        values = data.astype(np.float32)
    elif tensor.quantization is None:
        raise model.error(op, f"constant {tensor.name!r} is {tensor.dtype} without a scale")
    else:
        scale, zero_point = _along(tensor.quantization, data.ndim)
        values = ((data.astype(np.float64) - zero_point) * scale).astype(np.float32)
    return values


def _along(q: Quantization, rank: int) -> tuple[Any, Any]:
    """Scale and zero point, shaped so that they broadcast."""
    shape = [1] * rank
    if not q.per_tensor:
        shape[q.axis] = len(q.scale)
    elif rank == 0:
        return np.float64(q.scale[0]), np.float64(q.zero_point[0])
    return np.reshape(q.scale, shape), np.reshape(q.zero_point, shape)
