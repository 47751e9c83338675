# SPDX-License-Identifier: Apache-2.0
"""Every operator in every form that is converted: small int8 models with inputs, enumerated.

`CASES` is a list of `Case`; the same ones go through LiteRT, the oracle and the kernel.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from binary_cases import FAMILIES as BINARY
from case_net import ACTIVATIONS, SAMPLES, Case, Net, image_shape, scale_of
from format_cases import FAMILIES as FORMATS
from island_cases import FAMILIES as ISLANDS
from matmul_cases import FAMILIES as MATMULS
from memory_cases import FAMILIES as MEMORIES
from movement_cases import FAMILIES as MOVEMENTS
from unary_cases import FAMILIES as UNARY
from wide_cases import FAMILIES as WIDE


def fully_connected() -> Iterator[Case]:
    forms = itertools.product(
        [((1, 7), 5), ((1, 64), 10), ((3, 16), 4), ((2, 3, 8), 6), ((1, 1), 1)],
        [None, 0],
        ["bias", "none"],
        ["NONE"],
        [1.0],
    )
    more = [(((1, 24), 9), 0, "bias", a, g) for a in ACTIVATIONS for g in (0.2, 20.0)]
    for (shape, outputs), axis, bias, activation, gain in (*forms, *more):
        net = Net(f"FULLY_CONNECTED:{shape}-{outputs}-{axis}-{bias}-{activation}-{gain}")
        x = net.input(shape)
        w, scales = net.weights((outputs, shape[-1]), axis)
        b = net.bias(outputs, scale_of(net, x), scales, 4000) if bias == "bias" else -1
        keep = len(shape) > 2
        out = (*shape[:-1], outputs)
        y = net.linear_out(out, scale_of(net, x), scales, shape[-1], gain)
        net.writer.operator(
            "FULLY_CONNECTED",
            [x, w, b],
            [y],
            FusedActivationFunction=activation,
            KeepNumDims=keep,
        )
        yield net.case(y)


def _conv(
    name: str,
    shape: Sequence[int],
    kernel: Sequence[int],
    *,
    axis: int | None = 0,
    padding: str = "SAME",
    stride: Sequence[int] = (1, 1),
    dilation: Sequence[int] = (1, 1),
    activation: str = "NONE",
    zero_channel: bool = False,
    gain: float = 1.0,
    bias: bool = True,
) -> Case:
    """A case with a kernel (O, kH, kW, C / groups)."""
    net = Net(name)
    x = net.input(shape)
    w, scales = net.weights(kernel, axis, zero_channel=zero_channel)
    b = net.bias(kernel[0], scale_of(net, x), scales, 3000) if bias else -1
    y = net.linear_out(
        image_shape(shape, kernel[1:3], stride, dilation, padding, kernel[0]),
        scale_of(net, x),
        scales,
        int(np.prod(kernel[1:])),
        gain,
    )
    net.writer.operator(
        "CONV_2D",
        [x, w, b],
        [y],
        Padding=padding,
        StrideH=stride[0],
        StrideW=stride[1],
        DilationHFactor=dilation[0],
        DilationWFactor=dilation[1],
        FusedActivationFunction=activation,
    )
    return net.case(y)


def conv_2d() -> Iterator[Case]:
    shape = (1, 7, 6, 4)
    for padding, stride, dilation, kernel in itertools.product(
        ["SAME", "VALID"], [(1, 1), (2, 2), (1, 2)], [(1, 1), (2, 1)], [(1, 1), (3, 3), (2, 4)]
    ):
        name = f"CONV_2D:{padding}-{stride}-{dilation}-{kernel}"
        options = {"padding": padding, "stride": stride, "dilation": dilation}
        yield _conv(name, shape, (5, *kernel, 4), **options)
    for axis, activation, gain in itertools.product([None, 0], ACTIVATIONS, [0.3, 15.0]):
        name = f"CONV_2D:{axis}-{activation}-{gain}"
        yield _conv(name, shape, (3, 3, 3, 4), axis=axis, activation=activation, gain=gain)
    for zero_axis in (None, 0):
        for activation in ACTIVATIONS:
            name = f"CONV_2D:zero-scale-{zero_axis}-{activation}"
            options = {"axis": zero_axis, "activation": activation, "zero_channel": True}
            yield _conv(name, shape, (4, 3, 3, 4), **options)
    yield _conv("CONV_2D:groups", shape, (6, 3, 3, 2))
    yield _conv("CONV_2D:batch", (3, 5, 5, 2), (4, 3, 3, 2))
    yield _conv("CONV_2D:wide", (1, 1, 20, 3), (4, 1, 5, 3), stride=(1, 3))
    yield _conv("CONV_2D:deep", (1, 3, 3, 160), (8, 3, 3, 160))
    yield _conv("CONV_2D:outside", (1, 4, 1, 3), (4, 2, 2, 3), dilation=(2, 2))


def _depthwise(
    name: str,
    shape: Sequence[int],
    kernel: Sequence[int],
    multiplier: int = 1,
    *,
    axis: int | None = 3,
    padding: str = "SAME",
    stride: Sequence[int] = (1, 1),
    dilation: Sequence[int] = (1, 1),
    activation: str = "NONE",
    zero_channel: bool = False,
    gain: float = 1.0,
) -> Case:
    net = Net(name)
    channels = shape[3] * multiplier
    x = net.input(shape)
    w, scales = net.weights((1, *kernel, channels), axis, zero_channel=zero_channel)
    b = net.bias(channels, scale_of(net, x), scales, 3000)
    y = net.linear_out(
        image_shape(shape, kernel, stride, dilation, padding, channels),
        scale_of(net, x),
        scales,
        int(np.prod(kernel)),
        gain,
    )
    net.writer.operator(
        "DEPTHWISE_CONV_2D",
        [x, w, b],
        [y],
        Padding=padding,
        StrideH=stride[0],
        StrideW=stride[1],
        DilationHFactor=dilation[0],
        DilationWFactor=dilation[1],
        DepthMultiplier=multiplier,
        FusedActivationFunction=activation,
    )
    return net.case(y)


def depthwise_conv_2d() -> Iterator[Case]:
    shape = (1, 7, 6, 3)
    for padding, stride, kernel, multiplier in itertools.product(
        ["SAME", "VALID"], [(1, 1), (2, 2)], [(1, 1), (3, 3), (2, 5)], [1, 2]
    ):
        name = f"DEPTHWISE_CONV_2D:{padding}-{stride}-{kernel}-{multiplier}"
        yield _depthwise(name, shape, kernel, multiplier, padding=padding, stride=stride)
    for axis, activation, gain in itertools.product([None, 3], ACTIVATIONS, [0.3, 15.0]):
        name = f"DEPTHWISE_CONV_2D:{axis}-{activation}-{gain}"
        yield _depthwise(name, shape, (3, 3), axis=axis, activation=activation, gain=gain)
    for activation in ACTIVATIONS:
        name = f"DEPTHWISE_CONV_2D:zero-scale-{activation}"
        yield _depthwise(name, shape, (3, 3), 2, activation=activation, zero_channel=True)
    yield _depthwise("DEPTHWISE_CONV_2D:dilated", shape, (3, 2), 2, dilation=(2, 3))
    yield _depthwise("DEPTHWISE_CONV_2D:one-channel", (1, 9, 9, 1), (3, 3), 8)
    yield _depthwise("DEPTHWISE_CONV_2D:many", (1, 4, 4, 40), (3, 3))
    yield _depthwise("DEPTHWISE_CONV_2D:outside", (1, 4, 1, 3), (2, 2), dilation=(2, 2))


def _transposed(
    name: str,
    shape: Sequence[int],
    kernel: Sequence[int],
    size: Sequence[int],
    *,
    axis: int | None = 0,
    padding: str = "SAME",
    stride: Sequence[int] = (1, 1),
    activation: str = "NONE",
    zero_channel: bool = False,
    bias: bool = True,
) -> Case:
    """A case with a kernel (O, kH, kW, C) and an output of `size`."""
    net = Net(f"TRANSPOSE_CONV:{name}")
    x = net.input(shape)
    w, scales = net.weights(kernel, axis, zero_channel=zero_channel)
    inputs = [net.integers("size", [shape[0], *size, kernel[0]]), w, x]
    if bias:
        inputs.append(net.bias(kernel[0], scale_of(net, x), scales, 3000))
    taps = int(np.prod(kernel[1:]))
    y = net.linear_out((shape[0], *size, kernel[0]), scale_of(net, x), scales, taps, 1.0)
    net.writer.operator(
        "TRANSPOSE_CONV",
        inputs,
        [y],
        Padding=padding,
        StrideH=stride[0],
        StrideW=stride[1],
        FusedActivationFunction=activation,
    )
    return net.case(y)


def transpose_conv() -> Iterator[Case]:
    shape = (1, 4, 5, 3)
    for padding, stride, kernel in itertools.product(
        ["SAME", "VALID"], [(1, 1), (2, 2), (1, 3)], [(1, 1), (3, 3), (2, 4)]
    ):
        size = [
            n * s if padding == "SAME" else (n - 1) * s + max(k, s)
            for n, s, k in zip(shape[1:3], stride, kernel, strict=True)
        ]
        name = f"{padding}-{stride}-{kernel}"
        yield _transposed(name, shape, (4, *kernel, 3), size, padding=padding, stride=stride)
    kernel = (4, 3, 3, 3)
    for axis, activation in itertools.product([None, 0], ACTIVATIONS):
        options = {"axis": axis, "activation": activation, "stride": (2, 2)}
        yield _transposed(f"{axis}-{activation}", shape, kernel, (8, 10), **options)
    yield _transposed("odd", shape, kernel, (7, 9), stride=(2, 2))
    yield _transposed("no-bias", shape, kernel, (8, 10), stride=(2, 2), bias=False)
    for channels in (4, 8, 9, 20):
        wide = (channels, 3, 3, 3)
        yield _transposed(f"zero-scale-{channels}", shape, wide, (4, 5), zero_channel=True)
    yield _transposed("batch", (3, 2, 2, 3), kernel, (4, 4), stride=(2, 2))


def add() -> Iterator[Case]:
    shapes = [
        ((1, 4, 5, 3), (1, 4, 5, 3)),
        ((1, 4, 5, 3), (1, 1, 1, 3)),
        ((1, 6), (1, 1)),
        ((1, 4, 1, 3), (1, 1, 5, 3)),
        ((1, 4, 5, 3), (3,)),
    ]
    for (a, b), activation in itertools.product(shapes, ACTIVATIONS):
        yield _add(f"ADD:{a}-{b}-{activation}", a, b, (1.0, 1.0), activation)
    ratios = [
        (0.5, 0.25),
        (200.0, 1.0),
        (2.0**-10, 1.0),
        (2.0**-11, 1.0),
        (1e-5, 60.0),
        (2.0**-12, 2.0**-13),
    ]
    for pair, activation in itertools.product(ratios, ("NONE", "RELU6")):
        yield _add(f"ADD:ratio-{pair}-{activation}", (1, 300), (1, 300), pair, activation)
    yield _add("ADD:constant", (1, 4, 5, 3), (1, 4, 5, 3), (1.0, 0.7), "NONE", constant=True)
    yield _add("ADD:constant-row", (1, 4, 5, 3), (3,), (1.0, 0.7), "RELU", constant=True)
    net = Net("ADD:self")
    x = net.input((1, 40))
    y = net.output((1, 40))
    net.writer.operator("ADD", [x, x], [y], FusedActivationFunction="NONE")
    yield net.case(y)


def _add(
    name: str,
    a: Sequence[int],
    b: Sequence[int],
    ratios: Sequence[float],
    activation: str,
    constant: bool = False,
) -> Case:
    net = Net(name)
    scale = net.scale()
    scales = [float(np.float32(scale * r)) for r in ratios]
    left = net.input(a, scale=scales[0])
    if constant:
        right = net.writer.constant("c", net.codes(b), scale=scales[1], zero_point=net.zero())
    else:
        right = net.input(b, scale=scales[1])
    y = net.output(np.broadcast_shapes(tuple(a), tuple(b)), scale=scale)
    net.writer.operator("ADD", [left, right], [y], FusedActivationFunction=activation)
    return net.case(y)


def pools() -> Iterator[Case]:
    shape = (1, 7, 6, 5)
    for operator, padding, window, stride, activation in itertools.product(
        ["AVERAGE_POOL_2D", "MAX_POOL_2D"],
        ["SAME", "VALID"],
        [(2, 2), (3, 2), (7, 6)],
        [(1, 1), (2, 3)],
        ["NONE", "RELU6"],
    ):
        net = Net(f"{operator}:{padding}-{window}-{stride}-{activation}")
        x = net.input(shape)
        t = net.writer.tensors[x]
        y = net.output(
            image_shape(shape, window, stride, (1, 1), padding, shape[3]),
            scale=t.scale[0],
            zero_point=t.zero_point[0],
        )
        net.writer.operator(
            operator,
            [x],
            [y],
            Padding=padding,
            StrideH=stride[0],
            StrideW=stride[1],
            FilterHeight=window[0],
            FilterWidth=window[1],
            FusedActivationFunction=activation,
        )
        yield net.case(y)


def reductions() -> Iterator[Case]:
    shape = (1, 4, 5, 6)
    for operator, axes, keep, ratio in itertools.product(
        ["MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"],
        [(1, 2), (3,), (-1, 1), (2,), (1, 2, 3)],
        [True, False],
        [1.0, 0.3, 40.0],
    ):
        ordered = operator.startswith("REDUCE")
        if ordered and ratio != 1:
            continue
        net = Net(f"{operator}:{axes}-{keep}-{ratio}")
        x = net.input(shape)
        reduced = {a % 4 for a in axes}
        out = [1 if i in reduced else n for i, n in enumerate(shape) if keep or i not in reduced]
        gain = ratio / np.prod([shape[a] for a in reduced]) ** (0.5 if operator == "SUM" else 0)
        scale = float(np.float32(scale_of(net, x) / gain))
        y = net.like(x, out) if ordered else net.output(out, scale=scale)
        a = net.writer.constant("axes", np.array(axes, np.int32))
        net.writer.operator(operator, [x, a], [y], KeepDims=keep)
        yield net.case(y)


def reshape() -> Iterator[Case]:
    for shape, wanted, how in [
        ((1, 4, 6), (1, 24), "input"),
        ((1, 4, 6), (2, 3, -1), "input"),
        ((1, 24), (1, 4, 6), "attribute"),
        ((1, 24), (4, 6), "both"),
    ]:
        net = Net(f"RESHAPE:{shape}-{wanted}-{how}")
        x = net.input(shape)
        t = net.writer.tensors[x]
        known = [n if n != -1 else 24 // -int(np.prod(wanted)) for n in wanted]
        y = net.output(known, scale=t.scale[0], zero_point=t.zero_point[0])
        inputs = [x]
        if how != "attribute":
            inputs.append(net.writer.constant("shape", np.array(wanted, np.int32)))
        options = {} if how == "input" else {"NewShape": list(known)}
        net.writer.operator("RESHAPE", inputs, [y], **options)
        yield net.case(y)


def softmax() -> Iterator[Case]:
    for shape, beta, scale in itertools.product(
        [(1, 2), (1, 12), (1, 300), (3, 5), (1, 2, 3, 7)], [1.0, 0.4], [0.02, 0.2, 1.5]
    ):
        net = Net(f"SOFTMAX:{shape}-{beta}-{scale}")
        x = net.input(shape, scale=float(np.float32(scale)))
        y = net.output(shape, scale=1 / 256, zero_point=-128)
        net.writer.operator("SOFTMAX", [x], [y], Beta=beta)
        yield net.case(y)


def rows() -> Iterator[Case]:
    """The other operators that normalize rows."""
    for operator, shape, scale in itertools.product(
        ["LOG_SOFTMAX", "L2_NORMALIZATION"],
        [(1, 2), (1, 12), (1, 300), (3, 5), (1, 2, 3, 7), (1, 2000)],
        [0.02, 0.2, 1.5],
    ):
        net = Net(f"{operator}:{shape}-{scale}")
        x = net.input(shape, scale=float(np.float32(scale)))
        log = operator == "LOG_SOFTMAX"
        y = net.output(shape, scale=1 / 16 if log else 1 / 128, zero_point=127 if log else 0)
        options = {} if log else {"FusedActivationFunction": "NONE"}
        net.writer.operator(operator, [x], [y], **options)
        yield net.case(y)


def quantize() -> Iterator[Case]:
    pairs = [
        ("float32", "int8"),
        ("float32", "uint8"),
        ("int8", "int8"),
        ("uint8", "uint8"),
        ("int8", "uint8"),
        ("uint8", "int8"),
    ]
    for (source, target), size in itertools.product(pairs, [1, 15, 16, 37]):
        for ratio in (
            (1.0, 0.3) if source == "float32" else (0.37, 3.1, 100.0, 2.0**-8, 2.0**-9, 200.0)
        ):
            net = Net(f"QUANTIZE:{source}-{target}-{size}-{ratio}")
            scale = net.scale()
            x = net.input((1, size), dtype=source, scale=scale)
            y = net.output(
                (1, size),
                dtype=target,
                scale=float(np.float32(scale / ratio)),
                zero_point=net.zero(target),
            )
            net.writer.operator("QUANTIZE", [x], [y])
            yield net.case(y)
    for source, target, shift in [("int8", "uint8", 128), ("uint8", "int8", -128)]:
        net = Net(f"QUANTIZE:{source}-{target}-copy")
        x = net.input((1, 40), dtype=source)
        t = net.writer.tensors[x]
        y = net.output((1, 40), dtype=target, scale=t.scale[0], zero_point=t.zero_point[0] + shift)
        net.writer.operator("QUANTIZE", [x], [y])
        yield net.case(y)


def dequantize() -> Iterator[Case]:
    for source in ("int8", "uint8"):
        net = Net(f"DEQUANTIZE:{source}")
        x = net.input((1, 40), dtype=source)
        y = net.writer.tensor("y", (1, 40), dtype="float32")
        net.writer.operator("DEQUANTIZE", [x], [y])
        yield net.case(y)


def networks() -> Iterator[Case]:
    """What exporters write around a network: float or uint8 edges, an open batch, a computed
    shape.
    """
    for dtype in ("float32", "uint8", "int8"):
        net = Net(f"NETWORK:{dtype}")
        x = net.input((1, 6, 6, 2), dtype=dtype, signature=(-1, 6, 6, 2))
        codes = x
        if dtype != "int8":
            codes = net.output((1, 6, 6, 2), signature=(-1, 6, 6, 2))
            net.writer.operator("QUANTIZE", [x], [codes])
        w, scales = net.weights((3, 3, 3, 2), 0)
        b = net.bias(3, scale_of(net, codes), scales, 2000)
        y = net.linear_out((1, 3, 3, 3), scale_of(net, codes), scales, 18, 1.0)
        net.writer.operator(
            "CONV_2D",
            [codes, w, b],
            [y],
            Padding="SAME",
            StrideH=2,
            StrideW=2,
            DilationHFactor=1,
            DilationWFactor=1,
            FusedActivationFunction="RELU",
        )
        flat = _flatten(net, y, 27)
        z = net.output((1, 27), dtype=dtype, **_edge(net, dtype)) if dtype != "int8" else flat
        if dtype != "int8":
            net.writer.operator("QUANTIZE" if dtype == "uint8" else "DEQUANTIZE", [flat], [z])
        yield net.case(z)


def _edge(net: Net, dtype: str) -> dict[str, Any]:
    return {"scale": None} if dtype == "float32" else {"zero_point": net.zero(dtype)}


def _flatten(net: Net, x: int, size: int) -> int:
    """SHAPE → STRIDED_SLICE → PACK → RESHAPE: Keras' Flatten of an open batch."""
    w = net.writer
    t = w.tensors[x]
    shape = w.tensor("shape", (len(t.shape),), dtype="int32")
    w.operator("SHAPE", [x], [shape], OutType="INT32")
    bounds = [
        w.constant(n, np.array([v], np.int32)) for n, v in (("begin", 0), ("end", 1), ("stride", 1))
    ]
    first = w.tensor("first", (), dtype="int32")
    w.operator("STRIDED_SLICE", [shape, *bounds], [first], ShrinkAxisMask=1)
    rest = w.constant("rest", np.array(size, np.int32))
    packed = w.tensor("packed", (2,), dtype="int32")
    w.operator("PACK", [first, rest], [packed], ValuesCount=2, Axis=0)
    flat = w.tensor("flat", (1, size), scale=t.scale, zero_point=t.zero_point, signature=(-1, size))
    w.operator("RESHAPE", [x, packed], [flat])
    return flat


FAMILIES: tuple[Callable[[], Iterator[Case]], ...] = (
    fully_connected,
    conv_2d,
    depthwise_conv_2d,
    add,
    pools,
    reductions,
    transpose_conv,
    reshape,
    softmax,
    rows,
    quantize,
    dequantize,
    networks,
    *MOVEMENTS,
    *UNARY,
    *BINARY,
    *FORMATS,
    *MATMULS,
    *MEMORIES,
    *ISLANDS,
    *WIDE,
)
CASES: list[Case] = [case for family in FAMILIES for case in family()]

__all__ = ["ACTIVATIONS", "CASES", "SAMPLES", "Case", "Net", "image_shape", "scale_of"]
