# SPDX-License-Identifier: Apache-2.0
"""Records: layers become what the kernel reads, 128 bytes each and an arena of constants.

Records are `nvm_layer` of core_c/include/nvm.h; equal constants are stored once.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from neurovm import _kernel
from neurovm.bundle import ALIGN
from neurovm.description import Limits
from neurovm.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import NDArray

    from neurovm.operators.builder import Layer, Value

_RECORD = struct.Struct("<4B I 2I I 6I 6H 2h I 4b 6I i i I I 2I 3h 6x")
_FLAG_OUTPUT, _FLAG_SPIKES, _FLAG_WIDE, _FLAG_LONG = 1, 2, 8, 16
_FLAG_CODING = {"unit": 4, "bitplane": 32, "ttfs": 64}
"""How SD layers and inputs send what changed; not named: graded."""


def session_limits(layers: bytes, arena: bytes) -> Limits:
    """What plain C needs to run a program, the same on every machine; BundleError where the kernel
    refuses it.
    """
    session_bytes, scratch_bytes = _kernel.Program(layers, arena).sizes("scalar")
    return Limits(session_bytes=session_bytes, scratch_bytes=scratch_bytes)


def potentials(
    layers: bytes,
    arena: bytes,
    layer: int,
    streams: Iterable[Sequence[bytes]],
    steps: Collection[int],
) -> dict[int, NDArray[np.int64]]:
    """Potentials of a layer after these of the steps (from 1) of every stream: (streams, n) each.

    A stream begins at rest; its steps are codes of the first inputs, further ones stay at 0.
    """
    session = _kernel.Session(program := _kernel.Program(layers, arena))
    found: dict[int, list[NDArray[np.int64]]] = {step: [] for step in steps}
    for stream in streams:
        session.reset()
        for step, codes in enumerate(stream, 1):
            session.step(codes + bytes(program.bytes_in - len(codes)))
            if step in found:
                found[step].append(np.array(session.layer(layer)[1], np.int64))
    return {step: np.stack(rows) for step, rows in found.items()}


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
    layers: Sequence[Layer], ports: set[Value], *, coding: str
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
        if layer.neuron == "SD" and not layer.spikes:
            flags |= _FLAG_CODING.get(coding, 0)
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
