# SPDX-License-Identifier: Apache-2.0
"""From a spiking program back to NIR: what runs, in real units.

Integers become the real numbers they stand for; a threshold lies half a unit below the least v
that fires, so that `>` and `>=` both mean it. What NIR has no words for (subtracting resets,
several spikes a tick) is said in `decisions`, with which `convert_nir` reads the file as it runs
here; what it cannot say at all is refused by the population's name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.errors import ModelError
from neurovm.spiking import plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.populations import PopulationInfo, SpikingInfo
    from neurovm.spiking.unpack import Unpacked

    Reals = NDArray[np.float64]

_ONE = 2.0**31
_NO_FLOOR = -(1 << 31)
Fields = dict[str, Any]


@dataclass(slots=True)
class Exported:
    """Nodes (type, fields) by name, edges; `decisions`: with which `convert_nir` reads it."""

    nodes: dict[str, tuple[str, Fields]] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    decisions: dict[str, Any] = field(default_factory=dict)


def exported(program: Unpacked, info: SpikingInfo) -> Exported:
    """The NIR graph of a program. ModelError names what NIR cannot say."""
    return _Export(program, info).run()


class _Export:
    def __init__(self, program: Unpacked, info: SpikingInfo) -> None:
        self.program = program
        self.info = info
        self.dt_s = info.dt_us / 1e6
        self.made = Exported()
        self.names = _names(info.populations)
        incoming: dict[int, list[int]] = {i: [] for i in range(len(info.populations))}
        for k, projection in enumerate(program.projections):
            incoming[projection.target].append(k)
        self.incoming = incoming

    def run(self) -> Exported:
        constants = {i for i in self.incoming if self._is_constant(i)}
        for i, info in enumerate(self.info.populations):
            if info.kind == "input":
                self._node(self.names[i], "Input", {"shape": np.array(info.shape)})
            elif i not in constants:
                self._population(i, constants)
        return self.made

    def _node(self, name: str, kind: str, fields: Fields) -> None:
        self.made.nodes[name] = (kind, fields)

    def _is_constant(self, i: int) -> bool:
        """A neuron that fires in every tick by its bias alone: its weights are a bias."""
        neurons = self.program.populations[i].neurons
        alone = not self.incoming[i] and not self.info.populations[i].output
        if not isinstance(neurons, plan.Neurons) or not alone or neurons.fire != "one":
            return False
        return bool((neurons.bias >= neurons.theta).all() and (neurons.reset_to == 0).all())

    def _fail(self, i: int, words: str) -> ModelError:
        return ModelError(f"{self.info.populations[i].name!r} {words}, which NIR cannot say")

    def _population(self, i: int, constants: set[int]) -> None:
        own = [k for k in self.incoming[i] if self.program.projections[k].source not in constants]
        biases = [k for k in self.incoming[i] if self.program.projections[k].source in constants]
        image = len(self._shape(i)) == 3 and all(self._is_window(k) for k in own)
        kind, fields, bias = self._neuron(i, image=image)
        for k in biases:
            synapses = self.program.projections[k].synapses
            if not isinstance(synapses, plan.Dense):
                raise self._fail(i, "has a bias that is stored as no matrix")
            unit = self.info.projections[k].unit
            bias = bias + self.ordered(i, synapses.weights.reshape(-1) * unit)
        self._node(self.names[i], kind, fields)
        if not own:
            raise self._fail(i, "is reached by nothing")
        for number, k in enumerate(own):
            self._projection(k, bias if number == 0 else np.zeros(1), image=image)
        if self.info.populations[i].output:
            name = f"{self.names[i]}.output"
            shape = self._shape(i) if image else (self.info.populations[i].size,)
            self._node(name, "Output", {"shape": np.array(shape)})
            self.made.edges.append((self.names[i], name))

    # Shapes and orders

    def _shape(self, i: int) -> tuple[int, ...]:
        """In NIR's order: (channels, height, width)."""
        info = self.info.populations[i]
        if info.kind == "input" or len(info.shape) != 3:
            return info.shape
        return (info.shape[2], *info.shape[:2])

    def ordered(self, i: int, values: NDArray[Any]) -> NDArray[Any]:
        """Values of all neurons in NIR's order; one number stays one."""
        info = self.info.populations[i]
        if values.size == 1 or info.kind == "input" or len(info.shape) != 3:
            return values.reshape(-1)
        return np.asarray(values.reshape(info.shape).transpose(2, 0, 1).reshape(-1))

    def _order(self, i: int) -> NDArray[np.int64]:
        return self.ordered(i, np.arange(self.info.populations[i].size))

    def _is_window(self, k: int) -> bool:
        return isinstance(self.program.projections[k].synapses, (plan.Convolution, plan.SumPool))

    # Neurons

    def _neuron(self, i: int, *, image: bool) -> tuple[str, Fields, Reals]:
        """(type, fields, the bias of its input)"""
        info, population = self.info.populations[i], self.program.populations[i]
        neurons = population.neurons
        if not isinstance(neurons, plan.Neurons):
            raise self._fail(i, "is no neuron of its own")
        if neurons.refractory:
            raise self._fail(i, f"is refractory for {neurons.refractory} ticks")
        unit = self.info.projections[self.incoming[i][0]].unit if self.incoming[i] else 1.0
        r = _Real(self, i, neurons, info, unit)
        shape = self._shape(i) if image else (info.size,)
        kind, fields, bias = r.cuba() if population.kind == "cuba" else r.plain()
        if neurons.fire != "none":
            if kind == "Threshold":
                pass
            else:
                fields |= self._firing(i, neurons, info)
        spread = {key: np.broadcast_to(v, info.size).reshape(shape) for key, v in fields.items()}
        return kind, spread, bias

    def _firing(self, i: int, neurons: plan.Neurons, info: PopulationInfo) -> Fields:
        theta, reset = self.ordered(i, neurons.theta), self.ordered(i, neurons.reset_to)
        threshold = (theta - 0.5) * info.scale + info.offset
        if neurons.reset == "value":
            self._decide(i, "reset", None)
            self._floor(i, neurons, theta)
            v_reset = reset * info.scale + info.offset
            return {"v_threshold": threshold, "v_reset": np.where(v_reset == 0, 0.0, v_reset)}
        if not reset.any():
            self._decide(i, "reset", "none")
        elif ((reset == theta) | (reset == theta - 1)).all() and not info.offset:
            self._decide(i, "reset", "subtract")
            self._decide(i, "spikes", "many" if neurons.fire == "many" else None)
            threshold = (reset + np.where(reset == theta, -0.25, 0.25)) * info.scale
        else:
            raise self._fail(i, "subtracts another amount than its threshold")
        self._floor(i, neurons, reset)
        return {"v_threshold": threshold, "v_reset": np.zeros(1)}

    def _floor(self, i: int, neurons: plan.Neurons, subtracted: NDArray[Any]) -> None:
        if neurons.v_min == _NO_FLOOR:
            return
        if neurons.reset == "value" or (np.abs(subtracted + neurons.v_min) > 1).any():
            raise self._fail(i, "has a floor of v")
        self._decide(i, "floor", value=True)

    def _decide(self, i: int, key: str, value: Any) -> None:
        """All neurons of a file are read alike: None is how NIR itself reads it."""
        if self.made.decisions.setdefault(key, value) != value:
            raise self._fail(i, f"has another {key} than the populations before it")

    # Synapses

    def _projection(self, k: int, bias: Reals, *, image: bool) -> None:
        projection, info = self.program.projections[k], self.info.projections[k]
        source, target = projection.source, projection.target
        if (
            self.info.populations[source].kind != "input"
            and not self.info.populations[source].fires
        ):
            raise self._fail(source, "sends no spikes")
        synapses = projection.synapses
        if isinstance(synapses, (plan.Convolution, plan.SumPool)):
            nodes = self._window(k, bias)
            late = nodes if not projection.delay else [self._late(projection), *nodes]
            self._chain(k, late if image else [*late, _flatten(self._shape(target))])
            return
        n_out, n_in = (self.info.populations[j].size for j in (target, source))
        for ticks, weights in _matrices(synapses, n_in, n_out):
            real = weights.T[np.ix_(self._order(target), self._order(source))] * info.unit
            found = ("Affine", {"weight": real, "bias": np.broadcast_to(bias, n_out)})
            nodes = [found] if np.any(bias) else [("Linear", {"weight": real})]
            bias = np.zeros(1)
            if ticks + projection.delay:
                delay = np.full(n_in, (ticks + projection.delay) * self.dt_s)
                nodes.insert(0, ("Delay", {"delay": delay}))
            shape = self._source_shape(source)
            self._chain(k, [_flatten(shape), *nodes] if len(shape) > 1 else nodes)

    def _source_shape(self, i: int) -> tuple[int, ...]:
        """The shape that the node of a population has in the file."""
        name, info = self.names[i], self.info.populations[i]
        if info.kind == "input":
            return info.shape
        fields = self.made.nodes[name][1] if name in self.made.nodes else {}
        if fields:
            return tuple(next(iter(fields.values())).shape)
        own = self.incoming[i]
        return self._shape(i) if all(self._is_window(k) for k in own) else (info.size,)

    def _late(self, projection: plan.Projection) -> tuple[str, Fields]:
        shape = self._shape(projection.source)
        return "Delay", {"delay": np.full(shape, projection.delay * self.dt_s)}

    def _window(self, k: int, bias: Reals) -> list[tuple[str, Fields]]:
        projection, info = self.program.projections[k], self.info.projections[k]
        s = projection.synapses
        if len(self._source_shape(projection.source)) != 3:
            raise self._fail(projection.source, "is a picture to who hears it and none in itself")
        if isinstance(s, plan.SumPool):
            if np.any(bias):
                raise self._fail(projection.target, "has a bias behind a pool")
            pool = {"kernel_size": s.window, "stride": s.stride, "padding": s.pad}
            nodes: list[tuple[str, Fields]] = [
                ("SumPool2d", {key: np.array(value) for key, value in pool.items()})
            ]
            factor = s.weight * info.unit
            if factor != 1:
                nodes.append(("Scale", {"scale": np.full(self._shape(projection.target), factor)}))
            return nodes
        if not isinstance(s, plan.Convolution):
            raise self._fail(projection.target, "is reached by no window")
        out_c = s.target_shape[2]
        by_channel = np.zeros(out_c)
        if np.any(bias):
            full = np.broadcast_to(bias, math.prod(s.target_shape)).reshape(out_c, -1)
            if (full != full[:, :1]).any():
                raise self._fail(projection.target, "has a bias that differs within a channel")
            by_channel = full[:, 0]
        fields = {
            "input_shape": np.array(s.source_shape[:2]),
            "weight": s.weights.transpose(3, 2, 0, 1) * info.unit,
            "stride": np.array(s.stride),
            "padding": np.array(s.pad),
            "dilation": np.array(s.dilation),
            "groups": s.groups,
            "bias": by_channel,
        }
        return [("Conv2d", fields)]

    def _chain(self, k: int, nodes: list[tuple[str, Fields]]) -> None:
        projection = self.program.projections[k]
        last = self.names[projection.source]
        for number, (kind, fields) in enumerate(nodes):
            name = f"{kind}.{k}.{number}.{len(self.made.nodes)}"
            self._node(name, kind, dict(fields))
            self.made.edges.append((last, name))
            last = name
        self.made.edges.append((last, self.names[projection.target]))


def _flatten(shape: tuple[int, ...]) -> tuple[str, Fields]:
    return "Flatten", {"input_type": np.array(shape), "start_dim": 0, "end_dim": -1}


class _Real:
    """The neurons of one population in real units."""

    def __init__(
        self, export: _Export, i: int, neurons: plan.Neurons, info: PopulationInfo, unit: float
    ) -> None:
        self.export, self.index = export, i
        self.neurons = neurons
        self.info = info
        self.dt_s = export.dt_s
        self.unit = unit
        self.leak = self.order(neurons.leak[0]) / _ONE
        self.kappa = 1 - self.leak
        self.gain = self.order(neurons.gain)
        self.push = self.order(neurons.bias) * info.scale
        """What is added to v in every tick."""
        if (self.gain <= 0).any():
            raise export._fail(i, "hears nothing")  # noqa: SLF001 - the same module

    def order(self, values: NDArray[Any]) -> Reals:
        """Values in NIR's order."""
        return self.export.ordered(self.index, values).astype(np.float64)

    @property
    def v_leak(self) -> Reals:
        """Where v begins, and rests: an initial value is all that tells."""
        return self.order(self.neurons.initial) * self.info.scale + self.info.offset

    def plain(self) -> tuple[str, Fields, Reals]:
        """v ← λ v + gain·I, as I, IF, LI, LIF or Threshold."""
        fires = self.neurons.fire != "none"
        gain = self.gain * self.info.scale / self.unit
        if (self.leak == 1).all():
            return "IF" if fires else "I", {"r": gain / self.dt_s}, self.push / gain
        if (self.leak == 0).all() and fires and not self.info.offset:
            theta = (self.order(self.neurons.theta) - 0.5) * self.info.scale
            return "Threshold", {"threshold": theta / gain}, self.push / gain
        rest = self.v_leak
        bias = (self.push - self.kappa * (rest - self.info.offset)) / gain
        fields = {"tau": self.dt_s / self.kappa, "r": gain / self.kappa, "v_leak": rest}
        return "LIF" if fires else "LI", fields, bias

    def cuba(self) -> tuple[str, Fields, Reals]:
        """i ← λ_syn i + gain·I; v ← λ v + coupling·i"""
        neurons = self.neurons
        if neurons.leak_current is None or neurons.coupling is None:
            raise ModelError(f"{self.info.name!r} has no current")
        kappa_syn = 1 - self.order(neurons.leak_current[0]) / _ONE
        most = float(self.gain.max())
        # A unit of current is what a unit of weight adds to it.
        coupling = self.order(neurons.coupling) / _ONE * self.info.scale * most / self.unit
        fields = {
            "tau_syn": self.dt_s / kappa_syn,
            "tau_mem": self.dt_s / self.kappa,
            "w_in": self.gain / most / kappa_syn,
            "r": coupling / self.kappa,
            "v_leak": self.info.offset + self.push / self.kappa,
        }
        fires = neurons.fire != "none"
        return "CubaLIF" if fires else "CubaLI", fields, np.zeros(1)


def _names(populations: tuple[PopulationInfo, ...]) -> list[str]:
    """Names as HDF5 takes them: without a slash, each once."""
    found: list[str] = []
    for info in populations:
        name = info.name.replace("/", ".") or "population"
        while name in found:
            name += "'"
        found.append(name)
    return found


def _matrices(
    synapses: plan.Synapses, n_in: int, n_out: int
) -> list[tuple[int, NDArray[np.int64]]]:
    """(delay in ticks, weights[source, target]) of synapses that are no windows."""
    if isinstance(synapses, plan.Dense):
        return [(0, synapses.weights.astype(np.int64))]
    if n_in * n_out > 1 << 28:
        raise ModelError(f"synapses of {n_in} × {n_out} neurons make too large a matrix for NIR")
    if isinstance(synapses, plan.Wires):
        weights = np.zeros((n_in, n_out), np.int64)
        source = np.flatnonzero(synapses.target >= 0)
        weights[source, synapses.target[source]] = np.broadcast_to(synapses.weight, n_in)[source]
        return [(0, weights)]
    if not isinstance(synapses, plan.Sparse):
        raise ModelError("synapses that are drawn from a seed are written down nowhere")
    ends = synapses.row.astype(np.int64)
    source = np.repeat(np.arange(n_in), ends[1:] - ends[:-1])
    late = np.zeros(source.size, np.int64) if synapses.delays is None else synapses.delays
    found = []
    for ticks in np.unique(late):
        own = late == ticks
        weights = np.zeros((n_in, n_out), np.int64)
        np.add.at(weights, (source[own], synapses.target[own]), synapses.weight[own].astype(int))
        found.append((int(ticks), weights))
    return found
