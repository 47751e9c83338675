# SPDX-License-Identifier: Apache-2.0
"""Writes small .tflite models for tests: tensors, constants, operators, then the bytes.

    w = ModelWriter()
    x = w.tensor("x", (1, 8), scale=0.1, zero_point=3)
    k = w.constant("k", weights, scale=[0.01], axis=0)
    y = w.tensor("y", (1, 4), scale=0.2)
    w.operator("FULLY_CONNECTED", [x, k, -1], [y], FusedActivationFunction="RELU")
    data = w.model(inputs=[x], outputs=[y])

Options are named as in the schema (`StrideH`, `Padding="SAME"`, …); everything is written as
given, right or wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite

OPTIONS = {
    "ABS": "AbsOptions",
    "ADD": "AddOptions",
    "ARG_MAX": "ArgMaxOptions",
    "ARG_MIN": "ArgMinOptions",
    "ASSIGN_VARIABLE": "AssignVariableOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "BATCH_TO_SPACE_ND": "BatchToSpaceNDOptions",
    "BROADCAST_TO": "BroadcastToOptions",
    "CALL_ONCE": "CallOnceOptions",
    "CAST": "CastOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "DEPTH_TO_SPACE": "DepthToSpaceOptions",
    "DEQUANTIZE": "DequantizeOptions",
    "DIV": "DivOptions",
    "EXP": "ExpOptions",
    "EXPAND_DIMS": "ExpandDimsOptions",
    "FILL": "FillOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "GATHER": "GatherOptions",
    "GELU": "GeluOptions",
    "HARD_SWISH": "HardSwishOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "LOG_SOFTMAX": "LogSoftmaxOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "MIRROR_PAD": "MirrorPadOptions",
    "MUL": "MulOptions",
    "NEG": "NegOptions",
    "PACK": "PackOptions",
    "PAD": "PadOptions",
    "PADV2": "PadV2Options",
    "QUANTIZE": "QuantizeOptions",
    "RANGE": "RangeOptions",
    "READ_VARIABLE": "ReadVariableOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
    "RESHAPE": "ReshapeOptions",
    "REVERSE_V2": "ReverseV2Options",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "SHAPE": "ShapeOptions",
    "SLICE": "SliceOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SPACE_TO_BATCH_ND": "SpaceToBatchNDOptions",
    "SPACE_TO_DEPTH": "SpaceToDepthOptions",
    "SPLIT": "SplitOptions",
    "SPLIT_V": "SplitVOptions",
    "SQUARED_DIFFERENCE": "SquaredDifferenceOptions",
    "SQUEEZE": "SqueezeOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SUB": "SubOptions",
    "SUM": "ReducerOptions",
    "TILE": "TileOptions",
    "SVDF": "SVDFOptions",
    "TRANSPOSE": "TransposeOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTMOptions",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "SequenceRNNOptions",
    "UNPACK": "UnpackOptions",
    "VAR_HANDLE": "VarHandleOptions",
}
VERSIONS = {"BROADCAST_TO": 3}
"""Where the first version is too old for int8."""
ENUMERATIONS = {
    "FusedActivationFunction": tflite.ActivationFunctionType,
    "Mode": tflite.MirrorPadMode,
    "OutType": tflite.TensorType,
    "QuantizedBiasType": tflite.TensorType,
    "OutputType": tflite.TensorType,
    "Padding": tflite.Padding,
}


@dataclass
class _Tensor:
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int
    data: bytes | None
    signature: tuple[int, ...] | None
    is_variable: bool
    shares: int | None


@dataclass
class _Operator:
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any] | None
    custom: str | None
    intermediates: tuple[int, ...] = ()


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Sequence | np.ndarray) else (value,)


@dataclass
class ModelWriter:
    """Collects one subgraph; methods return tensor indices."""

    tensors: list[_Tensor] = field(default_factory=list)
    operators: list[_Operator] = field(default_factory=list)

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        *,
        dtype: str = "int8",
        scale: float | Sequence[float] | None = None,
        zero_point: int | Sequence[int] = 0,
        axis: int = 0,
        data: np.ndarray | bytes | None = None,
        signature: Sequence[int] | None = None,
        is_variable: bool = False,
        shares: int | None = None,
    ) -> int:
        """A tensor; with `data`, or the data it `shares` with another tensor, a constant.

        `scale=None`: not quantized.
        """
        if isinstance(data, np.ndarray):
            data = np.ascontiguousarray(data).tobytes()
        self.tensors.append(
            _Tensor(
                name,
                tuple(shape),
                dtype,
                () if scale is None else _tuple(scale),
                () if scale is None else _tuple(zero_point),
                axis,
                data,
                None if signature is None else tuple(signature),
                is_variable,
                shares,
            )
        )
        return len(self.tensors) - 1

    def constant(self, name: str, data: np.ndarray, **quantization: Any) -> int:
        """A constant of the array's shape and type; keywords as in `tensor`."""
        data = np.asarray(data)
        return self.tensor(name, data.shape, dtype=data.dtype.name, data=data, **quantization)

    def operator(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        *,
        intermediates: Sequence[int] = (),
        **options: Any,
    ) -> None:
        """A built-in operator by its schema name; -1 is an absent input."""
        self.operators.append(
            _Operator(name, tuple(inputs), tuple(outputs), options, None, tuple(intermediates))
        )

    def custom(self, code: str, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """A custom operator."""
        self.operators.append(_Operator("CUSTOM", tuple(inputs), tuple(outputs), None, code))

    def model(
        self,
        *,
        inputs: Sequence[int],
        outputs: Sequence[int],
        version: int = 3,
        old: bool = False,
        others: Sequence[ModelWriter] = (),
    ) -> bytes:
        """The file. `old`: operator codes as files before schema 3a have them, in one byte only.

        `others`: the subgraphs after the first, which have no inputs and outputs.
        """
        b = flatbuffers.Builder(1 << 12)
        graphs = (self, *others)
        codes = sorted({(o.name, o.custom or "") for g in graphs for o in g.operators})
        # Buffer 0 is empty by convention.
        constants = [b""] + [t.data for g in graphs for t in g.tensors if t.data is not None]
        buffers = _tables(b, [self._buffer(b, raw) for raw in constants])
        first, made = 1, []
        for g in graphs:
            ports = (inputs, outputs) if g is self else ((), ())
            made.append(g._subgraph(b, *ports, codes, first))
            first += sum(t.data is not None for t in g.tensors)
        subgraphs = _tables(b, made)
        operator_codes = _tables(b, [self._code(b, *code, old) for code in codes])
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, version)
        tflite.ModelAddOperatorCodes(b, operator_codes)
        tflite.ModelAddSubgraphs(b, subgraphs)
        tflite.ModelAddBuffers(b, buffers)
        b.Finish(tflite.ModelEnd(b), file_identifier=b"TFL3")
        return bytes(b.Output())

    def _subgraph(
        self,
        b: flatbuffers.Builder,
        inputs: Sequence[int],
        outputs: Sequence[int],
        codes: list[tuple[str, str]],
        first: int,
    ) -> int:
        constants = [i for i, t in enumerate(self.tensors) if t.data is not None]
        buffers = {i: first + n for n, i in enumerate(constants)}
        tensors = _tables(
            b,
            [
                self._tensor(b, t, buffers.get(i if t.shares is None else t.shares, 0))
                for i, t in enumerate(self.tensors)
            ],
        )
        operators = _tables(b, [self._operator(b, o, codes) for o in self.operators])
        inputs_at, outputs_at = _numbers(b, inputs, np.int32), _numbers(b, outputs, np.int32)
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, tensors)
        tflite.SubGraphAddInputs(b, inputs_at)
        tflite.SubGraphAddOutputs(b, outputs_at)
        tflite.SubGraphAddOperators(b, operators)
        return tflite.SubGraphEnd(b)

    @staticmethod
    def _buffer(b: flatbuffers.Builder, raw: bytes) -> int:
        data = 0
        if raw:
            b.StartVector(1, len(raw), 16)
            b.head -= len(raw)
            b.Bytes[b.head : b.head + len(raw)] = raw
            data = b.EndVector()
        tflite.BufferStart(b)
        if raw:
            tflite.BufferAddData(b, data)
        return tflite.BufferEnd(b)

    @staticmethod
    def _code(b: flatbuffers.Builder, name: str, custom: str, old: bool) -> int:
        code = getattr(tflite.BuiltinOperator, name)
        text = b.CreateString(custom) if custom else 0
        tflite.OperatorCodeStart(b)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(code, 127))
        if not old:
            tflite.OperatorCodeAddBuiltinCode(b, code)
        if custom:
            tflite.OperatorCodeAddCustomCode(b, text)
        tflite.OperatorCodeAddVersion(b, VERSIONS.get(name, 1))
        return tflite.OperatorCodeEnd(b)

    @staticmethod
    def _tensor(b: flatbuffers.Builder, t: _Tensor, buffer: int) -> int:
        quantization = 0
        if t.scale:
            scale = _numbers(b, t.scale, np.float32)
            zero_point = _numbers(b, t.zero_point, np.int64)
            tflite.QuantizationParametersStart(b)
            tflite.QuantizationParametersAddScale(b, scale)
            tflite.QuantizationParametersAddZeroPoint(b, zero_point)
            tflite.QuantizationParametersAddQuantizedDimension(b, t.axis)
            quantization = tflite.QuantizationParametersEnd(b)
        name, shape = b.CreateString(t.name), _numbers(b, t.shape, np.int32)
        signature = 0 if t.signature is None else _numbers(b, t.signature, np.int32)
        tflite.TensorStart(b)
        tflite.TensorAddShape(b, shape)
        tflite.TensorAddType(b, getattr(tflite.TensorType, t.dtype.upper()))
        tflite.TensorAddBuffer(b, buffer)
        tflite.TensorAddName(b, name)
        if quantization:
            tflite.TensorAddQuantization(b, quantization)
        tflite.TensorAddIsVariable(b, t.is_variable)
        if t.signature is not None:
            tflite.TensorAddShapeSignature(b, signature)
        return tflite.TensorEnd(b)

    @staticmethod
    def _operator(b: flatbuffers.Builder, o: _Operator, codes: list[tuple[str, str]]) -> int:
        options = None if o.options is None or o.name not in OPTIONS else OPTIONS[o.name]
        table = 0 if options is None else _options(b, options, o.options or {})
        inputs, outputs = _numbers(b, o.inputs, np.int32), _numbers(b, o.outputs, np.int32)
        between = _numbers(b, o.intermediates, np.int32) if o.intermediates else 0
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, codes.index((o.name, o.custom or "")))
        tflite.OperatorAddInputs(b, inputs)
        tflite.OperatorAddOutputs(b, outputs)
        if o.intermediates:
            tflite.OperatorAddIntermediates(b, between)
        if options is not None:
            tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, options))
            tflite.OperatorAddBuiltinOptions(b, table)
        return tflite.OperatorEnd(b)


def _options(b: flatbuffers.Builder, kind: str, options: dict[str, Any]) -> int:
    values = {key: _option(b, key, value) for key, value in options.items()}
    getattr(tflite, f"{kind}Start")(b)
    for key, value in values.items():
        getattr(tflite, f"{kind}Add{key}")(b, value)
    return int(getattr(tflite, f"{kind}End")(b))


def _option(b: flatbuffers.Builder, key: str, value: Any) -> Any:
    if isinstance(value, str):
        return getattr(ENUMERATIONS[key], value) if key in ENUMERATIONS else b.CreateString(value)
    return _numbers(b, value, np.int32) if isinstance(value, Sequence) else value


def _numbers(b: flatbuffers.Builder, values: Sequence[Any], dtype: type[np.generic]) -> int:
    return int(b.CreateNumpyVector(np.asarray(values, dtype)))


def _tables(b: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())
