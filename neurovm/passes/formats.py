# SPDX-License-Identifier: Apache-2.0
"""Check that the network is int8 or int16 inside, and float32 at its edges only."""

from __future__ import annotations

from collections.abc import Sequence

from neurovm.errors import ModelError, UnsupportedOperatorError
from neurovm.graph import Graph, Tensor
from neurovm.nearest import BETWEEN
from neurovm.operators import (
    Abs,
    Add,
    ArgMax,
    AveragePool2D,
    BatchMatMul,
    Concatenation,
    Conv2D,
    Decode,
    DepthwiseConv2D,
    Dequantize,
    Elementwise,
    Encode,
    EncodeReal,
    ExpandDims,
    FullyConnected,
    LeakyRelu,
    Logistic,
    Lookup,
    LookupPair,
    Maximum,
    MaxPool2D,
    Mean,
    Minimum,
    Movement,
    Mul,
    Neg,
    Operator,
    Pack,
    Pad,
    Quantize,
    ReadVariable,
    ReduceMax,
    Relu,
    Relu6,
    Reshape,
    ResizeBilinear,
    Softmax,
    Squeeze,
    Sub,
    Sum,
    Tanh,
    TransposeConv,
)

SMALLEST_SCALE, LARGEST_SCALE = 2.0**-40, 2.0**40
"""Products and quotients of three scales within these stay normal float32."""

_SIGNED = ("int8", "int4")
_NARROW = ("int8", "uint8")
_CODES = ("int8", "uint8", "int16")

WIDE: tuple[type[Operator], ...] = (
    Abs, Add, AveragePool2D, Conv2D, DepthwiseConv2D, ExpandDims, FullyConnected, LeakyRelu,
    Logistic, MaxPool2D, Maximum, Mean, Minimum, Movement, Mul, Neg, ReadVariable, ReduceMax, Relu,
    Relu6, Reshape, ResizeBilinear, Softmax, Squeeze, Sub, Sum, Tanh, TransposeConv,
)  # fmt: skip
"""Operators whose rule on int16 codes is known."""
_ANY_ZERO: tuple[type[Operator], ...] = (
    Movement, ReadVariable, Reshape, Squeeze, ExpandDims, Softmax,
)  # fmt: skip
"""Those that do not ask the zero point of their int16 codes to be 0."""

_CHANNEL_AXIS: dict[type[Operator], int] = {
    Conv2D: 0,
    DepthwiseConv2D: 3,
    FullyConnected: 0,
    TransposeConv: 0,
}


def check_formats(graph: Graph) -> Graph:
    """The graph itself, once every operator was found to work on codes it can work on.

    Raises ModelError naming operator, tensor, what was found and what is needed.
    """
    for i in graph.outputs:
        if graph.tensors[i].data is not None:
            raise ModelError(
                f"{graph.source.name}: output {graph.tensors[i].name!r} is a constant; "
                f"an output must depend on an input"
            )
    inputs, readers = frozenset(graph.inputs), _readers(graph)
    for operator in graph.operators:
        try:
            _check(graph, operator, inputs, readers)
        except UnsupportedOperatorError:
            raise
        except ModelError as e:
            raise ModelError(
                f"{graph.source.name}: operator {operator.index} ({operator.source_name}): {e}"
            ) from e
    return graph


def _readers(graph: Graph) -> dict[int, Operator]:
    """The first operator that reads each tensor."""
    readers: dict[int, Operator] = {}
    for operator in graph.operators:
        for i in operator.inputs:
            readers.setdefault(i, operator)
    return readers


def _check(
    graph: Graph, operator: Operator, inputs: frozenset[int], readers: dict[int, Operator]
) -> None:
    tensors = graph.tensors
    out = tensors[operator.outputs[0]]
    x = tensors[(operator.data_inputs if isinstance(operator, Movement) else operator.inputs)[0]]
    if type(operator).lower is Operator.lower:
        raise UnsupportedOperatorError(
            graph.source.name, operator.source_name, operator.index,
            "no runtime computes it on codes, and its inputs are no functions of codes",
            BETWEEN,
        )  # fmt: skip
    if isinstance(operator, Quantize):
        _check_quantize(x, is_input=operator.inputs[0] in inputs)
        _check_codes(out, _CODES)
    elif isinstance(operator, Dequantize):
        _check_codes(x, _CODES)
        _check_dequantize(graph, out, readers.get(operator.outputs[0]))
    elif isinstance(operator, Decode):
        _check_codes(x, ("int8", "uint8"))
    elif isinstance(operator, ArgMax | Encode | EncodeReal | Lookup | LookupPair):
        edge = isinstance(operator, Encode | EncodeReal)
        for i in (*operator.inputs, *operator.outputs)[edge:]:
            _check_codes(tensors[i], ("int8", "uint8"))
    else:
        if x.dtype == "int16" and not isinstance(operator, WIDE):
            raise UnsupportedOperatorError(
                graph.source.name, operator.source_name, operator.index,
                "it has no rule on int16 codes here; the operator in int8 is needed",
            )  # fmt: skip
        _check_codes(x, _CODES if isinstance(operator, WIDE) else _NARROW)
        widened = isinstance(operator, Softmax) and x.dtype == "int8"
        _check_codes(out, (x.dtype, "int16") if widened else (x.dtype,))
        if not isinstance(operator, _ANY_ZERO):
            _check_zeros(tensors, operator)
        if isinstance(operator, Elementwise):
            _check_codes(tensors[operator.inputs[1]], (x.dtype,))
        if isinstance(operator, BatchMatMul):
            _check_matmul(tensors, operator)
        if isinstance(operator, Movement):
            _check_movement(tensors, operator)
        if isinstance(operator, MaxPool2D | Pad | ReduceMax | ResizeBilinear):
            _check_equal(x, out)
        if type(operator) in _CHANNEL_AXIS:
            _check_weights(graph, operator)


def _check_codes(tensor: Tensor, dtypes: tuple[str, ...]) -> None:
    if tensor.dtype not in dtypes:
        raise ModelError(
            f"tensor {tensor.name!r} is {tensor.dtype}; {' or '.join(dtypes)} is needed here "
            f"(int8 post-training quantization; float32 at inputs and outputs only)"
        )
    if not SMALLEST_SCALE <= tensor.scale <= LARGEST_SCALE:
        raise ModelError(
            f"tensor {tensor.name!r} has scale {tensor.scale!r}; above 0 is needed, from "
            f"{SMALLEST_SCALE:.1g} to {LARGEST_SCALE:.1g}"
        )


def _check_zeros(tensors: Sequence[Tensor], operator: Operator) -> None:
    for i in (*operator.inputs, *operator.outputs):
        if i == -1 or tensors[i].dtype != "int16" or tensors[i].quantization is None:
            continue
        if tensors[i].zero_point != 0:
            raise ModelError(
                f"tensor {tensors[i].name!r} is int16 with zero point {tensors[i].zero_point}; "
                f"0 is needed"
            )


def _check_equal(x: Tensor, out: Tensor) -> None:
    if (x.scale, x.zero_point) != (out.scale, out.zero_point):
        raise ModelError(
            f"scale and zero point are {x.scale!r}, {x.zero_point} at its input and {out.scale!r}, "
            f"{out.zero_point} at its output; equal ones are needed (codes pass unchanged)"
        )


def _check_movement(tensors: Sequence[Tensor], operator: Movement) -> None:
    """All values share one format; joined ones also one scale and zero point."""
    for i in (*operator.data_inputs, *operator.outputs):
        _check_codes(tensors[i], (tensors[operator.outputs[0]].dtype,))
        if isinstance(operator, Concatenation | Pack):
            _check_equal(tensors[i], tensors[operator.outputs[0]])


def _check_matmul(tensors: Sequence[Tensor], operator: BatchMatMul) -> None:
    for i in (*operator.inputs, *operator.outputs):
        _check_codes(tensors[i], ("int8",))


def _check_quantize(x: Tensor, *, is_input: bool) -> None:
    if x.dtype != "float32":
        _check_codes(x, _CODES)
    elif not is_input:
        raise ModelError(
            f"it quantizes {x.name!r}, a float32 value within the network; "
            f"only inputs may be float32"
        )


def _check_dequantize(graph: Graph, out: Tensor, reader: Operator | None) -> None:
    if out.dtype != "float32":
        raise ModelError(f"tensor {out.name!r} is {out.dtype}; float32 is needed here")
    if reader is not None:
        raise UnsupportedOperatorError(
            graph.source.name, reader.source_name, reader.index,
            "it reads float32 values within the network; the whole network must be int8",
        )  # fmt: skip


def _check_weights(graph: Graph, operator: Operator) -> None:
    w = graph.tensors[operator.inputs[1]]
    if w.data is None:
        raise UnsupportedOperatorError(
            graph.source.name, operator.source_name, operator.index,
            f"its weights {w.name!r} are computed at run time; constants are needed",
        )  # fmt: skip
    x = graph.tensors[operator.inputs[0]]
    accepted = {"uint8": ("uint8",), "int16": ("int8",)}.get(x.dtype, _SIGNED)
    if w.dtype not in accepted or w.quantization is None:
        raise ModelError(
            f"weights {w.name!r} are {w.dtype}{'' if w.quantization else ' without scale'}; "
            f"{' or '.join(accepted)} with scales is needed"
        )
    axis = _CHANNEL_AXIS[type(operator)]
    channels = w.shape[axis]
    q = w.quantization
    if w.dtype == "uint8" and len(q.scale) != 1:
        raise ModelError(f"uint8 weights {w.name!r} have {len(q.scale)} scales; one is needed")
    if len(q.scale) != 1 and (q.axis != axis or len(q.scale) != channels):
        raise ModelError(
            f"weights {w.name!r} have {len(q.scale)} scales along axis {q.axis}; "
            f"one, or {channels} along axis {axis}, is needed"
        )
    if w.dtype != "uint8" and any(q.zero_point):
        raise ModelError(f"weights {w.name!r} have a zero point that is not 0; 0 is needed")
    if len(operator.inputs) > 2 and operator.inputs[2] != -1:
        types = ("int32", "int64") if x.dtype == "int16" else ("int32",)
        _check_bias(graph, operator, channels, types)


def _check_bias(graph: Graph, operator: Operator, channels: int, types: tuple[str, ...]) -> None:
    bias = graph.tensors[operator.inputs[2]]
    if bias.data is None or bias.dtype not in types or bias.size != channels:
        raise ModelError(
            f"bias {bias.name!r} is {bias.dtype} {bias.shape}"
            f"{', computed at run time' if bias.data is None else ''}; "
            f"{channels} constant {' or '.join(types)} are needed"
        )
