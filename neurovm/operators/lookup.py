# SPDX-License-Identifier: Apache-2.0
"""Operators that passes write, no source: codes through a table, codes as other values, and back.

`neurovm.passes.islands` makes them of what a network computes between two quantizations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from neurovm.arithmetic import Codes, NoExactRuleError, Profile, Reals
from neurovm.operators.base import Operator, Shape
from neurovm.operators.builder import table2_layer, table_layer
from neurovm.operators.elementwise import Elementwise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder


def quantized(
    reals: Reals, profile: Profile, out: Codes, *, edge: bool = False
) -> NDArray[np.int8]:
    """Codes in int8 form of float32 values; NoExactRuleError where a range holds two codes.

    At the `edge` of a network values of any size saturate, whatever the runtime does.
    """
    known = reals.of(profile.name)
    ends = (reals.low, reals.high) if known is None else (known, known)
    try:
        low, high = (profile.quantize(part, out) for part in ends)
    except ValueError as error:
        raise NoExactRuleError("some code makes a value that is not a number") from error
    beyond = not edge and not profile.saturates
    if beyond and any((np.abs(end) >= out.scale * 2.0**31).any() for end in ends):
        raise NoExactRuleError(
            "some code makes a value beyond int32, of which the runtime's code is undefined; a "
            "larger output scale, or values that stay finite, are needed"
        )
    unsure = int((low != high).sum())
    if unsure:
        raise NoExactRuleError(
            f"{unsure} of {low.size} values lie so near to half a step of the output that runtimes "
            f"round them differently; another output scale, or the operator in int8, is needed"
        )
    shift = 128 if out.dtype == "uint8" else 0
    table: NDArray[np.int8] = (low - shift).astype(np.int8)
    return table


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lookup(Operator):
    """y = a function of each code of x, quantized to the codes of y.

    Input: x. `reals` are float32 (tables, 256), or `codes` are y's own, int8 form, where nothing is
    left to quantize; element i takes table (i / run) mod tables.
    """

    name: ClassVar[str] = "Lookup"
    reals: Reals | None = None
    codes: NDArray[np.int8] | None = None
    run: int = 1

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def tables(self, profile: Profile, out: Codes) -> NDArray[np.int8]:
        """int8 (tables, 256)."""
        if self.codes is not None:
            return self.codes
        if self.reals is None:
            raise ValueError("a lookup needs values")
        return quantized(self.reals, profile, out)

    def lower(self, builder: Builder) -> None:
        """A table of 256 entries; a changed code sends where the table's value changes."""
        x, y = builder.tensors[self.inputs[0]], builder.tensors[self.outputs[0]]
        tables = self.tables(builder.profile, y.codes)
        value = builder.value(self.inputs[0])
        builder.emit(self.outputs[0], table_layer(value, x.size, tables, self.run))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LookupPair(Elementwise):
    """y = a function of a code of a and one of b, quantized to the codes of y, broadcast.

    Inputs: a, b. `reals` are float32 (256, 256), or `codes` are y's own as in `Lookup`.
    """

    name: ClassVar[str] = "LookupPair"
    reals: Reals | None = None
    codes: NDArray[np.int8] | None = None

    def table(self, profile: Profile, out: Codes) -> NDArray[np.int8]:
        """int8 (256, 256)."""
        if self.codes is not None:
            return self.codes
        if self.reals is None:
            raise ValueError("a lookup needs values")
        return quantized(self.reals, profile, out)

    def lower(self, builder: Builder) -> None:
        """An element is looked up again when one of its inputs changed, in a table of all pairs."""
        y = builder.tensors[self.outputs[0]]
        table = self.table(builder.profile, y.codes)
        pair = self.spread(builder, 0), self.spread(builder, 1)
        builder.emit(self.outputs[0], table2_layer(*pair, y.size, table))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decode(Operator):
    """y = the value each code of x stands for. Only where y is an output of the network.

    Input: x. `values` [256] have the type of y: float32, int32, int64 or bool.
    """

    name: ClassVar[str] = "Decode"
    values: Any

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def lower(self, builder: Builder) -> None:
        """No layer: the codes leave as they are, and `Model.from_codes` gives their values."""
        builder.alias(self.outputs[0], builder.value(self.inputs[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Encode(Operator):
    """y = the lowest byte of integers x. Only where x is an input of the network."""

    name: ClassVar[str] = "Encode"

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def lower(self, builder: Builder) -> None:
        """From integers at the edge, as values arrive."""
        builder.alias(self.outputs[0], builder.value(self.inputs[0]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodeReal(Operator):
    """y = a function of the real x, quantized. Only where x is a float32 input of the network.

    Input: x. `function` maps float32 to float32 and does not decrease, so that each code begins at
    one value of x.
    """

    name: ClassVar[str] = "EncodeReal"
    function: Callable[[NDArray[np.float32]], NDArray[np.float32]]

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def codes(self, x: NDArray[np.float32], profile: Profile, out: Codes) -> NDArray[np.int8]:
        """Codes in int8 form."""
        with np.errstate(all="ignore"):
            return quantized(Reals.exactly(self.function(x)), profile, out, edge=True)

    def thresholds(self, profile: Profile, out: Codes) -> NDArray[np.float32]:
        """The lowest x of each code but −128; NaN where no x has it or a higher one."""
        wanted = np.arange(-127, 128)
        low, high = (np.full(255, end, np.int64) for end in (-_INFINITY - 1, _INFINITY))
        while (high - low > 1).any():  # Ordinals: low never reaches the code, high does or is ∞.
            middle = (low + high) // 2
            reached = self.codes(_ordinal(middle), profile, out) >= wanted
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
        found = _ordinal(high)
        return np.where(self.codes(found, profile, out) >= wanted, found, np.float32(np.nan))

    def lower(self, builder: Builder) -> None:
        """From float32 at the edge, as values arrive."""
        builder.alias(self.outputs[0], builder.value(self.inputs[0]))


_INFINITY = 0x7F800000
"""The bits of the largest float32."""


def _ordinal(n: NDArray[np.int64]) -> NDArray[np.float32]:
    """The float32 of the n-th place above 0 (below, where n < 0)."""
    size = np.minimum(np.abs(n), _INFINITY).astype(np.uint32).view(np.float32)
    return np.where(n < 0, -size, size)
