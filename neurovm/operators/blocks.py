# SPDX-License-Identifier: Apache-2.0
"""Movements that work on blocks of an image or around it: pads, space to depth, batch, nearest.

Source of the rules: tensorflow/lite/kernels/internal/reference/{space_to_batch_nd,
batch_to_space_nd,space_to_depth,depth_to_space,pad,resize_nearest_neighbor}.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from neurovm.operators.base import Shape, register
from neurovm.operators.movement import Movement, positions

if TYPE_CHECKING:
    from neurovm.arithmetic import Profile
    from neurovm.graph import Tensor
    from neurovm.operators.movement import Indices

Pairs = tuple[tuple[int, int], ...]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Pad(Movement):
    """y is x with `before[a]` and `after[a]` zeros (real 0.0), or `value`, around axis a.

    TFLite's PAD and PADV2. Inputs: x, paddings (constant), and for PADV2 the value (constant).
    """

    name: ClassVar[str] = "Pad"
    before: tuple[int, ...]
    after: tuple[int, ...]
    value: int | None = None
    """The code that fills, in x's own type; None: the code of 0.0."""

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        x = tensors[self.inputs[0]]
        fits = len(self.before) == len(self.after) == len(x.shape)
        if not fits or min((*self.before, *self.after, 0)) < 0:
            raise self.refused(
                f"paddings {self.before}, {self.after} do not fit input {x.shape}; "
                f"one pair of non-negative numbers an axis is needed"
            )
        return (tuple(b + n + a for b, n, a in zip(self.before, x.shape, self.after, strict=True)),)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        pairs = tuple(zip(self.before, self.after, strict=True))
        return (np.pad(positions(tensors[self.inputs[0]].shape), pairs, constant_values=-1),)

    def fill(self, tensors: Sequence[Tensor], profile: Profile) -> int:
        del profile
        x = tensors[self.inputs[0]]
        if self.value is None:
            return x.codes.as_int8.zero_point
        return self.value - (128 if x.dtype == "uint8" else 0)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceToDepth(Movement):
    """y[n, p, q, (i B + j) C + c] = x[n, p B + i, q B + j, c], B = block. Input: x (N, H, W, C)."""

    name: ClassVar[str] = "SpaceToDepth"
    block: int

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shape = tensors[self.inputs[0]].shape
        if len(shape) != 4 or self.block < 1 or shape[1] % self.block or shape[2] % self.block:
            raise self.refused(f"blocks of {self.block} do not divide {shape}")
        n, h, w, c = shape
        return ((n, h // self.block, w // self.block, c * self.block**2),)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        (shape,) = self.infer_shapes(tensors)
        n, h, w, _ = shape
        index = positions(tensors[self.inputs[0]].shape)
        index = index.reshape(n, h, self.block, w, self.block, -1)
        return (index.transpose(0, 1, 3, 2, 4, 5).reshape(shape),)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DepthToSpace(Movement):
    """The inverse of SpaceToDepth. Input: x (N, H, W, C · block²)."""

    name: ClassVar[str] = "DepthToSpace"
    block: int

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shape = tensors[self.inputs[0]].shape
        if len(shape) != 4 or self.block < 1 or shape[3] % self.block**2:
            raise self.refused(f"blocks of {self.block} do not divide the channels of {shape}")
        n, h, w, c = shape
        return ((n, h * self.block, w * self.block, c // self.block**2),)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        (shape,) = self.infer_shapes(tensors)
        n, h, w, _ = tensors[self.inputs[0]].shape
        index = positions(tensors[self.inputs[0]].shape)
        index = index.reshape(n, h, w, self.block, self.block, -1)
        return (index.transpose(0, 1, 3, 2, 4, 5).reshape(shape),)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceToBatchND(Movement):
    """Every `block`-th element of the padded spatial axes becomes a sample of its own.

    Inputs: x (N, spatial…, rest…), block and paddings (constants). The profile says what code pads.
    """

    name: ClassVar[str] = "SpaceToBatchND"
    block: tuple[int, ...]
    pads: Pairs

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shape = tensors[self.inputs[0]].shape
        spatial = _spatial(self, shape, self.block, self.pads)
        sizes = [n + b + a for n, (b, a) in zip(spatial, self.pads, strict=True)]
        if any(n % k for n, k in zip(sizes, self.block, strict=True)):
            raise self.refused(f"blocks {self.block} do not divide the padded sizes {sizes}")
        samples = int(np.prod(self.block)) * shape[0]
        inner = (n // k for n, k in zip(sizes, self.block, strict=True))
        return ((samples, *inner, *shape[1 + len(self.block) :]),)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        (shape,) = self.infer_shapes(tensors)
        x = tensors[self.inputs[0]].shape
        m = len(self.block)
        rim = ((0, 0), *self.pads, *(((0, 0),) * (len(x) - 1 - m)))
        index = np.pad(positions(x), rim, constant_values=-1)
        split = [part for a in range(m) for part in (shape[1 + a], self.block[a])]
        index = index.reshape(x[0], *split, *x[1 + m :])
        order = (
            *range(2, 2 * m + 1, 2),
            0,
            *range(1, 2 * m, 2),
            *range(2 * m + 1, 2 * m + len(x) - m),
        )
        return (index.transpose(order).reshape(shape),)

    def fill(self, tensors: Sequence[Tensor], profile: Profile) -> int:
        return profile.batch_fill(tensors[self.inputs[0]].codes.as_int8)


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class BatchToSpaceND(Movement):
    """The inverse of SpaceToBatchND; `crops` are taken off the spatial axes afterwards.

    Inputs: x (N · Π block, spatial…, rest…), block and crops (constants).
    """

    name: ClassVar[str] = "BatchToSpaceND"
    block: tuple[int, ...]
    crops: Pairs

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shape = tensors[self.inputs[0]].shape
        spatial = _spatial(self, shape, self.block, self.crops)
        samples = int(np.prod(self.block))
        sizes = tuple(
            n * k - b - a for n, k, (b, a) in zip(spatial, self.block, self.crops, strict=True)
        )
        if shape[0] % samples or min(sizes) < 1:
            raise self.refused(f"blocks {self.block} and crops {self.crops} do not fit {shape}")
        return ((shape[0] // samples, *sizes, *shape[1 + len(self.block) :]),)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        (shape,) = self.infer_shapes(tensors)
        x = tensors[self.inputs[0]].shape
        m = len(self.block)
        index = positions(x).reshape(*self.block, shape[0], *x[1:])
        pairs = [axis for a in range(m) for axis in (m + 1 + a, a)]
        index = index.transpose(m, *pairs, *range(2 * m + 1, m + len(x)))
        whole = [n * k for n, k in zip(x[1 : 1 + m], self.block, strict=True)]
        index = index.reshape(shape[0], *whole, *x[1 + m :])
        ends = [n - a for n, (_, a) in zip(whole, self.crops, strict=True)]
        cut = tuple(slice(b, e) for (b, _), e in zip(self.crops, ends, strict=True))
        whole_batch: tuple[slice, ...] = (slice(None), *cut)
        return (index[whole_batch],)


def _spatial(operator: Movement, shape: Shape, block: tuple[int, ...], pairs: Pairs) -> Shape:
    """The spatial axes that the blocks divide."""
    m = len(block)
    if not 1 <= m == len(pairs) < len(shape) or min(block) < 1 or min(map(min, pairs)) < 0:
        raise operator.refused(f"blocks {block} with {pairs} do not fit {shape}")
    return shape[1 : 1 + m]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeNearestNeighbor(Movement):
    """y[n, p, q] = x[n, r(p), r(q)], r the nearest row or column. Inputs: x, size (constant).

    r(p) = floor(f32((p + ½?) · scale)), rounded half away from zero with `align_corners`, clamped.
    """

    name: ClassVar[str] = "ResizeNearestNeighbor"
    size: tuple[int, int]
    align_corners: bool = False
    half_pixel_centers: bool = False

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shape = tensors[self.inputs[0]].shape
        if len(shape) != 4 or min(self.size) < 1:
            raise self.refused(f"size {self.size} for input {shape}; (N, H, W, C) is needed")
        return ((shape[0], *self.size, shape[3]),)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[Indices, ...]:
        shape = tensors[self.inputs[0]].shape
        rows, columns = (self._nearest(n, m) for n, m in zip(shape[1:3], self.size, strict=True))
        return (positions(shape)[:, rows][:, :, columns],)

    def _nearest(self, length: int, size: int) -> Indices:
        corners = self.align_corners and size > 1
        scale = np.float32(length - corners) / np.float32(size - corners)
        offset = np.float32(0.5) if self.half_pixel_centers else np.float32(0)
        at = (np.arange(size, dtype=np.float32) + offset) * scale
        at = np.floor(at + np.float32(0.5)) if self.align_corners else np.floor(at)
        nearest: Indices = np.clip(at.astype(np.int64), 0, length - 1)
        return nearest
