# SPDX-License-Identifier: Apache-2.0
"""A float32 network and its scales -> the quantised network, float32 at its edges as before."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from neurovm.converters.tflite_plain import Options, PlainModel, PlainOperator
from neurovm.graph import DType, Quantization, Tensor
from neurovm.quantization.accepted import bias_of
from neurovm.quantization.rules import Rule, rule_of
from neurovm.quantization.scales import Group, Scales, constant_group, value_places
from neurovm.quantization.weights import quantize_bias, quantize_values, quantize_weights

if TYPE_CHECKING:
    from neurovm.quantization.unpack import Unpacked

FOLLOWING = ("same", "joined", "symmetric")
"""Kinds of operators that take the width of what they move."""
_BIAS_NEEDED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
"""LiteRT refuses these without a bias, or crashes."""


@dataclass(frozen=True, slots=True, eq=False)
class Rewritten:
    """The quantised network; `made` is the tensor that stands for each of the float network."""

    model: PlainModel
    made: dict[int, int]


def rewrite(
    unpacked: Unpacked,
    scales: Scales,
    wide: frozenset[int] = frozenset(),
    *,
    narrow: int | None = None,
) -> Rewritten:
    """The network in int8; operators whose index is in `wide` work on int16 activations.

    narrow: a tensor whose int16 codes are rounded to int8 and back, to measure what that costs.
    """
    writer = _Writer(unpacked, scales, widths(unpacked.model, wide), narrow)
    for i in dict.fromkeys(unpacked.model.inputs):
        writer.open_input(i)
    for op in unpacked.model.operators:
        writer.translate(op)
    return writer.finish()


def widths(model: PlainModel, wide: frozenset[int]) -> dict[int, int]:
    """Operator -> bits of its activations. What only moves codes is as wide as what it moves."""
    made = dict.fromkeys(_read_wide(model, wide), 16)
    bits = {}
    for op in model.operators:
        rule = rule_of(model, op)
        width = 16 if op.index in wide else 8
        if rule.kind in FOLLOWING:
            width = max((made.get(i, 8) for i in op.inputs), default=8)
        bits[op.index] = width if rule.versions[1] else 8
        made.update(dict.fromkeys(op.outputs, bits[op.index]))
    return bits


def _read_wide(model: PlainModel, wide: frozenset[int]) -> set[int]:
    """Inputs of the network that a wide operator reads, also through what only moves codes."""
    wanted: set[int] = set()
    for op in reversed(model.operators):
        follows = rule_of(model, op).kind in FOLLOWING and not wanted.isdisjoint(op.outputs)
        if op.index in wide or follows:
            wanted |= set(op.inputs)
    return wanted & set(model.inputs)


@dataclass(slots=True)
class _Writer:
    unpacked: Unpacked
    scales: Scales
    bits: Mapping[int, int]
    narrow: int | None = None
    tensors: list[Tensor] = field(default_factory=list)
    operators: list[PlainOperator] = field(default_factory=list)
    made: dict[int, int] = field(default_factory=dict)
    inputs: dict[int, int] = field(default_factory=dict)
    _copies: dict[tuple[int, int, Quantization | None], int] = field(default_factory=dict)

    @property
    def source(self) -> PlainModel:
        return self.unpacked.model

    def open_input(self, index: int) -> None:
        """A float input stays float; its codes are made at the edge."""
        tensor = self.source.tensors[index]
        self.inputs[index] = self._add(tensor)
        if tensor.dtype != "float32":
            self.made[index] = self.inputs[index]
            return
        readers = [op for op in self.source.operators if index in op.inputs]
        bits = max((self.bits[op.index] for op in readers), default=8)
        q = self.scales.group(index).quantization(bits)
        self.made[index] = self._quantize(self.inputs[index], tensor, q, bits)
        self._round(index, bits)

    def translate(self, op: PlainOperator) -> None:
        """One operator, after what makes its inputs fit."""
        rule, bits = rule_of(self.source, op), self.bits[op.index]
        inputs = self._weighted(op, rule, bits) if rule.kind == "weighted" else None
        if inputs is None:
            places = set(value_places(self.source, op, rule))
            inputs = [
                self._value(op, rule, i, bits) if place in places else self._plain(i)
                for place, i in enumerate(op.inputs)
            ]
        outputs = [self._output(i, bits) for i in op.outputs]
        version = rule.versions[bits == 16]
        self._emit(op, inputs, outputs, max(op.version, version), bits)
        for i in op.outputs:
            self._round(i, bits)

    def _round(self, index: int, bits: int) -> None:
        """To int8 and back, where that is to be measured."""
        if index != self.narrow or bits == 8:
            return
        tensor, group = self.source.tensors[index], self.scales.group(index)
        short = self._quantize(self.made[index], tensor, group.quantization(8), 8)
        self.made[index] = self._quantize(short, tensor, group.quantization(16), 16)

    def finish(self) -> Rewritten:
        """Back to float32 at the outputs."""
        outputs = []
        for i in self.source.outputs:
            tensor, made = self.source.tensors[i], self._plain(i)
            if tensor.dtype == "float32":
                target = self._add(dataclasses.replace(tensor, data=None, quantization=None))
                self.operators.append(
                    PlainOperator(
                        index=-1, name="DEQUANTIZE", inputs=(made,), outputs=(target,), version=2
                    )
                )
                made = target
            outputs.append(made)
        model = dataclasses.replace(
            self.source,
            tensors=tuple(self.tensors),
            operators=tuple(self.operators),
            inputs=tuple(self.inputs[i] for i in self.source.inputs),
            outputs=tuple(outputs),
        )
        return Rewritten(model, self.made)

    def _weighted(self, op: PlainOperator, rule: Rule, bits: int) -> list[int]:
        x, w, b = rule.data or (0, 1, 2)
        step = self.scales.group(op.inputs[x]).quantization(bits).scale[0]
        tensor = self.source.tensors[op.inputs[w]]
        found = bias_of(self.source, op, rule)
        bias = None if found is None else np.asarray(found.data)
        kept = self.unpacked.codes.get(op.inputs[w])
        weights = quantize_weights(tensor, rule.axis, step, bias, kept)
        inputs = [self._plain(i) if p not in (x, w, b) else -1 for p, i in enumerate(op.inputs)]
        inputs[x] = self._value(op, rule, op.inputs[x], bits)
        inputs[w] = self._add(weights)
        if bias is not None or op.name in _BIAS_NEEDED:
            name = f"{tensor.name}_bias" if found is None else found.name
            made = quantize_bias(name, bias, weights, rule.axis, step, bits)
            inputs[b:] = [self._add(made)]
        return inputs

    def _value(self, op: PlainOperator, rule: Rule, index: int, bits: int) -> int:
        """Codes of a value in the scale that the operator asks for."""
        tensor = self.source.tensors[index]
        if tensor.data is not None:
            key = (index, bits, self._constant_scale(op, rule, tensor).quantization(bits))
            if key not in self._copies:
                self._copies[key] = self._add(quantize_values(tensor, key[2], bits))
            return self._copies[key]
        wanted = self.scales.group(index).quantization(bits)
        if rule.kind in ("joined", "symmetric"):
            wanted = self.scales.group(op.outputs[0]).quantization(bits)
        made = self.made[index]
        if self.tensors[made].quantization == wanted and self._width(made) == bits:
            return made
        copy = (index, bits, wanted)
        if copy not in self._copies:
            self._copies[copy] = self._quantize(made, tensor, wanted, bits)
        return self._copies[copy]

    def _constant_scale(self, op: PlainOperator, rule: Rule, tensor: Tensor) -> Group:
        if rule.kind in FOLLOWING and op.outputs[0] in self.scales:
            return self.scales.group(op.outputs[0])
        group = constant_group(np.asarray(tensor.data))
        # XNNPACK multiplies by a matrix of zero point 0 only.
        group.symmetric = op.name == "BATCH_MATMUL"
        return group

    def _width(self, made: int) -> int:
        return 16 if self.tensors[made].dtype == "int16" else 8

    def _quantize(self, made: int, tensor: Tensor, q: Quantization, bits: int) -> int:
        target = self._add(
            dataclasses.replace(
                tensor,
                name=f"{tensor.name}_int{bits}",
                dtype="int8" if bits == 8 else "int16",
                quantization=q,
            )
        )
        self.operators.append(
            PlainOperator(
                index=-1,
                name="QUANTIZE",
                inputs=(made,),
                outputs=(target,),
                version=1 if self.tensors[made].dtype == "float32" and bits == 8 else 2,
            )
        )
        return target

    def _plain(self, index: int) -> int:
        """A tensor as it is: absent, made before, or a constant of integers."""
        if index < 0:
            return index
        if index not in self.made:
            self.made[index] = self._add(self.source.tensors[index])
        return self.made[index]

    def _output(self, index: int, bits: int) -> int:
        tensor = self.source.tensors[index]
        if tensor.dtype == "float32" and index in self.scales:
            q = self.scales.group(index).quantization(bits)
            dtype: DType = "int8" if bits == 8 else "int16"
            # The float tensor keeps its name where it is an output of the network.
            name = f"{tensor.name}_int{bits}" if index in self.source.outputs else tensor.name
            tensor = dataclasses.replace(tensor, name=name, dtype=dtype, quantization=q)
        self.made[index] = self._add(tensor)
        return self.made[index]

    def _emit(
        self, op: PlainOperator, inputs: list[int], outputs: list[int], version: int, bits: int
    ) -> None:
        self.operators.append(
            dataclasses.replace(
                op,
                inputs=tuple(inputs),
                outputs=tuple(outputs),
                options=_options(op.options, bits),
                version=version,
            )
        )

    def _add(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1


def _options(options: Options | None, bits: int) -> Options | None:
    """Without what belongs to hybrid kernels; int16 sums with scales of any kind."""
    if options is None:
        return None
    changed = dict(options.values)
    if "AsymmetricQuantizeInputs" in changed:
        changed["AsymmetricQuantizeInputs"] = False
    if bits == 16 and "PotScaleInt16" in changed:
        changed["PotScaleInt16"] = False
    return Options(kind=options.kind, values=changed)
