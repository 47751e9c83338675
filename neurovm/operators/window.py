# SPDX-License-Identifier: Apache-2.0
"""Geometry of sliding windows (convolutions and pools), as TFLite defines SAME and VALID.

Source of the rule: tensorflow/lite/kernels/padding.h (ComputeOutSize, ComputePaddingHeightWidth).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from neurovm.errors import ModelError
from neurovm.operators.base import Padding
from neurovm.operators.builder import Builder, Layer, Value, Window, gather, joined

if TYPE_CHECKING:
    from neurovm.graph import Tensor


class Windowed(Protocol):
    """An operator with a sliding window."""

    @property
    def index(self) -> int: ...
    @property
    def source_name(self) -> str: ...
    @property
    def inputs(self) -> tuple[int, ...]: ...
    @property
    def outputs(self) -> tuple[int, ...]: ...
    @property
    def padding(self) -> Padding: ...
    @property
    def stride(self) -> tuple[int, int]: ...


MAX_WINDOW = 4096
"""Taps, strides and dilations along one axis: of each."""
MAX_SAMPLES = 512
"""Samples of a batch: each becomes layers of its own."""
MAX_EXTENT = 32767
"""From the first to the last tap of one axis, as the kernel's int16 padding holds it."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a sliding window: `size` outputs; output p, tap t reads stride·p − before +
    dilation·t.
    """

    size: int
    before: int


def axis(length: int, kernel: int, stride: int, dilation: int, padding: Padding) -> Axis:
    """Output size and leading padding along one axis; size ≤ 0 where the window does not fit."""
    extent = (kernel - 1) * dilation + 1
    size = -(-length // stride) if padding == "SAME" else (length + stride - extent) // stride
    total = max((size - 1) * stride + extent - length, 0)
    return Axis(size, total // 2)


def outputs_inside(length: int, size: int, stride: int, offset: int) -> range:
    """The outputs p of `size` whose tap reads inside: 0 ≤ stride·p + offset < length."""
    first = max(-(offset // stride), 0)
    last = min((length - 1 - offset) // stride, size - 1)
    return range(first, max(last + 1, first))


def output_size(
    operator: Windowed,
    image: Sequence[int],
    kernel: Sequence[int],
    dilation: tuple[int, int] = (1, 1),
) -> tuple[int, int]:
    """Height and width of the output; ModelError where strides, dilations or sizes make none."""
    if min(*operator.stride, *dilation, *kernel, *image) < 1:
        raise ModelError(
            f"operator {operator.index} ({operator.source_name}): strides {operator.stride}, "
            f"dilations {dilation}, "
            f"window {tuple(kernel)} and image {tuple(image)} must all be at least 1"
        )
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if max(*operator.stride, *dilation, *kernel) > MAX_WINDOW or max(extents) > MAX_EXTENT:
        raise ModelError(
            f"operator {operator.index} ({operator.source_name}): strides {operator.stride}, "
            f"dilations {dilation}, window {tuple(kernel)}; at most {MAX_WINDOW} each, and windows "
            f"of {MAX_EXTENT} with their dilation, are accepted"
        )
    sizes = [
        axis(n, k, s, d, operator.padding).size
        for n, k, s, d in zip(image, kernel, operator.stride, dilation, strict=True)
    ]
    if min(sizes) < 1:
        raise ModelError(
            f"operator {operator.index} ({operator.source_name}): window {tuple(kernel)} with "
            f"dilation {dilation} "
            f"does not fit image {tuple(image)} with {operator.padding} padding"
        )
    return sizes[0], sizes[1]


def window_of(
    operator: Windowed,
    tensors: Sequence[Tensor],
    kernel: Sequence[int],
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Window:
    """The layer geometry of an operator on one sample of (N, H, W, C)."""
    x, y = tensors[operator.inputs[0]].shape, tensors[operator.outputs[0]].shape
    before = [
        axis(n, k, s, d, operator.padding).before
        for n, k, s, d in zip(x[1:3], kernel, operator.stride, dilation, strict=True)
    ]
    return Window(
        in_shape=(x[1], x[2], x[3]),
        out_shape=(y[1], y[2], y[3]),
        kernel=(kernel[0], kernel[1]),
        stride=operator.stride,
        dilation=dilation,
        before=(before[0], before[1]),
        groups=groups,
    )


def emit_each_sample(
    builder: Builder, operator: Windowed, layer_of: Callable[[Value], Layer]
) -> None:
    """Emit `layer_of(input)` for the one sample of the input, or for each and join the results."""
    x = builder.tensors[operator.inputs[0]]
    if x.shape[0] > MAX_SAMPLES:
        raise ModelError(
            f"operator {operator.index} ({operator.source_name}): {x.shape[0]} samples; "
            f"at most {MAX_SAMPLES}, a layer each, are accepted"
        )
    value, output = builder.value(operator.inputs[0]), operator.outputs[0]
    if x.shape[0] == 1:
        builder.emit(output, layer_of(value))
        return
    positions = np.arange(x.size).reshape(x.shape[0], -1)
    layers = [layer_of(builder.emit(output, gather((value,), p, x.size))) for p in positions]
    parts = [builder.emit(output, layer) for layer in layers]
    source = joined(builder, output, parts, [layer.n for layer in layers])
    total = sum(layer.n for layer in layers)
    builder.emit(output, gather(source, np.arange(total), total))


def taps(window: Window) -> int:
    """Taps that fall inside the image, over all output pixels."""

    def along(i: int) -> int:
        return sum(
            len(
                outputs_inside(
                    window.in_shape[i],
                    window.out_shape[i],
                    window.stride[i],
                    t * window.dilation[i] - window.before[i],
                )
            )
            for t in range(window.kernel[i])
        )

    return along(0) * along(1)
