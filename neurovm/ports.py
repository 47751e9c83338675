# SPDX-License-Identifier: Apache-2.0
"""Ports: where values enter and leave a program, and what the manifest says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec
import numpy as np

from neurovm.description import SourceDType, TensorInfo
from neurovm.errors import ModelError
from neurovm.operators import Decode, Dequantize, EncodeReal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neurovm.graph import Tensor
    from neurovm.operators.builder import Value
    from neurovm.program import ProgramBuilder


def open_inputs(builder: ProgramBuilder) -> tuple[TensorInfo, ...]:
    """One INPUT layer for each input of the graph, and what the manifest says of them."""
    infos: list[TensorInfo] = []
    for index in builder.graph.inputs:
        tensor = builder.tensors[index]
        info = _port_info(tensor, _edge_quantization(builder, index), None)
        info = _named(_with_thresholds(builder, index, info), infos)
        builder.input(index, info)
        infos.append(info)
    return tuple(infos)


def _edge_quantization(builder: ProgramBuilder, index: int) -> Tensor:
    """The tensor in whose codes a network input arrives: itself, or what QUANTIZE makes of it."""
    tensor = builder.tensors[index]
    readers = [op for op in builder.graph.operators if index in op.inputs]
    if len(readers) == 1 and readers[0].name in ("Encode", "EncodeReal"):
        return builder.tensors[readers[0].outputs[0]]
    if tensor.dtype != "float32":
        return tensor
    made = {
        (t.dtype, t.scale, t.zero_point): t
        for op in readers
        if op.name == "Quantize"
        for t in (builder.tensors[op.outputs[0]],)
    }
    if len(made) != 1 or any(op.name != "Quantize" for op in readers):
        other = next((op for op in readers if op.name != "Quantize"), None)
        raise ModelError(
            f"{builder.graph.source.name}: float32 input {tensor.name!r} must go through one "
            "QUANTIZE to "
            f"int8; found "
            + (f"operator {other.index} ({other.source_name})" if other else f"{len(made)} of them")
        )
    return next(iter(made.values()))


def _with_thresholds(builder: ProgramBuilder, index: int, info: TensorInfo) -> TensorInfo:
    """Where the codes of a real input begin that the network computes with before it quantizes.

    Its zero point is then the code of 0.0.
    """
    for operator in builder.graph.operators:
        if isinstance(operator, EncodeReal) and index in operator.inputs:
            out = builder.tensors[operator.outputs[0]].codes
            steps = operator.thresholds(builder.profile, out)
            return msgspec.structs.replace(
                info,
                zero_point=int((steps <= 0).sum()) - 128,
                thresholds=tuple(steps.view(np.uint32).tolist()),
            )
    return info


def _port_info(
    tensor: Tensor,
    codes: Tensor,
    labels: Sequence[str] | None,
    values: tuple[float, ...] | None = None,
) -> TensorInfo:
    if codes.dtype not in ("int8", "uint8", "int16"):
        raise ModelError(
            f"tensor {tensor.name!r} is {codes.dtype}; inputs and outputs must be int8, uint8, "
            f"int16, or float32 behind a QUANTIZE or DEQUANTIZE"
        )
    if labels is not None and len(labels) != tensor.size:
        raise ModelError(
            f"{len(labels)} labels were given for {tensor.size} outputs of {tensor.name!r}"
        )
    return TensorInfo(
        name=tensor.name,
        shape=tensor.shape,
        dtype=cast("SourceDType", tensor.dtype),
        scale=codes.scale,
        zero_point=codes.zero_point - (128 if codes.dtype == "uint8" else 0),
        labels=None if labels is None else tuple(labels),
        values=msgspec.UNSET if values is None else values,
        codes="int16" if codes.dtype == "int16" else msgspec.UNSET,
    )


def _named(info: TensorInfo, others: Sequence[TensorInfo]) -> TensorInfo:
    """The port under a name that no other has, so that callers can give values by name."""
    taken = {other.name for other in others}
    name = info.name
    while name in taken:
        name = f"{info.name}:{len(others)}" if name == info.name else f"{name}'"
    return msgspec.structs.replace(info, name=name)


def open_outputs(
    builder: ProgramBuilder, labels: Sequence[str] | None
) -> tuple[set[Value], tuple[TensorInfo, ...]]:
    """The layers that are output ports, and what the manifest says of them."""
    producers = {op.outputs[0]: op for op in builder.graph.operators}
    infos: list[TensorInfo] = []
    last = -1
    ports = set()
    for port, index in enumerate(builder.graph.outputs):
        tensor = builder.tensors[index]
        codes = tensor
        values = None
        op = producers.get(index)
        if isinstance(op, Decode | Dequantize):
            codes = builder.tensors[op.inputs[0]]
            values = tuple(map(float, op.values)) if isinstance(op, Decode) else None
        info = _port_info(tensor, codes, labels if port == 0 else None, values)
        infos.append(_named(info, infos))
        last = builder.output(index, last)
        ports.add(last)
    return ports, tuple(infos)
