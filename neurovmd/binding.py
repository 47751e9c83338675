# SPDX-License-Identifier: Apache-2.0
"""A VM bound to its model: inputs and streams of the kind that the model's network asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Union

from neurovmd.compute import Streams
from neurovmd.mapping import Inputs
from neurovmd.result import ResultWriter
from neurovmd.schema import Vm
from neurovmd.shared import Slot
from neurovmd.spike_inputs import SpikeInputs
from neurovmd.spike_model import spiking
from neurovmd.spike_result import SpikeWriter
from neurovmd.spike_streams import SpikeStreams
from neurovmd.stepping import StepChain
from neurovmd.stream_table import StreamTable

if TYPE_CHECKING:
    from neurovm import Model
    from neurovmd.window.inputs import FrameInputs

AnyInputs = Union[Inputs, "FrameInputs", SpikeInputs]


def has_frames(vm: Vm) -> bool:
    """Whether the VM makes frames and windows of what it hears: what does is loaded for it alone,
    and before workers are forked, which share it.
    """
    return any(source.window or source.front_end for source in vm.inputs)


def inputs_of(vm: Vm, names: Mapping[str, str], model: Model) -> AnyInputs:
    """The inputs of a VM; MappingError where it asks for what its model has not."""
    timed = spiking(model)
    if timed is None:
        # What it would refuse, before anything runs.
        StepChain.of(vm, model, ResultWriter("", model, vm.output.form), str)
        if has_frames(vm):
            from neurovmd.window.inputs import FrameInputs

            return FrameInputs(vm, names, model)
        return Inputs(vm, names, model)
    _spike_chain(vm, SpikeWriter("", model, timed, vm.output.form), str)
    return SpikeInputs(vm, names, timed)


def streams_of(
    name: str,
    vm: Vm,
    model: Model,
    inputs: AnyInputs,
    topic: Callable[[str], str],
    alert_topic: Callable[[str], str],
    slot: Slot,
    late: Callable[[str, int, int], None] | None = None,
    **clocks: Any,
) -> StreamTable[Any]:
    """The streams of the VM `name`; `topic` and `alert_topic` of a stream's results and events,
    `clocks` as `Streams` takes them, `late` as `SpikeStreams`.
    """
    form, timed = vm.output.form, spiking(model)
    if not isinstance(inputs, SpikeInputs):
        writer = ResultWriter(name, model, form)
        chain = StepChain.of(vm, model, writer, alert_topic)
        if isinstance(inputs, Inputs):
            return Streams(vm, model, inputs, writer, topic, slot, chain=chain, **clocks)
        from neurovmd.frame_streams import FrameStreams

        more = {**clocks, "chain": chain, "late": late}
        return FrameStreams(vm, model, inputs, writer, topic, slot, **more)
    assert timed is not None  # noqa: S101  # by its inputs
    spikes = SpikeWriter(name, model, timed, form)
    more = {**clocks, "chain": _spike_chain(vm, spikes, alert_topic), "late": late}
    return SpikeStreams(vm, timed, inputs, spikes, topic, slot, **more)


def _spike_chain(vm: Vm, writer: SpikeWriter, topic: Callable[[str], str]) -> StepChain | None:
    """Output steps and alert rules of a spiking network: after its counts or potentials."""
    if not (vm.output.steps or vm.output.alerts):
        return None
    return StepChain(vm, writer.values_form, writer, topic)
