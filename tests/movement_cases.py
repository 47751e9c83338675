# SPDX-License-Identifier: Apache-2.0
"""Cases of the operators that move codes or interpolate them, or only change a shape."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from case_net import Case, Net


def one(
    operator: str,
    form: object,
    shape: Sequence[int],
    out: Sequence[int],
    constants: Sequence[Any] = (),
    **options: Any,
) -> Case:
    """One operator on one live input and int32 constants; it changes no scale."""
    net = Net(f"{operator}:{shape}-{form}")
    x = net.input(shape)
    inputs = [x, *(net.integers(f"c{i}", c) for i, c in enumerate(constants))]
    y = net.like(x, out)
    net.writer.operator(operator, inputs, [y], **options)
    return net.case(y)


def shapes() -> Iterator[Case]:
    for axes, out in [((), (4, 5)), ((0,), (4, 1, 5)), ((-2,), (1, 4, 5)), ((0, 2), (4, 5))]:
        yield one("SQUEEZE", axes, (1, 4, 1, 5), out, SqueezeDims=axes)
    for axis, out in [(0, (1, 3, 4)), (1, (3, 1, 4)), (-1, (3, 4, 1)), (2, (3, 4, 1))]:
        yield one("EXPAND_DIMS", axis, (3, 4), out, [axis])


def slices() -> Iterator[Case]:
    shape = (1, 6, 5, 4)
    for begin, size in [((0, 1, 2, 0), (1, 3, 2, 4)), ((0, 0, 4, 1), (1, -1, -1, 2))]:
        out = [n - b if s == -1 else s for n, b, s in zip(shape, begin, size, strict=True)]
        yield one("SLICE", (begin, size), shape, out, [begin, size])
    forms: list[tuple[Any, ...]] = [
        ((0, 1, 0, 0), (1, 6, 5, 4), (1, 2, 1, 1), {}),
        ((0, 5, 4, 0), (1, 0, -6, 4), (1, -1, -2, 1), {}),
        ((0, -2, 0, 1), (1, 9, -1, 3), (1, 1, 3, 1), {}),
        ((0, 2, 2, 2), (0, 4, 4, 4), (1, 1, 1, 1), {"BeginMask": 3, "EndMask": 9}),
        ((0, 5, 0, 0), (0, 0, 0, 0), (1, -2, 1, 1), {"BeginMask": 12, "EndMask": 15}),
        ((0, 3, 0, -1), (1, 4, 5, 4), (1, 1, 1, 1), {"ShrinkAxisMask": 10}),
    ]
    for begin, end, stride, masks in forms:
        out = _strided(shape, begin, end, stride, masks)
        constants = [begin, end, stride]
        yield one("STRIDED_SLICE", constants, shape, out, constants, **masks)


def _strided(
    shape: Sequence[int],
    begin: Sequence[int],
    end: Sequence[int],
    stride: Sequence[int],
    masks: dict[str, int],
) -> tuple[int, ...]:
    cut: list[Any] = []
    for a, (b, e, s) in enumerate(zip(begin, end, stride, strict=True)):
        if masks.get("ShrinkAxisMask", 0) >> a & 1:
            cut.append(b)
            continue
        first = None if masks.get("BeginMask", 0) >> a & 1 else b
        cut.append(slice(first, None if masks.get("EndMask", 0) >> a & 1 else e, s))
    return np.zeros(shape)[tuple(cut)].shape


def splits() -> Iterator[Case]:
    for axis, count in [(3, 2), (1, 3), (-2, 1), (2, 4)]:
        shape = (1, 6, 4, 8)
        net = Net(f"SPLIT:{axis}-{count}")
        x = net.input(shape)
        out = list(shape)
        out[axis] //= count
        ys = [net.like(x, out) for _ in range(count)]
        inputs = [net.integers("axis", axis), x]
        net.writer.operator("SPLIT", inputs, ys, NumSplits=count)
        yield net.case(*ys)
    for axis, sizes in [(1, (1, 5, 4)), (-1, (3, -1))]:
        shape = (1, 10, 7)
        net = Net(f"SPLIT_V:{axis}-{sizes}")
        x = net.input(shape)
        ys = []
        for n in sizes:
            out = list(shape)
            out[axis] = shape[axis] - sum(m for m in sizes if m != -1) if n == -1 else n
            ys.append(net.like(x, out))
        inputs = [x, net.integers("sizes", sizes), net.integers("axis", axis)]
        net.writer.operator("SPLIT_V", inputs, ys, NumSplits=len(sizes))
        yield net.case(*ys)
    for axis in (0, 1, -1):
        shape = (2, 3, 4)
        net = Net(f"UNPACK:{axis}")
        x = net.input(shape)
        out = np.delete(shape, axis).tolist()
        ys = [net.like(x, out) for _ in range(shape[axis])]
        net.writer.operator("UNPACK", [x], ys, Num=shape[axis], Axis=axis)
        yield net.case(*ys)


def joins() -> Iterator[Case]:
    forms = [
        (3, [(1, 3, 4, 2), (1, 3, 4, 5)]),
        (1, [(1, 3, 4), (1, 1, 4), (1, 2, 4)]),
        (-1, [(1, n) for n in (3, 1, 4, 1, 5, 9, 2)]),
        (0, [(1, 6), (2, 6)]),
        (1, [(1, 6)]),
    ]
    for axis, parts in forms:
        net = Net(f"CONCATENATION:{axis}-{parts}")
        xs = [net.input(parts[0])]
        t = net.writer.tensors[xs[0]]
        same = {"scale": t.scale[0], "zero_point": t.zero_point[0]}
        xs += [net.input(p, **same) for p in parts[1:]]
        out = np.concatenate([np.zeros(p) for p in parts], axis=axis).shape
        y = net.like(xs[0], out)
        net.writer.operator("CONCATENATION", xs, [y], Axis=axis, FusedActivationFunction="NONE")
        yield net.case(y)
    net = Net("CONCATENATION:constant")
    x = net.input((1, 4, 3))
    t = net.writer.tensors[x]
    codes = net.codes((1, 2, 3))
    c = net.writer.constant("c", codes, scale=t.scale, zero_point=t.zero_point)
    y = net.like(x, (1, 10, 3))
    net.writer.operator("CONCATENATION", [c, x, x], [y], Axis=1, FusedActivationFunction="NONE")
    yield net.case(y)
    for axis, count in [(0, 2), (1, 3), (-1, 5)]:
        net = Net(f"PACK:{axis}-{count}")
        xs = [net.input((2, 3))]
        t = net.writer.tensors[xs[0]]
        same = {"scale": t.scale[0], "zero_point": t.zero_point[0]}
        xs += [net.input((2, 3), **same) for _ in range(count - 1)]
        y = net.like(xs[0], np.stack([np.zeros((2, 3))] * count, axis=axis).shape)
        net.writer.operator("PACK", xs, [y], ValuesCount=count, Axis=axis)
        yield net.case(y)


def gathers() -> Iterator[Case]:
    forms: list[tuple[int, Any]] = [(1, [3, 0, 0, 5]), (-1, [[2, 1], [0, 0]]), (0, 0), (2, [1])]
    for axis, index in forms:
        out = np.take(np.zeros((1, 6, 3)), index, axis=axis).shape
        yield one("GATHER", (axis, index), (1, 6, 3), out, [index], Axis=axis)
    for order in [(0, 3, 1, 2), (3, 2, 1, 0), (0, 1, 2, 3), (1, 0, 3, 2)]:
        shape = (2, 4, 3, 5)
        yield one("TRANSPOSE", order, shape, [shape[a] for a in order], [order])


def blocks() -> Iterator[Case]:
    for block in (2, 3):
        wide, deep = (2, 6, 12, 2), (2, 6 // block, 12 // block, 2 * block**2)
        yield one("SPACE_TO_DEPTH", block, wide, deep, BlockSize=block)
        yield one("DEPTH_TO_SPACE", block, deep, wide, BlockSize=block)
    forms: list[tuple[Any, ...]] = [
        ((1, 4, 6, 3), (2, 2), ((0, 0), (0, 0)), (4, 2, 3, 3)),
        ((2, 4, 5, 3), (2, 3), ((1, 1), (0, 1)), (12, 3, 2, 3)),
        ((1, 7, 2), (3,), ((0, 2),), (3, 3, 2)),
    ]
    for shape, block, pads, out in forms:
        yield one("SPACE_TO_BATCH_ND", (block, pads), shape, out, [block, pads])
        yield one("BATCH_TO_SPACE_ND", (block, pads), out, shape, [block, pads])


def resizes() -> Iterator[Case]:
    modes: list[dict[str, bool]] = [{}, {"AlignCorners": True}, {"HalfPixelCenters": True}]
    sizes = [(6, 9), (4, 5), (1, 2), (13, 3)]
    for mode, size, shape in itertools.product(modes, sizes, [(1, 4, 5, 2), (2, 7, 1, 3)]):
        out = (shape[0], *size, shape[3])
        form = (size, *mode)
        yield one("RESIZE_NEAREST_NEIGHBOR", form, shape, out, [size], **mode)
        yield one("RESIZE_BILINEAR", form, shape, out, [size], **mode)


def pads() -> Iterator[Case]:
    for shape, pairs in [
        ((1, 4, 5, 2), ((0, 0), (1, 2), (0, 3), (0, 0))),
        ((1, 6), ((0, 0), (2, 1))),
        ((1, 3, 4), ((0, 0), (1, 1), (2, 0))),
        ((1, 2, 2, 3), ((0, 0), (0, 0), (0, 0), (1, 4))),
    ]:
        out = [n + sum(p) for n, p in zip(shape, pairs, strict=True)]
        yield one("PAD", pairs, shape, out, [pairs])
        for value in (-128, 5):
            net = Net(f"PADV2:{shape}-{pairs}-{value}")
            x = net.input(shape)
            t = net.writer.tensors[x]
            quantization = {"scale": t.scale, "zero_point": t.zero_point}
            c = net.writer.constant("value", np.array([value], np.int8), **quantization)
            y = net.like(x, out)
            net.writer.operator("PADV2", [x, net.integers("paddings", pairs), c], [y])
            yield net.case(y)


def repetitions() -> Iterator[Case]:
    for shape, counts in [((1, 2, 3), (1, 2, 3)), ((1, 4, 1, 5), (2, 1, 3, 1)), ((1, 6), (1, 1))]:
        out = [n * k for n, k in zip(shape, counts, strict=True)]
        yield one("TILE", counts, shape, out, [counts])
    for shape, out in [((1, 1, 3), (1, 4, 3)), ((3,), (2, 3)), ((1, 5, 1), (2, 5, 3))]:
        yield one("BROADCAST_TO", out, shape, out, [out])
    for shape, axes in [((1, 4, 5), [1]), ((2, 3, 4, 2), [1, 2]), ((2, 6), [-1])]:
        yield one("REVERSE_V2", axes, shape, shape, [axes])
    forms = [
        ((1, 4, 5, 2), ((0, 0), (1, 2), (0, 3), (0, 0))),
        ((1, 3, 4), ((0, 0), (2, 0), (1, 3))),
    ]
    for (shape, pairs), mode in itertools.product(forms, ["REFLECT", "SYMMETRIC"]):
        out = [n + sum(p) for n, p in zip(shape, pairs, strict=True)]
        yield one("MIRROR_PAD", (pairs, mode), shape, out, [pairs], Mode=mode)


def made() -> Iterator[Case]:
    """Constants made at run time from shapes: the state with which a GRU begins, positions."""
    net = Net("FILL:state")
    x = net.input((1, 4), signature=(-1, 4))
    w = net.writer
    shape = w.tensor("shape", (2,), dtype="int32")
    w.operator("SHAPE", [x], [shape], OutType="INT32")
    t = w.tensors[x]
    code = w.constant("code", np.array(7, np.int8), scale=t.scale, zero_point=t.zero_point)
    state = net.like(x, (1, 4))
    w.operator("FILL", [shape, code], [state])
    y = net.output((1, 4), scale=2 * t.scale[0])
    w.operator("ADD", [x, state], [y], FusedActivationFunction="NONE")
    yield net.case(y)
    net = Net("RANGE:gather")
    x = net.input((1, 9, 2))
    bounds = [net.integers(n, v) for n, v in (("start", 7), ("limit", 0), ("delta", -3))]
    index = net.writer.tensor("index", (3,), dtype="int32")
    net.writer.operator("RANGE", bounds, [index])
    y = net.like(x, (1, 3, 2))
    net.writer.operator("GATHER", [x, index], [y], Axis=1)
    yield net.case(y)


def folded() -> Iterator[Case]:
    """SHAPE → REDUCE_PROD → RESHAPE: how an open shape is flattened."""
    net = Net("REDUCE_PROD:flatten")
    x = net.input((1, 4, 3), signature=(-1, 4, 3))
    shape = net.writer.tensor("shape", (3,), dtype="int32")
    net.writer.operator("SHAPE", [x], [shape], OutType="INT32")
    count = net.writer.tensor("count", (1,), dtype="int32")
    net.writer.operator("REDUCE_PROD", [shape, net.integers("axes", [0])], [count], KeepDims=True)
    y = net.like(x, (12,))
    net.writer.operator("RESHAPE", [x, count], [y])
    yield net.case(y)


FAMILIES: tuple[Callable[[], Iterator[Case]], ...] = (
    shapes,
    slices,
    splits,
    joins,
    gathers,
    blocks,
    resizes,
    pads,
    repetitions,
    made,
    folded,
)
