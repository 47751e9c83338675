# SPDX-License-Identifier: Apache-2.0
"""A .tflite as plain values that can be changed and written again: tensors, operators, options.

`tflite.read` makes a Graph of what is converted; this keeps what a file says, float or not, for
those who write another file of it (`neurovm.quantization`). The file is hostile input here too:
`TFLiteFile` bounds what is read, and ModelError is all that leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from neurovm.converters.tflite_file import (
    MAX_FILE_BYTES,
    TFLiteFile,
    operator_name,
)
from neurovm.errors import ModelError
from neurovm.graph import Source, Tensor

_HIGHEST_OLD_CODE = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of an operator: the table's name in the schema, and its fields by their names."""

    kind: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainOperator:
    """One operator: `index` is its place in the source (−1: added since), `name` the schema's.

    `inputs` and `outputs` are tensors, −1 an absent optional input.
    """

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Options | None = None
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainModel:
    """One subgraph, its operators in execution order."""

    source: Source
    tensors: tuple[Tensor, ...]
    operators: tuple[PlainOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def error(self, operator: PlainOperator, found: str) -> ModelError:
        """What is wrong with an operator, and where."""
        return ModelError(
            f"{self.source.name}: operator {operator.index} ({operator.name}): {found}"
        )


def read(source: str | PathLike[str] | bytes) -> PlainModel:
    """The first subgraph of a .tflite (a path, or its bytes) as it stands.

    Raises ModelError for damaged files, for several subgraphs, variables and sparse constants;
    OSError where the file cannot be opened.
    """
    if isinstance(source, bytes):
        name, data = "model.tflite", source
    else:
        path = Path(source)
        name = path.name
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    file = TFLiteFile(name, data)
    with file.guarded():
        return _model(file)


def _model(file: TFLiteFile) -> PlainModel:
    if file.model.SubgraphsLength() != 1:
        raise file.error(
            f"{file.model.SubgraphsLength()} subgraphs; a float model with one is quantized here"
        )
    subgraph = file.model.Subgraphs(0)
    operators = tuple(_operators(file, subgraph))
    count = subgraph.TensorsLength()
    file.place = "subgraph 0"
    inputs = _indices(file, subgraph.InputsAsNumpy(), count)
    outputs = _indices(file, subgraph.OutputsAsNumpy(), count)
    used = {*inputs, *outputs, *(i for op in operators for i in (*op.inputs, *op.outputs))}
    tensors = []
    for i, table in enumerate(file.items(count, subgraph.Tensors)):
        file.place = f"tensor {i}"
        tensors.append(_tensor(file, table, i, used=i in used))
    model = PlainModel(
        source=Source(
            format="tflite",
            sha256=hashlib.sha256(file.data).hexdigest(),
            bytes=len(file.data),
            name=file.name,
        ),
        tensors=tuple(tensors),
        operators=operators,
        inputs=inputs,
        outputs=outputs,
    )
    _check_order(file, model)
    return model


def _check_order(file: TFLiteFile, model: PlainModel) -> None:
    """Each tensor is made once, before it is read."""
    if not model.inputs or not model.outputs or -1 in model.inputs + model.outputs:
        raise file.error("inputs and outputs, at least one each, are needed")
    ready = {i for i, t in enumerate(model.tensors) if t.data is not None} | set(model.inputs)
    for op in model.operators:
        file.place = f"operator {op.index} ({op.name})"
        missing = [i for i in op.inputs if i != -1 and i not in ready]
        if missing or not ready.isdisjoint(op.outputs) or -1 in op.outputs:
            raise file.error(f"reads tensors {missing[:8]} before, or makes one after, it is there")
        ready |= set(op.outputs)
    if not ready.issuperset(model.outputs):
        raise file.error("nothing produces an output")


def _indices(file: TFLiteFile, vector: Any, count: int) -> tuple[int, ...]:
    indices = file.integers(vector)
    if any(not -1 <= i < count for i in indices):
        raise file.error(f"tensors {indices[:16]}; the subgraph has {count}")
    return indices


def _tensor(file: TFLiteFile, table: Any, index: int, *, used: bool) -> Tensor:
    name = file.text(table.Name(), f"tensor_{index}")
    file.place = f"tensor {index} ({name[:80]})"
    if table.IsVariable() or table.Sparsity() is not None:
        raise file.error("a variable, or stored sparsely; a float model of neither is needed")
    dtype = file.dtype(table)
    shape = file.shape(table, dtype, used=used)
    return Tensor(
        name=name,
        shape=shape,
        dtype=dtype,
        quantization=file.quantization(table, dtype, shape),
        data=file.constant(table, dtype, shape),
        signature=file.signature(table, shape),
    )


def _operators(file: TFLiteFile, subgraph: Any) -> list[PlainOperator]:
    file.place = "operator codes"
    codes = list(file.items(file.model.OperatorCodesLength(), file.model.OperatorCodes))
    found = []
    for i, table in enumerate(file.items(subgraph.OperatorsLength(), subgraph.Operators)):
        file.place = f"operator {i}"
        if table.OpcodeIndex() >= len(codes):
            raise file.error(f"operator code {table.OpcodeIndex()}; the file has {len(codes)}")
        entry = codes[table.OpcodeIndex()]
        old, new = entry.DeprecatedBuiltinCode(), entry.BuiltinCode()
        name = operator_name(max(old, new) if old < _HIGHEST_OLD_CODE else new)
        count = subgraph.TensorsLength()
        found.append(
            PlainOperator(
                index=i,
                name=name,
                inputs=_indices(file, table.InputsAsNumpy(), count),
                outputs=_indices(file, table.OutputsAsNumpy(), count),
                options=_options(file, table),
                version=max(1, entry.Version()),
            )
        )
    return found


def _options(file: TFLiteFile, table: Any) -> Options | None:
    """The fields of an options table; what is neither number nor vector of numbers is left out."""
    kind = _OPTION_NAMES.get(table.BuiltinOptionsType())
    place = table.BuiltinOptions()
    if kind is None or place is None:
        return None
    options = getattr(tflite, kind)()
    options.Init(place.Bytes, place.Pos)
    values: dict[str, Any] = {}
    for name in _FIELDS[kind]:
        if hasattr(options, f"{name}AsNumpy"):
            values[name] = file.integers(getattr(options, f"{name}AsNumpy")())
            continue
        value = getattr(options, name)()
        if isinstance(value, (bool, int, float, np.generic)):
            values[name] = value
    return Options(kind=kind, values=values)


_OPTION_NAMES: dict[int, str] = {
    number: name
    for name, number in vars(tflite.BuiltinOptions).items()
    if not name.startswith("_") and number and hasattr(tflite, name)
}
_FIELDS: dict[str, tuple[str, ...]] = {
    kind: tuple(
        name.removeprefix(f"{kind}Add") for name in vars(tflite) if name.startswith(f"{kind}Add")
    )
    for kind in _OPTION_NAMES.values()
}
