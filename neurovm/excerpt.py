# SPDX-License-Identifier: Apache-2.0
"""An excerpt of a program: the layers that lead from some values to one, as a program of its own.

With it each operator can be run on inputs that are known to be right, so that what is wrong in one
layer shows there and nowhere else. Records and constants are those of the bundle, byte for byte.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neurovm import _kernel
from neurovm.errors import BundleError

if TYPE_CHECKING:
    from neurovm.bundle import Bundle

Session = _kernel.Session

_HEAD = struct.Struct("<4BI2II")
"""Kind, neuron, requantizer, flags; number of inputs, inputs; neurons."""
_RANGE = {
    False: (66, struct.pack("<2b", -128, 127)),
    True: (118, struct.pack("<2h", -32768, 32767)),
}
"""Where the range of codes stands in a record, and the whole of it; of wide layers elsewhere."""
_OUTPUT, _WIDE = (_kernel.FLAGS[name] for name in ("OUTPUT", "WIDE"))
_CODING = sum(_kernel.FLAGS[name] for name in ("UNIT", "PLANES", "TIMES"))


@dataclass(frozen=True, slots=True, eq=False)
class Excerpt:
    """`sources`: the layers whose codes it takes, in the order it takes them, concatenated.

    `program` is None where the target is itself a source: the codes pass unchanged.
    """

    sources: tuple[int, ...]
    target: int
    program: _kernel.Program | None

    def session(self, way: str = "auto") -> Session | None:
        """The state of one stream through these layers."""
        if self.program is None:
            return None
        session = Session(self.program)
        if way != "auto":
            session.force(way)
        return session


def excerpt(content: Bundle, sources: Collection[int], target: int) -> Excerpt:
    """The layers from `sources` to `target`, both indices of layers; only the sources it reads.

    BundleError where it reads an input or a state of the network that is no source, or the kernel
    refuses it.
    """
    if target in sources:
        return Excerpt((target,), target, None)
    records = _records(content)
    reached, needed = _reach(records, sources, target)
    first = _HEAD.unpack_from(records[target])
    coding = first[3] & _CODING
    places = {layer: i for i, layer in enumerate((*reached, *needed))}
    parts = [_input(records[layer], coding) for layer in reached]
    parts += [_moved(records[layer], places, output=layer == target) for layer in needed]
    program = _kernel.Program(b"".join(parts), content.arena)
    return Excerpt(tuple(reached), target, program)


def reads(content: Bundle) -> list[tuple[int, ...]]:
    """The layers that each layer reads."""
    heads = [_HEAD.unpack_from(record) for record in _records(content)]
    return [tuple(inputs[:count]) for _, _, _, _, count, *inputs, _ in heads]


def ports(content: Bundle) -> list[int]:
    """The layers that are outputs, in the order of the outputs."""
    heads = [_HEAD.unpack_from(record) for record in _records(content)]
    return [i for i, head in enumerate(heads) if head[3] & _OUTPUT]


def _records(content: Bundle) -> list[bytes]:
    data = bytes(content.layers[: _kernel.LAYER_BYTES * len(content.manifest.layers)])
    return [data[i : i + _kernel.LAYER_BYTES] for i in range(0, len(data), _kernel.LAYER_BYTES)]


def _reach(
    records: list[bytes], sources: Collection[int], target: int
) -> tuple[list[int], list[int]]:
    """The sources read on the way to `target`, and the layers on it; both ascending."""
    reached, needed, open_ends = set(), set(), [target]
    while open_ends:
        layer = open_ends.pop()
        if layer in needed or layer in reached:
            continue
        if layer in sources:
            reached.add(layer)
            continue
        kind, _, _, _, count, *inputs, _ = _HEAD.unpack_from(records[layer])
        if kind in (_kernel.KINDS["INPUT"], _kernel.KINDS["STATE"]):
            raise BundleError(f"nothing is known of layer {layer}, which begins the network")
        needed.add(layer)
        open_ends += inputs[:count]
    return sorted(reached), sorted(needed)


def _input(record: bytes, coding: int) -> bytes:
    """An input of as many codes of the same width as a layer's, at code 0 until it is heard."""
    _, _, _, flags, *_, n = _HEAD.unpack_from(record)
    wide = flags & _WIDE
    made = bytearray(_kernel.LAYER_BYTES)
    _HEAD.pack_into(made, 0, _kernel.KINDS["INPUT"], 0, 0, coding | wide, 0, 0, 0, n)
    at, limits = _RANGE[bool(wide)]
    made[at : at + len(limits)] = limits
    return bytes(made)


def _moved(record: bytes, places: dict[int, int], *, output: bool) -> bytes:
    """A layer's record with its inputs at their new places."""
    kind, neuron, requant, flags, count, *inputs, n = _HEAD.unpack_from(record)
    moved = [places[i] for i in inputs[:count]] + [0] * (len(inputs) - count)
    flags = flags & ~_OUTPUT | _OUTPUT * output
    head = _HEAD.pack(kind, neuron, requant, flags, count, *moved, n)
    return head + record[_HEAD.size :]
