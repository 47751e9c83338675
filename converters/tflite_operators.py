# SPDX-License-Identifier: Apache-2.0
"""TFLite's built-in operators and the classes they become: one decoder and one line in DECODERS
each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tflite

from neurovm import operators
from neurovm.converters.tflite_file import MAX_RANK
from neurovm.errors import ModelError, UnsupportedOperatorError
from neurovm.graph import Tensor
from neurovm.operators import Activation, Operator, Padding

_ACTIVATIONS: dict[int, Activation] = {
    tflite.ActivationFunctionType.NONE: "NONE",
    tflite.ActivationFunctionType.RELU: "RELU",
    tflite.ActivationFunctionType.RELU6: "RELU6",
    tflite.ActivationFunctionType.RELU_N1_TO_1: "RELU_N1_TO_1",
}
_PADDINGS: dict[int, Padding] = {tflite.Padding.SAME: "SAME", tflite.Padding.VALID: "VALID"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RawOperator:
    """An operator as the file has it. `table` is the schema's Operator, indices are checked."""

    file: str
    index: int
    code: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    table: Any

    @property
    def place(self) -> dict[str, Any]:
        """The fields every operator of the graph has."""
        return {
            "index": self.index,
            "source_name": self.name,
            "inputs": self.inputs,
            "outputs": self.outputs,
        }

    def options(self, kind: type[Any]) -> Any:
        """The options of this type; where the file has none, a table whose fields are all
        default.
        """
        table = self.table.BuiltinOptions()
        if table is not None and self.table.BuiltinOptionsType() == _OPTION_TYPES[kind]:
            options = kind()
            options.Init(table.Bytes, table.Pos)
            return options
        return _Defaults(kind)

    def activation(self, options: Any) -> Activation:
        code = options.FusedActivationFunction()
        if code not in _ACTIVATIONS:
            raise self.unsupported(
                f"its fused activation is number {code}; "
                f"accepted: {', '.join(_ACTIVATIONS.values())}"
            )
        return _ACTIVATIONS[code]

    def padding(self, options: Any) -> Padding:
        code = options.Padding()
        if code not in _PADDINGS:
            raise self.error(f"padding is number {code}; SAME (0) or VALID (1) is accepted")
        return _PADDINGS[code]

    def constant(self, tensors: Sequence[Tensor], position: int, what: str) -> tuple[int, ...]:
        """The integers of a constant input."""
        tensor = tensors[self.inputs[position]]
        if tensor.data is None:
            raise self.unsupported(f"its {what} are computed at run time; constants are needed")
        if tensor.dtype not in ("int32", "int64"):
            raise self.error(f"its {what} are {tensor.dtype}; int32 or int64 is needed")
        if tensor.size > 2 * MAX_RANK:
            raise self.error(f"{tensor.size} {what}; at most {2 * MAX_RANK} are accepted")
        return tuple(int(n) for n in tensor.data.reshape(-1))

    def number(self, tensors: Sequence[Tensor], position: int, what: str) -> int:
        """The one integer of a constant input."""
        found = self.constant(tensors, position, what)
        if len(found) != 1:
            raise self.error(f"{len(found)} numbers for its {what}; one is needed")
        return found[0]

    def error(self, found: str) -> ModelError:
        return ModelError(f"{self.file}: operator {self.index} ({self.name}): {found}")

    def unsupported(self, needed: str) -> UnsupportedOperatorError:
        return UnsupportedOperatorError(self.file, self.name, self.index, needed)


class _Defaults:
    """Stands for absent options, read as TFLite reads them: every field zero."""

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind

    def __getattr__(self, name: str) -> Callable[[], int]:
        if not hasattr(self._kind, name):
            raise AttributeError(name)
        return lambda: 0


_OPTION_TYPES: dict[type[Any], int] = {
    getattr(tflite, name): number
    for name, number in vars(tflite.BuiltinOptions).items()
    if not name.startswith("_") and number and hasattr(tflite, name)
}

Decoder = Callable[[RawOperator, Sequence[Tensor]], Operator]


@dataclass(frozen=True, slots=True)
class Entry:
    """A decoder, how many inputs the operator may have, and how many outputs at most."""

    decode: Decoder
    fewest: int
    most: int
    outputs: int = 1


def _fused(kind: type[operators.Elementwise], options: type[Any]) -> Decoder:
    """An operator of two inputs with a fused activation."""

    def decode(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
        return kind(**raw.place, activation=raw.activation(raw.options(options)))

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


def _transpose_conv(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    size = raw.constant(tensors, 0, "output sizes")
    if len(size) != 4 or size[0] != tensors[raw.inputs[2]].shape[:1][0]:
        raise raw.error(f"output shape {size}; (N, H, W, C) is needed, N as in its input")
    options = raw.options(tflite.TransposeConvOptions)
    inputs = (raw.inputs[2], raw.inputs[1], *raw.inputs[3:])
    return operators.TransposeConv(
        **raw.place | {"inputs": inputs},
        size=(size[1], size[2]),
        padding=raw.padding(options),
        stride=(options.StrideH(), options.StrideW()),
        activation=raw.activation(options),
    )


def _pad(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    pairs = raw.constant(tensors, 1, "paddings")
    return operators.Pad(**raw.place, before=pairs[0::2], after=pairs[1::2])


def _pad_value(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    pairs = raw.constant(tensors, 1, "paddings")
    value = tensors[raw.inputs[2]]
    if value.data is None or value.size != 1 or value.dtype not in ("int8", "uint8"):
        raise raw.unsupported("its value must be one constant int8 or uint8 code")
    code = int(value.data.reshape(-1)[0])
    return operators.Pad(**raw.place, before=pairs[0::2], after=pairs[1::2], value=code)


def _pairs(flat: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return tuple(zip(flat[0::2], flat[1::2], strict=True))


def _concatenation(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    options = raw.options(tflite.ConcatenationOptions)
    if raw.activation(options) != "NONE":
        raise raw.unsupported("it has a fused activation; none is needed")
    return operators.Concatenation(**raw.place, axis=options.Axis())


def _expand_dims(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    return operators.ExpandDims(**raw.place, axis=raw.number(tensors, 1, "axis"))


def _gather(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    options = raw.options(tflite.GatherOptions)
    if options.BatchDims():
        raise raw.unsupported("it gathers within batches; batch_dims = 0 is needed")
    return operators.Gather(**raw.place, axis=options.Axis())


def _resize(
    kind: type[operators.ResizeBilinear | operators.ResizeNearestNeighbor], table: type[Any]
) -> Decoder:
    """An operator that gives images another size."""

    def decode(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
        size = raw.constant(tensors, 1, "sizes")
        if len(size) != 2:
            raise raw.error(f"sizes {size}; height and width are needed")
        options = raw.options(table)
        return kind(
            **raw.place,
            size=(size[0], size[1]),
            align_corners=bool(options.AlignCorners()),
            half_pixel_centers=bool(options.HalfPixelCenters()),
        )

    return decode


def _slice(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    begin, size = raw.constant(tensors, 1, "begins"), raw.constant(tensors, 2, "sizes")
    return operators.Slice(**raw.place, begin=begin, size=size)


def _space_to_batch(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    block, pads = raw.constant(tensors, 1, "blocks"), raw.constant(tensors, 2, "paddings")
    return operators.SpaceToBatchND(**raw.place, block=block, pads=_pairs(pads))


def _batch_to_space(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    block, crops = raw.constant(tensors, 1, "blocks"), raw.constant(tensors, 2, "crops")
    return operators.BatchToSpaceND(**raw.place, block=block, crops=_pairs(crops))


def _space_to_depth(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    block = raw.options(tflite.SpaceToDepthOptions).BlockSize()
    return operators.SpaceToDepth(**raw.place, block=block)


def _depth_to_space(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    block = raw.options(tflite.DepthToSpaceOptions).BlockSize()
    return operators.DepthToSpace(**raw.place, block=block)


def _split(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    return operators.Split(**raw.place, axis=raw.number(tensors, 0, "axis"), data=1)


def _split_v(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    sizes, axis = raw.constant(tensors, 1, "sizes"), raw.number(tensors, 2, "axis")
    return operators.Split(**raw.place, axis=axis, sizes=sizes)


def _squeeze(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    options = raw.options(tflite.SqueezeOptions)
    axes = tuple(int(options.SqueezeDims(i)) for i in range(min(options.SqueezeDimsLength(), 99)))
    return operators.Squeeze(**raw.place, axes=axes)


def _transpose(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    return operators.Transpose(**raw.place, order=raw.constant(tensors, 1, "axes"))


def _unpack(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    return operators.Unpack(**raw.place, axis=raw.options(tflite.UnpackOptions).Axis())


def _reshape(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    if len(raw.inputs) > 1 and raw.inputs[1] != -1 and tensors[raw.inputs[1]].data is not None:
        raw.constant(tensors, 1, "new sizes")
    options = raw.options(tflite.ReshapeOptions)
    rank = options.NewShapeLength()
    if rank > MAX_RANK:
        raise raw.error(f"a new shape of {rank} axes; at most {MAX_RANK} are accepted")
    new_shape = tuple(int(options.NewShape(i)) for i in range(rank))
    return operators.Reshape(**raw.place, new_shape=new_shape or None)


def _softmax(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    return operators.Softmax(**raw.place, beta=float(raw.options(tflite.SoftmaxOptions).Beta()))


def _strided_slice(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    for position, what in enumerate(("begins", "ends", "strides"), 1):
        raw.constant(tensors, position, what)
    options = raw.options(tflite.StridedSliceOptions)
    return operators.StridedSlice(
        **raw.place,
        begin_mask=options.BeginMask(),
        end_mask=options.EndMask(),
        ellipsis_mask=options.EllipsisMask(),
        new_axis_mask=options.NewAxisMask(),
        shrink_axis_mask=options.ShrinkAxisMask(),
        offset=bool(options.Offset()),
    )


def _pack(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    return operators.Pack(**raw.place, axis=raw.options(tflite.PackOptions).Axis())


def _leaky_relu(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    alpha = float(raw.options(tflite.LeakyReluOptions).Alpha())
    return operators.LeakyRelu(**raw.place, alpha=alpha)


def _gelu(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    return operators.Gelu(
        **raw.place, approximate=bool(raw.options(tflite.GeluOptions).Approximate())
    )


def _plain(kind: type[Operator]) -> Decoder:
    """An operator without options."""
    return lambda raw, _: kind(**raw.place)


_ANY = 1 << 10
_OP = tflite.BuiltinOperator
DECODERS: dict[int, Entry] = {
    _OP.ABS: Entry(_plain(operators.Abs), 1, 1),
    _OP.ADD: Entry(_fused(operators.Add, tflite.AddOptions), 2, 2),
    _OP.AVERAGE_POOL_2D: Entry(_average_pool, 1, 1),
    _OP.BATCH_TO_SPACE_ND: Entry(_batch_to_space, 3, 3),
    _OP.CONCATENATION: Entry(_concatenation, 1, _ANY),
    _OP.CONV_2D: Entry(_conv, 2, 3),
    _OP.DEPTHWISE_CONV_2D: Entry(_depthwise, 2, 3),
    _OP.DEPTH_TO_SPACE: Entry(_depth_to_space, 1, 1),
    _OP.DEQUANTIZE: Entry(_plain(operators.Dequantize), 1, 1),
    _OP.DIV: Entry(_fused(operators.Div, tflite.DivOptions), 2, 2),
    _OP.ELU: Entry(_plain(operators.Elu), 1, 1),
    _OP.EXP: Entry(_plain(operators.Exp), 1, 1),
    _OP.EXPAND_DIMS: Entry(_expand_dims, 2, 2),
    _OP.FULLY_CONNECTED: Entry(_fully_connected, 2, 3),
    _OP.GATHER: Entry(_gather, 2, 2),
    _OP.GELU: Entry(_gelu, 1, 1),
    _OP.HARD_SWISH: Entry(_plain(operators.HardSwish), 1, 1),
    _OP.LEAKY_RELU: Entry(_leaky_relu, 1, 1),
    _OP.LOG: Entry(_plain(operators.Log), 1, 1),
    _OP.LOGISTIC: Entry(_plain(operators.Logistic), 1, 1),
    _OP.MAXIMUM: Entry(_plain(operators.Maximum), 2, 2),
    _OP.MAX_POOL_2D: Entry(_max_pool, 1, 1),
    _OP.MEAN: Entry(_reduction(operators.Mean), 2, 2),
    _OP.MINIMUM: Entry(_plain(operators.Minimum), 2, 2),
    _OP.MUL: Entry(_fused(operators.Mul, tflite.MulOptions), 2, 2),
    _OP.NEG: Entry(_plain(operators.Neg), 1, 1),
    _OP.PACK: Entry(_pack, 1, _ANY),
    _OP.PAD: Entry(_pad, 2, 2),
    _OP.PADV2: Entry(_pad_value, 3, 3),
    _OP.PRELU: Entry(_plain(operators.Prelu), 2, 2),
    _OP.QUANTIZE: Entry(_plain(operators.Quantize), 1, 1),
    _OP.REDUCE_MAX: Entry(_reduction(operators.ReduceMax), 2, 2),
    _OP.REDUCE_MIN: Entry(_reduction(operators.ReduceMin), 2, 2),
    _OP.REDUCE_PROD: Entry(_reduction(operators.ReduceProd), 2, 2),
    _OP.RELU6: Entry(_plain(operators.Relu6), 1, 1),
    _OP.RELU: Entry(_plain(operators.Relu), 1, 1),
    _OP.RELU_0_TO_1: Entry(_plain(operators.Relu0To1), 1, 1),
    _OP.RELU_N1_TO_1: Entry(_plain(operators.ReluN1To1), 1, 1),
    _OP.RESHAPE: Entry(_reshape, 1, 2),
    _OP.RESIZE_BILINEAR: Entry(
        _resize(operators.ResizeBilinear, tflite.ResizeBilinearOptions), 2, 2
    ),
    _OP.RESIZE_NEAREST_NEIGHBOR: Entry(
        _resize(operators.ResizeNearestNeighbor, tflite.ResizeNearestNeighborOptions), 2, 2
    ),
    _OP.RSQRT: Entry(_plain(operators.Rsqrt), 1, 1),
    _OP.SHAPE: Entry(_plain(operators.ShapeOf), 1, 1),
    _OP.SLICE: Entry(_slice, 3, 3),
    _OP.SOFTMAX: Entry(_softmax, 1, 1),
    _OP.SPACE_TO_BATCH_ND: Entry(_space_to_batch, 3, 3),
    _OP.SPACE_TO_DEPTH: Entry(_space_to_depth, 1, 1),
    _OP.SPLIT: Entry(_split, 2, 2, _ANY),
    _OP.SPLIT_V: Entry(_split_v, 3, 3, _ANY),
    _OP.SQRT: Entry(_plain(operators.Sqrt), 1, 1),
    _OP.SQUARED_DIFFERENCE: Entry(_plain(operators.SquaredDifference), 2, 2),
    _OP.SQUEEZE: Entry(_squeeze, 1, 1),
    _OP.STRIDED_SLICE: Entry(_strided_slice, 4, 4),
    _OP.SUB: Entry(_fused(operators.Sub, tflite.SubOptions), 2, 2),
    _OP.SUM: Entry(_reduction(operators.Sum), 2, 2),
    _OP.TANH: Entry(_plain(operators.Tanh), 1, 1),
    _OP.TRANSPOSE: Entry(_transpose, 2, 2),
    _OP.TRANSPOSE_CONV: Entry(_transpose_conv, 3, 4),
    _OP.UNPACK: Entry(_unpack, 1, 1, _ANY),
}
"""Registration: TFLite's operator → its decoder. One line an operator."""
