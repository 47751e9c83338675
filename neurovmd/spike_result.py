# SPDX-License-Identifier: Apache-2.0
"""The result of a VM whose network spikes: counts, potentials, or the events themselves."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from neurovm.events import Events, aer
from neurovm.steps.forms import VectorForm, clipped
from neurovmd.refusal import MappingError
from neurovmd.result import Cost, Found
from neurovmd.schema import Form
from neurovmd.spike_model import SpikeModel

if TYPE_CHECKING:
    from neurovm import Model
    from neurovmd.stepping import News


@dataclass(slots=True)
class Heard:
    """Output spikes of a stretch of time: how many by address, and themselves where asked for;
    `events_in` input events of it, `late` that came too late for it.
    """

    counts: Counter[int] = field(default_factory=Counter)
    times_us: array[int] = field(default_factory=lambda: array("q"))
    addresses: array[int] = field(default_factory=lambda: array("I"))
    events_in: int = 0
    late: int = 0

    @property
    def any(self) -> bool:
        """Whether there was a spike, in or out."""
        return bool(self.counts or self.events_in or self.late)


class SpikeWriter:
    """Writes results of one VM: `write` gives the payload.

    MappingError where the form asks for what the network has not. `shows_potentials`: whether a
    change of potentials changes a result.
    """

    def __init__(self, vm: str, model: Model, spiking: SpikeModel, form: Form) -> None:
        self._vm, self._form = vm, form
        self._fixed: Found = {
            "model": model.sha256[:12],
            "backend": model.backend,
            "kind": model.kind,
            "neuron": model.neuron,
            "coding": model.coding,
        }
        self._outputs = spiking.outputs
        self._count = sum(tensor.size for tensor in spiking.outputs)
        tensors = zip(spiking.outputs, spiking.potential_scales, strict=True)
        self._units = [unit for tensor, unit in tensors for _ in range(tensor.size)]
        labels = [t.labels or [None] * t.size for t in spiking.outputs]
        self._labels = [label for row in labels for label in row]
        self._is_readout = all(spiking.readouts)
        if form.values in ("real", "codes"):
            accepted = "counts or potentials: the model is a spiking network"
            raise MappingError("output.form.values", form.values, accepted)
        if self._is_readout and form.values not in (None, "potentials"):
            accepted = "potentials: the model's outputs never spike"
            raise MappingError("output.form.values", form.values, accepted)
        by_potential = form.top_k is not None and self._is_readout
        self.shows_potentials = form.values == "potentials" or by_potential
        self._encode = msgspec.json.Encoder().encode

    def write(
        self,
        stream: str,
        seq: tuple[int, int],
        t_us: int,
        span_us: tuple[int, int],
        heard: Heard,
        potentials: memoryview,
        origin_us: int,
        cost: Cost,
        said: Found | None = None,
    ) -> bytes:
        """The result of `heard`, which follows messages `seq` (first, last).

        `t_us` is the time of day, `span_us` from when to when, by the stream's clock, it is;
        `origin_us` zero by that clock; `said` what output steps make of it, where there
        are any.
        """
        if self._form.values == "packed":
            return aer.pack(_absolute(heard, origin_us))
        head: Found = {"vm": self._vm, "stream": stream, "seq": seq[1]}
        if seq[0] != seq[1]:
            head["seq_first"] = seq[0]
        head["t_us"] = t_us
        head["from_us"], head["until_us"] = span_us
        head.update(self._fixed)
        head.update(self._find(heard, potentials, origin_us) if said is None else said)
        head["events_in"] = heard.events_in
        if heard.late:
            head["late"] = heard.late
        head["sops"] = cost.sops
        head["dense_macs"] = cost.dense_macs
        head["compute_us"] = cost.compute_ns // 1000
        return self._encode(head)

    def write_event(self, stream: str, seq: int, t_us: int, news: News) -> bytes:
        """What an alert rule tells after message `seq` of `stream`; `t_us` by its own clock."""
        head: Found = {"vm": self._vm, "stream": stream, "seq": seq, "t_us": t_us}
        head["model"] = self._fixed["model"]
        return self._encode({**head, "alert": news.alert, **news.change.fields()})

    @property
    def values_form(self) -> VectorForm:
        """What output steps start with: counts or potentials of all outputs."""
        named = [label for label in self._labels if label is not None]
        labels = tuple(named) if len(named) == self._count else None
        return VectorForm(size=self._count, labels=labels)

    def values(self, heard: Heard, potentials: memoryview) -> list[float]:
        """The values of that form."""
        if self.shows_potentials:
            return [clipped(value) for value in self._reals(potentials)]
        return [float(count) for count in self._counts(heard)]

    def _find(self, heard: Heard, potentials: memoryview, origin_us: int) -> Found:
        form = self._form
        if form.is_events:
            events = _absolute(heard, origin_us)
            lists = {"t_us": events.times_us.tolist(), "addr": events.addresses.tolist()}
            return {"events": lists}
        if form.top_k is not None:
            values = self._reals(potentials) if self._is_readout else self._counts(heard)
            return {"top": self._top(values, form.top_k)}
        if form.values == "counts":
            return {"counts": self._counts(heard)}
        return {"potentials": self._reals(potentials)}

    def _counts(self, heard: Heard) -> list[Any]:
        counts = heard.counts
        return [counts[at] for at in range(self._count)]

    def _reals(self, potentials: memoryview) -> list[Any]:
        return [
            scale * v + start for (scale, start), v in zip(self._units, potentials, strict=True)
        ]

    def _top(self, values: list[Any], k: int) -> list[Found]:
        """The k largest; equal ones in the order of their indices."""
        best = sorted(range(len(values)), key=lambda at: -values[at])[:k]
        entries: list[Found] = []
        for at in best:
            label = self._labels[at]
            named = {} if label is None else {"label": label}
            entries.append({"index": at, **named, "value": values[at]})
        return entries


def _absolute(heard: Heard, origin_us: int) -> Events:
    """Output spikes by the stream's own clock."""
    return Events(array("q", [origin_us + t for t in heard.times_us]), heard.addresses)
