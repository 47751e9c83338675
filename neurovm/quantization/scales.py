# SPDX-License-Identifier: Apache-2.0
"""From the ranges of a float network to the scale and zero point of each of its tensors.

Tensors that operators move, pool or join have one scale: they form a group, whose range spans all
of theirs. int8 is asymmetric (0.0 is the zero point exactly), int16 symmetric, as TFLite has them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.graph import Quantization
from neurovm.passes.formats import SMALLEST_SCALE
from neurovm.quantization.ranges import Span, span_of
from neurovm.quantization.rules import Rule, rule_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from neurovm.converters.tflite_plain import PlainModel, PlainOperator

_CODES = {8: (-128, 127), 16: (-32768, 32767)}
_EMPTY_SCALE = 1.0 / 256
"""Of a tensor that was 0.0 throughout."""
_LARGEST_STEP = 128.0
"""An operator's input step over its output step; XNNPACK takes less than 256."""

CHOOSING = ("MAXIMUM", "MINIMUM")
"""A constant that is ever chosen stands in the output's range; one that never is may be clipped."""


@dataclass(slots=True)
class Group:
    """Tensors of one scale. `fixed`: the range stands in the operator's definition."""

    span: Span
    fixed: bool = False
    symmetric: bool = False
    least_scale: float = 0.0

    def quantization(self, bits: int) -> Quantization:
        """Scale (a float32 value) and zero point at 8 or 16 bits."""
        low, high = self.span.low, self.span.high
        first, last = _CODES[bits]
        zero_point = 0
        if bits == 16 or self.symmetric:
            steps = last + (1 if self.fixed and not self.symmetric else 0)
            scale = max(-low, high) / steps
        else:
            scale = (high - low) / (last - first + (1 if self.fixed else 0))
        if not self.fixed:
            scale = max(scale, self.least_scale) or _EMPTY_SCALE
            scale = max(scale, SMALLEST_SCALE)
        scale = float(np.float32(scale))
        if bits == 8 and not self.symmetric:
            zero_point = int(np.clip(np.rint(first - low / scale), first, last))
        return Quantization(scale=(scale,), zero_point=(zero_point,))


@dataclass(slots=True)
class Scales:
    """Tensor -> its group."""

    model: PlainModel
    _parent: dict[int, int] = field(default_factory=dict)
    _groups: dict[int, Group] = field(default_factory=dict)

    @classmethod
    def choose(cls, model: PlainModel, spans: Mapping[int, Span]) -> Scales:
        """Groups for all tensors of `spans`, by the rules of the operators around them."""
        scales = cls(model)
        for tensor, span in spans.items():
            scales._parent[tensor] = tensor
            scales._groups[tensor] = Group(span)
        for op in model.operators:
            scales._fix(op, rule_of(model, op))
        for op in model.operators:
            scales._join(op, rule_of(model, op))
        for op in model.operators:
            scales._bound_step(op, rule_of(model, op))
        return scales

    def group(self, tensor: int) -> Group:
        return self._groups[self._root(tensor)]

    def __contains__(self, tensor: int) -> bool:
        return tensor in self._parent

    def _root(self, tensor: int) -> int:
        while self._parent[tensor] != tensor:
            self._parent[tensor] = self._parent[self._parent[tensor]]
            tensor = self._parent[tensor]
        return tensor

    def _unite(self, one: int, other: int) -> None:
        a, b = self._root(one), self._root(other)
        if a == b:
            return
        kept, lost = self._groups[a], self._groups.pop(b)
        self._parent[b] = a
        if lost.fixed and not kept.fixed:
            kept.span, kept.fixed = lost.span, True
        elif not kept.fixed:
            kept.span = kept.span.including(lost.span.low, lost.span.high)
        kept.symmetric |= lost.symmetric

    def _fix(self, op: PlainOperator, rule: Rule) -> None:
        """Ranges by definition, and what keeps the scale of its one input."""
        if rule.kind == "fixed":
            self._groups[self._root(op.outputs[0])] = Group(Span(rule.low, rule.high), fixed=True)
        elif rule.kind == "same":
            first, *constants = values(self.model, op, rule)
            for out in op.outputs:
                if first in self and out in self:
                    self._unite(first, out)
            for i in constants:
                self._widen(first, np.asarray(self.model.tensors[i].data))

    def _join(self, op: PlainOperator, rule: Rule) -> None:
        """One scale for several inputs. Those that are fixed are requantized before instead."""
        if rule.kind not in ("joined", "symmetric"):
            return
        out = op.outputs[0]
        if rule.kind == "symmetric":
            self.group(out).symmetric = True
        live = [i for i in values(self.model, op, rule) if i in self]
        constants = [i for i in values(self.model, op, rule) if i not in self]
        if rule.kind == "joined" and live and not constants and self._alike(live):
            for i in live:
                self._unite(i, out)
            return
        for i in live:
            if not self.group(i).fixed:
                self._unite(out, i)
        if op.name in CHOOSING:
            return
        for i in constants:
            self._widen(out, np.asarray(self.model.tensors[i].data))

    def _alike(self, tensors: list[int]) -> bool:
        """Whether all are fixed to one range."""
        groups = [self.group(i) for i in tensors]
        return all(g.fixed and g.span == groups[0].span for g in groups)

    def _widen(self, tensor: int, constants: NDArray[Any]) -> None:
        """Constants join a group's range; a fixed one clips them."""
        if tensor in self and not self.group(tensor).fixed:
            found = span_of(constants)
            group = self.group(tensor)
            group.span = group.span.including(found.low, found.high)

    def _bound_step(self, op: PlainOperator, rule: Rule) -> None:
        """Outputs that hardly vary still get a step that their kernel can requantize to."""
        if op.outputs[0] not in self or self.group(op.outputs[0]).fixed:
            return
        steps = [self._step(i) for i in values(self.model, op, rule)]
        if rule.kind == "weighted":
            w = self.model.tensors[op.inputs[_weights_place(rule)]]
            biggest = 0.0 if w.data is None or not w.size else float(np.abs(w.data).max())
            least = steps[0] * biggest / 127
        elif op.name == "MUL" and len(steps) == 2:
            least = steps[0] * steps[1]
        elif op.name in ("ADD", "SUB"):
            least = max(steps)
        else:
            return
        group = self.group(op.outputs[0])
        group.least_scale = max(group.least_scale, least / _LARGEST_STEP)

    def _step(self, tensor: int) -> float:
        if tensor in self:
            return self.group(tensor).quantization(8).scale[0]
        return constant_group(np.asarray(self.model.tensors[tensor].data)).quantization(8).scale[0]


def _weights_place(rule: Rule) -> int:
    return (rule.data or (0, 1))[1]


def values(model: PlainModel, op: PlainOperator, rule: Rule) -> list[int]:
    """The input tensors whose codes an operator works on: not weights, biases, shapes or axes."""
    if rule.kind == "weighted":
        return [op.inputs[(rule.data or (0,))[0]]]
    return [op.inputs[place] for place in value_places(model, op, rule)]


def value_places(model: PlainModel, op: PlainOperator, rule: Rule) -> Iterator[int]:
    """The places of `values` among an operator's inputs."""
    if rule.kind == "weighted":
        yield (rule.data or (0,))[0]
        return
    for place, i in enumerate(op.inputs):
        if i < 0 or model.tensors[i].dtype != "float32":
            continue
        if rule.data is None or place in rule.data:
            yield place


def constant_group(data: NDArray[Any]) -> Group:
    """A constant operand has a scale of its own."""
    return Group(span_of(data))
