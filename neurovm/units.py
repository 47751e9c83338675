# SPDX-License-Identifier: Apache-2.0
"""Units: a network taken apart where another runtime's tensors can be read.

A unit is what leads from tensors that are known to the next one: one operator, or several where
those between cannot be read or have become one. Each is run by itself, in our kernel and in the
oracle, on the runtime's own values. So a wrong layer shows as itself, not as everything after it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from neurovm import codec, reference
from neurovm.arithmetic import PROFILES
from neurovm.certificate import LayerResult
from neurovm.errors import BundleError
from neurovm.excerpt import Excerpt, Session, excerpt
from neurovm.holders import holders_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.backends.runtime import Port
    from neurovm.bundle import Bundle
    from neurovm.description import Manifest, TensorInfo
    from neurovm.graph import Graph, State
    from neurovm.operators import Operator

    Values = Mapping[int, NDArray[np.generic]]

CODES = ("int8", "uint8", "int16")


@dataclass(slots=True, kw_only=True, eq=False)
class Unit:
    """`graph` and `excerpt` both compute `tensor`, from `known` tensors and `sources` of ours.

    `info` says what the codes mean where the tensor is an output of values that are none.
    """

    tensor: int
    result: LayerResult
    graph: Graph
    sources: tuple[int, ...]
    excerpt: Excerpt
    profile: str
    info: TensorInfo | None = None
    _sessions: dict[str, Session | None] = field(default_factory=dict)
    _stream: reference.Stream = field(init=False)

    def __post_init__(self) -> None:
        self._stream = reference.Stream(self.graph, PROFILES[self.profile])

    def compare(self, values: Values, codes: Mapping[int, NDArray[np.uint8]], way: str) -> None:
        """One step a row of what is known, in `way`; tally what differs.

        A unit that keeps state goes one way, whatever it is asked: its rows are one stream.
        values: the runtime's, by tensor; codes: (n, bytes), of what `sources` name.
        """
        theirs = values[self.tensor]
        way = "events" if self.graph.states else way
        ours = self._kernel(np.hstack([codes[i] for i in self.sources]), way)
        if self.info is None:
            self.result.kernel.add(ours.reshape(-1).view(plain(theirs).dtype), plain(theirs))
        else:
            real = np.frombuffer(codec.dequantize(self.info, ours.tobytes()), theirs.dtype)
            self.result.kernel.add(real, theirs, self._scale)
        known = {i: values[i] for i in self.graph.inputs}
        self._oracle(known, theirs)

    def _oracle(self, known: Values, theirs: NDArray[np.generic]) -> None:
        found = self._stream.run(known)[self.tensor]
        if self.info is None:
            self.result.oracle.add(plain(found), plain(theirs))
        else:
            self.result.oracle.add(found, theirs, self._scale)

    @property
    def _scale(self) -> float:
        """The value of one code of a float32 output."""
        return self.info.scale if self.info is not None and self.info.dtype == "float32" else 1.0

    def _kernel(self, rows: NDArray[np.uint8], way: str) -> NDArray[np.uint8]:
        """The codes after every step, as bytes."""
        if way not in self._sessions:
            self._sessions[way] = self.excerpt.session(way)
        session = self._sessions[way]
        if session is None:
            return rows
        step = session.step
        return np.frombuffer(b"".join([bytes(step(row.data)) for row in rows]), np.uint8)


def units(content: Bundle, source: Graph, graph: Graph, readable: Mapping[int, Port]) -> list[Unit]:
    """All units of a network, in the order they run; none where the program was made otherwise.

    source: the graph as read; graph: as prepared; readable: the runtime's tensors by index.
    """
    holders = holders_of(content.manifest, graph)
    if holders is None:
        return []
    content = replace(content, tensors={**content.tensors, "arena": aligned(content.arena)})
    held = _states(graph, holders, readable)
    holds = {holders[i]: i for i in graph.inputs} | held
    known = {*graph.inputs, *held.values()}
    found = []
    for operator in graph.operators:
        made = [i for i in operator.outputs if i in holders and _fits(graph, i, readable)]
        for tensor in made:
            try:
                cut = excerpt(content, holds.keys(), holders[tensor])
            except BundleError:
                continue  # it depends on a state that the runtime does not show
            result = LayerResult(
                operator=operator.index,
                source_op=operator.source_name,
                tensor=readable[tensor].name or graph.tensors[tensor].name,
                layer=holders[tensor],
                covers=_covered(source, known, tensor),
            )
            unit = Unit(
                tensor=tensor,
                result=result,
                graph=_part(graph, known, tensor),
                sources=tuple(holds[layer] for layer in cut.sources),
                excerpt=cut,
                profile=content.manifest.profile,
                info=_valued_output(content.manifest, graph, tensor),
            )
            if graph.tensors[tensor].dtype in CODES or unit.info is not None:
                found.append(unit)
        for tensor in made:
            if graph.tensors[tensor].dtype in CODES:
                holds[holders[tensor]] = tensor
                known.add(tensor)
    return found


def followed(graph: Graph, readable: Collection[int]) -> tuple[State, ...]:
    """The states of the network whose next values are known, from which they follow."""
    return tuple(
        state
        for state in graph.states
        if state.owner is None
        and (
            state.next in readable
            or state.next in graph.inputs
            or graph.tensors[state.next].data is not None
        )
    )


def _states(graph: Graph, holders: Mapping[int, int], readable: Collection[int]) -> dict[int, int]:
    """The layer of each state that can be followed, and the tensor that holds it."""
    reads = {
        op.inputs[0]: holders[op.outputs[0]]
        for op in graph.operators
        if op.name == "ReadVariable" and op.outputs[0] in holders
    }
    found = [state.read for state in followed(graph, readable)]
    return {reads[tensor]: tensor for tensor in found if tensor in reads}


def _fits(graph: Graph, tensor: int, readable: Mapping[int, Port]) -> bool:
    """Whether the runtime's tensor of this index is the same one."""
    port, ours = readable.get(tensor), graph.tensors[tensor]
    return port is not None and port.size == ours.size and port.dtype == ours.dtype


def _valued_output(manifest: Manifest, graph: Graph, tensor: int) -> TensorInfo | None:
    """What the codes of an output mean that are no codes in the source: reals, indices, truth."""
    if graph.tensors[tensor].dtype in CODES or tensor not in graph.outputs:
        return None
    return manifest.outputs[graph.outputs.index(tensor)]


def _part(graph: Graph, known: set[int], tensor: int) -> Graph:
    """The operators from known tensors to one."""
    kept, needed = _closure(graph, known, tensor)
    inputs = tuple(sorted(needed & known))
    operators = tuple(op for op in graph.operators if op in kept)
    own = {op.index for op in operators}
    states = tuple(state for state in graph.states if state.owner in own)
    return replace(
        graph, operators=operators, inputs=inputs, outputs=(tensor,), states=states, notes=()
    )


def _covered(source: Graph, known: set[int], tensor: int) -> tuple[int, ...]:
    kept, _ = _closure(source, known, tensor)
    return tuple(sorted(op.index for op in kept))


def _closure(graph: Graph, known: set[int], tensor: int) -> tuple[list[Operator], set[int]]:
    """The operators on the way to a tensor, and every tensor they read."""
    needed, seen = {tensor}, set[int]()
    kept: list[Operator] = []
    for operator in reversed(graph.operators):
        if not (needed - known).isdisjoint(operator.outputs):
            kept.append(operator)
            seen.update(i for i in operator.inputs if i != -1)
            needed.update(seen)
    return kept, seen


def aligned(data: memoryview) -> memoryview:
    """The same bytes where the kernel takes them without a copy of its own."""
    from neurovm import bundle

    room = np.zeros(len(data) + bundle.ALIGN, np.uint8)
    start = -room.ctypes.data % bundle.ALIGN
    room[start : start + len(data)] = np.frombuffer(data, np.uint8)
    return memoryview(room.data)[start : start + len(data)]


def plain(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Codes as the kernel holds them: int8 and int16 as they are, uint8 as code − 128."""
    if values.dtype == np.uint8:
        flipped: NDArray[np.uint8] = np.bitwise_xor(values.view(np.uint8), np.uint8(0x80))
        return flipped.view(np.int8)
    return np.asarray(values)


def flat(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Codes of n rows as (n, bytes)."""
    return np.ascontiguousarray(plain(values)).reshape(len(values), -1).view(np.uint8)
