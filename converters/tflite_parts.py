# SPDX-License-Identifier: Apache-2.0
"""A .tflite operator by operator, each decoded by itself, also where the whole is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace

from neurovm.converters.tflite import _named, _operator, _raw_operators, _tensor
from neurovm.converters.tflite_file import TFLiteFile
from neurovm.converters.tflite_operators import DECODERS, RawOperator
from neurovm.converters.tflite_recurrent import owned_states
from neurovm.errors import ModelError
from neurovm.graph import State, Tensor
from neurovm.operators import Operator, Recurrent


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One operator with the tensors it reads and makes; `operator` is None where `error` says why.

    An operator that no decoder is for has neither. `states` are those it keeps for itself, and
    tensors were added for them.
    """

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operator: Operator | None = None
    states: tuple[State, ...] = ()
    error: ModelError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All operators of the main subgraph, and those of its inputs that are no constants.

    A tensor that cannot be read is an empty float32.
    """

    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    operators: tuple[Part, ...]


def parts(name: str, data: bytes) -> Parts:
    """ModelError where the file itself is damaged."""
    file = TFLiteFile(name, data)
    with file.guarded():
        if file.model.SubgraphsLength() < 1:
            raise file.error("no subgraph")
        subgraph = file.model.Subgraphs(0)
        raw = _raw_operators(file, subgraph)
        inputs = file.integers(subgraph.InputsAsNumpy())
        used = {*inputs, *_named(raw)}
        tensors: list[Tensor] = []
        wrong: dict[int, ModelError] = {}
        for i, table in enumerate(file.items(subgraph.TensorsLength(), subgraph.Tensors)):
            try:
                tensors.append(_tensor(file, table, i, used=i in used))
            except ModelError as error:
                wrong[i] = error
                tensors.append(Tensor(name=f"tensor_{i}", shape=(0,), dtype="float32"))
        taken: set[int] = set()
        found = [_part(file, r, tensors, wrong, taken) for r in raw]
    kept = tuple(i for i in inputs if 0 <= i < len(tensors) and tensors[i].data is None)
    return Parts(tensors=tuple(tensors), inputs=kept, operators=tuple(found))


def _part(
    file: TFLiteFile,
    raw: RawOperator,
    tensors: list[Tensor],
    wrong: dict[int, ModelError],
    taken: set[int],
) -> Part:
    part = Part(index=raw.index, name=raw.name, inputs=raw.inputs, outputs=raw.outputs)
    if raw.code not in DECODERS:
        return part
    states: tuple[State, ...] = ()
    try:
        for i in (*raw.inputs, *raw.outputs):
            if i in wrong:
                raise wrong[i]
        operator = _operator(file, raw, tensors)
        if isinstance(operator, Recurrent):
            operator, states = owned_states(file, operator, tensors, taken)
        return replace(part, operator=operator, states=states)
    except ModelError as error:
        return replace(part, error=error)
