# SPDX-License-Identifier: Apache-2.0
"""NIR's primitives: which fields each has, and what a field may hold.

Source: NIR 1.0.8 (`nir.ir`); Pedersen et al., Neuromorphic intermediate representation, Nature
Communications 15 (2024) 8122.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.errors import ModelError, UnsupportedOperatorError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.converters.nir_file import RawNode

Shape = tuple[int, ...]
MOST_ELEMENTS = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Fields:
    """What a primitive needs and what it may have."""

    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()


_NEURON_FIELDS = ("v_leak", "v_threshold")
PRIMITIVES: dict[str, Fields] = {
    "Input": Fields(("shape",)),
    "Output": Fields(("shape",)),
    "Affine": Fields(("weight", "bias")),
    "Linear": Fields(("weight",)),
    "Scale": Fields(("scale",)),
    "Conv1d": Fields(
        ("weight", "stride", "padding", "dilation", "groups"), ("bias", "input_shape")
    ),
    "Conv2d": Fields(
        ("weight", "stride", "padding", "dilation", "groups"), ("bias", "input_shape")
    ),
    "SumPool2d": Fields(("kernel_size", "stride", "padding")),
    "AvgPool2d": Fields(("kernel_size", "stride", "padding")),
    "Flatten": Fields(("start_dim", "end_dim"), ("input_type",)),
    "Delay": Fields(("delay",)),
    "Threshold": Fields(("threshold",)),
    "I": Fields(("r",)),
    "IF": Fields(("r", "v_threshold"), ("v_reset",)),
    "LI": Fields(("tau", "r", "v_leak")),
    "LIF": Fields(("tau", "r", *_NEURON_FIELDS), ("v_reset",)),
    "CubaLI": Fields(("tau_syn", "tau_mem", "r", "v_leak"), ("w_in",)),
    "CubaLIF": Fields(("tau_syn", "tau_mem", "r", *_NEURON_FIELDS), ("v_reset", "w_in")),
}
"""Every primitive of NIR 1.0.8 but the graph itself."""

NEURONS = ("Threshold", "I", "IF", "LI", "LIF", "CubaLI", "CubaLIF")
SILENT = ("I", "LI", "CubaLI")
"""Neurons that send their potential, no spikes."""
TIMES = ("tau", "tau_mem", "tau_syn", "delay")
_WHOLE = ("shape", "stride", "dilation", "groups", "kernel_size", "start_dim", "end_dim")
_UNREAD = ("input_type", "input_shape")


@dataclass(frozen=True, slots=True)
class Primitive:
    """One checked node: all numbers finite, time constants above 0."""

    name: str
    type: str
    fields: dict[str, NDArray[Any]]
    padding: str | None = None
    """'same' or 'valid' where the file says so instead of a number."""

    def whole(self, field: str, count: int) -> tuple[int, ...]:
        """An integer field as `count` numbers; one number stands for all."""
        values = [int(v) for v in self.fields[field].reshape(-1)]
        if len(values) not in (1, count):
            raise ModelError(
                f"node {self.name!r} ({self.type}): {field} has {len(values)} numbers; 1 or "
                f"{count} are accepted"
            )
        return tuple(values * count if len(values) == 1 else values)


def checked(name: str, raw: RawNode, source: str, index: int) -> Primitive:
    """The primitive of a raw node; ModelError names node and field.

    source: the file, index: the node's position in it, for messages.
    """
    known = PRIMITIVES.get(raw.type)
    if known is None:
        raise UnsupportedOperatorError(
            source, raw.type, index, f"node {name!r} is no primitive of NIR 1.0.8",
            nearest=f"express it in these: {', '.join(PRIMITIVES)}",
        )  # fmt: skip
    where = f"{source}: node {name!r} ({raw.type})"
    missing = [field for field in known.needed if raw.fields.get(field) is None]
    if missing:
        raise ModelError(f"{where}: {', '.join(missing)} missing")
    fields: dict[str, NDArray[Any]] = {}
    padding: str | None = None
    for field in (*known.needed, *known.optional):
        value = raw.fields.get(field)
        if value is None or field in _UNREAD:
            continue
        if isinstance(value, str):
            if field != "padding" or value not in ("same", "valid") or "Pool" in raw.type:
                raise ModelError(f"{where}: {field} is the text {value[:40]!r}; numbers are needed")
            padding = value
            continue
        fields[field] = _numbers(value, field, where)
    return Primitive(name, raw.type, fields, padding)


def _numbers(value: NDArray[Any], field: str, where: str) -> NDArray[Any]:
    if value.size == 0:
        raise ModelError(f"{where}: {field} has shape {value.shape}: no numbers in it")
    if value.size > MOST_ELEMENTS:
        raise ModelError(f"{where}: {field} has {value.size} numbers; at most {MOST_ELEMENTS}")
    finite = np.isfinite(value)
    if not finite.all():
        raise ModelError(
            f"{where}: {int(value.size - finite.sum())} of {value.size} numbers in {field} are not "
            f"finite (NaN or infinite)"
        )
    if field in TIMES:
        value = as_decimals(value)
        low = 0 if field == "delay" else math.ulp(0.0)
        if value.min() < low:
            accepted = "0 and more" if field == "delay" else "more than 0"
            raise ModelError(f"{where}: {field} is {value.min():g} s; {accepted} is accepted")
    elif field in _WHOLE or field == "padding":
        least = {"start_dim": -64, "end_dim": -64, "padding": 0}.get(field, 1)
        if (value != np.trunc(value)).any() or value.min() < least or value.max() > MOST_ELEMENTS:
            raise ModelError(
                f"{where}: {field} is {value.reshape(-1).tolist()[:8]}; whole numbers from {least} "
                f"are accepted"
            )
    return value


def as_decimals(value: NDArray[Any]) -> NDArray[np.float64]:
    """float32 numbers as the shortest decimals that denote them: 0.0008, not 0.000800000038.

    A time constant is written down in decimals; so 0.0001 / 0.0008 is 1 / 8 again.
    """
    if value.dtype != np.float32:
        return value.astype(np.float64)
    distinct, where = np.unique(value, return_inverse=True)
    decimals = np.array([float(str(v)) for v in distinct], dtype=np.float64)
    return decimals[where].reshape(value.shape)
