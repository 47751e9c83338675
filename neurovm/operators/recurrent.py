# SPDX-License-Identifier: Apache-2.0
"""Layers that feed back what they remember: LSTM and SVDF.

What they remember stands in the graph as states that they own (`neurovm.graph.State.owner`): the
values of this step are their last inputs, those of the next step their last outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from neurovm.errors import ModelError
from neurovm.operators.base import Activation, Operator, Shape, register
from neurovm.operators.builder import Layer, gather

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.arithmetic import LstmRule, Profile, SvdfRule
    from neurovm.graph import Tensor
    from neurovm.operators.builder import Builder, Value

GATES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrent(Operator):
    """Base of all that keep state of their own."""

    memories: ClassVar[int]
    """How many of its last inputs, and of its last outputs, are states."""

    def refused(self, found: str) -> ModelError:
        return ModelError(f"operator {self.index} ({self.source_name}): {found}")

    def constant(self, tensors: Sequence[Tensor], position: int, dtype: str) -> NDArray[np.generic]:
        """A constant input of one scale without zero point; ModelError for any other."""
        tensor = tensors[self.inputs[position]]
        if tensor.data is None or tensor.dtype != dtype:
            raise self.refused(
                f"{tensor.name!r} is {tensor.dtype}"
                f"{', computed at run time' if tensor.data is None else ''}; constant {dtype} is "
                f"needed (int8 post-training quantization)"
            )
        if dtype != "int32" and (not tensor.scale > 0 or tensor.zero_point):
            raise self.refused(
                f"weights {tensor.name!r} have scale {tensor.scale!r} and zero point "
                f"{tensor.zero_point}; one scale above 0 and zero point 0 are needed"
            )
        return tensor.data


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class UnidirectionalSequenceLstm(Recurrent):
    """c' = σ(f) c + σ(i) tanh(g), y = σ(o) tanh(c') with each of i, f, g, o = W x + R h + b.

    Every step of the input's time axis in turn; h is the y before. h and c are carried on from one
    run of the network to the next. Inputs: x, W and R and b (four each, in the order i, f, g, o),
    h, c. Outputs: y, and h, c after the last step.
    """

    name: ClassVar[str] = "UnidirectionalSequenceLstm"
    memories: ClassVar[int] = 2
    time_major: bool = False
    """x is (time, batch, inputs), not (batch, time, inputs)."""
    cell_clip: float = 0.0
    """c is held in ± this; 0: it is not."""
    hidden_scale: float = 0.0
    """What the source says of h; 0: nothing."""
    hidden_zero_point: int = 0

    def sizes(self, tensors: Sequence[Tensor]) -> tuple[int, int, int, int]:
        """Batches, time steps, inputs and units."""
        x, weights = tensors[self.inputs[0]].shape, tensors[self.inputs[1]].shape
        if len(x) != 3 or len(weights) != 2:
            raise self.refused(f"input {x} and weights {weights}; three axes and two are needed")
        batches, times = (x[1], x[0]) if self.time_major else (x[0], x[1])
        return batches, times, x[2], weights[0]

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        batches, times, inputs, units = self.sizes(tensors)
        wanted = [(units, inputs)] * GATES + [(units, units)] * GATES + [(units,)] * GATES
        wanted += [(batches, units)] * 2
        for i, shape in zip(self.inputs[1:], wanted, strict=True):
            if tensors[i].shape != shape:
                raise self.refused(f"{tensors[i].name!r} is {tensors[i].shape}; {shape} is needed")
        y = (times, batches, units) if self.time_major else (batches, times, units)
        return y, (batches, units), (batches, units)

    def rule(self, profile: Profile, tensors: Sequence[Tensor]) -> LstmRule:
        """The profile's rule; ModelError where scales or types have no exact one."""
        x, y = tensors[self.inputs[0]], tensors[self.outputs[0]]
        h, c = (tensors[i] for i in self.inputs[-2:])
        if (h.dtype, c.dtype) != ("int8", "int16") or c.zero_point:
            raise self.refused(
                f"its states are {h.dtype} and {c.dtype}, zero point {c.zero_point}; int8, and "
                f"int16 with zero point 0, are needed"
            )
        meant = {(t.scale, t.zero_point) for t in (h, y)}
        if self.hidden_scale:
            meant.add((self.hidden_scale, self.hidden_zero_point))
        if len(meant) != 1:
            raise self.refused(
                f"output, output state and hidden scale have {len(meant)} different scales or zero "
                f"points; one is needed"
            )
        cell = math.frexp(c.scale)
        if cell[0] != 0.5 or not -15 <= cell[1] - 1 <= -9:
            raise self.refused(
                f"its cell state has scale {c.scale!r}; a power of two from 2^-15 to 2^-9 is needed"
            )
        return profile.lstm(
            x=x.codes,
            hidden=h.codes,
            weights=[tensors[i].scale for i in self.inputs[1 : 1 + 2 * GATES]],
            cell_power=cell[1] - 1,
            cell_clip=self.cell_clip,
        )

    def weights(self, tensors: Sequence[Tensor]) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """W (inputs, 4 units) and R (units, 4 units), the gates i, f, g, o side by side."""
        parts = [self.constant(tensors, 1 + k, "int8").T for k in range(2 * GATES)]
        return (
            np.concatenate(parts[:GATES], axis=1).view(np.int8),
            np.concatenate(parts[GATES:], axis=1).view(np.int8),
        )

    def bias(self, tensors: Sequence[Tensor]) -> NDArray[np.int32]:
        """int32 of all four gates."""
        parts = [self.constant(tensors, 1 + 2 * GATES + k, "int32") for k in range(GATES)]
        return np.concatenate(parts).view(np.int32)

    def lower(self, builder: Builder) -> None:
        """Two int32 accumulators a gate unit: that of x adds what changed, that of h what changed
        since the last step of time; gates, cell and output follow at every step.
        """
        tensors = builder.tensors
        batches, times, inputs, units = self.sizes(tensors)
        rule = self.rule(builder.profile, tensors)
        w, r = self.weights(tensors)
        bias = self.bias(tensors)
        source = builder.value(self.inputs[0])
        turned = self.time_major and batches > 1 and times > 1
        if turned:
            source = self._turned(builder, source, (times, batches, inputs))
        zero_in = tensors[self.inputs[0]].codes.as_int8.zero_point
        bounds = (_bound(w, zero_in) + np.abs(bias.astype(np.int64)), _bound(r, rule.zero_hidden))
        bound = int(max(b.max() for b in bounds))
        if bound >= 1 << 31:
            raise self.refused(f"its sums reach {bound}; below 2^31 is needed")
        same = rule.cell_tanh is rule.tanh
        value = builder.emit(
            self.outputs[0],
            Layer(
                kind="LSTM",
                requant="DOUBLE",
                inputs=(source,),
                n=batches * times * units,
                in_c=inputs,
                rows=batches,
                columns=times,
                out_c=units,
                zero_in=zero_in,
                zero_out=rule.zero_hidden,
                weights=np.concatenate([w, r]),
                bias=bias,
                scale=rule.multipliers.mantissa,
                shift=rule.multipliers.exponent,
                table0=rule.logistic,
                table1=rule.tanh if same else np.concatenate([rule.tanh, rule.cell_tanh]),
                aux=(rule.input_shift + 256 * rule.stepwise, rule.clip),
                macs=batches * times * (w.size + r.size),
                synapses=w.size + r.size,
                acc_bound=bound,
                state_bytes=3 * batches * units,
            ),
        )
        if turned:
            self._turned(builder, value, (batches, times, units))

    def _turned(self, builder: Builder, source: Value, shape: tuple[int, int, int]) -> Value:
        """The codes of `shape` with its first two axes exchanged."""
        places = np.arange(math.prod(shape)).reshape(shape).transpose(1, 0, 2)
        return builder.emit(self.outputs[0], gather((source,), places, places.size))


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Svdf(Recurrent):
    """y = b + Σ over rank and time of t · s, where s is what features W x were in the last steps.

    Inputs: x (batch, inputs), W (filters, inputs), t (filters, time), b (units) or none, s (batch,
    filters · time). Outputs: y (batch, units), and s after the step. filters = units · rank.
    """

    name: ClassVar[str] = "Svdf"
    memories: ClassVar[int] = 1
    rank: int = 1
    activation: Activation = "RELU"
    """Without effect: sums are bounded by their codes alone."""

    def sizes(self, tensors: Sequence[Tensor]) -> tuple[int, int, int, int]:
        """Batches, inputs, filters and steps of time."""
        x, feature, time = (tensors[i].shape for i in self.inputs[:3])
        if [len(s) for s in (x, feature, time)] != [2, 2, 2] or feature[0] != time[0]:
            raise self.refused(f"input {x}, weights {feature} and {time}; two axes each are needed")
        if self.rank < 1 or feature[0] % self.rank or feature[1] != x[1]:
            raise self.refused(f"rank {self.rank} and input {x} do not fit weights {feature}")
        return x[0], x[1], feature[0], time[1]

    def infer_shapes(self, tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
        batches, _, filters, times = self.sizes(tensors)
        state, wanted = tensors[self.inputs[-1]].shape, (batches, filters * times)
        if state != wanted:
            raise self.refused(f"its state is {state}; {wanted} is needed")
        return (batches, filters // self.rank), wanted

    def rule(self, profile: Profile, tensors: Sequence[Tensor]) -> SvdfRule:
        """The profile's rule; ModelError where scales or types have no exact one."""
        x, feature, time = (tensors[i] for i in self.inputs[:3])
        state, y = tensors[self.inputs[-1]], tensors[self.outputs[0]]
        if (state.dtype, time.dtype) not in (("int16", "int16"), ("int8", "int8")):
            raise self.refused(
                f"its state is {state.dtype}, its weights of time {time.dtype}; int16 both, or "
                f"int8 both, is needed"
            )
        return profile.svdf(
            x=x.codes,
            out=y.codes,
            feature=feature.scale,
            time=time.scale,
            state=state.scale,
            narrow=state.dtype == "int8",
            activation=self.activation,
        )

    def weights(self, tensors: Sequence[Tensor]) -> tuple[NDArray[np.int8], NDArray[np.int16]]:
        """W (inputs, filters) and t (filters, time)."""
        time = self.constant(tensors, 2, tensors[self.inputs[2]].dtype)
        return self.constant(tensors, 1, "int8").T.view(np.int8), time.astype(np.int16)

    def bias(self, tensors: Sequence[Tensor]) -> NDArray[np.int32]:
        """int32 of all units, 0 where there is none."""
        units = tensors[self.inputs[1]].shape[0] // self.rank
        if self.inputs[3] == -1:
            return np.zeros(units, np.int32)
        bias = self.constant(tensors, 3, "int32")
        if bias.shape != (units,):
            raise self.refused(f"its bias is {bias.shape}; {units} numbers are needed")
        return bias.view(np.int32)

    def lower(self, builder: Builder) -> None:
        """Features by what changed in x; time moves on by one at every step, all of it."""
        tensors = builder.tensors
        batches, inputs, filters, times = self.sizes(tensors)
        rule = self.rule(builder.profile, tensors)
        feature, time = self.weights(tensors)
        bias = self.bias(tensors)
        zero_in = tensors[self.inputs[0]].codes.as_int8.zero_point
        state = tensors[self.inputs[-1]]
        widest = 1 << (7 if rule.narrow else 15)
        sums = np.abs(time.astype(np.int64)).sum(axis=1).reshape(-1, self.rank).sum(axis=1) * widest
        bound = int(max(_bound(feature, zero_in).max(), (sums + np.abs(bias.astype(int))).max()))
        builder.emit(
            self.outputs[0],
            Layer(
                kind="SVDF",
                requant="DOUBLE",
                inputs=(builder.value(self.inputs[0]),),
                n=batches * filters // self.rank,
                in_c=inputs,
                rows=batches,
                columns=times,
                out_c=filters // self.rank,
                zero_in=zero_in,
                zero_out=tensors[self.outputs[0]].codes.as_int8.zero_point,
                weights=np.ascontiguousarray(feature),
                bias=bias,
                scale=rule.multipliers.mantissa,
                shift=rule.multipliers.exponent,
                table0=time,
                aux=(self.rank, state.zero_point + 129 if rule.narrow else 0),
                macs=batches * filters * (inputs + times),
                synapses=feature.size + time.size,
                acc_bound=bound,
                state_bytes=batches * filters * times * (1 if rule.narrow else 2),
            ),
        )


def _bound(weights: NDArray[np.int8], zero: int) -> NDArray[np.int64]:
    """The largest sum that codes with this zero point can make, of each column."""
    reach = max(127 - zero, zero + 128)
    result: NDArray[np.int64] = np.abs(weights.astype(np.int64)).sum(axis=0) * reach
    return result


__all__ = ["GATES", "Recurrent", "Svdf", "UnidirectionalSequenceLstm"]
