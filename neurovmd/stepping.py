# SPDX-License-Identifier: Apache-2.0
"""Output steps and alert rules of a VM: bound to its model once, with a state for each stream.

Every answer of the network, once the stream is complete (`wait_for`), is pushed through the steps.
What they give is what results say; where they give nothing there is nothing to say yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from neurovm.errors import StepError
from neurovm.steps import Change, TensorsForm
from neurovm.steps.chain import Chain, Plan
from neurovm.steps.forms import ValueForm, VectorForm
from neurovmd.refusal import MappingError
from neurovmd.schema import Form, Vm

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from neurovm import Model

Found = dict[str, Any]
Topic = Callable[[str], str]
WHOLE = 8
"""Planes of a code."""


class News(NamedTuple):
    """One turn of an event, by the alert rule that tells of it."""

    alert: str
    change: Change


class EventWriter(Protocol):
    """Writes what rules tell; ResultWriter does."""

    def write_event(self, stream: str, seq: int, t_us: int, news: News) -> bytes: ...


class StepChain:
    """The output steps and alert rules of a VM that has any (`of`), after values of the form
    `start`; MappingError where they do not fit it.

    `topic`: where events of a stream go. `needs_inputs`: whether `StepState.push` has to be given
    the codes of the network's inputs.
    """

    def __init__(self, vm: Vm, start: ValueForm, writer: EventWriter, topic: Topic) -> None:
        output = vm.output
        self.writer, self.topic = writer, topic
        try:
            self._plan = Plan(output.steps, start)
        except StepError as error:
            raise _located("output.steps", error) from None
        self._form = output.form if output.steps else None
        _check(vm, self._plan.form)
        self.momentary = self._plan.form.momentary
        self.needs_inputs = self._plan.needs_inputs
        self._rules = [(alert.name, self._bind(vm, at)) for at, alert in enumerate(output.alerts)]

    @classmethod
    def of(cls, vm: Vm, model: Model, writer: EventWriter, topic: Topic) -> StepChain | None:
        """From all outputs of a network that answers by its codes; None for a VM with neither steps
        nor rules.
        """
        if not (vm.output.steps or vm.output.alerts):
            return None
        start = TensorsForm(outputs=model.outputs, inputs=model.inputs)
        return cls(vm, start, writer, topic)

    def _bind(self, vm: Vm, at: int) -> Plan:
        watched = self._plan.watched or self._plan.start
        if vm.output.steps and self._plan.watched is None:
            found = "a rule beside steps without a vector or boxes"
            raise MappingError(f"output.alerts[{at}]", found, "a vector or boxes on the way")
        try:
            return Plan(vm.output.alerts[at].steps(watched), watched)
        except StepError as error:
            raise _located(f"output.alerts[{at}]", error) from None

    def open(self, stream: str) -> StepState:
        """The state of a new stream."""
        rules = [(name, plan.stream()) for name, plan in self._rules]
        return StepState(stream, self, self._plan.stream(), rules)

    def said(self, value: Any) -> Found | None:
        """What results say of what the steps gave; None: what they say without steps."""
        form, wanted = self._plan.form, self._form
        if wanted is None:
            return None
        if isinstance(form, VectorForm) and wanted.top_k is not None:
            return form.top(value, wanted.top_k)
        return form.fields(value)


class StepState:
    """The steps of one stream; used by one thread.

    `has_news`: whether steps have given anything that no result has said yet; `is_change`: whether
    the last push did, and it differs from what was said last.
    """

    def __init__(
        self, name: str, chain: StepChain, stream: Chain, rules: Sequence[tuple[str, Chain]]
    ) -> None:
        self._name, self._chain, self._stream, self._rules = name, chain, stream, rules
        self._found: Found | None = None
        self._told: Found | None = None
        self.has_news = False
        self.is_change = False

    def push(
        self, t_us: int, seq: int, codes: Buffer, inputs: Sequence[int] = ()
    ) -> list[tuple[str, bytes]]:
        """One answer of the network, at `t_us` and after message `seq`; topics and payloads of what
        alert rules tell of it.

        `codes`: all outputs, as a session gives them; `inputs`: those of all inputs.
        """
        return self.push_value(t_us, seq, self._stream.plan.reading(codes, inputs))

    def push_value(self, t_us: int, seq: int, reading: Any) -> list[tuple[str, bytes]]:
        """The same of a value of the form that the chain starts with."""
        chain, stream = self._chain, self._stream
        value = stream.push(t_us, reading)
        self.is_change = False
        if value is not None:
            self._found = chain.said(value)
            self.has_news = True
            self.is_change = chain.momentary or self._found != self._told
        watched = reading if stream.plan.watched is None else stream.watched
        if watched is None:
            return []
        name = self._name
        return [
            (chain.topic(name), chain.writer.write_event(name, seq, t_us, News(rule, change)))
            for rule, rules in self._rules
            for change in rules.push(t_us, watched) or ()
        ]

    def tell(self) -> Found | None:
        """What the result says that is written now; None: the network's own codes."""
        self._told, self.has_news = self._found, False
        return self._found


def _located(place: str, error: StepError) -> MappingError:
    dot = "." if error.key and not error.key.startswith("[") else ""
    return MappingError(f"{place}{dot}{error.key}", error.found, error.accepted)


def _check(vm: Vm, form: ValueForm) -> None:
    """MappingError for what results of these steps cannot be."""
    output = vm.output
    if not output.steps:
        return
    if vm.planes != WHOLE:
        raise MappingError("output.steps", f"them with planes {vm.planes}", f"planes: {WHOLE}")
    wanted = output.form
    if wanted.values in ("codes", "events", "packed"):
        raise MappingError("output.form.values", wanted.values, "reals, or top_k, with steps")
    says_what_starts = wanted.values in ("counts", "potentials")
    if wanted != Form(top_k=1) and not isinstance(form, VectorForm) and not says_what_starts:
        found = f"one with steps that end with {form}"
        raise MappingError("output.form", found, "no such key: the last step says what is shown")
    if form.momentary and output.on == "interval":
        found = f"interval with steps that end with {form}"
        raise MappingError("output.on", found, "change or always: each of them is told")
