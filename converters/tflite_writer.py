# SPDX-License-Identifier: Apache-2.0
"""PlainModel -> the bytes of a .tflite that LiteRT and TensorFlow Lite Micro read.

The same model gives the same bytes. A SignatureDef `serving_default` names inputs and outputs, as
converters write it. Source of the format: tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
import tflite

from neurovm.converters.tflite_plain import Options, PlainModel, PlainOperator
from neurovm.graph import Tensor

_ALIGNMENT_BYTES = 16
_OLD_CODES = 127
_SIGNATURE = "serving_default"


def write(model: PlainModel) -> bytes:
    """The file. Constants that no operator reads are written too; drop them before."""
    b = flatbuffers.Builder(1 << 16)
    codes = sorted({(op.name, op.version) for op in model.operators})
    # Buffer 0 is empty by convention; every constant has its own.
    constants = [i for i, t in enumerate(model.tensors) if t.data is not None]
    buffer_of = {i: 1 + n for n, i in enumerate(constants)}
    raw = [b"", *(np.ascontiguousarray(model.tensors[i].data).tobytes() for i in constants)]
    buffers = _tables(b, [_buffer(b, data) for data in raw])
    subgraphs = _tables(b, [_subgraph(b, model, codes, buffer_of)])
    operator_codes = _tables(b, [_code(b, *code) for code in codes])
    signatures = _tables(b, [_signature(b, model)])
    description = b.CreateString("quantized by neurovm")
    tflite.ModelStart(b)
    tflite.ModelAddVersion(b, 3)
    tflite.ModelAddOperatorCodes(b, operator_codes)
    tflite.ModelAddSubgraphs(b, subgraphs)
    tflite.ModelAddDescription(b, description)
    tflite.ModelAddBuffers(b, buffers)
    tflite.ModelAddSignatureDefs(b, signatures)
    b.Finish(tflite.ModelEnd(b), file_identifier=b"TFL3")
    return bytes(b.Output())


def _subgraph(
    b: flatbuffers.Builder,
    model: PlainModel,
    codes: Sequence[tuple[str, int]],
    buffer_of: dict[int, int],
) -> int:
    tensors = _tables(b, [_tensor(b, t, buffer_of.get(i, 0)) for i, t in enumerate(model.tensors)])
    operators = _tables(b, [_operator(b, op, codes) for op in model.operators])
    inputs = _numbers(b, model.inputs, np.int32)
    outputs = _numbers(b, model.outputs, np.int32)
    name = b.CreateString("main")
    tflite.SubGraphStart(b)
    tflite.SubGraphAddTensors(b, tensors)
    tflite.SubGraphAddInputs(b, inputs)
    tflite.SubGraphAddOutputs(b, outputs)
    tflite.SubGraphAddOperators(b, operators)
    tflite.SubGraphAddName(b, name)
    return int(tflite.SubGraphEnd(b))


def _buffer(b: flatbuffers.Builder, raw: bytes) -> int:
    data = 0
    if raw:
        b.StartVector(1, len(raw), _ALIGNMENT_BYTES)
        b.head -= len(raw)
        b.Bytes[b.head : b.head + len(raw)] = raw
        data = b.EndVector()
    tflite.BufferStart(b)
    if raw:
        tflite.BufferAddData(b, data)
    return int(tflite.BufferEnd(b))


def _code(b: flatbuffers.Builder, name: str, version: int) -> int:
    code = getattr(tflite.BuiltinOperator, name)
    tflite.OperatorCodeStart(b)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(code, _OLD_CODES))
    tflite.OperatorCodeAddBuiltinCode(b, code)
    tflite.OperatorCodeAddVersion(b, version)
    return int(tflite.OperatorCodeEnd(b))


def _tensor(b: flatbuffers.Builder, tensor: Tensor, buffer: int) -> int:
    quantization = 0
    if tensor.quantization is not None:
        scale = _numbers(b, tensor.quantization.scale, np.float32)
        zero_point = _numbers(b, tensor.quantization.zero_point, np.int64)
        tflite.QuantizationParametersStart(b)
        tflite.QuantizationParametersAddScale(b, scale)
        tflite.QuantizationParametersAddZeroPoint(b, zero_point)
        tflite.QuantizationParametersAddQuantizedDimension(b, tensor.quantization.axis)
        quantization = tflite.QuantizationParametersEnd(b)
    signature = 0 if tensor.signature is None else _numbers(b, tensor.signature, np.int32)
    name, shape = b.CreateString(tensor.name), _numbers(b, tensor.shape, np.int32)
    tflite.TensorStart(b)
    tflite.TensorAddShape(b, shape)
    tflite.TensorAddType(b, getattr(tflite.TensorType, tensor.dtype.upper()))
    tflite.TensorAddBuffer(b, buffer)
    tflite.TensorAddName(b, name)
    if quantization:
        tflite.TensorAddQuantization(b, quantization)
    if signature:
        tflite.TensorAddShapeSignature(b, signature)
    return int(tflite.TensorEnd(b))


def _operator(
    b: flatbuffers.Builder, operator: PlainOperator, codes: Sequence[tuple[str, int]]
) -> int:
    options = operator.options
    table = 0 if options is None else _options(b, options)
    inputs = _numbers(b, operator.inputs, np.int32)
    outputs = _numbers(b, operator.outputs, np.int32)
    tflite.OperatorStart(b)
    tflite.OperatorAddOpcodeIndex(b, codes.index((operator.name, operator.version)))
    tflite.OperatorAddInputs(b, inputs)
    tflite.OperatorAddOutputs(b, outputs)
    if options is not None:
        tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, options.kind))
        tflite.OperatorAddBuiltinOptions(b, table)
    return int(tflite.OperatorEnd(b))


def _options(b: flatbuffers.Builder, options: Options) -> int:
    values = {
        name: _numbers(b, value, np.int32) if isinstance(value, Sequence) else value
        for name, value in options.values.items()
    }
    getattr(tflite, f"{options.kind}Start")(b)
    for name, value in values.items():
        getattr(tflite, f"{options.kind}Add{name}")(b, value)
    return int(getattr(tflite, f"{options.kind}End")(b))


def _signature(b: flatbuffers.Builder, model: PlainModel) -> int:
    inputs = _tables(b, _maps(b, model, model.inputs))
    outputs = _tables(b, _maps(b, model, model.outputs))
    key = b.CreateString(_SIGNATURE)
    tflite.SignatureDefStart(b)
    tflite.SignatureDefAddInputs(b, inputs)
    tflite.SignatureDefAddOutputs(b, outputs)
    tflite.SignatureDefAddSignatureKey(b, key)
    tflite.SignatureDefAddSubgraphIndex(b, 0)
    return int(tflite.SignatureDefEnd(b))


def _maps(b: flatbuffers.Builder, model: PlainModel, tensors: Sequence[int]) -> list[int]:
    """Name -> tensor; a name that stands twice gets its number too."""
    names = [model.tensors[i].name for i in tensors]
    made = []
    for place, index in enumerate(tensors):
        name = names[place] if names.count(names[place]) == 1 else f"{names[place]}_{place}"
        text = b.CreateString(name)
        tflite.TensorMapStart(b)
        tflite.TensorMapAddName(b, text)
        tflite.TensorMapAddTensorIndex(b, index)
        made.append(int(tflite.TensorMapEnd(b)))
    return made


def _numbers(b: flatbuffers.Builder, values: Sequence[Any], dtype: type[np.generic]) -> int:
    return int(b.CreateNumpyVector(np.asarray(values, dtype)))


def _tables(b: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())
