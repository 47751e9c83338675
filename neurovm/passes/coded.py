# SPDX-License-Identifier: Apache-2.0
"""Variables of float32 that only ever hold what codes mean: keep the codes instead.

Keras' stateful layers, quantized after training, keep their state in float32: QUANTIZE after every
READ_VARIABLE, DEQUANTIZE before every ASSIGN_VARIABLE. So the code that QUANTIZE makes of the value
goes on from step to step: where both are of one scale and zero point the very code that was
dequantized (its value is off by far less than half a step), else what QUANTIZE makes of that one.
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
    tensors, operators = list(graph.tensors), list(graph.operators)
    states = []
    notes = []
    for state in graph.states:
        if tensors[state.read].dtype != "float32":
            states.append(state)
            continue
        states.append(_coded(graph, state, tensors, operators))
        notes.append(state.name)
    if not notes:
        return graph
    note = f"float32 variables that hold codes are kept as codes: {', '.join(notes)}"
    return replace(
        graph,
        tensors=tuple(tensors),
        operators=tuple(operators),
        states=tuple(states),
        notes=(*graph.notes, note),
    )


def _coded(graph: Graph, state: State, tensors: list[Tensor], operators: list[Operator]) -> State:
    """The state in codes; the tensors that held its real values hold them."""
    made = next((op for op in graph.operators if state.next in op.outputs), None)
    if not isinstance(made, Dequantize):
        raise _refused(graph, state, "what is assigned to it comes from no DEQUANTIZE")
    held, codes = [state.read], None
    for reader in _readers(graph, state.read):
        if not isinstance(reader, ReadVariable):
            raise _refused(graph, state, f"operator {reader.index} reads it in float32")
        held += reader.outputs
        for after in _readers(graph, reader.outputs[0]):
            found = tensors[after.outputs[0]]
            if not isinstance(after, Quantize) or not _same(found, codes or found):
                raise _refused(
                    graph,
                    state,
                    f"operator {after.index} ({after.source_name}) does not quantize it, or "
                    f"otherwise than another one",
                )
            codes = found
    if set(held) & {*graph.outputs, *(s.next for s in graph.states)}:
        raise _refused(graph, state, "it leaves the network in float32")
    if codes is None:
        raise _refused(graph, state, "nothing quantizes it")
    for i in held:
        tensors[i] = replace(tensors[i], dtype=codes.dtype, quantization=codes.quantization)
    if np.isnan(state.initial).any():
        raise _refused(graph, state, "its first value is NaN")
    first = [p.quantize(state.initial.astype(np.float32), codes.codes) for p in PROFILES.values()]
    if any(not np.array_equal(one, first[0]) for one in first):
        raise _refused(graph, state, "its first value lies half-way between two codes")
    following = made.inputs[0]
    if not _same(tensors[following], codes):
        following = _quantized(made, codes, tensors, operators)
    return replace(state, next=following, initial=first[0].astype(codes.dtype))


def _quantized(
    made: Dequantize, codes: Tensor, tensors: list[Tensor], operators: list[Operator]
) -> int:
    """A QUANTIZE of the value that is assigned, as if it were not read in the next step only."""
    value = tensors[made.outputs[0]]
    tensors.append(
        replace(
            value, name=f"{value.name}/code", dtype=codes.dtype, quantization=codes.quantization
        )
    )
    operators.append(
        Quantize(
            index=made.index,
            source_name="QUANTIZE",
            inputs=made.outputs,
            outputs=(len(tensors) - 1,),
        )
    )
    return len(tensors) - 1


def _readers(graph: Graph, tensor: int) -> list[Operator]:
    return [op for op in graph.operators if tensor in op.inputs]


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.dtype in ("int8", "uint8") and a.quantization == b.quantization


def _refused(graph: Graph, state: State, found: str) -> ModelError:
    return ModelError(
        f"{graph.source.name}: variable {state.name!r} is float32 and {found}; variables of int8 "
        f"codes are needed (TensorFlow's converter: _experimental_variable_quantization = True)"
    )
