# SPDX-License-Identifier: Apache-2.0
"""Networks of one framework: NIR files that it wrote itself, and what it answers to spikes.

`peer_networks.py FRAMEWORK FOLDER`, run in a Python that has the framework, writes NAME.nir and
NAME.npz (x (T, …), y (T, …), dt) of each of its networks. A network is run as it was built, or
(sinabs) as the framework reads its own file again.
"""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from torch import nn

T = 60
RNG = np.random.default_rng(11)


def linear(n_in: int, n_out: int, *, bias: bool = True, scale: float = 1.0) -> nn.Linear:
    """Weights on a grid of 1/64, mostly positive, so that something happens."""
    layer = nn.Linear(n_in, n_out, bias=bias)
    layer.weight.data = torch.tensor(RNG.integers(-32, 64, (n_out, n_in)) / 64 * scale).float()
    if bias:
        layer.bias.data = torch.tensor(RNG.integers(-8, 8, n_out) / 64 * scale).float()
    return layer


def conv(c_in: int, c_out: int, k: int, padding: int = 0, stride: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(c_in, c_out, k, stride=stride, padding=padding)
    layer.weight.data = torch.tensor(RNG.integers(-32, 64, layer.weight.shape) / 64).float()
    layer.bias.data = torch.tensor(RNG.integers(-8, 8, c_out) / 64).float()
    return layer


def train(*shape: int) -> torch.Tensor:
    return torch.tensor(RNG.random((T, *shape)) < 0.3).float()


def threshold(*shape: int) -> torch.Tensor:
    """Off every grid."""
    return torch.full(shape, 1 + 1 / 192)


def steps(module: Any, x: torch.Tensor) -> np.ndarray:
    """A module that keeps its own state, a step a row."""
    return np.stack([module(row).detach().numpy() for row in x])


def read_steps(module: Any, x: torch.Tensor) -> np.ndarray:
    """A module of nirtorch, which takes and gives its state."""
    state, found = None, []
    for row in x:
        y, state = module(row, state)
        found.append(y.detach().numpy())
    return np.stack(found)


def snntorch() -> dict[str, Any]:
    import snntorch as snn
    from snntorch.export_nir import export_to_nir

    made = {}
    for name, reset, delay in (
        ("zero", "zero", False), ("zero late", "zero", True), ("subtract late", "subtract", True),
    ):  # fmt: skip

        def leaky(n: int, reset: str = reset, delay: bool = delay) -> snn.Leaky:
            return snn.Leaky(
                beta=torch.full((n,), 0.875), threshold=threshold(n), reset_mechanism=reset,
                reset_delay=delay, init_hidden=True,
            )  # fmt: skip

        def synaptic(n: int, reset: str = reset, delay: bool = delay) -> snn.Synaptic:
            return snn.Synaptic(
                alpha=torch.full((n,), 0.5), beta=torch.full((n,), 0.75), threshold=threshold(n),
                reset_mechanism=reset, reset_delay=delay, init_hidden=True,
            )  # fmt: skip

        x = train(16)
        for kind, neuron in (("Leaky", leaky), ("Synaptic", synaptic)):
            net = nn.Sequential(linear(16, 12), neuron(12), linear(12, 6), neuron(6))
            graph = export_to_nir(net, x[0])
            for layer in (net[1], net[3]):
                layer.reset_mem()
            made[f"{kind}, {name}"] = (graph, x, steps(net, x), 1e-4)
    made["RLeaky"] = _recurrent(snn.RLeaky, reset_delay=False)
    # Without reset_delay it raises a TypeError in snntorch 1.0.0.
    made["RSynaptic"] = _recurrent(snn.RSynaptic, alpha=torch.full((12,), 0.5))
    return made


def _recurrent(kind: Any, **more: Any) -> Any:
    """The exporter's own nested graph: nirtorch 2.6 finds no input of what holds other modules."""
    from snntorch.export_nir import _extract_snntorch_module

    back = linear(12, 12)
    back.weight.data -= 0.25
    neurons = kind(
        beta=torch.full((12,), 0.75), threshold=threshold(12), linear_features=12,
        reset_mechanism="zero", init_hidden=True, **more,
    )  # fmt: skip
    neurons.recurrent.weight.data, neurons.recurrent.bias.data = back.weight.data, back.bias.data
    x = train(16)
    weigh = linear(16, 12)
    net = nn.Sequential(weigh, neurons)
    graph = _chain(weigh, _extract_snntorch_module(neurons))
    return graph, x, steps(net, x), 1e-4


def norse() -> dict[str, Any]:
    import norse.torch as nt
    from norse.torch.utils.export_nir import _extract_norse_module

    x = train(16)
    made = {}
    cells = {
        "LIFBoxCell": nt.LIFBoxCell(
            nt.LIFBoxParameters(
                tau_mem_inv=torch.full((12,), 125.0), v_th=threshold(12), v_leak=torch.zeros(12)
            )
        ),
        "LIFCell": nt.LIFCell(
            nt.LIFParameters(
                tau_mem_inv=torch.full((12,), 125.0), tau_syn_inv=torch.full((12,), 250.0),
                v_th=threshold(12), v_leak=torch.zeros(12),
            )
        ),
        "IAFCell": nt.IAFCell(nt.IAFParameters(v_th=threshold(12), v_reset=torch.zeros(12))),
    }  # fmt: skip
    for name, cell in cells.items():
        weigh = linear(16, 12, scale=1.0 if name == "IAFCell" else 8.0)
        net = nt.SequentialState(weigh, cell)
        graph = _chain(weigh, _extract_norse_module(cell, dt=1e-3))
        made[name] = (graph, x, read_steps(net, x), 1e-3)
    return made


def _chain(weigh: nn.Linear, node: Any) -> Any:
    """Input, weights, the node that an exporter made, Output."""
    for key, value in vars(node).items():
        if isinstance(value, torch.Tensor):
            setattr(node, key, value.numpy())
    affine = nir.Affine(weigh.weight.detach().numpy(), weigh.bias.detach().numpy())
    n_out, n_in = weigh.weight.shape
    return nir.NIRGraph(
        nodes={
            "input": nir.Input(np.array([n_in])),
            "w": affine,
            "n": node,
            "output": nir.Output(np.array([n_out])),
        },
        edges=[("input", "w"), ("w", "n"), ("n", "output")],
        type_check=False,
    )


def sinabs() -> dict[str, Any]:
    import sinabs.layers as sl
    import sinabs.nir as exchange

    made = {}
    x = train(2, 8, 8)
    high = 4 * threshold(1)
    net = nn.Sequential(
        conv(2, 4, 3, padding=1), sl.IAFSqueeze(batch_size=1, spike_threshold=high),
        sl.SumPool2d(2), conv(4, 3, 3), sl.IAFSqueeze(batch_size=1, spike_threshold=high),
        nn.Flatten(), linear(12, 5), sl.IAFSqueeze(batch_size=1, spike_threshold=high),
    )  # fmt: skip
    _put(made, "IAF of a picture", exchange, net, x)
    x = train(16)
    tau = torch.full((12,), 8.0)
    lif = sl.LIFSqueeze(tau_mem=tau, batch_size=1, spike_threshold=threshold(12), norm_input=False)
    _put(made, "LIF", exchange, nn.Sequential(linear(16, 12), lif), x)
    return made


def _put(made: dict[str, Any], name: str, exchange: Any, net: Any, x: torch.Tensor) -> None:
    for layer in net:
        for value in vars(layer).values():
            if isinstance(value, nn.Parameter):
                value.requires_grad = False
    net(x)
    graph = exchange.to_nir(net, x)
    graph.infer_types()  # its own nodes lack shapes that nir.write asks for
    read = exchange.from_nir(graph, batch_size=1)
    y = read(x)
    y = y[0] if isinstance(y, tuple) else y
    made[name] = (graph, x, y.detach().numpy(), 1e-3)


def spikingjelly() -> dict[str, Any]:
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import to_nir

    def lin(n_in: int, n_out: int) -> Any:
        own = layer.Linear(n_in, n_out)
        given = linear(n_in, n_out)
        own.weight.data, own.bias.data = given.weight.data, given.bias.data
        return own

    level = float(threshold(1))
    made = {}
    for name, make in {
        "LIF, decaying input": lambda: neuron.LIFNode(tau=4.0, v_threshold=level / 4),
        "LIF": lambda: neuron.LIFNode(tau=8.0, decay_input=False, v_threshold=level),
        "LIF to a value": lambda: neuron.LIFNode(tau=4.0, v_threshold=level / 2, v_reset=-0.25),
        "IF": lambda: neuron.IFNode(v_threshold=level),
        "CUBALIF": lambda: neuron.CUBALIFNode(c_decay=0.5, v_decay=0.75, v_threshold=level),
    }.items():
        x = train(1, 16)
        net = nn.Sequential(lin(16, 12), make(), lin(12, 6), make())
        graph = to_nir.export_to_nir(net, x[0], dt=1e-3)
        functional.reset_net(net)
        made[name] = (graph, x[:, 0], steps(net, x)[:, 0], 1e-3)
    x = train(1, 2, 8, 8)
    plain = conv(2, 3, 3, padding=1)
    net = nn.Sequential(
        plain, neuron.IFNode(v_threshold=level), nn.AvgPool2d(2), nn.Flatten(), lin(48, 5),
        neuron.LIFNode(tau=4.0, v_threshold=level / 4),
    )  # fmt: skip
    graph = to_nir.export_to_nir(net, x[0], dt=1e-3)
    functional.reset_net(net)
    made["a picture"] = (graph, x[:, 0], steps(net, x)[:, 0], 1e-3)
    return made


def main(framework: str, folder: Path) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
        made = {
            "snntorch": snntorch, "norse": norse, "sinabs": sinabs, "spikingjelly": spikingjelly,
        }[framework]()  # fmt: skip
    for name, (graph, x, y, dt) in made.items():
        nir.write(folder / f"{name}.nir", graph)
        x, y = np.asarray(x).astype(np.int8), np.asarray(y)  # noqa: PLW2901 - as they are stored
        np.savez(folder / f"{name}.npz", x=x, y=y.astype(np.int8), dt=dt)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
