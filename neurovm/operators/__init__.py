# SPDX-License-Identifier: Apache-2.0
"""The operators, one family a file. Names are TFLite's (`FullyConnected`, `Conv2D`, …)."""

from neurovm.operators.base import REGISTRY, Activation, Operator, Padding
from neurovm.operators.elementwise import Add
from neurovm.operators.layout import Pack, Pad, Reshape, ShapeOf, StridedSlice
from neurovm.operators.linear import Conv2D, DepthwiseConv2D, FullyConnected
from neurovm.operators.pooling import AveragePool2D, MaxPool2D, Mean
from neurovm.operators.quantize import Dequantize, Quantize
from neurovm.operators.softmax import Softmax

__all__ = [
    "REGISTRY",
    "Activation",
    "Add",
    "AveragePool2D",
    "Conv2D",
    "DepthwiseConv2D",
    "Dequantize",
    "FullyConnected",
    "MaxPool2D",
    "Mean",
    "Operator",
    "Pack",
    "Pad",
    "Padding",
    "Quantize",
    "Reshape",
    "ShapeOf",
    "Softmax",
    "StridedSlice",
]
