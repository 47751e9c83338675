# SPDX-License-Identifier: Apache-2.0
"""Rate coding: a network as integrate-and-fire neurons that run for T time steps, approximately.

A code q between lo and hi is the rate r = (q − lo) / (hi − lo): the share of the steps in which its
neuron spikes. A layer with y = clamp(zo + m (b + Σ w (x − z)), lo', hi'), D = hi − lo, then is

    r' = clamp(B / Θ + Σ w' r / Θ, 0, 1),   Θ = D' / (m' D),   w' = w m / m',
    B / Θ = (zo − lo' + m (b + (lo − z) Σ w)) / D',

which an IF neuron with threshold Θ, constant drive B and reset by subtraction spikes at, up to
1 / T. One scale m' serves a layer: the largest at which its weights still fit int8 and Θ is whole.
Thresholds thus come from the model's own scales; nothing is calibrated. The last layer with weights
only integrates (its threshold is out of reach); its potential after T steps is decoded, and what
follows it in the network runs exactly on the decoded codes.

Source of the idea: Rueckauer et al., Conversion of continuous-valued deep networks to efficient
event-driven networks for image classification, Frontiers in Neuroscience 11 (2017), 682.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from neurovm import golden
from neurovm.arithmetic import NoExactRuleError
from neurovm.bundle import Bundle, digests
from neurovm.description import Digests, Manifest, ProfileName, RateInfo, SourceInfo
from neurovm.errors import ModelError, UnsupportedOperatorError
from neurovm.operators.builder import Layer, Value, Window
from neurovm.operators.window import taps
from neurovm.ports import open_inputs, open_outputs
from neurovm.program import ProgramBuilder, check_narrow, layer_infos
from neurovm.records import pack, session_limits
from neurovm.reference import rate as oracle
from neurovm.version import GENERATOR

if TYPE_CHECKING:
    from collections.abc import Sequence

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
_WEIGHTED = ("FullyConnected", "Conv2D", "DepthwiseConv2D")
_SAME_CODES = ("Dequantize", "Reshape")
_SPIKING = "fully connected, convolution, depthwise convolution, average pooling, reshape"


@dataclass(frozen=True, slots=True)
class Rates:
    """What the rates of a layer mean: code = lo + (hi − lo) · rate."""

    lo: int
    hi: int

    @property
    def span(self) -> int:
        return self.hi - self.lo


class RateBuilder(ProgramBuilder):
    """Turns what operators emit into IF layers, up to and including the tensor `last`."""

    def __init__(self, graph: Graph, profile: Profile, last: int) -> None:
        super().__init__(graph, profile)
        self.last = last
        self.rates: dict[Value, Rates] = {}
        self.head: Value | None = None
        self.tail: Value | None = None
        self.theta = 0

    def input(self, tensor: int, info: TensorInfo) -> None:
        """The network's input: spikes."""
        n = self.tensors[tensor].size
        layer = Layer(kind="INPUT", inputs=(), n=n, spikes=not info.wide, wide=info.wide)
        value = super().emit(tensor, layer)
        self.rates[value] = Rates(-128, 127)

    def emit(self, tensor: int, layer: Layer) -> Value:
        if self.head is not None:
            return super().emit(tensor, layer)
        source = self.rates.get(layer.inputs[0]) if len(layer.inputs) == 1 else None
        if source is None:
            raise refusal("it joins values or reads constants")
        layer, self.theta = spiking(layer, source, reads_out=tensor == self.last)
        value = super().emit(tensor, layer)
        self.rates[value] = Rates(*layer.bounds)
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
        if self.tail is not None:
            self.alias(self.last, self.tail)


def refusal(what: str) -> NoExactRuleError:
    return NoExactRuleError(
        f"{what}, which has no rate-coded form; encoding: rate takes {_SPIKING} up to the last "
        f"layer with weights. encoding: graded runs this network, and exactly"
    )


def spiking(layer: Layer, source: Rates, *, reads_out: bool) -> tuple[Layer, int]:
    """The IF layer of an SD layer that reads `source`, and the threshold that its rates refer to.

    lo and hi of the result are those of the codes that its rates stand for.
    """
    layer, scales, zero_out = _linear(layer)
    target = Rates(*layer.bounds)
    weights = np.asarray(layer.weights, np.float64)
    if target.span < 1:
        raise refusal("its activation lets a single code through")
    if source.lo != layer.zero_in and layer.window is not None and _rim(layer.window):
        raise refusal(
            f"it pads an input whose zero point is {layer.zero_in}, not {source.lo}: padding would "
            f"have to spike"
        )
    strength = np.abs(weights * scales).max()
    theta = int(min(target.span * 127 / (source.span * max(strength, 1e-9)), 1 << 24))
    if theta < 1:
        raise refusal("a single spike of its input drives it further than its whole range")
    unit = target.span / (source.span * theta)
    axes = tuple(range(weights.ndim - 1))
    bias = np.asarray(layer.bias, np.float64) + (source.lo - layer.zero_in) * weights.sum(axes)
    drive = theta * (zero_out - target.lo + scales * bias) / target.span
    if np.abs(drive).max() >= 1 << 30:
        raise refusal("its bias is far beyond its range")
    made = replace(
        layer,
        neuron="IF",
        requant="NONE",
        scale=None,
        shift=None,
        zero_in=0,
        zero_out=0,
        weights=np.rint(weights * (scales / unit)).astype(np.int8),
        bias=np.rint(drive).astype(np.int32),
        theta=NEVER if reads_out else theta,
        reset="SUBTRACT",
        leak_q16=1 << 16,
        acc_bound=0,
    )
    return made, theta


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


def compile_rate(
    graph: Graph, profile: Profile, steps: int, *, labels: Sequence[str] | None = None
) -> Bundle:
    """As `compile_graph`, with IF neurons that run for `steps` (1 to MOST_STEPS) time steps.

    Raises UnsupportedOperatorError where an operator has no such form.
    """
    if not 1 <= steps <= MOST_STEPS:
        raise ModelError(f"steps: found {steps}; accepted: 1 to {MOST_STEPS}")
    head, tail = _split(graph)
    builder = RateBuilder(graph, profile, head[-1].outputs[0])
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
    rates = builder.rates[builder.head]
    info = RateInfo(
        steps=steps,
        head=builder.head,
        lo=rates.lo,
        hi=rates.hi,
        theta=builder.theta,
        tail=exact,
    )
    macs = sum(layer.macs for layer in builder.layers)
    codes = golden.stream(inputs, macs * steps)
    answers = oracle.run(builder.layers, info, codes)
    if exact:
        answers = oracle.finish(graph, profile, tail, builder.last, answers)
    pairs = [golden.Pair(i, o) for i, o in zip(codes, answers, strict=True)]
    tensors = {"layers": memoryview(layers), "arena": memoryview(arena)} | golden.tensors(pairs)
    return Bundle(
        manifest=Manifest(
            format=1,
            generator=GENERATOR,
            name=graph.name,
            source=SourceInfo(**dataclasses.asdict(graph.source)),
            profile=cast("ProfileName", profile.name),
            coding="rate",
            neuron="if",
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
