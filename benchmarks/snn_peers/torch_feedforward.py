# SPDX-License-Identifier: Apache-2.0
"""sinabs, spikingjelly, norse, snntorch: layers of LIF. Run in a Python that has the framework.

`torch_feedforward.py FRAMEWORK NETWORK.npz` runs the network once and prints a JSON line: version,
whether its equations are ours (`equal`), spikes of each layer (`counts`) and the last layer's
(`output`), [step, neuron] each. For every line of standard input it runs once more and prints
another: seconds a step.

NETWORK.npz: weight0, weight1, … (targets, sources), leak, threshold, spikes (T, sources), reset. In
each layer V(t) = leak V(t − 1) + W s(t) in float32, fires once at V >= threshold, then V = 0 (reset
`zero`) or V − threshold (`subtract`).

* sinabs, spikingjelly: those equations, over all steps of a layer at once.
* norse weighs its input by 1 − leak, so that its weights are divided by that, and fires at `>`: at
  the number next below the threshold.
* snntorch fires at `>` too. Where it subtracts it does so in the step after, behind the leak: other
  equations, `equal` is false.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

Run = Callable[[torch.Tensor], list[torch.Tensor]]


class Given:
    """The network of the file."""

    def __init__(self, file: Path) -> None:
        arrays = np.load(file)
        self.leak = float(arrays["leak"])
        self.threshold = float(arrays["threshold"])
        self.below = float(np.nextafter(np.float32(self.threshold), np.float32(-np.inf)))
        """v > below wherever v >= threshold, in float32."""
        self.subtract = str(arrays["reset"]) == "subtract"
        self.spikes = torch.from_numpy(arrays["spikes"]).float()
        count = sum(name.startswith("weight") for name in arrays)
        self.weights = [arrays[f"weight{k}"].astype(np.float32) for k in range(count)]

    def linear(self, factor: float = 1.0) -> list[torch.nn.Linear]:
        layers = []
        for weights in self.weights:
            layer = torch.nn.Linear(weights.shape[1], weights.shape[0], bias=False)
            layer.weight.data = torch.from_numpy(weights * np.float32(factor))
            layers.append(layer)
        return layers


def sinabs(net: Given) -> Run:
    import sinabs.layers as sl
    from sinabs.activation import MembraneReset, MembraneSubtract, SingleSpike

    linear = net.linear()
    neurons = [
        sl.LIF(
            tau_mem=-1 / math.log(net.leak),
            spike_threshold=torch.tensor(net.threshold),
            spike_fn=SingleSpike,
            reset_fn=MembraneSubtract() if net.subtract else MembraneReset(),
            norm_input=False,
        )
        for _ in linear
    ]

    def run(spikes: torch.Tensor) -> list[torch.Tensor]:
        heard, sent = spikes[None], []
        for weigh, lif in zip(linear, neurons, strict=True):
            lif.reset_states()
            heard = lif(weigh(heard))
            sent.append(heard[0])
        return sent

    return run


def spikingjelly(net: Given) -> Run:
    from spikingjelly.activation_based import functional, neuron

    linear = net.linear()
    neurons = [
        neuron.LIFNode(
            tau=1 / (1 - net.leak),
            decay_input=False,
            v_threshold=net.threshold,
            v_reset=None if net.subtract else 0.0,
            step_mode="m",
        )
        for _ in linear
    ]

    def run(spikes: torch.Tensor) -> list[torch.Tensor]:
        heard, sent = spikes[:, None], []
        for weigh, lif in zip(linear, neurons, strict=True):
            functional.reset_net(lif)
            heard = lif(weigh(heard))
            sent.append(heard[:, 0])
        return sent

    return run


def norse(net: Given) -> Run:
    from norse.torch import LIFBoxCell, LIFBoxParameters
    from norse.torch.functional.reset import reset_subtract, reset_value

    linear = net.linear(1 / (1 - net.leak))
    parameters = LIFBoxParameters(
        tau_mem_inv=torch.tensor(1 - net.leak),
        v_th=torch.tensor(net.below),
        reset_method=reset_subtract if net.subtract else reset_value,
    )
    neurons = [LIFBoxCell(parameters, dt=1.0) for _ in linear]

    def run(spikes: torch.Tensor) -> list[torch.Tensor]:
        states: list[Any] = [None] * len(linear)
        sent: list[list[torch.Tensor]] = [[] for _ in linear]
        for row in spikes:
            heard = row[None]
            for k, weigh in enumerate(linear):
                heard, states[k] = neurons[k](weigh(heard), states[k])
                sent[k].append(heard[0])
        return [torch.stack(steps) for steps in sent]

    return run


def snntorch(net: Given) -> Run:
    import snntorch as snn

    linear = net.linear()
    kind = {"reset_mechanism": "subtract"} if net.subtract else {"reset_mechanism": "zero"}
    neurons = [
        snn.Leaky(beta=net.leak, threshold=net.below, reset_delay=net.subtract, **kind)
        for _ in linear
    ]

    def run(spikes: torch.Tensor) -> list[torch.Tensor]:
        potentials = [torch.zeros(1, weigh.out_features) for weigh in linear]
        sent: list[list[torch.Tensor]] = [[] for _ in linear]
        for row in spikes:
            heard = row[None]
            for k, weigh in enumerate(linear):
                heard, potentials[k] = neurons[k](weigh(heard), potentials[k])
                sent[k].append(heard[0])
        return [torch.stack(steps) for steps in sent]

    return run


PEERS = {"sinabs": sinabs, "spikingjelly": spikingjelly, "norse": norse, "snntorch": snntorch}


def main(name: str, file: Path) -> None:
    torch.set_num_threads(1)
    net = Given(file)
    with torch.no_grad():
        run = PEERS[name](net)
        sent = run(net.spikes)
        first = {
            "version": importlib.metadata.version(name),
            "equal": not (name == "snntorch" and net.subtract),
            "counts": [int(spikes.sum()) for spikes in sent],
            "output": sent[-1].nonzero().tolist(),
        }
        print(json.dumps(first), flush=True)
        for _ in sys.stdin:
            begun = time.perf_counter()
            run(net.spikes)
            took_s = time.perf_counter() - begun
            print(json.dumps({"step_s": took_s / len(net.spikes)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
