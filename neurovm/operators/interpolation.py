# SPDX-License-Identifier: Apache-2.0
"""ResizeBilinear: every output is a weighted mean of four codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from neurovm.arithmetic.interpolation import interpolation_integer
from neurovm.errors import ModelError
from neurovm.operators.base import Operator, Shape, register
from neurovm.operators.builder import Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.arithmetic import Interpolation, Profile
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder

MAX_OUTPUTS = 1 << 21
"""Codes of the output: each takes 48 bytes of tables."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeBilinear(Operator):
    """y[n, p, q, c] = the codes of x around row r(p), column r(q), weighted by their nearness.

    Inputs: x (N, H, W, C), size (constant). r(p) = p · scale, or (p + ½) · scale − ½ with half
    pixel centers.
    """

    name: ClassVar[str] = "ResizeBilinear"
    size: tuple[int, int]
    align_corners: bool = False
    half_pixel_centers: bool = False

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        shape = tensors[self.inputs[0]].shape
        if len(shape) != 4 or min(self.size) < 1:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): size {self.size} for input {shape}; "
                f"(N, H, W, C) is needed"
            )
        return ((shape[0], *self.size, shape[3]),)

    def axes(
        self, profile: Profile, tensors: Sequence[Tensor]
    ) -> tuple[Interpolation, Interpolation]:
        """How rows and columns are interpolated; int16 codes as LiteRT's built-in kernel does."""
        x = tensors[self.inputs[0]]
        rule = interpolation_integer if x.dtype == "int16" else profile.interpolation
        rows, columns = (
            rule(n, m, align_corners=self.align_corners, half_pixel_centers=self.half_pixel_centers)
            for n, m in zip(x.shape[1:3], self.size, strict=True)
        )
        return rows, columns

    def lower(self, builder: Builder) -> None:
        """An output is computed again when one of its four codes changed."""
        x, y = builder.tensors[self.inputs[0]], builder.tensors[self.outputs[0]]
        if y.size > MAX_OUTPUTS:
            raise ModelError(
                f"operator {self.index} ({self.source_name}): {y.size} outputs; {MAX_OUTPUTS} at "
                f"most are accepted"
            )
        rows, columns = self.axes(builder.profile, builder.tensors)
        positions = np.arange(x.size, dtype=np.int32).reshape(x.shape)
        sources, weights = [], []
        for row, across in ((rows.lower, False), (rows.upper, True)):
            for column, along in ((columns.lower, False), (columns.upper, True)):
                sources.append(positions[:, row][:, :, column].reshape(-1))
                each = np.outer(_share(rows, across), _share(columns, along))
                weights.append(np.broadcast_to(each[None, :, :, None], y.shape).reshape(-1))
        source = np.stack(sources, axis=-1)
        order = np.argsort(source.reshape(-1), kind="stable")
        counts = np.bincount(source.reshape(-1), minlength=x.size)
        builder.emit(
            self.outputs[0],
            Layer(
                kind="LERP",
                inputs=(builder.value(self.inputs[0]),),
                n=y.size,
                table0=source,
                scale=np.stack(weights, axis=-1).astype(np.int32),
                table1=np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32),
                weights=(order // 4).astype(np.uint32),
                aux=(rows.bits + columns.bits, int(rows.half_away)),
            ),
        )


def _share(axis: Interpolation, upper: bool) -> NDArray[np.int64]:
    """The weights of the lower or the upper codes of an axis."""
    return axis.weight if upper else (1 << axis.bits) - axis.weight
