# SPDX-License-Identifier: Apache-2.0
"""compile_graph: a Graph becomes a program, layer records and an arena of constants.

Every operator lowers itself through the builder below; the records are then packed as the kernel
reads them (`nvm_layer`, core_c/include/nvm.h), and golden vectors are computed by the oracle.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast, get_args

import numpy as np
from msgspec import UNSET

from neurovm import golden
from neurovm.arithmetic import NoExactRuleError
from neurovm.bundle import Bundle, digests
from neurovm.description import (
    Coding,
    Digests,
    Fate,
    LayerInfo,
    Manifest,
    OperatorInfo,
    ProfileName,
    SourceInfo,
    TensorInfo,
)
from neurovm.errors import ModelError, UnsupportedOperatorError
from neurovm.fusion import Draft, fuse
from neurovm.operators.base import check_runs
from neurovm.operators.builder import Layer, Value, constant_layer, gather, signed_codes
from neurovm.ports import open_inputs, open_outputs
from neurovm.records import pack, session_limits
from neurovm.version import GENERATOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neurovm.arithmetic import Profile
    from neurovm.graph import Graph, State, Tensor
    from neurovm.operators import Operator

CODINGS: tuple[Coding, ...] = get_args(Coding)

_OWN_WIDTH = ("INPUT", "CONST", "STATE", "TABLE", "SOFTMAX", "SOFTMAXQ")
"""Kinds whose codes need not have the type of their inputs'."""
_FATE: dict[str, Fate] = {
    "TABLE": "table",
    "TABLE2": "table",
    "SOFTMAX": "dense",
    "SOFTMAXQ": "dense",
    "L2NORM": "dense",
    "LOGSOFTMAX": "dense",
    "LOGSOFTMAXQ": "dense",
    "ARGMAX": "dense",
    "CONST": "folded",
    "INPUT": "events",
}


class ProgramBuilder:
    """Collects layers while operators lower themselves; the `Builder` of `operators.builder`."""

    def __init__(self, graph: Graph, profile: Profile) -> None:
        self.graph = graph
        self.profile = profile
        self.tensors: Sequence[Tensor] = graph.tensors
        self.inputs = graph.inputs
        self.layers: list[Layer] = []
        self.owners: list[tuple[str, int, int]] = []
        """For each layer: operator name, its source index (-1: none), tensor."""
        self.operators: list[OperatorInfo] = []
        self._values: dict[int, Value] = {}
        self._states = {state.read: state for state in graph.states if state.owner is None}
        self._operator: Operator | None = None

    def value(self, tensor: int) -> Value:
        """The layer that holds a tensor's codes; a constant becomes a CONST layer, a state a STATE
        layer.
        """
        if tensor not in self._values:
            if tensor in self._states:
                return self._state(self._states[tensor])
            data = self.tensors[tensor].data
            if data is None:
                raise ModelError(
                    f"tensor {self.tensors[tensor].name!r} is used before it is computed"
                )
            self.emit(tensor, constant_layer(data))
        return self._values[tensor]

    def emit(self, tensor: int, layer: Layer) -> Value:
        """Append a layer; it holds `tensor` until another layer is emitted for it."""
        if layer.kind not in _OWN_WIDTH:
            layer = dataclasses.replace(layer, wide=self.layers[layer.inputs[0]].wide)
        operator = self._operator
        name = layer.kind.capitalize() if operator is None else operator.name
        self.layers.append(layer)
        self.owners.append((name, -1 if operator is None else operator.index, tensor))
        self._values[tensor] = len(self.layers) - 1
        return self._values[tensor]

    def alias(self, tensor: int, value: Value) -> None:
        """The tensor has the codes of an existing layer, in the same order."""
        self._values[tensor] = value

    def input(self, tensor: int, info: TensorInfo) -> None:
        """A network input, at its zero point until it is heard."""
        n, wide = self.tensors[tensor].size, info.wide
        layer = Layer(kind="INPUT", inputs=(), n=n, zero_out=info.zero_point, wide=wide)
        self.emit(tensor, layer)

    def _state(self, state: State) -> Value:
        """A STATE layer; which layer it takes over after a step is named by `close_states`."""
        codes = signed_codes(np.ascontiguousarray(state.initial))
        wide = codes.dtype == np.int16
        layer = Layer(
            kind="STATE",
            inputs=(),
            n=codes.size,
            table0=codes,
            state_bytes=state.bytes,
            wide=wide,
        )
        return self.emit(state.read, layer)

    def close_states(self) -> None:
        """Name, in each STATE layer, the layer whose codes it takes over after a step."""
        open_ones = {i for i, layer in enumerate(self.layers) if layer.kind == "STATE"}
        while open_ones:
            index = open_ones.pop()
            before = len(self.layers)
            source = self.value(self._states[self.owners[index][2]].next)
            self.layers[index] = dataclasses.replace(self.layers[index], carries=source)
            if len(self.layers) > before and self.layers[-1].kind == "STATE":
                open_ones.add(len(self.layers) - 1)

    def lower(self, operator: Operator) -> None:
        """Let one operator append its layers, and note what became of it."""
        self._operator = operator
        first = len(self.layers)
        try:
            check_runs(operator, self.tensors, self.profile)
            operator.lower(self)
        except NoExactRuleError as error:
            raise UnsupportedOperatorError(
                self.graph.source.name, operator.source_name, operator.index, str(error)
            ) from error
        made = range(first, len(self.layers))
        kinds = {self.layers[i].kind for i in made} - {"CONST"}
        fate: Fate = "folded" if not kinds else _FATE.get(self.layers[-1].kind, "events")
        note = "" if kinds else "the same codes under another shape or name"
        self.operators.append(
            OperatorInfo(
                index=operator.index,
                source_op=operator.source_name,
                fate=fate,
                layers=tuple(made),
                holders=tuple(self._values.get(i) for i in operator.outputs),
                note=note,
            )
        )
        self._operator = None

    def fuse(self, ports: set[Value]) -> set[Value]:
        """Fuse layers, number those that are left anew; the ports under their new numbers."""
        draft = Draft(layers=list(self.layers), ports=frozenset(ports))
        fuse(draft)
        number = {index: i for i, (index, _) in enumerate(draft.present())}
        self.layers = [
            dataclasses.replace(
                layer,
                inputs=tuple(number[i] for i in layer.inputs),
                carries=None if layer.carries is None else number[layer.carries],
            )
            for _, layer in draft.present()
        ]
        self.owners = [self.owners[index] for index in number]
        self.operators = [_fused(info, draft, number) for info in self.operators]
        return {number[port] for port in ports}

    def output(self, tensor: int, after: Value) -> Value:
        """A layer that can be the next output port, which must come after port `after`."""
        value = self.value(tensor)
        if value > after and self.layers[value].kind not in ("INPUT", "CONST"):
            return value
        n = self.layers[value].n
        return self.emit(tensor, gather((value,), np.arange(n), n))


def _fused(info: OperatorInfo, draft: Draft, number: dict[Value, int]) -> OperatorInfo:
    """What became of an operator once its layers are fused and numbered anew."""
    left = tuple(number[i] for i in info.layers if i in number)
    held = [None if i is None else draft.holder(i) for i in info.holders]
    fate, note = info.fate, info.note
    if info.layers and not left:
        fate = "folded"
        place = draft.place(info.layers[-1])
        note = "nothing reads it" if place is None else f"done by layer {number[place]}"
    return OperatorInfo(
        index=info.index,
        source_op=info.source_op,
        fate=fate,
        layers=left,
        holders=tuple(None if i is None else number[i] for i in held),
        note=note,
    )


def compile_graph(
    graph: Graph, profile: Profile, coding: str = "graded", *, labels: Sequence[str] | None = None
) -> Bundle:
    """Lower every operator, pack the program, compute golden vectors with the oracle.

    Raises UnsupportedOperatorError or ModelError where something has no exact form.
    """
    builder = ProgramBuilder(graph, profile)
    inputs = open_inputs(builder)
    for operator in graph.operators:
        builder.lower(operator)
    builder.close_states()
    ports, outputs = open_outputs(builder, labels)
    ports = builder.fuse(ports)
    if coding != "graded":
        check_narrow(builder, coding)
    layers, arena, sizes = pack(builder.layers, ports, coding=coding)
    limits = session_limits(layers, arena)
    macs = sum(layer.macs for layer in builder.layers)
    tensors = {"layers": memoryview(layers), "arena": memoryview(arena)}
    pairs = golden.vectors(graph, profile, inputs, macs)
    tensors |= golden.tensors(pairs)
    return Bundle(
        manifest=Manifest(
            format=_format(builder.layers, coding),
            generator=GENERATOR,
            name=graph.name,
            source=SourceInfo(**dataclasses.asdict(graph.source)),
            profile=cast("ProfileName", profile.name),
            coding=cast("Coding", coding),
            neuron="sd",
            layers=layer_infos(builder, sizes),
            operators=tuple(builder.operators),
            inputs=inputs,
            outputs=outputs,
            neurons=sum(
                layer.n for layer in builder.layers if layer.kind not in ("INPUT", "CONST", "STATE")
            ),
            synapses=sum(layer.synapses for layer in builder.layers),
            macs=macs,
            golden=golden.infos(pairs),
            limits=limits,
            sha256=Digests(**digests(tensors)),
            notes=graph.notes,
        ),
        tensors=tensors,
    )


def _format(layers: Sequence[Layer], coding: str) -> int:
    """The oldest manifest format that can say this."""
    if coding in ("bitplane", "ttfs"):
        return 3
    return 2 if any(layer.wide for layer in layers) else 1


def check_narrow(builder: ProgramBuilder, coding: str) -> None:
    """ModelError where a code is int16: binary spikes are for codes of 8 bits.

    Of 16 a step would take up to 65,535 sweeps or ticks a layer, and rates as many time steps.
    """
    for layer, (_, _, tensor) in zip(builder.layers, builder.owners, strict=True):
        if layer.wide:
            raise ModelError(
                f"{builder.graph.source.name}: tensor {builder.tensors[tensor].name!r} is int16; "
                f"encoding: {coding} takes int8 networks, encoding: graded runs this one"
            )


def layer_infos(builder: ProgramBuilder, sizes: Sequence[int]) -> tuple[LayerInfo, ...]:
    """What the manifest says of each layer; `sizes` are the bytes of their constants."""
    infos = []
    for index, (layer, (op, source_op, tensor)) in enumerate(
        zip(builder.layers, builder.owners, strict=True)
    ):
        shape = builder.tensors[tensor].shape
        infos.append(
            LayerInfo(
                index=index,
                kind=layer.kind,
                op=op,
                source_op=source_op,
                name=builder.tensors[tensor].name,
                shape=shape if int(np.prod(shape)) == layer.n else (layer.n,),
                neurons=layer.n,
                synapses=layer.synapses,
                macs=layer.macs,
                acc_bound=layer.acc_bound,
                bytes=sizes[index],
                fate=_FATE.get(layer.kind, "events"),
                state_bytes=layer.state_bytes or UNSET,
            )
        )
    return tuple(infos)
