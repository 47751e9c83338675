# SPDX-License-Identifier: Apache-2.0
"""Variables of float32 that only ever hold what codes mean: keep the codes instead.

Keras' stateful layers, quantized after training, keep their state in float32: QUANTIZE after every
READ_VARIABLE, DEQUANTIZE before every ASSIGN_VARIABLE. Where both are of one scale and zero point,
quantizing gives the very code back that was dequantized (its value is off by far less than half a
step), so the code is what goes on from step to step.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurovm.arithmetic import PROFILES
from neurovm.errors import ModelError
from neurovm.graph import Graph, State, Tensor
from neurovm.operators import Dequantize, Operator, Quantize, ReadVariable


def code_states(graph: Graph) -> Graph:
    """The graph with int8 or uint8 states in place of float32 ones.

    Raises ModelError where a float32 variable holds something else.
    """
    tensors = list(graph.tensors)
    states = []
    notes = []
    for state in graph.states:
        if tensors[state.read].dtype != "float32":
            states.append(state)
            continue
        states.append(_coded(graph, state, tensors))
        notes.append(state.name)
    if not notes:
        return graph
    note = f"float32 variables that hold codes are kept as codes: {', '.join(notes)}"
    return replace(graph, tensors=tuple(tensors), states=tuple(states), notes=(*graph.notes, note))


def _coded(graph: Graph, state: State, tensors: list[Tensor]) -> State:
    """The state in codes; the tensors that held its real values hold them."""
    made = next((op for op in graph.operators if state.next in op.outputs), None)
    if not isinstance(made, Dequantize):
        raise _refused(graph, state, "what is assigned to it comes from no DEQUANTIZE")
    source = tensors[made.inputs[0]]
    held = [state.read]
    for reader in _readers(graph, state.read):
        if not isinstance(reader, ReadVariable):
            raise _refused(graph, state, f"operator {reader.index} reads it in float32")
        held += reader.outputs
        for after in _readers(graph, reader.outputs[0]):
            codes = tensors[after.outputs[0]]
            if not isinstance(after, Quantize) or not _same(codes, source):
                raise _refused(
                    graph,
                    state,
                    f"operator {after.index} ({after.source_name}) does not quantize it as it was",
                )
    if set(held) & {*graph.outputs, *(s.next for s in graph.states)}:
        raise _refused(graph, state, "it leaves the network in float32")
    for i in held:
        tensors[i] = replace(tensors[i], dtype=source.dtype, quantization=source.quantization)
    found = [p.quantize(state.initial.astype(np.float32), source.codes) for p in PROFILES.values()]
    if any(not np.array_equal(codes, found[0]) for codes in found):
        raise _refused(graph, state, "its first value lies half-way between two codes")
    return replace(state, next=made.inputs[0], initial=found[0].astype(source.dtype))


def _readers(graph: Graph, tensor: int) -> list[Operator]:
    return [op for op in graph.operators if tensor in op.inputs]


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.dtype in ("int8", "uint8") and a.quantization == b.quantization


def _refused(graph: Graph, state: State, found: str) -> ModelError:
    return ModelError(
        f"{graph.source.name}: variable {state.name!r} is float32 and {found}; variables of int8 "
        f"codes are needed (TensorFlow's converter: _experimental_variable_quantization = True)"
    )
