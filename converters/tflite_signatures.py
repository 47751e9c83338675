# SPDX-License-Identifier: Apache-2.0
"""The signatures of a .tflite: names under which inputs and outputs are known to callers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neurovm.converters.tflite_file import TFLiteFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Names of inputs and outputs to indices of tensors, in order of name."""

    inputs: dict[str, int]
    outputs: dict[str, int]


def tensor_count(name: str, data: bytes) -> int:
    """Tensors of the main subgraph as the file has them; reading adds some for states."""
    file = TFLiteFile(name, data)
    with file.guarded():
        return int(file.model.Subgraphs(0).TensorsLength())


def signatures(name: str, data: bytes) -> dict[str, Signature]:
    """The signatures of the main subgraph by key; ModelError where the file is damaged."""
    file = TFLiteFile(name, data)
    found: dict[str, Signature] = {}
    with file.guarded():
        model = file.model
        if model.SubgraphsLength() < 1:
            raise file.error("no subgraph")
        tensors = model.Subgraphs(0).TensorsLength()
        for i, entry in enumerate(file.items(model.SignatureDefsLength(), model.SignatureDefs)):
            file.place = f"signature {i}"
            if entry.SubgraphIndex() != 0:
                continue
            key = file.text(entry.SignatureKey(), f"signature_{i}")
            found[key] = Signature(
                inputs=_names(file, entry.InputsLength(), entry.Inputs, tensors),
                outputs=_names(file, entry.OutputsLength(), entry.Outputs, tensors),
            )
    return dict(sorted(found.items()))


def _names(file: TFLiteFile, count: int, item: Any, tensors: int) -> dict[str, int]:
    named: dict[str, int] = {}
    for entry in file.items(count, item):
        index = int(entry.TensorIndex())
        if index >= tensors:
            raise file.error(f"tensor {index}; the subgraph has {tensors}")
        named[file.text(entry.Name(), f"tensor_{index}")] = index
    return dict(sorted(named.items()))
