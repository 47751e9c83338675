# SPDX-License-Identifier: Apache-2.0
"""compile_network: a network of spiking neurons becomes a bundle, with golden spike trains.

The trains are answered by the NumPy oracle, not by the kernel, so that loading proves the kernel of
that box equal to it. The oracle writes every synapse out: networks of more than
`MOST_GOLDEN_SYNAPSES` have no golden trains, and say so in their notes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, cast

import numpy as np

from neurovm import _kernel
from neurovm.bundle import Bundle, digests
from neurovm.description import (
    SPIKING_FORMAT,
    Digests,
    GoldenInfo,
    LayerInfo,
    Limits,
    Manifest,
    SourceInfo,
    TensorInfo,
)
from neurovm.errors import ModelError
from neurovm.populations import (
    MOST_GOLDEN_SYNAPSES,
    Numerics,
    PopulationInfo,
    ProjectionInfo,
    SpikingInfo,
)
from neurovm.reference.spiking import Oracle
from neurovm.spiking.quantize import Quantized, quantized
from neurovm.spiking.records import pack
from neurovm.version import GENERATOR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from neurovm.spiking.codes import Weights
    from neurovm.spiking.network import Network, Node
    from neurovm.spiking.plan import Plan

GOLDEN_TICKS = 32
_SEED = 2026


def compile_network(
    network: Network,
    *,
    weights: Weights = "auto",
    source: SourceInfo | None = None,
    labels: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Bundle:
    """The bundle of a network. `labels` name the neurons of its only output.

    Raises ModelError where it cannot be run, or does not fit integers.
    """
    made = quantized(network, weights=weights)
    packed = pack(made.plan)
    program = _kernel.SpikingProgram(*packed)
    tensors = {name: memoryview(part) for name, part in packed._asdict().items()}
    trains = golden_trains(made.plan, program.synapses)
    for name, data in trains.items():
        tensors[name] = memoryview(data + bytes(-len(data) % 64))
    spiking = _described(made, GOLDEN_TICKS if trains else 0)
    outputs = [p for p in spiking.populations if p.output]
    if labels is not None and len(outputs) != 1:
        raise ModelError(f"{network.name}: labels are for one output, it has {len(outputs)}")
    if not trains:
        notes = (*notes, "no golden spike trains: too many synapses for the oracle")
    return Bundle(
        manifest=Manifest(
            format=SPIKING_FORMAT,
            generator=GENERATOR,
            name=network.name,
            source=source or _own_source(network.name, tensors),
            profile=cast("Numerics", made.numerics),
            coding="spikes",
            neuron=", ".join(dict.fromkeys(p.kind for p in spiking.populations if p.fires)),
            layers=_layers(spiking),
            operators=(),
            inputs=tuple(_port(p, None) for p in spiking.populations if p.kind == "input"),
            outputs=tuple(_port(p, labels) for p in outputs),
            neurons=sum(p.size for p in spiking.populations if p.kind != "input"),
            synapses=program.synapses,
            macs=program.synapses,
            golden=_golden_infos(trains),
            limits=Limits(session_bytes=program.session_bytes, scratch_bytes=0),
            sha256=Digests(**digests(tensors)),
            notes=tuple(notes),
            spiking=spiking,
        ),
        tensors=tensors,
    )


def golden_trains(plan: Plan, synapses: int) -> dict[str, bytes]:
    """Tensors by name: counts of every tick in; counts, then potentials (int32) out."""
    if synapses > MOST_GOLDEN_SYNAPSES:
        return {}
    oracle = Oracle(plan)
    train = stimulus(oracle.n_in)
    run = oracle.run(train)
    answer = run.spikes.astype(np.int8).tobytes() + run.potentials.astype("<i4").tobytes()
    return {"golden.0.in": train.tobytes(), "golden.0.out": answer}


def stimulus(n_in: int) -> NDArray[np.int8]:
    """(GOLDEN_TICKS, n_in) counts: a burst, silence, a few spikes, some of them double."""
    rng = np.random.default_rng(_SEED)
    rate = np.zeros((GOLDEN_TICKS, 1))
    rate[:12], rate[20:] = 0.3, 0.05
    train: NDArray[np.int8] = (rng.random((GOLDEN_TICKS, n_in)) < rate).astype(np.int8)
    return train << (rng.random(train.shape) < 0.05)


def _golden_infos(trains: Mapping[str, bytes]) -> tuple[GoldenInfo, ...]:
    if not trains:
        return ()
    return (GoldenInfo(input="golden.0.in", output="golden.0.out", way="auto"),)


def _own_source(name: str, tensors: Mapping[str, memoryview]) -> SourceInfo:
    """A network that was built in Python is its own source."""
    whole = hashlib.sha256()
    for part in ("populations", "projections", "arena"):
        whole.update(tensors[part])
    size = sum(tensors[part].nbytes for part in ("populations", "projections", "arena"))
    return SourceInfo(format="network", sha256=whole.hexdigest(), bytes=size, name=name)


def _described(made: Quantized, ticks: int) -> SpikingInfo:
    forms = {form.population: form for form in made.formats}
    populations = []
    for node, population in zip(made.nodes, made.plan.populations, strict=True):
        form = forms.get(node.name)
        populations.append(
            PopulationInfo(
                name=node.name,
                kind=population.kind,
                neuron="input" if node.neuron is None else type(node.neuron).__name__,
                shape=_numbered_shape(node),
                output=population.is_output,
                fires=population.kind != "input" and _fires(population.neurons),
                scale=population.scale,
                offset=population.offset,
                threshold=None if form is None else form.threshold,
                headroom_bits=None if form is None else form.headroom_bits,
                bounded=form is None or form.bounded,
            )
        )
    projections = [
        ProjectionInfo(
            source=edge.source,
            target=edge.target,
            stored=error.stored,
            weights=error.weights,
            delay=edge.delay,
            bits=error.bits,
            unit=error.unit,
            max_error=error.max_error,
            snr_db=error.snr_db,
        )
        for edge, error in zip(made.plan.projections, made.weights, strict=True)
    ]
    return SpikingInfo(
        dt_us=made.plan.dt_us,
        numerics=cast("Numerics", made.numerics),
        populations=tuple(populations),
        projections=tuple(projections),
        golden_ticks=ticks,
    )


def _fires(neurons: object) -> bool:
    return getattr(neurons, "fire", "one") != "none"


def _numbered_shape(node: Node) -> tuple[int, ...]:
    """The shape in which the neurons are numbered: the channel of an image is last."""
    if not node.hwc:
        return node.shape
    channels, height, width = node.shape
    return height, width, channels


def _port(population: PopulationInfo, labels: Sequence[str] | None) -> TensorInfo:
    """Spikes as a tensor: counts, one byte a neuron."""
    if labels is not None and len(labels) != population.size:
        raise ModelError(f"{len(labels)} labels for {population.size} neurons")
    return TensorInfo(
        name=population.name,
        shape=population.shape,
        dtype="int8",
        scale=1.0,
        zero_point=0,
        labels=None if labels is None else tuple(labels),
    )


def _layers(spiking: SpikingInfo) -> tuple[LayerInfo, ...]:
    """Populations as the layers of a program."""
    infos = []
    for index, population in enumerate(spiking.populations):
        into = [e for e in spiking.projections if e.target == index]
        synapses = sum(e.weights for e in into)
        infos.append(
            LayerInfo(
                index=index,
                kind=population.kind.upper(),
                op=population.neuron,
                source_op=-1,
                name=population.name,
                shape=population.shape,
                neurons=population.size,
                synapses=synapses,
                macs=synapses,
                acc_bound=0,
                bytes=sum(e.weights * e.bits // 8 for e in into),
                fate="events",
            )
        )
    return tuple(infos)
