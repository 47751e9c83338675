# SPDX-License-Identifier: Apache-2.0
"""What the 8-bit form of each operator asks of the scales around it. One line an operator.

Source: the TFLite 8-bit quantization specification
(ai.google.dev/edge/litert/models/quantization_spec), and what LiteRT's kernels check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from neurovm.converters.tflite_plain import PlainModel, PlainOperator

Kind = Literal["weighted", "free", "same", "joined", "fixed", "symmetric", "index"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one operator is quantised.

    `kind`: "weighted" multiplies constant weights and adds a bias; "free" takes any scales; "same"
    keeps the scale of its input; "joined" has one scale for all inputs and the output; "fixed" has
    the output range [`low`, `high`] whatever comes; "symmetric" is "same" with zero point 0;
    "index" gives integers.
    `data`: the inputs that hold values, None: all float ones. For "weighted": place of the input,
    the weights, the bias, and the axis of the weights' output channels.
    `versions`: of the operator with int8 and with int16 activations, 0 where it has no such form.
    """

    kind: Kind
    data: tuple[int, ...] | None = None
    axis: int = 0
    low: float = 0.0
    high: float = 1.0
    versions: tuple[int, int] = (1, 0)


def _weighted(x: int, w: int, bias: int, axis: int, versions: tuple[int, int]) -> Rule:
    return Rule(kind="weighted", data=(x, w, bias), axis=axis, versions=versions)


def _fixed(low: float, high: float, versions: tuple[int, int]) -> Rule:
    return Rule(kind="fixed", low=low, high=high, versions=versions)


def _same(*versions: int, data: tuple[int, ...] = (0,)) -> Rule:
    return Rule(kind="same", data=data, versions=(versions[0], versions[1]))


RULES: dict[str, Rule] = {
    "ARG_MAX": Rule(kind="index", versions=(2, 0)),
    "ABS": Rule(kind="free", versions=(2, 0)),
    "ADD": Rule(kind="free", versions=(2, 3)),
    "AVERAGE_POOL_2D": _same(2, 3),
    "BATCH_MATMUL": Rule(kind="free", versions=(2, 0)),
    "BATCH_TO_SPACE_ND": _same(2, 0),
    "BROADCAST_TO": _same(2, 0),
    "CONCATENATION": Rule(kind="joined", versions=(2, 3)),
    "CONV_2D": _weighted(0, 1, 2, 0, (3, 4)),
    "DEPTHWISE_CONV_2D": _weighted(0, 1, 2, 3, (3, 5)),
    "DEPTH_TO_SPACE": _same(1, 0),
    "DIV": Rule(kind="free", versions=(1, 0)),
    "ELU": Rule(kind="free", versions=(1, 0)),
    "EXP": Rule(kind="free", versions=(2, 0)),
    "EXPAND_DIMS": _same(1, 1),
    "FILL": _same(3, 0, data=(1,)),
    "FULLY_CONNECTED": _weighted(0, 1, 2, 0, (4, 7)),
    "GATHER": _same(2, 0),
    "GELU": Rule(kind="free", versions=(2, 0)),
    "HARD_SWISH": Rule(kind="free", versions=(1, 0)),
    # One whole step beyond the largest code: real = (code + 128) / 256.
    "L2_NORMALIZATION": _fixed(-1.0, 1.0, (2, 0)),
    "LEAKY_RELU": Rule(kind="free", versions=(2, 0)),
    "LOG": Rule(kind="free", versions=(2, 0)),
    "LOGISTIC": _fixed(0.0, 1.0, (2, 3)),
    "LOG_SOFTMAX": _fixed(-16.0, 0.0, (2, 0)),
    "MAXIMUM": Rule(kind="joined", versions=(2, 0)),
    "MAX_POOL_2D": _same(2, 3),
    "MEAN": Rule(kind="free", data=(0,), versions=(2, 3)),
    "MINIMUM": Rule(kind="joined", versions=(2, 0)),
    "MIRROR_PAD": _same(1, 0),
    "MUL": Rule(kind="free", versions=(2, 4)),
    "NEG": Rule(kind="symmetric", data=(0,), versions=(1, 0)),
    "PACK": Rule(kind="joined", versions=(2, 0)),
    "PAD": _same(2, 3),
    "PADV2": _same(2, 0, data=(0, 2)),
    "PRELU": Rule(kind="free", versions=(1, 0)),
    "RANGE": Rule(kind="index"),
    "REDUCE_MAX": _same(2, 0),
    "REDUCE_MIN": _same(2, 0),
    "RELU": Rule(kind="free", versions=(2, 0)),
    "RELU6": Rule(kind="free", versions=(2, 0)),
    "RELU_0_TO_1": Rule(kind="free", versions=(1, 0)),
    "RELU_N1_TO_1": Rule(kind="free", versions=(1, 0)),
    "RESHAPE": _same(1, 1),
    "RESIZE_BILINEAR": _same(2, 0),
    "RESIZE_NEAREST_NEIGHBOR": _same(2, 0),
    "REVERSE_V2": _same(1, 0),
    "RSQRT": Rule(kind="free", versions=(2, 0)),
    "SHAPE": Rule(kind="index"),
    "SLICE": _same(2, 0),
    "SOFTMAX": _fixed(0.0, 1.0, (2, 3)),
    "SPACE_TO_BATCH_ND": _same(2, 0),
    "SPACE_TO_DEPTH": _same(2, 0),
    "SPLIT": _same(2, 0, data=(1,)),
    "SPLIT_V": _same(2, 0),
    "SQRT": Rule(kind="free", versions=(1, 0)),
    "SQUARED_DIFFERENCE": Rule(kind="free", versions=(2, 0)),
    "SQUEEZE": _same(1, 1),
    "STRIDED_SLICE": _same(2, 0),
    "SUB": Rule(kind="free", versions=(2, 3)),
    "SUM": Rule(kind="free", data=(0,), versions=(2, 0)),
    "TANH": _fixed(-1.0, 1.0, (2, 3)),
    "TILE": _same(1, 0),
    "TRANSPOSE": _same(2, 0),
    "TRANSPOSE_CONV": _weighted(2, 1, 3, 0, (3, 0)),
    "UNPACK": _same(2, 0),
}
"""Registration: the schema's operator → what its quantised form asks."""

_INTEGERS = Rule(kind="index", versions=(0, 0))


def find_rule(model: PlainModel, op: PlainOperator) -> Rule | None:
    """The rule of an operator; one that has integers only (shapes, axes) stays as it is."""
    places = [i for i in (*op.inputs, *op.outputs) if i >= 0]
    if all(model.tensors[i].dtype != "float32" for i in places):
        return _INTEGERS
    return RULES.get(op.name)


def rule_of(model: PlainModel, op: PlainOperator) -> Rule:
    """The same, for networks that were checked."""
    rule = find_rule(model, op)
    if rule is None:
        raise ValueError(f"operator {op.index} ({op.name}) has no rule")
    return rule
