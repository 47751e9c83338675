# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Lite: read a .tflite into a Graph.

Source of the format: tensorflow/compiler/mlir/lite/schema/schema.fbs, through the generated
package `tflite`. The file is hostile input: nothing is used before it is checked, and ModelError
is all that leaves `read`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import tflite

from neurovm.converters.tflite_file import (
    DTYPES,
    MAX_FILE_BYTES,
    TFLiteFile,
    operator_name,
    type_name,
)
from neurovm.converters.tflite_operators import DECODERS, RawOperator
from neurovm.converters.tflite_recurrent import owned_states
from neurovm.converters.tflite_variables import CODES, Variables, check_handles
from neurovm.errors import ModelError, UnsupportedOperatorError
from neurovm.graph import Graph, Source, State, Tensor
from neurovm.nearest import KIND, nearest_form
from neurovm.operators import Operator, Recurrent

_HIGHEST_OLD_CODE = 127
"""Operator codes from here on stand in `builtin_code` alone."""

_MULTIPLYING = (
    tflite.BuiltinOperator.CONV_2D,
    tflite.BuiltinOperator.DEPTHWISE_CONV_2D,
    tflite.BuiltinOperator.FULLY_CONNECTED,
)
_ACCEPTED = (("int8", "int8"), ("int8", "int4"), ("uint8", "uint8"), ("int16", "int8"))
_CALIBRATE = (
    "it is quantized to int8 here on representative rows of its inputs: "
    "give them with --calibrate FILE (.npy, .csv, … or a folder of these), "
    "or convert_tflite(…, calibrate=rows)"
)
_PTQ = "int8 post-training quantization (int8 activations and weights) is needed"
_FLOATS = ("float32", "float16")
_EDGES = (tflite.BuiltinOperator.QUANTIZE, tflite.BuiltinOperator.DEQUANTIZE)


def read(source: str | PathLike[str] | bytes, *, name: str | None = None) -> Graph:
    """The graph of a .tflite file, or of its bytes; `name` defaults to the file's.

    Raises ModelError (with file and place) on anything damaged, contradictory or not int8, and
    UnsupportedOperatorError on operators outside `DECODERS`, all of them named. OSError where the
    file cannot be opened. Shapes are the file's own; `neurovm.passes.prepare` fixes the batch and
    checks them.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        data, file_name = bytes(source), name or "model.tflite"
    else:
        path = Path(source)
        file_name = path.name
        with path.open("rb") as stream:
            # One byte more than is accepted, so that a file that is larger shows as such.
            data = stream.read(MAX_FILE_BYTES + 1)
    file = TFLiteFile(file_name, data)
    with file.guarded():
        graph = _graph(file, name or Path(file_name).stem)
    graph.check()
    return graph


def _graph(file: TFLiteFile, name: str) -> Graph:
    if file.model.Version() != 3:
        raise file.error(f"schema version {file.model.Version()}; 3 is accepted")
    if file.model.SubgraphsLength() < 1:
        raise file.error("no subgraph")
    subgraph = file.model.Subgraphs(0)
    if subgraph is None:
        raise file.error("no subgraph")
    raw = _raw_operators(file, subgraph)
    file.place = "subgraph 0"
    inputs = _indices(file, subgraph.InputsAsNumpy(), subgraph.TensorsLength())
    outputs = _indices(file, subgraph.OutputsAsNumpy(), subgraph.TensorsLength())
    if not inputs or not outputs or len(set(inputs)) != len(inputs) or -1 in inputs + outputs:
        raise file.error(
            f"inputs {inputs}, outputs {outputs}; at least one each, no input twice, is needed"
        )
    _check_number_format(subgraph, raw)
    _check_supported(file, raw)
    tensors = list(_tensors(file, subgraph, {*inputs, *outputs, *_named(raw)}))
    check_handles(raw, tensors)
    variables = Variables(file, tensors, _raw_operators)
    owned: list[State] = []
    operators = tuple(_operators(file, raw, tensors, variables, owned))
    states = (*variables.states(), *owned)
    for i in inputs:
        if tensors[i].data is not None:
            raise file.error(f"input tensor {i} is a constant")
    return Graph(
        name=name,
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
        states=states,
        notes=variables.notes(),
    )


def _indices(file: TFLiteFile, vector: Any, count: int) -> tuple[int, ...]:
    """Tensor indices in 0 … count − 1, or −1 for an absent optional input."""
    indices = file.integers(vector)
    if any(not -1 <= i < count for i in indices):
        raise file.error(f"tensors {indices[:16]}; the subgraph has {count}")
    return indices


def _raw_operators(file: TFLiteFile, subgraph: Any) -> list[RawOperator]:
    file.place = "operator codes"
    codes = [
        (_code(entry), file.text(entry.CustomCode(), "?"))
        for entry in file.items(file.model.OperatorCodesLength(), file.model.OperatorCodes)
    ]
    raw = []
    for i, table in enumerate(file.items(subgraph.OperatorsLength(), subgraph.Operators)):
        file.place = f"operator {i}"
        if table.OpcodeIndex() >= len(codes):
            raise file.error(f"operator code {table.OpcodeIndex()}; the file has {len(codes)}")
        code, custom = codes[table.OpcodeIndex()]
        known = operator_name(code)
        raw.append(
            RawOperator(
                file=file.name,
                index=i,
                code=code,
                name=f"CUSTOM {custom}" if code == tflite.BuiltinOperator.CUSTOM else known,
                inputs=_indices(file, table.InputsAsNumpy(), subgraph.TensorsLength()),
                outputs=_indices(file, table.OutputsAsNumpy(), subgraph.TensorsLength()),
                intermediates=_indices(
                    file, table.IntermediatesAsNumpy(), subgraph.TensorsLength()
                ),
                table=table,
            )
        )
    return raw


def _code(entry: Any) -> int:
    """The operator's number: old files have it in a byte only, new ones in an int32."""
    old, new = entry.DeprecatedBuiltinCode(), entry.BuiltinCode()
    return int(max(old, new) if old < _HIGHEST_OLD_CODE else new)


def _check_number_format(subgraph: Any, raw: list[RawOperator]) -> None:
    """Refuse float and hybrid networks for what they are."""
    for r in raw:
        if r.code not in _MULTIPLYING or len(r.inputs) < 2 or -1 in r.inputs[:2]:
            continue
        x, w = (subgraph.Tensors(i).Type() for i in r.inputs[:2])
        if (DTYPES.get(x), DTYPES.get(w)) in _ACCEPTED:
            continue
        what = {
            ("float32", "float32"): "a float model",
            ("float32", "float16"): "a float16 model",
            ("float32", "int8"): "a hybrid model (int8 weights, float activations)",
            ("float32", "int4"): "a hybrid model (int4 weights, float activations)",
        }.get((DTYPES.get(x, ""), DTYPES.get(w, "")), "a model of other number formats")
        needed = _CALIBRATE if DTYPES.get(x) == "float32" else _PTQ
        raise r.error(f"{what}: input {type_name(x)}, weights {type_name(w)}; {needed}")
    if not raw or any(r.code in _EDGES for r in raw):
        return
    values = [i for r in raw for i in (*r.inputs[:1], *r.outputs) if i >= 0]
    if all(DTYPES.get(subgraph.Tensors(i).Type()) in _FLOATS for i in values):
        raise raw[0].error(f"a float model: every operator gives float32; {_CALIBRATE}")


def _check_supported(file: TFLiteFile, raw: list[RawOperator]) -> None:
    """Name every operator there is no decoder for, in one error."""
    missing = [r for r in raw if r.code not in DECODERS and r.code not in CODES]
    if not missing:
        return
    first = missing[0]
    places: dict[str, list[int]] = {}
    for r in missing:
        places.setdefault(r.name, []).append(r.index)
    listed = "; ".join(
        f"{operator} ({'operator' if len(at) == 1 else 'operators'} "
        f"{', '.join(map(str, at[:8]))}{', …' if len(at) > 8 else ''})"
        for operator, at in places.items()
    )
    forms = "; ".join(f"in place of {name}: {nearest_form(name, KIND)}" for name in places)
    raise UnsupportedOperatorError(
        file.name, first.name, first.index, f"{KIND} are needed for: {listed}; {forms}"
    )


def _named(raw: Sequence[RawOperator]) -> Iterator[int]:
    """The tensors that operators read or make."""
    return (i for r in raw for i in (*r.inputs, *r.outputs))


def _tensors(file: TFLiteFile, subgraph: Any, used: set[int]) -> tuple[Tensor, ...]:
    tensors = []
    for i, table in enumerate(file.items(subgraph.TensorsLength(), subgraph.Tensors)):
        file.place = f"tensor {i}"
        tensors.append(_tensor(file, table, i, used=i in used))
    return tuple(tensors)


def _tensor(file: TFLiteFile, table: Any, index: int, *, used: bool) -> Tensor:
    name = file.text(table.Name(), f"tensor_{index}")
    file.place = f"tensor {index} ({name[:80]})"
    if table.Sparsity() is not None:
        raise file.error("it is stored sparsely; dense constants are needed")
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


def _operators(
    file: TFLiteFile,
    raw: list[RawOperator],
    tensors: list[Tensor],
    variables: Variables,
    owned: list[State],
) -> Iterator[Operator]:
    """The operators of the graph; those of variables leave it, but for READ_VARIABLE.

    `owned` takes the states that operators keep for themselves.
    """
    taken: set[int] = set()
    for r in raw:
        made = variables.take(r) if r.code in CODES else _operator(file, r, tensors)
        if isinstance(made, Recurrent):
            made, states = owned_states(file, made, tensors, taken)
            owned.extend(states)
        if made is not None:
            yield made


def _operator(file: TFLiteFile, raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    file.place = f"operator {raw.index} ({raw.name})"
    entry = DECODERS[raw.code]
    required = raw.inputs[: entry.fewest]
    inputs_fit = entry.fewest <= len(raw.inputs) <= entry.most and -1 not in required
    if not inputs_fit or not 1 <= len(raw.outputs) <= entry.outputs:
        raise file.error(
            f"inputs {raw.inputs[:16]}, outputs {raw.outputs[:16]}; {entry.fewest} to {entry.most} "
            f"inputs and {'one output' if entry.outputs == 1 else 'outputs'} are needed"
        )
    if -1 in raw.outputs:
        raise file.error("an output is absent")
    return entry.decode(raw, tensors)


__all__ = ["ModelError", "read"]
