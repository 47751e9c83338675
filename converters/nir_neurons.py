# SPDX-License-Identifier: Apache-2.0
"""NIR's neurons as a dialect means them, in the terms of `neurovm.spiking.neurons`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurovm.errors import ModelError
from neurovm.spiking import neurons

if TYPE_CHECKING:
    from neurovm.converters.nir_dialects import Dialect
    from neurovm.converters.nir_primitives import Primitive

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reader:
    """What every neuron of a file is read with."""

    dialect: Dialect
    dt_s: float

    @property
    def dt_us(self) -> float:
        return microseconds(self.dt_s)


def microseconds(seconds: float) -> float:
    """As the decimal that was written: 0.0001 s are 100 µs, not 100.00000000000001."""
    return float(f"{seconds * 1e6:.15g}")


def _microseconds(seconds: Values) -> Values:
    distinct, where = np.unique(seconds, return_inverse=True)
    return np.array([microseconds(s) for s in distinct])[where].reshape(seconds.shape)


def relay(dt_us: float) -> neurons.LIF:
    """Sends on what it hears, spike by spike (at most 127 in a tick)."""
    return neurons.LIF(
        tau_us=dt_us, v_threshold=1.0, fires_at=">=", reset="subtract", spikes="many"
    )


def readout(dt_us: float, bias: Values) -> neurons.LI:
    """Its potential is what it hears in this tick."""
    return neurons.LI(tau_us=dt_us, bias=bias)


def neuron_of(
    reader: Reader,
    node: Primitive,
    shape: tuple[int, ...],
    bias: Values,
    threshold: Primitive | None = None,
) -> neurons.Neuron:
    """The neuron of a node, `bias` (of the population's shape) added to its input.

    threshold: the Threshold behind an I, LI or CubaLI, whose potential it compares; together they
    are a neuron that fires without reset. ModelError names the field that does not fit.
    """
    if node.type == "Threshold":
        return neurons.Threshold(
            v_threshold=_of(node, "threshold", shape), bias=bias, fires_at=reader.dialect.fires_at
        )
    values = {
        key: _of(node, key, shape)
        for key in node.fields
        if key not in ("tau", "tau_mem", "tau_syn")
    }
    if threshold is not None:
        values["v_threshold"] = _of(threshold, "threshold", shape)
    firing = "v_threshold" in values
    fire = _fire(reader, node, values, threshold is not None) if firing else {}
    if node.type in ("I", "IF"):
        gain = _resistance(reader, values) * (
            reader.dt_s if reader.dialect.integrator == "dt" else 1.0
        )
        if not firing:
            return neurons.I(r=gain, bias=bias)
        if reader.dialect.floor:
            fire["v_min"] = _floor(node, values)
        if fire["reset"] == "value":
            fire["v_initial"] = fire["v_reset"]
        return neurons.IF(r=gain, bias=bias, **fire)
    if node.type in ("LI", "LIF"):
        tau_us = _tau(reader, node, "tau", shape)
        r = _gained(reader, node, values, tau_us)
        common: dict[str, Any] = {
            "tau_us": tau_us, "r": r, "v_leak": values["v_leak"], "bias": bias,
            "decay": reader.dialect.decay,
        }  # fmt: skip
        return neurons.LIF(**common, **fire) if firing else neurons.LI(**common)
    common = _cuba(reader, node, values, shape) | {"bias": bias, "decay": reader.dialect.decay}
    return neurons.CubaLIF(**common, **fire) if firing else neurons.CubaLI(**common)


def _of(node: Primitive, field: str, shape: tuple[int, ...]) -> Values:
    """A field with the population's shape."""
    value = node.fields[field].astype(np.float64)
    return np.full(shape, value.reshape(-1)[0]) if value.size == 1 else value.reshape(shape)


def _tau(reader: Reader, node: Primitive, field: str, shape: tuple[int, ...]) -> Values:
    tau = _of(node, field, shape)
    unit = reader.dialect.tau
    if unit == "seconds":
        tau_us = _microseconds(tau)
    elif unit == "ticks":
        tau_us = tau * reader.dt_us
    else:
        tau_us = _microseconds(tau / reader.dt_s)
    ratio = float((reader.dt_us / tau_us).max())
    if reader.dialect.decay == "euler" and ratio > 1 + 1e-9:
        raise ModelError(
            f"node {node.name!r} ({node.type}): {field} of {tau.min():g} is {1 / ratio:.3g} of a "
            f"tick of {reader.dt_s:g} s: 1 − dt/τ is negative; a dt of at most "
            f"{reader.dt_s / ratio:g} s, or decay 'exponential', is accepted"
        )
    return np.maximum(tau_us, reader.dt_us) if reader.dialect.decay == "euler" else tau_us


def _resistance(reader: Reader, values: dict[str, Values]) -> Values:
    heard = reader.dialect.resistance == "file"
    return values["r"] if heard else np.ones_like(values["r"])


def _kappa(reader: Reader, tau_us: Values) -> Values:
    ratio = reader.dt_us / tau_us
    return ratio if reader.dialect.decay == "euler" else -np.expm1(-ratio)


def _gained(reader: Reader, node: Primitive, values: dict[str, Values], tau_us: Values) -> Values:
    r = _resistance(reader, values)
    if reader.dialect.input_gain == "kappa":
        return r
    if values["v_leak"].any():
        raise ModelError(
            f"node {node.name!r} ({node.type}): v_leak is not 0, where weights are added whole "
            f"(input_gain 'one', as sinabs does); 0 is accepted"
        )
    return r / _kappa(reader, tau_us)


def _cuba(
    reader: Reader, node: Primitive, values: dict[str, Values], shape: tuple[int, ...]
) -> dict[str, Any]:
    where = f"node {node.name!r} ({node.type})"
    if reader.dialect.tau == "ticks":
        raise ModelError(f"{where}: sinabs reads no such neuron; dialect 'nir' does")
    if reader.dialect.synapse_leaks and values["v_leak"].any():
        raise ModelError(
            f"{where}: v_leak is not 0: norse leaks the current towards it too, and nothing else "
            f"does; 0, or dialect 'nir', is accepted"
        )
    tau_syn_us = _tau(reader, node, "tau_syn", shape)
    w_in = values.get("w_in", np.ones(shape))
    if reader.dialect.synapse_gain == "one":
        w_in = w_in / _kappa(reader, tau_syn_us)
    return {
        "tau_syn_us": tau_syn_us,
        "tau_mem_us": _tau(reader, node, "tau_mem", shape),
        "r": values["r"],
        "w_in": w_in,
        "v_leak": values["v_leak"],
    }


def _floor(node: Primitive, values: dict[str, Values]) -> float:
    """−v_threshold, as sinabs has it."""
    lowest, highest = float(values["v_threshold"].min()), float(values["v_threshold"].max())
    if lowest != highest or lowest <= 0:
        raise ModelError(
            f"node {node.name!r} ({node.type}): thresholds {lowest:g} … {highest:g}, where v stays "
            f"at or above −v_threshold (floor, as sinabs has it); one threshold above 0 is accepted"
        )
    return -lowest


def _fire(
    reader: Reader, node: Primitive, values: dict[str, Values], without_reset: bool
) -> dict[str, Any]:
    """Threshold and reset as the dialect says."""
    dialect = reader.dialect
    threshold = values["v_threshold"]
    fire: dict[str, Any] = {"v_threshold": threshold, "fires_at": dialect.fires_at}
    kind = "none" if without_reset else dialect.reset
    v_reset = values.get("v_reset", np.zeros_like(threshold))
    if kind == "none":
        return fire | {"reset": "subtract", "v_subtract": 0.0}
    if kind == "file" and v_reset.any():
        if dialect.reset_delay:
            raise ModelError(
                f"node {node.name!r} ({node.type}): reset_delay with v_reset other than 0; reset "
                f"'zero' or 'subtract' is accepted"
            )
        return fire | {"reset": "value", "v_reset": v_reset}
    if kind in ("file", "zero"):
        # A potential that is cleared one tick late is cleared before it is heard of again, but a
        # current-based neuron then loses that tick's current too: it is refractory.
        late = dialect.reset_delay and node.type == "CubaLIF"
        return fire | {"reset": "zero", "refractory_us": reader.dt_us if late else 0.0}
    if (threshold <= 0).any():
        raise ModelError(
            f"node {node.name!r} ({node.type}): a threshold of {threshold.min():g} cannot be "
            f"subtracted; more than 0 is accepted"
        )
    fire |= {"reset": "subtract", "spikes": dialect.spikes}
    if dialect.reset_delay:
        fire["v_subtract"] = threshold / _membrane_leak(reader, node, threshold)
    return fire


def _membrane_leak(reader: Reader, node: Primitive, like: Values) -> Values:
    """λ: what is subtracted one tick late is not leaked, so that much more is subtracted now."""
    if node.type == "IF":
        return np.ones_like(like)
    field = "tau" if node.type == "LIF" else "tau_mem"
    leak = 1 - _kappa(reader, _tau(reader, node, field, like.shape))
    if (leak <= 0).any():
        raise ModelError(
            f"node {node.name!r} ({node.type}): {field} is one tick: nothing of v is left for a "
            f"delayed reset to subtract from; reset_delay False is accepted"
        )
    return leak
