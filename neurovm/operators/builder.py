# SPDX-License-Identifier: Apache-2.0
"""What a lowering writes: `Layer`, the kernel's layer record with arrays in place of offsets.

Field by field the meaning is that of `nvm_layer` in core_c/include/nvm.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import numpy as np

from neurovm.arithmetic import Multipliers, Requantizer
from neurovm.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from neurovm.arithmetic import Kind as RequantizerKind
    from neurovm.arithmetic import Profile
    from neurovm.graph import Tensor

# fmt: off
Kind = Literal[
    "INPUT", "CONST", "DENSE", "CONV", "DWCONV", "ADD", "AVGPOOL", "MAXPOOL", "MEAN", "MAP",
    "TABLE", "SOFTMAX", "TABLE2", "SOFTMAXQ", "LERP", "L2NORM", "LOGSOFTMAX", "MATMUL",
    "ARGMAX", "STATE", "PAIR", "LSTM", "SVDF", "LOGSOFTMAXQ",
]
# fmt: on
Requant = Literal[
    "NONE", "FP32", "DOUBLE", "SINGLE", "HALFUP", "SHIFT", "AFFINE", "HALF16", "AWAY64", "AWAY32"
]
Neuron = Literal["SD", "IF", "LIF", "SIF"]
Reset = Literal["ZERO", "VALUE", "SUBTRACT"]

Value = int
"""The index of the layer whose codes a tensor holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Geometry of a sliding window: sizes in codes, pairs are (vertical, horizontal)."""

    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]
    groups: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """One layer of a program before it is packed. `inputs` index earlier layers."""

    kind: Kind
    inputs: tuple[Value, ...]
    n: int
    window: Window | None = None
    in_c: int = 0
    rows: int = 0
    columns: int = 0
    out_c: int = 0
    neuron: Neuron = "SD"
    requant: Requant = "NONE"
    zero_in: int = 0
    zero_out: int = 0
    lo: int | None = None
    hi: int | None = None
    """Bounds of the codes; None: those of their type."""
    wide: bool = False
    """Whether its codes are int16. `Builder.emit` finds it where they have their inputs' type."""
    long: bool = False
    """Whether accumulators and bias are int64."""
    weights: NDArray[np.generic] | None = None
    bias: NDArray[np.integer] | None = None
    scale: NDArray[np.generic] | None = None
    shift: NDArray[np.generic] | None = None
    table0: NDArray[np.generic] | None = None
    table1: NDArray[np.generic] | None = None
    theta: int = 0
    reset: Reset = "ZERO"
    reset_value: int = 0
    leak_q16: int = 0
    aux: tuple[int, int] = (0, 0)
    spikes: bool = False
    macs: int = 0
    """Weights one dense run applies (valid taps only)."""
    synapses: int = 0
    """Stored weights."""
    carries: Value | None = None
    """STATE: the layer, earlier or later, whose codes it takes over after a step."""
    state_bytes: int = 0
    """What it carries from one step to the next."""
    acc_bound: int = 0
    """No partial sum of the accumulator exceeds this in magnitude; 0: the kind keeps none."""

    @property
    def bounds(self) -> tuple[int, int]:
        """Lowest and highest code."""
        lowest, highest = (-32768, 32767) if self.wide else (-128, 127)
        return lowest if self.lo is None else self.lo, highest if self.hi is None else self.hi


class Builder(Protocol):
    """What a lowering may ask and do."""

    @property
    def profile(self) -> Profile: ...
    @property
    def tensors(self) -> Sequence[Tensor]: ...
    @property
    def inputs(self) -> Sequence[int]:
        """The network's input tensors."""
        ...

    def value(self, tensor: int) -> Value:
        """The layer that holds a tensor's codes (int8, int16; uint8 as code − 128)."""
        ...

    def emit(self, tensor: int, layer: Layer) -> Value:
        """Append a layer that holds (or, while a tensor takes several, leads to) `tensor`."""
        ...

    def alias(self, tensor: int, value: Value) -> None:
        """The tensor has the codes of an existing layer, in the same order."""
        ...


def requantizer_fields(requantizer: Requantizer, channels: int) -> dict[str, Any]:
    """The fields of a `Layer` that hold a requantizer, its arrays spread to one entry a channel."""
    fields: dict[str, Any] = {
        "requant": requantizer.kind.upper(),
        "zero_out": requantizer.zero_out,
        "lo": requantizer.lo,
        "hi": requantizer.hi,
    }
    if requantizer.bits:
        fields["aux"] = (requantizer.bits, 0)
    if requantizer.scale is not None:
        fields["scale"] = np.broadcast_to(requantizer.scale, channels)
    if requantizer.offset is not None:
        fields["shift"] = np.broadcast_to(requantizer.offset, channels)
    if requantizer.multipliers is not None:
        fields["scale"] = np.broadcast_to(requantizer.multipliers.mantissa, channels)
        fields["shift"] = np.broadcast_to(requantizer.multipliers.exponent, channels)
    return fields


def requantizer_of(layer: Layer) -> Requantizer:
    """The requantizer of a layer that has one: `requantizer_fields` backwards."""
    scale, shift = layer.scale, layer.shift
    multipliers = None
    if layer.requant in ("DOUBLE", "SINGLE", "HALFUP", "HALF16"):
        multipliers = Multipliers(np.asarray(scale, np.int32), np.asarray(shift, np.int32))
        scale = shift = None
    real = np.float64 if layer.requant == "AWAY64" else np.float32
    return Requantizer(
        kind=cast("RequantizerKind", layer.requant.lower()),
        zero_out=layer.zero_out,
        lo=layer.bounds[0],
        hi=layer.bounds[1],
        scale=None if scale is None else np.asarray(scale, real),
        offset=None if shift is None else np.asarray(shift, np.float32),
        multipliers=multipliers,
        bits=layer.aux[0] if layer.requant == "SHIFT" else 0,
        long=layer.requant in ("HALF16", "AWAY64"),
    )


def gather(
    sources: tuple[Value, ...], index: NDArray[np.integer], total: int, fill: int = 0
) -> Layer:
    """A MAP layer: output i is the sources' code `index[i]` of `total`, or `fill` where −1."""
    flat = np.ascontiguousarray(index, np.int32).reshape(-1)
    order = np.argsort(flat, kind="stable")
    targets = order[np.searchsorted(flat[order], 0) :].astype(np.uint32)
    counts = np.bincount(flat[targets], minlength=total)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)
    return Layer(
        kind="MAP",
        inputs=sources,
        n=flat.size,
        zero_out=fill,
        table0=flat,
        table1=offsets,
        weights=targets,
    )


def constant_layer(codes: NDArray[np.generic]) -> Layer:
    """A CONST layer of these codes, of any shape, in C order."""
    flat = signed_codes(np.ascontiguousarray(codes)).reshape(-1)
    wide = flat.dtype == np.int16
    return Layer(kind="CONST", inputs=(), n=flat.size, table0=flat, wide=wide)


def table_layer(source: Value, n: int, tables: NDArray[np.signedinteger], run: int = 1) -> Layer:
    """A TABLE layer: code i of n goes through table (i / run) mod their number.

    The tables' type is that of the codes it makes.
    """
    wide = tables.dtype == np.int16
    aux = (len(tables), run)
    return Layer(kind="TABLE", inputs=(source,), n=n, table0=tables, aux=aux, wide=wide)


def table2_layer(first: Value, second: Value, n: int, table: NDArray[np.int8]) -> Layer:
    """A TABLE2 layer: `table` [256, 256] of the codes of both."""
    return Layer(kind="TABLE2", inputs=(first, second), n=n, table0=table)


def joined(
    builder: Builder, tensor: int, values: Sequence[Value], sizes: Sequence[int]
) -> tuple[Value, ...]:
    """One or two layers that hold the codes of all `values` one after the other."""
    parts = list(zip(values, sizes, strict=True))
    while len(parts) > 2:
        pairs = [parts[i : i + 2] for i in range(0, len(parts), 2)]
        parts = [p[0] if len(p) == 1 else _pair(builder, tensor, p[0], p[1]) for p in pairs]
    return tuple(value for value, _ in parts)


def _pair(
    builder: Builder, tensor: int, first: tuple[Value, int], second: tuple[Value, int]
) -> tuple[Value, int]:
    total = first[1] + second[1]
    return builder.emit(tensor, gather((first[0], second[0]), np.arange(total), total)), total


def signed_codes(codes: NDArray[np.generic]) -> NDArray[np.signedinteger]:
    """Codes as the kernel holds them: int8 and int16 as they are, uint8 as code − 128."""
    if codes.dtype == np.uint8:
        flipped: NDArray[np.int8] = (codes.view(np.uint8) ^ np.uint8(0x80)).view(np.int8)
        return flipped
    if codes.dtype not in (np.int8, np.int16):
        raise ModelError(
            f"values of type {codes.dtype} where int8, uint8 or int16 codes are needed"
        )
    return codes.view(codes.dtype)
