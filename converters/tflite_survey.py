# SPDX-License-Identifier: Apache-2.0
"""Every operator of a .tflite with what hinders its conversion, also where the file is refused.

`tflite.read` stops at what it refuses; this walks on, so that `neurovm explain` can list the whole
of it. It judges an operator by itself: its kind, and the element types of what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tflite

from neurovm.converters.tflite_file import DTYPES, TFLiteFile, operator_name, type_name
from neurovm.converters.tflite_operators import DECODERS
from neurovm.converters.tflite_variables import CODES

_EDGES = (tflite.BuiltinOperator.QUANTIZE, tflite.BuiltinOperator.DEQUANTIZE)
_FINE = ("int8", "uint8", "int16", "int4", "int32", "int64", "bool")
"""Element types that occur in a converted network: codes, biases, shapes, masks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """One operator: place and name in the file; `needed` says what hinders it, None: nothing."""

    index: int
    name: str
    needed: str | None


def survey(name: str, data: bytes) -> tuple[Surveyed, ...]:
    """All operators of the main subgraph. ModelError where the file itself is damaged."""
    file = TFLiteFile(name, data)
    with file.guarded():
        if file.model.SubgraphsLength() < 1:
            raise file.error("no subgraph")
        return tuple(_operators(file, file.model.Subgraphs(0)))


def _operators(file: TFLiteFile, subgraph: Any) -> Iterator[Surveyed]:
    entries = list(file.items(file.model.OperatorCodesLength(), file.model.OperatorCodes))
    for i, table in enumerate(file.items(subgraph.OperatorsLength(), subgraph.Operators)):
        file.place = f"operator {i}"
        entry = entries[table.OpcodeIndex()]
        code = max(entry.DeprecatedBuiltinCode(), entry.BuiltinCode())
        custom = code == tflite.BuiltinOperator.CUSTOM
        name = f"CUSTOM {file.text(entry.CustomCode(), '?')}" if custom else operator_name(code)
        yield Surveyed(index=i, name=name, needed=_needed(file, subgraph, table, code))


def _needed(file: TFLiteFile, subgraph: Any, table: Any, code: int) -> str | None:
    if code in CODES:
        return None
    if code not in DECODERS:
        return "an exact rule and an event rule"
    if code in _EDGES:
        return None
    read = file.integers(table.InputsAsNumpy())
    types = [subgraph.Tensors(i).Type() for i in read if 0 <= i < subgraph.TensorsLength()]
    unread = [type_name(t) for t in types if t not in DTYPES]
    if unread:
        return f"element type {unread[0]}; accepted: {', '.join(_FINE)}"
    wrong = [type_name(t) for t in types if DTYPES[t] not in _FINE]
    if wrong:
        return f"int8 (neurovm convert --calibrate ROWS makes it so); it reads {wrong[0]}"
    return None
