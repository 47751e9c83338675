# SPDX-License-Identifier: Apache-2.0
"""The operators, one family a file. Names are TFLite's (`FullyConnected`, `Conv2D`, …)."""

from neurovm.operators.base import REGISTRY, Activation, Operator, Padding
from neurovm.operators.blocks import (
    BatchToSpaceND,
    DepthToSpace,
    Pad,
    ResizeNearestNeighbor,
    SpaceToBatchND,
    SpaceToDepth,
)
from neurovm.operators.elementwise import Add
from neurovm.operators.layout import ExpandDims, ReduceProd, Reshape, ShapeOf, Squeeze
from neurovm.operators.linear import Conv2D, DepthwiseConv2D, FullyConnected
from neurovm.operators.movement import (
    Concatenation,
    Gather,
    Movement,
    Pack,
    Slice,
    Split,
    StridedSlice,
    Transpose,
    Unpack,
)
from neurovm.operators.pooling import AveragePool2D, MaxPool2D, Mean
from neurovm.operators.quantize import Dequantize, Quantize
from neurovm.operators.softmax import Softmax

__all__ = [
    "Activation",
    "Add",
    "AveragePool2D",
    "BatchToSpaceND",
    "Concatenation",
    "Conv2D",
    "DepthToSpace",
    "DepthwiseConv2D",
    "Dequantize",
    "ExpandDims",
    "FullyConnected",
    "Gather",
    "MaxPool2D",
    "Mean",
    "Movement",
    "Operator",
    "Pack",
    "Pad",
    "Padding",
    "Quantize",
    "REGISTRY",
    "ReduceProd",
    "Reshape",
    "ResizeNearestNeighbor",
    "ShapeOf",
    "Slice",
    "Softmax",
    "SpaceToBatchND",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "StridedSlice",
    "Transpose",
    "Unpack",
]
