# SPDX-License-Identifier: Apache-2.0
"""Encoders: real values as spikes. One a file, each a frozen struct of its parameters; listed here.

    encoder = Delta(threshold=0.5, off_spike=True)
    stream = encoder.stream(3)                  # the state of three elements
    spikes = stream.push([20.1, 0.3, 7.0])      # Spikes(ticks, addresses) of this sample
    train = encoder.encode(samples)             # the same for arrays: (ticks, channels, elements)

An encoder gives every element `channels` spike channels; the address of a spike is
`channel · elements + element`, the layout of a picture's planes. A sample lasts `ticks` ticks, in
which its spikes are counted from 0. Everything is a function of parameters, seed and samples, so a
stream gives the same spikes on every machine. No numpy is needed but for arrays.

| encoder | a value becomes | names after |
| --- | --- | --- |
| `rate` | spikes with probability `gain`·x + `offset` in each tick | snntorch.spikegen.rate |
| `poisson` | spikes at `f_max`·x Hz | norse.torch.functional.poisson_encode |
| `latency` | one spike, the earlier the larger | snntorch.spikegen.latency |
| `delta` | a spike when it has moved by `threshold` since the last one | snntorch.spikegen.delta |
| `level_crossing` | a spike for each level it crosses | – |
| `population` | spikes of `out_features` neurons, each with a field | norse's population_encode |
| `phase` | its binary digits, one a tick | – |
"""

from __future__ import annotations

from neurovm.encoders.base import Encoder, Spikes, Stream
from neurovm.encoders.delta import Delta
from neurovm.encoders.latency import Latency
from neurovm.encoders.level_crossing import LevelCrossing
from neurovm.encoders.phase import Phase
from neurovm.encoders.poisson import Poisson
from neurovm.encoders.population import Population
from neurovm.encoders.rate import Rate

AnyEncoder = Rate | Poisson | Latency | Delta | LevelCrossing | Population | Phase

__all__ = [
    "AnyEncoder",
    "Delta",
    "Encoder",
    "Latency",
    "LevelCrossing",
    "Phase",
    "Poisson",
    "Population",
    "Rate",
    "Spikes",
    "Stream",
]
