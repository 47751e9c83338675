# SPDX-License-Identifier: Apache-2.0
"""TFLite's operators that move codes or change shapes: one decoder and one line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tflite

from neurovm import operators
from neurovm.converters.tflite_file import MAX_RANK
from neurovm.converters.tflite_raw import ANY, Decoder, Entry, RawOperator, plain
from neurovm.graph import Tensor
from neurovm.operators import Operator


def _pad(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    pairs = raw.constant(tensors, 1, "paddings")
    return operators.Pad(**raw.place, before=pairs[0::2], after=pairs[1::2])


def _pad_value(raw: RawOperator, tensors: Sequence[Tensor]) -> Operator:
    pairs = raw.constant(tensors, 1, "paddings")
    value = tensors[raw.inputs[2]]
    if value.data is None or value.size != 1 or value.dtype not in ("int8", "uint8", "int16"):
        raise raw.unsupported("its value must be one constant int8, uint8 or int16 code")
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


def _mirror_pad(raw: RawOperator, _: Sequence[Tensor]) -> Operator:
    mode = raw.options(tflite.MirrorPadOptions).Mode()
    return operators.MirrorPad(**raw.place, symmetric=mode == tflite.MirrorPadMode.SYMMETRIC)


_OP = tflite.BuiltinOperator
MOVEMENTS: dict[int, Entry] = {
    _OP.BATCH_TO_SPACE_ND: Entry(_batch_to_space, 3, 3),
    _OP.BROADCAST_TO: Entry(plain(operators.BroadcastTo), 2, 2),
    _OP.CONCATENATION: Entry(_concatenation, 1, ANY),
    _OP.DEPTH_TO_SPACE: Entry(_depth_to_space, 1, 1),
    _OP.EXPAND_DIMS: Entry(_expand_dims, 2, 2),
    _OP.FILL: Entry(plain(operators.Fill), 2, 2),
    _OP.GATHER: Entry(_gather, 2, 2),
    _OP.MIRROR_PAD: Entry(_mirror_pad, 2, 2),
    _OP.PACK: Entry(_pack, 1, ANY),
    _OP.PAD: Entry(_pad, 2, 2),
    _OP.PADV2: Entry(_pad_value, 3, 3),
    _OP.RANGE: Entry(plain(operators.Range), 3, 3),
    _OP.RESHAPE: Entry(_reshape, 1, 2),
    _OP.RESIZE_BILINEAR: Entry(
        _resize(operators.ResizeBilinear, tflite.ResizeBilinearOptions), 2, 2
    ),
    _OP.RESIZE_NEAREST_NEIGHBOR: Entry(
        _resize(operators.ResizeNearestNeighbor, tflite.ResizeNearestNeighborOptions), 2, 2
    ),
    _OP.REVERSE_V2: Entry(plain(operators.Reverse), 2, 2),
    _OP.SHAPE: Entry(plain(operators.ShapeOf), 1, 1),
    _OP.SLICE: Entry(_slice, 3, 3),
    _OP.SPACE_TO_BATCH_ND: Entry(_space_to_batch, 3, 3),
    _OP.SPACE_TO_DEPTH: Entry(_space_to_depth, 1, 1),
    _OP.SPLIT: Entry(_split, 2, 2, ANY),
    _OP.SPLIT_V: Entry(_split_v, 3, 3, ANY),
    _OP.SQUEEZE: Entry(_squeeze, 1, 1),
    _OP.STRIDED_SLICE: Entry(_strided_slice, 4, 4),
    _OP.TILE: Entry(plain(operators.Tile), 2, 2),
    _OP.TRANSPOSE: Entry(_transpose, 2, 2),
    _OP.UNPACK: Entry(_unpack, 1, 1, ANY),
}
"""Registration: TFLite's operator → its decoder. One line an operator."""
