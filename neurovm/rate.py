# SPDX-License-Identifier: Apache-2.0
"""Rate coding: a network as signed integrate-and-fire neurons that run for T steps, approximately.

A code q of a layer that rests at z is the rate r = (q − z) / D: the share of the steps in which its
neuron spikes, with the sign of q − z. A layer with y = clamp(zo + m (b + Σ w (x − z_in)), lo, hi)
then is

    r' = B / Θ + Σ w' r / Θ,   Θ = D' / (m' D),   w' = w m / m',
    B / Θ = (zo − z' + m (b + (z − z_in) Σ w)) / D',

which a neuron with threshold Θ, constant drive B and reset by subtraction spikes at, up to 1 / T.
It fires −1 to take back what it sent too early; where a code cannot lie below (above) z the sum of
what it sent cannot either, which is the rectifier. One scale m' serves a layer: the largest at
which its weights still fit int8 and Θ is whole. The last layer with weights only integrates; its
potential after T steps is decoded, and what follows it in the network runs exactly on the decoded
codes.

D is the largest distance from z that a code can have, or that it had on calibration rows (all but
1 in 1,000 of them): thresholds are balanced to what occurs, and T steps are spent on that range.

Sources of the ideas: Rueckauer et al., Conversion of continuous-valued deep networks to efficient
event-driven networks for image classification, Frontiers in Neuroscience 11 (2017), 682; You et
al., SpikeZIP-TF: conversion is all you need for transformer-based SNN, ICML 2024 (spikes of both
signs with a tracer of what was sent).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
from msgspec import structs

from neurovm import golden
from neurovm.arithmetic import NoExactRuleError
from neurovm.bundle import Bundle, digests
from neurovm.description import Digests, Manifest, ProfileName, RateInfo, SourceInfo
from neurovm.errors import ModelError, UnsupportedOperatorError
from neurovm.operators.builder import Layer, Value, Window
from neurovm.operators.window import taps
from neurovm.ports import open_inputs, open_outputs
from neurovm.program import ProgramBuilder, check_narrow, layer_infos
from neurovm.records import pack, potentials, session_limits
from neurovm.reference import rate as oracle
from neurovm.reference import run as run_graph
from neurovm.version import GENERATOR

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from neurovm.arithmetic import Profile
    from neurovm.description import TensorInfo
    from neurovm.graph import Graph
    from neurovm.operators import Operator

MOST_STEPS = 1024
NEVER = (1 << 31) - 1
"""A threshold that no potential reaches: the neuron integrates."""
MOST_WEIGHTS = 1 << 24
"""Of a mean that becomes a layer of ones."""
MOST_SENT = 1 << 30
"""Spikes of one sign that nothing bounds."""
OUTLIERS = 0.001
LOOKS = 16
"""An answer may be read early after each of so many parts of its steps."""
MOST_ROWS = 256
"""Of the calibration: so many say when an answer may be read early."""
_WEIGHTED = ("FullyConnected", "Conv2D", "DepthwiseConv2D")
_SAME_CODES = ("Dequantize", "Reshape")
_SPIKING = "fully connected, convolution, depthwise convolution, average pooling, reshape"


@dataclass(frozen=True, slots=True)
class Rates:
    """What the rates of a layer mean: code = zero + span · rate, between lo and hi."""

    zero: int
    span: int
    lo: int
    hi: int

    @classmethod
    def of(cls, zero: int, bounds: tuple[int, int], seen: int | None) -> Rates:
        """Rates of codes between `bounds`, at most `seen` (None: any) from where they rest."""
        lo, hi = bounds
        zero = min(max(zero, lo), hi)
        span = max(hi - zero, zero - lo, 1)
        return cls(zero, span if seen is None else min(span, max(seen, 1)), lo, hi)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Codes of the inputs on representative rows, (N, inputs), and how far the codes of each tensor
    are from their zero point there: all but `OUTLIERS` of them.
    """

    codes: NDArray[np.int8]
    seen: dict[int, int]


class RateBuilder(ProgramBuilder):
    """Turns what operators emit into IF layers, up to and including the tensor `last`."""

    def __init__(
        self, graph: Graph, profile: Profile, last: int, seen: Mapping[int, int] | None = None
    ) -> None:
        super().__init__(graph, profile)
        self.last = last
        self.seen = {} if seen is None else seen
        """How far codes of a tensor are from their zero point; others may be anywhere."""
        self.rates: dict[Value, Rates] = {}
        self.head: Value | None = None
        self.tail: Value | None = None
        self.is_exact = False
        """Whether what is emitted follows the head."""
        self.theta = 0

    def input(self, tensor: int, info: TensorInfo) -> None:
        """The network's input: spikes."""
        n = self.tensors[tensor].size
        layer = Layer(kind="INPUT", inputs=(), n=n, spikes=not info.wide, wide=info.wide)
        value = super().emit(tensor, layer)
        self.rates[value] = Rates.of(info.zero_point, (-128, 127), self.seen.get(tensor))

    def emit(self, tensor: int, layer: Layer) -> Value:
        if self.is_exact:
            return super().emit(tensor, layer)
        if self.head is not None:
            raise refusal("it takes several layers, and is the last with weights")
        source = self.rates.get(layer.inputs[0]) if len(layer.inputs) == 1 else None
        if source is None:
            raise refusal("it joins values or reads constants")
        reads_out = tensor == self.last
        seen = None if reads_out else self.seen.get(tensor)
        layer, target, self.theta = spiking(layer, source, seen, reads_out=reads_out)
        value = super().emit(tensor, layer)
        self.rates[value] = target
        # lo and hi of the record are those of codes, which spikes are not.
        self.layers[value] = replace(layer, lo=-128, hi=127)
        if tensor == self.last:
            self.head = value
        return value

    def open_tail(self) -> None:
        """A second input that takes the decoded codes of the head, for the exact rest."""
        n = self.tensors[self.last].size
        self.tail = super().emit(self.last, Layer(kind="INPUT", inputs=(), n=n))

    def enter_tail(self) -> None:
        """From here on operators read the decoded codes and emit exact layers."""
        self.is_exact = True
        if self.tail is not None:
            self.alias(self.last, self.tail)


def refusal(what: str) -> NoExactRuleError:
    return NoExactRuleError(
        f"{what}, which has no rate-coded form; encoding: rate takes {_SPIKING} up to the last "
        f"layer with weights. encoding: graded runs this network, and exactly"
    )


def spiking(
    layer: Layer, source: Rates, seen: int | None, *, reads_out: bool
) -> tuple[Layer, Rates, int]:
    """The spiking layer of an SD layer that reads `source`, what its rates mean, and the threshold
    that they refer to. `seen`: how far its codes are from where they rest.
    """
    is_weighted = layer.kind in ("DENSE", "CONV", "DWCONV")
    layer, scales, zero_out = _linear(layer)
    lo, hi = layer.bounds
    weights = np.asarray(layer.weights, np.float64)
    if lo == hi:
        raise refusal("its activation lets a single code through")
    if source.zero != layer.zero_in and layer.window is not None and _rim(layer.window):
        raise refusal(
            f"it pads an input whose zero point is {layer.zero_in}, not {source.zero}: padding "
            f"would have to spike"
        )
    axes = tuple(range(weights.ndim - 1))
    bias = np.asarray(layer.bias, np.float64) + (source.zero - layer.zero_in) * weights.sum(axes)
    still = zero_out + scales * bias  # codes of no spikes, of every channel
    zero = layer.zero_out if is_weighted else int(np.rint(np.median(still)))
    target = Rates.of(zero, (lo, hi), seen)
    strength = np.abs(weights * scales).max()
    theta = int(min(target.span * 127 / (source.span * max(strength, 1e-9)), 1 << 24))
    if theta < 1:
        raise refusal("a single spike of its input drives it further than its whole range")
    unit = target.span / (source.span * theta)
    drive = theta * (still - target.zero) / target.span
    if np.abs(drive).max() >= 1 << 30:
        raise refusal("its bias is far beyond its range")
    made = replace(
        layer,
        neuron="IF" if reads_out else "SIF",
        requant="NONE",
        scale=None,
        shift=None,
        zero_in=0,
        zero_out=0,
        weights=np.rint(weights * (scales / unit)).astype(np.int8),
        bias=np.rint(drive).astype(np.int32),
        theta=NEVER if reads_out else theta,
        reset="SUBTRACT",
        reset_value=0 if reads_out or target.zero == lo else -MOST_SENT,
        aux=(0 if reads_out or target.zero == hi else MOST_SENT, 0),
        leak_q16=1 << 16,
        acc_bound=0,
    )
    return made, target, theta


def _linear(layer: Layer) -> tuple[Layer, NDArray[np.float64], float]:
    """The layer as weighted sums, the real multiplier of each channel, and the real zero_out."""
    if layer.kind in ("DENSE", "CONV", "DWCONV"):
        scales = np.asarray(_scales(layer), np.float64)
        return (
            layer,
            np.broadcast_to(scales, layer.bias.size if layer.bias is not None else 1),
            (layer.zero_out),
        )
    if layer.kind == "AVGPOOL" and layer.window is not None:
        return _average(layer, layer.window)
    if layer.kind == "MEAN":
        return _mean(layer)
    raise refusal(f"it is a {layer.kind} layer")


def _scales(layer: Layer) -> NDArray[np.float64]:
    """What one unit of a channel's sum is in output codes."""
    if layer.scale is None:
        raise refusal("it has no scale")
    if layer.requant == "FP32":
        return layer.scale.astype(np.float64)
    if layer.requant in ("DOUBLE", "SINGLE", "HALFUP") and layer.shift is not None:
        return np.ldexp(layer.scale.astype(np.float64), layer.shift.astype(np.int64) - 31)
    raise refusal(f"it rounds by {layer.requant}")


def _average(layer: Layer, window: Window) -> tuple[Layer, NDArray[np.float64], float]:
    channels = window.in_shape[2]
    count = window.kernel[0] * window.kernel[1]
    if _rim(window):
        raise refusal("its windows reach over the rim and average fewer values there")
    made = replace(
        layer,
        kind="DWCONV",
        window=replace(window, groups=1),
        weights=np.ones((*window.kernel, channels), np.int8),
        bias=np.zeros(channels, np.int32),
        macs=layer.n * count,
    )
    return made, np.full(channels, 1 / count), 0.0


def _mean(layer: Layer) -> tuple[Layer, NDArray[np.float64], float]:
    if layer.table0 is None or layer.scale is None or layer.requant != "AFFINE":
        raise refusal(f"it is a mean that rounds by {layer.requant}")
    where = layer.table0.reshape(-1)
    if where.size * layer.n > MOST_WEIGHTS:
        raise refusal(f"it is a mean of {where.size} values into {layer.n}")
    ones = np.zeros((where.size, layer.n), np.int8)
    ones[np.arange(where.size), where] = 1
    made = replace(
        layer,
        kind="DENSE",
        table0=None,
        in_c=where.size,
        out_c=layer.n,
        weights=ones,
        bias=np.zeros(layer.n, np.int32),
        macs=ones.size,
        synapses=ones.size,
    )
    offset = 0.0 if layer.shift is None else float(layer.shift[0])
    return made, np.full(layer.n, float(layer.scale[0])), offset


def _rim(window: Window) -> bool:
    """Whether some tap of some window lies outside the image."""
    inside = window.out_shape[0] * window.out_shape[1] * window.kernel[0] * window.kernel[1]
    return taps(window) != inside


def calibration(graph: Graph, profile: Profile, codes: NDArray[np.int8]) -> Calibration:
    """What the codes (N, inputs) of representative rows make of every tensor, by the oracle."""
    inputs = open_inputs(ProgramBuilder(graph, profile))
    known = run_graph(graph, profile, golden.input_values(profile, inputs, codes))
    seen = {}
    for index, values in known.items():
        tensor = graph.tensors[index]
        if values.dtype in (np.int8, np.uint8) and tensor.quantization is not None:
            distance = np.abs(values.astype(np.int64) - tensor.codes.zero_point)
            seen[index] = int(np.ceil(np.quantile(distance, 1 - OUTLIERS)))
    return Calibration(codes, seen)


def compile_rate(
    graph: Graph,
    profile: Profile,
    steps: int,
    *,
    labels: Sequence[str] | None = None,
    calibrated: Calibration | None = None,
) -> Bundle:
    """As `compile_graph`, with SIF neurons that run for `steps` (1 to MOST_STEPS) time steps.

    `calibrated` balances thresholds and finds when an answer may be read early. Raises
    UnsupportedOperatorError where an operator has no such form.
    """
    if not 1 <= steps <= MOST_STEPS:
        raise ModelError(f"steps: found {steps}; accepted: 1 to {MOST_STEPS}")
    head, tail = _split(graph)
    seen = None if calibrated is None else calibrated.seen
    builder = RateBuilder(graph, profile, head[-1].outputs[0], seen)
    inputs = open_inputs(builder)
    check_narrow(builder, "rate")
    exact = any(operator.name not in _SAME_CODES for operator in tail)
    if exact:
        builder.open_tail()
    for operator in head:
        builder.lower(operator)
    if builder.head is None:
        raise ModelError(f"{graph.source.name}: no layer reads the input")
    builder.enter_tail()
    for operator in tail:
        builder.lower(operator)
    check_narrow(builder, "rate")
    ports, outputs = open_outputs(builder, labels)
    layers, arena, sizes = pack(builder.layers, ports, coding="rate")
    info = _info(builder, builder.head, steps, tail=exact)
    if calibrated is not None:
        info = _with_exits((layers, arena), info, calibrated)
    macs = sum(layer.macs for layer in builder.layers)
    codes = golden.stream(inputs, macs * steps)
    answers = oracle.run(builder.layers, info, codes)
    if exact:
        answers = oracle.finish(graph, profile, tail, builder.last, answers)
    pairs = [golden.Pair(i, o) for i, o in zip(codes, answers, strict=True)]
    tensors = {"layers": memoryview(layers), "arena": memoryview(arena)} | golden.tensors(pairs)
    return Bundle(
        manifest=Manifest(
            format=3,
            generator=GENERATOR,
            name=graph.name,
            source=SourceInfo(**dataclasses.asdict(graph.source)),
            profile=cast("ProfileName", profile.name),
            coding="rate",
            neuron="sif",
            layers=layer_infos(builder, sizes),
            operators=tuple(builder.operators),
            inputs=inputs,
            outputs=outputs,
            neurons=sum(
                layer.n for layer in builder.layers if layer.kind not in ("INPUT", "CONST")
            ),
            synapses=sum(layer.synapses for layer in builder.layers),
            macs=macs,
            golden=golden.infos(pairs),
            limits=session_limits(layers, arena),
            sha256=Digests(**digests(tensors)),
            notes=(*graph.notes, f"approximate: rate coding, {steps} time steps an answer"),
            rate=info,
        ),
        tensors=tensors,
    )


def _info(builder: RateBuilder, head: Value, steps: int, *, tail: bool) -> RateInfo:
    sent = next(builder.rates[i] for i, layer in enumerate(builder.layers) if layer.spikes)
    read = builder.rates[head]
    return RateInfo(
        steps=steps,
        head=head,
        lo=read.lo,
        hi=read.hi,
        theta=builder.theta,
        tail=tail,
        sent=(sent.zero, sent.span),
        read=(read.zero, read.span),
    )


def _with_exits(program: tuple[bytes, bytes], info: RateInfo, calibrated: Calibration) -> RateInfo:
    """After which steps an answer may be read, and how far ahead its class must then be.

    Further, by one code, than the lead of any row of the calibration shrank from then to the end,
    over any other class. An exit that none of the rows would take is left out.
    """
    codes = calibrated.codes[:: max(1, len(calibrated.codes) // MOST_ROWS)]
    info = structs.replace(info, calibrated=len(codes))
    looks = sorted({info.steps * part // LOOKS for part in range(1, LOOKS)} - {0, info.steps})
    after = _potentials(program, info, codes, {*looks, info.steps})
    if after[info.steps].shape[1] < 2 or not looks:
        return info
    exits = []
    for step in looks:
        code = -(-info.theta * step // info.of_head[1])
        least = -(-_shrunk(after[step], step, after[info.steps], info.steps) // info.steps) + code
        if (oracle.lead(after[step]) > least).any():
            exits.append((step, least))
    return structs.replace(info, exits=tuple(exits))


def _shrunk(early: NDArray[np.int64], step: int, late: NDArray[np.int64], steps: int) -> int:
    """By how much the best class after `step` was further ahead of another than its potentials
    after all `steps`, scaled to `step`, say; times `steps`, the most of all rows.
    """
    best = early.argmax(axis=1)[:, None]
    ahead, at_last = (np.take_along_axis(u, best, axis=1) - u for u in (early, late))
    return int((ahead * steps - at_last * step).max(initial=0))


def _potentials(
    program: tuple[bytes, bytes], info: RateInfo, codes: NDArray[np.int8], steps: Collection[int]
) -> dict[int, NDArray[np.int64]]:
    """What `reference.rate.trace` answers, by the kernel, which is quicker and equal to it."""
    sent = [
        oracle.spikes(codes, step, info.of_inputs).astype(np.int8) for step in range(info.steps)
    ]
    streams = ([spikes[row].tobytes() for spikes in sent] for row in range(len(codes)))
    return potentials(*program, info.head, streams, steps)


def _split(graph: Graph) -> tuple[list[Operator], list[Operator]]:
    """The operators up to the last one with weights, and the rest."""
    source = graph.source.name
    if graph.states:
        raise ModelError(
            f"{source}: it carries state from step to step ({graph.states[0].name!r}), which "
            f"encoding: rate has no form for; encoding: graded runs this network, and exactly"
        )
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ModelError(
            f"{source}: {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; "
            f"encoding: rate takes networks with one of each"
        )
    weighted = [i for i, op in enumerate(graph.operators) if op.name in _WEIGHTED]
    if not weighted:
        raise ModelError(f"{source}: no layer with weights; encoding: rate needs one")
    head = list(graph.operators[: weighted[-1] + 1])
    tail = list(graph.operators[weighted[-1] + 1 :])
    before = {i for op in head[:-1] for i in op.outputs} | set(graph.inputs)
    for operator in tail:
        if before & set(operator.inputs):
            raise UnsupportedOperatorError(
                source,
                operator.source_name,
                operator.index,
                "it reads values from before the last layer with weights; encoding: graded "
                "runs this network, and exactly",
            )
    return head, tail
