# SPDX-License-Identifier: Apache-2.0
"""TFLite's built-in operators and the classes they become: one decoder and one line in DECODERS
each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tflite

from neurovm import operators
from neurovm.converters.tflite_file import DTYPES
from neurovm.converters.tflite_movements import MOVEMENTS
from neurovm.converters.tflite_raw import Decoder, Entry, RawOperator, plain
from neurovm.converters.tflite_recurrent import RECURRENT
from neurovm.graph import Tensor
from neurovm.operators import Operator


def _fused(kind: type[operators.Elementwise], options: type[Any]) -> Decoder:
    """An operator of two inputs with a fused activation."""

    def decode(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
        return kind(**raw.place, activation=raw.activation(raw.options(options)))

    return decode


def _sum(kind: type[operators.Add | operators.Sub], options: type[Any]) -> Decoder:
    """As `_fused`, with the rule that int16 codes ask for."""

    def decode(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
        found = raw.options(options)
        return kind(
            **raw.place, activation=raw.activation(found), powers=bool(found.PotScaleInt16())
        )

    return decode


def _pool_options(raw: RawOperator) -> dict[str, Any]:
    options = raw.options(tflite.Pool2DOptions)
    return {
        "padding": raw.padding(options),
        "window": (options.FilterHeight(), options.FilterWidth()),
        "stride": (options.StrideH(), options.StrideW()),
        "activation": raw.activation(options),
    }


def _average_pool(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    return operators.AveragePool2D(**raw.place, **_pool_options(raw))


def _max_pool(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    return operators.MaxPool2D(**raw.place, **_pool_options(raw))


def _window_options(raw: RawOperator, options: Any) -> dict[str, Any]:
    return {
        "padding": raw.padding(options),
        "stride": (options.StrideH(), options.StrideW()),
        "dilation": (options.DilationHFactor(), options.DilationWFactor()),
        "activation": raw.activation(options),
    }


def _conv(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    return operators.Conv2D(**raw.place, **_window_options(raw, raw.options(tflite.Conv2DOptions)))


def _depthwise(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    options = raw.options(tflite.DepthwiseConv2DOptions)
    return operators.DepthwiseConv2D(**raw.place, **_window_options(raw, options))


def _fully_connected(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    options = raw.options(tflite.FullyConnectedOptions)
    if options.WeightsFormat() != tflite.FullyConnectedOptionsWeightsFormat.DEFAULT:
        raise raw.unsupported("its weights are shuffled; the default format is needed")
    return operators.FullyConnected(
        **raw.place,
        activation=raw.activation(options),
        keep_num_dims=bool(options.KeepNumDims()),
        bias_type=DTYPES.get(options.QuantizedBiasType(), ""),
    )


def _reduction(kind: type[operators.Reduction]) -> Decoder:
    """An operator that reduces axes."""

    def decode(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
        rank = len(tensors[raw.inputs[0]].shape)
        axes = raw.constant(tensors, 1, "axes")
        if any(not -rank <= a < rank for a in axes):
            raise raw.error(f"axes {axes} do not fit an input of {rank} axes")
        return kind(
            **raw.place,
            axes=tuple(sorted({a % rank for a in axes})),
            keep_dims=bool(raw.options(tflite.ReducerOptions).KeepDims()),
        )

    return decode


def _batch_matmul(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    options = raw.options(tflite.BatchMatMulOptions)
    return operators.BatchMatMul(
        **raw.place, adjoint_a=bool(options.AdjX()), adjoint_b=bool(options.AdjY())
    )


def _arg_max(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    return operators.ArgMax(
        **raw.place | {"inputs": raw.inputs[:1]},
        axis=raw.number(tensors, 1, "axis"),
        smallest=raw.code == tflite.BuiltinOperator.ARG_MIN,
    )


def _transpose_conv(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    options = raw.options(tflite.TransposeConvOptions)
    sizes, w, x, *bias = raw.inputs
    return operators.TransposeConv(
        **raw.place | {"inputs": (x, w, bias[0] if bias else -1, sizes)},
        fixed=tensors[sizes].data is not None,
        padding=raw.padding(options),
        stride=(options.StrideH(), options.StrideW()),
        activation=raw.activation(options),
    )


def _softmax(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    return operators.Softmax(**raw.place, beta=float(raw.options(tflite.SoftmaxOptions).Beta()))


def _l2_normalization(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    if raw.activation(raw.options(tflite.L2NormOptions)) != "NONE":
        raise raw.unsupported("it has a fused activation; none is needed")
    return operators.L2Normalization(**raw.place)


def _leaky_relu(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    alpha = float(raw.options(tflite.LeakyReluOptions).Alpha())
    return operators.LeakyRelu(**raw.place, alpha=alpha)


def _gelu(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    return operators.Gelu(
        **raw.place, approximate=bool(raw.options(tflite.GeluOptions).Approximate())
    )


_OP = tflite.BuiltinOperator
DECODERS: dict[int, Entry] = (
    MOVEMENTS
    | RECURRENT
    | {
        _OP.ABS: Entry(plain(operators.Abs), 1, 1),
        _OP.ADD: Entry(_sum(operators.Add, tflite.AddOptions), 2, 2),
        _OP.ARG_MAX: Entry(_arg_max, 2, 2),
        _OP.ARG_MIN: Entry(_arg_max, 2, 2),
        _OP.AVERAGE_POOL_2D: Entry(_average_pool, 1, 1),
        _OP.BATCH_MATMUL: Entry(_batch_matmul, 2, 2),
        _OP.CAST: Entry(plain(operators.Cast), 1, 1),
        _OP.CEIL: Entry(plain(operators.Ceil), 1, 1),
        _OP.CONV_2D: Entry(_conv, 2, 3),
        _OP.COS: Entry(plain(operators.Cos), 1, 1),
        _OP.DEPTHWISE_CONV_2D: Entry(_depthwise, 2, 3),
        _OP.DEQUANTIZE: Entry(plain(operators.Dequantize), 1, 1),
        _OP.DIV: Entry(_fused(operators.Div, tflite.DivOptions), 2, 2),
        _OP.ELU: Entry(plain(operators.Elu), 1, 1),
        _OP.EQUAL: Entry(plain(operators.Equal), 2, 2),
        _OP.EXP: Entry(plain(operators.Exp), 1, 1),
        _OP.FLOOR: Entry(plain(operators.Floor), 1, 1),
        _OP.FLOOR_DIV: Entry(plain(operators.FloorDiv), 2, 2),
        _OP.FLOOR_MOD: Entry(plain(operators.FloorMod), 2, 2),
        _OP.FULLY_CONNECTED: Entry(_fully_connected, 2, 3),
        _OP.GELU: Entry(_gelu, 1, 1),
        _OP.GREATER: Entry(plain(operators.Greater), 2, 2),
        _OP.GREATER_EQUAL: Entry(plain(operators.GreaterEqual), 2, 2),
        _OP.HARD_SWISH: Entry(plain(operators.HardSwish), 1, 1),
        _OP.L2_NORMALIZATION: Entry(_l2_normalization, 1, 1),
        _OP.LEAKY_RELU: Entry(_leaky_relu, 1, 1),
        _OP.LESS: Entry(plain(operators.Less), 2, 2),
        _OP.LESS_EQUAL: Entry(plain(operators.LessEqual), 2, 2),
        _OP.LOG: Entry(plain(operators.Log), 1, 1),
        _OP.LOGISTIC: Entry(plain(operators.Logistic), 1, 1),
        _OP.LOGICAL_AND: Entry(plain(operators.LogicalAnd), 2, 2),
        _OP.LOGICAL_NOT: Entry(plain(operators.LogicalNot), 1, 1),
        _OP.LOGICAL_OR: Entry(plain(operators.LogicalOr), 2, 2),
        _OP.LOG_SOFTMAX: Entry(plain(operators.LogSoftmax), 1, 1),
        _OP.MAXIMUM: Entry(plain(operators.Maximum), 2, 2),
        _OP.MAX_POOL_2D: Entry(_max_pool, 1, 1),
        _OP.MEAN: Entry(_reduction(operators.Mean), 2, 2),
        _OP.MINIMUM: Entry(plain(operators.Minimum), 2, 2),
        _OP.MUL: Entry(_fused(operators.Mul, tflite.MulOptions), 2, 2),
        _OP.NEG: Entry(plain(operators.Neg), 1, 1),
        _OP.NOT_EQUAL: Entry(plain(operators.NotEqual), 2, 2),
        _OP.PRELU: Entry(plain(operators.Prelu), 2, 2),
        _OP.QUANTIZE: Entry(plain(operators.Quantize), 1, 1),
        _OP.REDUCE_MAX: Entry(_reduction(operators.ReduceMax), 2, 2),
        _OP.REDUCE_MIN: Entry(_reduction(operators.ReduceMin), 2, 2),
        _OP.REDUCE_PROD: Entry(_reduction(operators.ReduceProd), 2, 2),
        _OP.RELU6: Entry(plain(operators.Relu6), 1, 1),
        _OP.RELU: Entry(plain(operators.Relu), 1, 1),
        _OP.RELU_0_TO_1: Entry(plain(operators.Relu0To1), 1, 1),
        _OP.RELU_N1_TO_1: Entry(plain(operators.ReluN1To1), 1, 1),
        _OP.ROUND: Entry(plain(operators.Round), 1, 1),
        _OP.RSQRT: Entry(plain(operators.Rsqrt), 1, 1),
        _OP.SELECT: Entry(plain(operators.Select), 3, 3),
        _OP.SELECT_V2: Entry(plain(operators.Select), 3, 3),
        _OP.SIGN: Entry(plain(operators.Sign), 1, 1),
        _OP.SIN: Entry(plain(operators.Sin), 1, 1),
        _OP.SOFTMAX: Entry(_softmax, 1, 1),
        _OP.SQRT: Entry(plain(operators.Sqrt), 1, 1),
        _OP.SQUARE: Entry(plain(operators.Square), 1, 1),
        _OP.SQUARED_DIFFERENCE: Entry(plain(operators.SquaredDifference), 2, 2),
        _OP.SUB: Entry(_sum(operators.Sub, tflite.SubOptions), 2, 2),
        _OP.SUM: Entry(_reduction(operators.Sum), 2, 2),
        _OP.TANH: Entry(plain(operators.Tanh), 1, 1),
        _OP.TRANSPOSE_CONV: Entry(_transpose_conv, 3, 4),
    }
)
"""Registration: TFLite's operator → its decoder. One line an operator."""

__all__ = ["DECODERS", "RawOperator"]
