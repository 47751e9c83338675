# SPDX-License-Identifier: Apache-2.0
"""`convert_network`: from a network of spiking neurons to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurovm.spiking_model import SpikingModel, replay_trains
from neurovm.spiking_program import compile_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neurovm.description import SourceInfo
    from neurovm.spiking.codes import Weights
    from neurovm.spiking.network import Network


def convert_network(
    network: Network,
    *,
    weights: Weights = "auto",
    labels: Sequence[str] | None = None,
    source: SourceInfo | None = None,
    notes: Sequence[str] = (),
) -> SpikingModel:
    """See `neurovm.convert_network`. `source`, `notes`: the file it was read from."""
    content = compile_network(network, weights=weights, labels=labels, source=source, notes=notes)
    model = SpikingModel(content)
    replay_trains(model, content, network.name)
    return model
