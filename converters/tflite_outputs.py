# SPDX-License-Identifier: Apache-2.0
"""A copy of a .tflite whose main subgraph has other outputs: how inner tensors are read in runtimes
that give outputs only.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from neurovm.converters.tflite_file import TFLiteFile

_OUTPUTS_SLOT = 8
"""Offset in a SubGraph's vtable: tensors 4, inputs 6, outputs 8."""


def with_outputs(name: str, data: bytes, tensors: Sequence[int]) -> bytes:
    """The model with exactly these tensors of subgraph 0 as its outputs.

    A vector of them is put behind the file and the subgraph pointed at it: offsets of a flatbuffer
    point forwards, so nothing else moves. ModelError where the file is damaged.
    """
    file = TFLiteFile(name, data)
    with file.guarded():
        table = file.model.Subgraphs(0)._tab  # noqa: SLF001 - the package has no other way
        slot = table.Offset(_OUTPUTS_SLOT)
        if not slot:
            raise file.error("the subgraph has no outputs")
        field = table.Pos + slot
        copy = bytearray(data) + bytes(-len(data) % 4)
        struct.pack_into("<I", copy, field, len(copy) - field)
        return bytes(copy + struct.pack(f"<I{len(tensors)}i", len(tensors), *tensors))
    raise AssertionError
