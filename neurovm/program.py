# SPDX-License-Identifier: Apache-2.0
"""compile_graph: a Graph becomes a program, layer records and an arena of constants.

Every operator lowers itself through the builder below; the records are then packed as the kernel
reads them (`nvm_layer`, core_c/include/nvm.h), and golden vectors are computed by the oracle.
"""

from __future__ import annotations

import dataclasses
import struct
from typing import TYPE_CHECKING, cast, get_args

import msgspec
import numpy as np
from msgspec import UNSET

from neurovm import _kernel, golden
from neurovm.arithmetic import NoExactRuleError
from neurovm.bundle import ALIGN, Bundle, digests
from neurovm.description import (
    Coding,
    Digests,
    Fate,
    LayerInfo,
    Limits,
    Manifest,
    OperatorInfo,
    ProfileName,
    SourceDType,
    SourceInfo,
    TensorInfo,
)
from neurovm.errors import ModelError, UnsupportedOperatorError
from neurovm.fusion import Draft, fuse
from neurovm.operators import Decode, Dequantize, EncodeReal
from neurovm.operators.base import check_runs
from neurovm.operators.builder import Layer, Value, gather, signed_codes
from neurovm.version import GENERATOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neurovm.arithmetic import Profile
    from neurovm.graph import Graph, State, Tensor
    from neurovm.operators import Operator

CODINGS: tuple[Coding, ...] = get_args(Coding)

_RECORD = struct.Struct("<4B I 2I I 6I 6H 2h I 4b 6I i i I I 2I 3h 6x")
_FLAG_OUTPUT, _FLAG_SPIKES, _FLAG_UNIT, _FLAG_WIDE, _FLAG_LONG = 1, 2, 4, 8, 16
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
            codes = signed_codes(data)
            wide = codes.dtype == np.int16
            self.emit(tensor, Layer(kind="CONST", inputs=(), n=codes.size, table0=codes, wide=wide))
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
    layers, arena, sizes = pack(builder.layers, ports, unit=coding == "unit")
    limits = session_limits(layers, arena)
    macs = sum(layer.macs for layer in builder.layers)
    tensors = {"layers": memoryview(layers), "arena": memoryview(arena)}
    pairs = golden.vectors(graph, profile, inputs, macs)
    tensors |= golden.tensors(pairs)
    return Bundle(
        manifest=Manifest(
            format=2 if any(layer.wide for layer in builder.layers) else 1,
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


def check_narrow(builder: ProgramBuilder, coding: str) -> None:
    """ModelError where a code is int16: binary spikes are for codes of 8 bits.

    Of 16 a step would take up to 65,535 sweeps a layer, and rates as many time steps.
    """
    for layer, (_, _, tensor) in zip(builder.layers, builder.owners, strict=True):
        if layer.wide:
            raise ModelError(
                f"{builder.graph.source.name}: tensor {builder.tensors[tensor].name!r} is int16; "
                f"encoding: {coding} takes int8 networks, encoding: graded runs this one"
            )


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


def session_limits(layers: bytes, arena: bytes) -> Limits:
    """What the kernel needs to run a program; BundleError where it refuses it."""
    program = _kernel.Program(layers, arena)
    return Limits(session_bytes=program.session_bytes, scratch_bytes=program.scratch_bytes)


class _Arena:
    """Constants at 64-byte offsets; equal ones are stored once."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.length = 0
        self._seen: dict[bytes, int] = {}

    def place(self, array: np.ndarray | None) -> int:
        if array is None:
            return 0
        data = np.ascontiguousarray(
            array.astype(array.dtype.newbyteorder("<"), copy=False)
        ).tobytes()
        if data not in self._seen:
            self._seen[data] = self.length
            self.parts.append(data + bytes(-len(data) % ALIGN))
            self.length += len(self.parts[-1])
        return self._seen[data]


def pack(
    layers: Sequence[Layer], ports: set[Value], *, unit: bool
) -> tuple[bytes, bytes, list[int]]:
    """Layer records, arena, and the constants' bytes of each layer. `ports`: layers that are
    outputs.
    """
    arena = _Arena()
    records = []
    sizes = []
    for index, layer in enumerate(layers):
        arrays = (layer.weights, layer.bias, layer.scale, layer.shift, layer.table0, layer.table1)
        offsets = [arena.place(a) for a in arrays]
        sizes.append(sum(a.nbytes for a in arrays if a is not None))
        flags = _FLAG_OUTPUT * (index in ports) | _FLAG_SPIKES * layer.spikes
        flags |= _FLAG_UNIT * (unit and layer.neuron == "SD" and not layer.spikes)
        flags |= _FLAG_WIDE * layer.wide | _FLAG_LONG * layer.long
        records.append(_record(layer, flags, offsets))
    if arena.length > 0xFFFFFFFF:
        raise ModelError(f"the constants take {arena.length} bytes; at most 2^32 - 1 are accepted")
    return b"".join(records), b"".join(arena.parts) or bytes(ALIGN), sizes


def _record(layer: Layer, flags: int, offsets: Sequence[int]) -> bytes:
    w = layer.window
    if w is None:
        shape = (0, 0, layer.in_c, layer.rows, layer.columns, layer.out_c)
        window = (0, 0, 0, 0, 0, 0, 0, 0)
        groups = 0
    else:
        shape = (*w.in_shape, *w.out_shape)
        window = (*w.kernel, *w.stride, *w.dilation, *w.before)
        groups = w.groups
    inputs = (*layer.inputs, 0, 0)[:2]
    aux = layer.aux if layer.carries is None else (layer.carries, 0)
    codes = (layer.zero_out, *layer.bounds)
    nothing = (0, 0, 0)
    try:
        return _RECORD.pack(
            _kernel.KINDS[layer.kind],
            _kernel.NEURONS[layer.neuron],
            _kernel.REQUANTS[layer.requant],
            flags,
            len(layer.inputs),
            *inputs,
            layer.n,
            *shape,
            *window,
            groups,
            layer.zero_in,
            *(nothing if layer.wide else codes),
            *offsets,
            layer.theta,
            layer.reset_value,
            _kernel.RESETS[layer.reset],
            layer.leak_q16,
            *aux,
            *(codes if layer.wide else nothing),
        )
    except struct.error as error:
        raise ModelError(
            f"a {layer.kind} layer has a size the kernel cannot hold: {error}"
        ) from error


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
