# SPDX-License-Identifier: Apache-2.0
"""Products of two matrices that may both be live: BatchMatMul."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from neurovm.errors import ModelError
from neurovm.operators.base import Operator, Shape, register
from neurovm.operators.builder import Layer, constant_layer, gather, requantizer_fields
from neurovm.operators.weights import check_reach

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.arithmetic import Requantizer
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder, Value


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class BatchMatMul(Operator):
    """y[g, r, c] = Σ_k a[g, r, k] · b[g, k, c], the leading axes g broadcast.

    Inputs: a (…, rows, inner), b (…, inner, columns); with `adjoint_a`, `adjoint_b` the last two
    axes of a, of b stand the other way round.
    """

    name: ClassVar[str] = "BatchMatMul"
    adjoint_a: bool = False
    adjoint_b: bool = False

    def matrices(self, tensors: Sequence[Tensor]) -> tuple[Shape, int, int, int]:
        """Leading axes of the output, rows, inner, columns; ModelError where they do not meet."""
        a, b = (tensors[i].shape for i in self.inputs)
        if min(len(a), len(b)) >= 2:
            rows, inner = a[:-3:-1] if self.adjoint_a else a[-2:]
            other, columns = b[:-3:-1] if self.adjoint_b else b[-2:]
            try:
                leading = np.broadcast_shapes(a[:-2], b[:-2])
            except ValueError:
                leading = None
            if inner == other and leading is not None and min(rows, inner, columns) > 0:
                return leading, rows, inner, columns
        raise ModelError(
            f"operator {self.index} ({self.source_name}): matrices {a} "
            f"{'(transposed) ' * self.adjoint_a}and {b} {'(transposed) ' * self.adjoint_b}do not "
            f"meet; (…, rows, inner) and (…, inner, columns) are needed"
        )

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        leading, rows, _, columns = self.matrices(tensors)
        return ((*leading, rows, columns),)

    def requantizer(self, builder: Builder) -> Requantizer:
        """The profile's rule."""
        a, b = (builder.tensors[i].codes for i in self.inputs)
        return builder.profile.matmul(a, b, builder.tensors[self.outputs[0]].codes)

    def lower(self, builder: Builder) -> None:
        """A change of either matrix adds what it meets in the other to the sums of its row or
        column.

        A matrix that is transposed or broadcast is spread by a MAP layer first.
        """
        leading, rows, inner, columns = self.matrices(builder.tensors)
        a, b = (builder.tensors[i].codes.as_int8 for i in self.inputs)
        n = math.prod((*leading, rows, columns))
        bound = inner * _largest(a.zero_point) * _largest(b.zero_point)
        requantizer = self.requantizer(builder)
        check_reach(requantizer, bound)
        left = self._spread(builder, 0, (*leading, rows, inner), transposed=self.adjoint_a)
        right = self._spread(builder, 1, (*leading, inner, columns), transposed=self.adjoint_b)
        fields = requantizer_fields(requantizer, 1)
        layer = Layer(
            kind="MATMUL",
            inputs=(left, right),
            n=n,
            in_c=inner,
            rows=rows,
            out_c=columns,
            zero_in=a.zero_point,
            macs=n * inner,
            acc_bound=bound,
            **fields | {"aux": (0, b.zero_point + 128)},
        )
        builder.emit(self.outputs[0], layer)

    def _spread(self, builder: Builder, port: int, shape: Shape, *, transposed: bool) -> Value:
        """The layer that holds an input as `shape` has it."""
        tensor = builder.tensors[self.inputs[port]]
        index = spread(np.arange(tensor.size).reshape(tensor.shape), shape, transposed=transposed)
        if index.size == tensor.size and np.array_equal(index.reshape(-1), np.arange(index.size)):
            return builder.value(self.inputs[port])
        if tensor.data is not None:
            return builder.emit(self.outputs[0], constant_layer(tensor.data.reshape(-1)[index]))
        value = builder.value(self.inputs[port])
        return builder.emit(self.outputs[0], gather((value,), index, tensor.size))


def spread(matrices: NDArray[np.int64], shape: Shape, *, transposed: bool) -> NDArray[np.int64]:
    """Matrices with the last two axes turned where asked, their leading axes broadcast."""
    if transposed:
        matrices = np.swapaxes(matrices, -1, -2)
    return np.broadcast_to(matrices, shape)


def _largest(zero_point: int) -> int:
    """How far a code can be from its zero point."""
    return max(127 - zero_point, zero_point + 128)
