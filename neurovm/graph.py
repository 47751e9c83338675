# SPDX-License-Identifier: Apache-2.0
"""Graph: the source network in the one intermediate form, integer tensors and named operators.

A graph is immutable; a pass takes one and returns another. Operators stand in execution order,
every tensor has at most one producer, and an operator's inputs are constants, graph inputs or
outputs of earlier operators (`Graph.check`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from neurovm.arithmetic import Codes
from neurovm.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

    from neurovm.operators import Operator

# fmt: off
DType = Literal[
    "int8", "uint8", "int16", "int32", "int64", "float32", "float16", "bool", "int4", "resource",
]
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """real = scale · (code − zero_point), per tensor (length 1) or per channel along `axis`.

    `scale` holds the source's float32 values, exactly representable as Python floats.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int = 0

    @property
    def per_tensor(self) -> bool:
        return len(self.scale) == 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tensor:
    """One value of the network; `data` is set for constants only (C order, dtype as named)."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    quantization: Quantization | None = None
    data: np.ndarray | None = None
    signature: tuple[int, ...] | None = None
    """The shape as the source leaves it open: −1 for an axis of any size; None = `shape` it is."""

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def scale(self) -> float:
        """The per-tensor scale; ModelError where the tensor has none or one per channel."""
        return self._per_tensor().scale[0]

    @property
    def zero_point(self) -> int:
        """The per-tensor zero point; ModelError as for `scale`."""
        return self._per_tensor().zero_point[0]

    @property
    def codes(self) -> Codes:
        """What its codes mean; ModelError unless int8, uint8 or int16, quantized per tensor."""
        if self.dtype not in ("int8", "uint8", "int16"):
            raise ModelError(
                f"tensor {self.name!r} is {self.dtype}; int8, uint8 or int16 codes are needed here"
            )
        return Codes(self.scale, self.zero_point, self.dtype)

    def _per_tensor(self) -> Quantization:
        if self.quantization is None:
            raise ModelError(
                f"tensor {self.name!r} ({self.dtype}) is not quantized; "
                f"int8 with scale and zero point is needed"
            )
        if not self.quantization.per_tensor:
            raise ModelError(
                f"tensor {self.name!r} is quantized per channel where one scale is needed"
            )
        return self.quantization


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """What a network carries from one step to the next.

    In the first step of a stream tensor `read` holds `initial` (its shape and type), in every other
    step what tensor `next` held at the end of the step before.
    """

    name: str
    read: int
    next: int
    initial: np.ndarray
    owner: int | None = None
    """The source index of the operator that keeps it for itself; None: the network does."""

    @property
    def bytes(self) -> int:
        return self.initial.nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a graph came from. `sha256` and `bytes` are those of the file."""

    format: str
    sha256: str
    bytes: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """Tensors, operators in execution order, the indices of the inputs and outputs, and states.

    `tensors[i]` is what the index i means in operators, `inputs` and `outputs`.
    """

    name: str
    source: Source
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    states: tuple[State, ...] = ()
    notes: tuple[str, ...] = field(default=())
    """What passes did to the graph, in words, for `neurovm explain`."""

    def check(self) -> None:
        """Raise ModelError unless the graph is well formed (see the module's first lines)."""
        ready = set(self.inputs) | {i for i, t in enumerate(self.tensors) if t.data is not None}
        ready |= {state.read for state in self.states}
        for operator in self.operators:
            for i in operator.inputs:
                if i != -1 and i not in ready:
                    raise ModelError(
                        f"{self.source.name}: operator {operator.index} ({operator.source_name}) "
                        f"reads tensor {i} before anything produces it; "
                        f"operators must stand in execution order"
                    )
            for i in operator.outputs:
                if i in ready:
                    raise ModelError(
                        f"{self.source.name}: tensor {i} is produced twice "
                        f"(operator {operator.index})"
                    )
                ready.add(i)
        for i in self.outputs:
            if i not in ready:
                raise ModelError(f"{self.source.name}: nothing produces output tensor {i}")
        for state in self.states:
            if state.next not in ready:
                raise ModelError(
                    f"{self.source.name}: nothing produces the next value of {state.name!r}"
                )
