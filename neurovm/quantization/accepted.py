# SPDX-License-Identifier: Apache-2.0
"""Which float networks can be quantised here: every operator, its types, weights and constants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurovm.errors import UnsupportedOperatorError
from neurovm.quantization.rules import Rule, find_rule, rule_of
from neurovm.quantization.scales import CHOOSING

if TYPE_CHECKING:
    from neurovm.converters.tflite_plain import PlainModel, PlainOperator
    from neurovm.graph import Tensor


def check_names(model: PlainModel) -> None:
    """UnsupportedOperatorError for the first operator that has no quantised form here."""
    for op in model.operators:
        if find_rule(model, op) is None:
            raise _unsupported(
                model, op, "no 8-bit form of it is made here; a float network without it is needed"
            )


def check(model: PlainModel) -> None:
    """The same, for weights that are computed at run time, and for types that no rule takes."""
    check_names(model)
    for op in model.operators:
        rule = rule_of(model, op)
        _check_types(model, op, rule)
        if rule.kind != "weighted":
            continue
        place = (rule.data or (0, 1))[1]
        if place >= len(op.inputs) or op.inputs[place] < 0:
            raise model.error(op, "no weights; constant ones are needed")
        w = model.tensors[op.inputs[place]]
        if w.data is None:
            raise _unsupported(model, op, f"constant weights; {w.name!r} are computed at run time")
        bias = bias_of(model, op, rule)
        if bias is not None and bias.data is None:
            raise _unsupported(model, op, f"a constant bias; {bias.name!r} is computed at run time")
        if len(w.shape) <= rule.axis:
            raise model.error(op, f"weights of shape {w.shape}; axis {rule.axis} is needed")


def _check_types(model: PlainModel, op: PlainOperator, rule: Rule) -> None:
    """ModelError unless values are float32 and constants are finite."""
    if not op.outputs:
        raise model.error(op, "no output; one is needed")
    if rule.kind == "index":
        return
    given = [op.inputs[p] for p in (rule.data or (0,))[:1] if p < len(op.inputs)]
    for i in (*(given or (-1,)), *op.outputs):
        if i < 0:
            raise model.error(op, "an input is missing")
        if model.tensors[i].dtype != "float32":
            tensor = model.tensors[i]
            raise model.error(op, f"tensor {tensor.name!r} is {tensor.dtype}; float32 is needed")
    for i in op.inputs:
        data = None if i < 0 else model.tensors[i].data
        if data is None or data.dtype != np.float32 or np.isfinite(data).all():
            continue
        if np.isnan(data).any() or op.name not in CHOOSING:
            raise model.error(op, f"NaN or an infinity in constant {model.tensors[i].name!r}")


def _unsupported(model: PlainModel, op: PlainOperator, needed: str) -> UnsupportedOperatorError:
    return UnsupportedOperatorError(model.source.name, op.name, op.index, needed)


def bias_of(model: PlainModel, op: PlainOperator, rule: Rule) -> Tensor | None:
    """The bias of a weighted operator, None where it has none."""
    place = (rule.data or (0, 1, 2))[2]
    if place >= len(op.inputs) or op.inputs[place] < 0:
        return None
    return model.tensors[op.inputs[place]]
