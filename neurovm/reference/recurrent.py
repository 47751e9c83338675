# SPDX-License-Identifier: Apache-2.0
"""UnidirectionalSequenceLstm, one step of time after the other, the gates in int16; Svdf.

Sums are taken in float64, where they are exact: |Σ| ≤ inputs · 255 · 128 stays far below 2^53.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.arithmetic import LstmRule, double, wrap32
from neurovm.operators import Svdf, UnidirectionalSequenceLstm
from neurovm.reference.rules import Call, Result, rule

if TYPE_CHECKING:
    from numpy.typing import NDArray

INT16 = (-(1 << 15), (1 << 15) - 1)


@rule(UnidirectionalSequenceLstm)
def lstm(call: Call[UnidirectionalSequenceLstm]) -> Result:
    """Output, and what is remembered: the output code and the cell after the last step of time."""
    operator = call.operator
    how = operator.rule(call.profile, call.tensors)
    w, r = (part.astype(np.float64) for part in operator.weights(call.tensors))
    x = call.steps(0)
    if operator.time_major:
        x = np.swapaxes(x, 1, 2)
    h, c = call.codes(len(operator.inputs) - 2), call.codes(len(operator.inputs) - 1)
    outputs = []
    for time in range(x.shape[2]):
        from_x = (x[:, :, time] @ w).astype(np.int64) + operator.bias(call.tensors)
        from_h = ((h - how.zero_hidden).astype(np.float64) @ r).astype(np.int64)
        h, c = _step(how, from_x, from_h, c)
        outputs.append(h)
    y = np.stack(outputs, axis=1 if operator.time_major else 2)
    return y, h, c


@rule(Svdf)
def svdf(call: Call[Svdf]) -> Result:
    """Output, and the features of this and the steps before, oldest first."""
    operator = call.operator
    how = operator.rule(call.profile, call.tensors)
    feature, time = operator.weights(call.tensors)
    lowest, highest = (-128, 127) if how.narrow else INT16
    x = call.steps(0)
    filters, times = time.shape
    sums = (x @ feature.astype(np.float64)).astype(np.int64)
    newest = np.clip(double(how.multipliers, 0, sums), lowest, highest)
    zero = call.tensor(len(operator.inputs) - 1).zero_point
    if how.narrow:  # the zero point is added after the bounds, and wraps
        newest = (newest + zero).astype(np.int8).astype(np.int64)
    held = call.codes(len(operator.inputs) - 1).reshape(*sums.shape, times)
    held = np.concatenate([held[..., 1:], newest[..., None]], axis=-1)
    total = (
        ((held - zero) * time)
        .sum(axis=-1)
        .reshape(*sums.shape[:-1], -1, operator.rank)
        .sum(axis=-1)
    )
    total = wrap32(total + operator.bias(call.tensors))
    codes = double(how.multipliers, 1, total) + call.out.codes.zero_point
    return np.clip(codes, -128, 127), held.reshape(*held.shape[:-2], filters * times)


def _step(
    how: LstmRule, from_x: NDArray[np.int64], from_h: NDArray[np.int64], c: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The hidden code and the cell from the sums of all gates."""
    units = c.shape[-1]
    gates = []
    for k in range(4):
        part = slice(k * units, (k + 1) * units)
        gate = np.clip(double(how.multipliers, k, from_x[..., part]), *INT16)
        fed_back = double(how.multipliers, 4 + k, from_h[..., part])
        fed_back = np.clip(fed_back, *INT16) if how.stepwise else fed_back
        gates.append(np.clip(gate + fed_back, *INT16))
    i, f, o = (_curve(how.logistic, gates[k]) for k in (0, 1, 3))
    g = _curve(how.tanh, gates[2])
    kept, added = _scaled(how, f * c, 15), _scaled(how, i * g, how.input_shift)
    c = np.clip(kept + added, *INT16)
    if how.clip > 0:
        c = np.clip(c, -how.clip, how.clip)
    product = o * _curve(how.cell_tanh, c)
    return np.clip(double(how.multipliers, 8, product) + how.zero_hidden, -128, 127), c


def _curve(table: NDArray[np.int16], x: NDArray[np.int64]) -> NDArray[np.int64]:
    return table[x + (1 << 15)].astype(np.int64)


def _scaled(how: LstmRule, x: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """x / 2^bits, halves away from zero; stepwise after x / 2 with halves up."""
    if how.stepwise:
        x, bits = (x + 1) >> 1, bits - 1
    result: NDArray[np.int64] = (x + (1 << (bits - 1)) - (x < 0)) >> bits
    return result
