# SPDX-License-Identifier: Apache-2.0
"""Steps one after the other: checked against the model once, then a state for each stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from neurovm.description import TensorInfo
from neurovm.errors import ShapeError, StepError
from neurovm.steps.base import Step, StepStream
from neurovm.steps.forms import (
    MOST_VALUE,
    BoxesForm,
    Reading,
    TensorsForm,
    ValueForm,
    VectorForm,
)
from neurovm.steps.select import Select

if TYPE_CHECKING:
    from typing_extensions import Buffer

MOST_STEPS = 16
LATE_US = 60_000_000
"""A clock that goes back by more was set: time goes on from where it was."""

Values = Sequence[float] | Sequence[Sequence[float]]


class Plan:
    """Steps that fit a model and one another; immutable, shared by all streams.

    `form`: of what the last one gives. `watched`: the last vector or boxes on the way, which alert
    rules look at. `needs_inputs`: whether a reading has to hold the network's inputs.
    """

    def __init__(self, steps: Sequence[Step], start: ValueForm) -> None:
        if len(steps) > MOST_STEPS:
            raise StepError("", f"{len(steps)} steps", f"at most {MOST_STEPS}")
        self.start = start
        self.needs_inputs = any(step.reads_inputs for step in steps)
        self._bound: list[tuple[Step, ValueForm]] = []
        self.form: ValueForm = start
        self.watched: ValueForm | None = None
        self.watched_at = -1
        for at, step in enumerate(steps):
            try:
                self._append(step)
            except StepError as error:
                raise error.within(f"[{at}]") from None
        tensors = start if isinstance(start, TensorsForm) else TensorsForm(outputs=())
        self._outputs, self._inputs = tensors.outputs, tensors.inputs
        self._decoders = [_decoder(info) for info in self._outputs]
        self._input_values = [_values(info) for info in self._inputs]

    def _append(self, step: Step) -> None:
        is_first = isinstance(self.form, TensorsForm) and TensorsForm not in step.takes
        if is_first and VectorForm in step.takes:
            self._append(Select())
        if not isinstance(self.form, step.takes):
            kinds = " or ".join(kind.in_words for kind in step.takes)
            raise StepError("kind", f"{step.kind} where {self.form} comes", f"{kinds} before it")
        form = step.gives(self.form)
        self._bound.append((step, self.form))
        self.form = form
        if isinstance(form, (VectorForm, BoxesForm)):
            self.watched, self.watched_at = form, len(self._bound) - 1

    def stream(self) -> Chain:
        """The state of a new stream."""
        return Chain(self, [step.stream(given) for step, given in self._bound])

    def reading(self, codes: Buffer, inputs: Sequence[int] = ()) -> Reading:
        """Real values of all outputs' codes, as a session gives them, and, where they are given, of
        all inputs' codes. ShapeError where there are more or fewer.
        """
        raw = memoryview(codes).cast("B")
        wanted = sum(info.bytes for info in self._outputs)
        if len(raw) != wanted:
            raise ShapeError(f"found {len(raw)} bytes of codes; accepted: {wanted}")
        found: list[Sequence[float]] = []
        start = 0
        for info, decode in zip(self._outputs, self._decoders, strict=True):
            found.append(decode(raw[start : start + info.bytes]))
            start += info.bytes
        return Reading(found, self._read_inputs(inputs) if len(inputs) else ())

    def _read_inputs(self, codes: Sequence[int]) -> list[Sequence[float]]:
        wanted = sum(info.size for info in self._inputs)
        if len(codes) != wanted:
            raise ShapeError(f"found {len(codes)} codes of inputs; accepted: {wanted}")
        found: list[Sequence[float]] = []
        start = 0
        for info, value in zip(self._inputs, self._input_values, strict=True):
            found.append(list(map(value, codes[start : start + info.size])))
            start += info.size
        return found

    def checked(self, values: Values) -> Reading:
        """A reading of real values: those of the only output, or a sequence for each.

        ShapeError where their number is not the outputs', or one is no finite number.
        """
        nested = bool(values) and not isinstance(values[0], (int, float))
        rows: Any = values if nested else [values]
        if len(rows) != len(self._outputs):
            raise ShapeError(f"found {len(rows)} outputs; accepted: {len(self._outputs)}")
        pairs = zip(self._outputs, rows, strict=True)
        return Reading([_checked(info, row) for info, row in pairs])


class Chain:
    """The state of a chain of steps in one stream; used by one thread."""

    def __init__(self, plan: Plan, streams: list[StepStream]) -> None:
        self.plan = plan
        self._streams = streams
        self._restart()
        self.watched: Any = None

    @property
    def form(self) -> ValueForm:
        """Of what `push` returns."""
        return self.plan.form

    def push(self, t_us: int, found: Buffer | Values | Reading) -> Any:
        """What the last step gives for the network's next answer; None: nothing to say.

        `found`: the output codes of a session (bytes, or an int8 view), real values, or a Reading;
        of a plan that starts with another form, a value of that. `t_us`: its time in microseconds;
        one that is earlier than the last counts as the last.
        """
        starts_with_tensors = isinstance(self.plan.start, TensorsForm)
        if starts_with_tensors and not isinstance(found, Reading):
            is_codes = isinstance(found, (bytes, bytearray, memoryview))
            found = self.plan.reading(found) if is_codes else self.plan.checked(found)  # type: ignore[arg-type]  # by its type
        now_us = self._time(t_us)
        value: Any = found
        self.watched = None
        watched_at = self.plan.watched_at
        for at, stream in enumerate(self._streams):
            value = stream.push(now_us, value)
            if value is None:
                return None
            if at == watched_at:
                self.watched = value
        return value

    def fields(self, value: Any) -> dict[str, Any]:
        """What a result says of what `push` returned."""
        return self.plan.form.fields(value)

    def reset(self) -> None:
        """As before the first push, what was learned included."""
        for stream in self._streams:
            stream.reset()
        self._restart()

    def _restart(self) -> None:
        self._last_us: int | None = None
        self._shift_us = 0

    def _time(self, t_us: int) -> int:
        last_us = t_us if self._last_us is None else self._last_us
        now_us = t_us + self._shift_us
        if now_us < last_us - LATE_US:
            self._shift_us += last_us - now_us
        self._last_us = now_us = max(now_us, last_us)
        return now_us


def chain(
    steps: Sequence[Step], outputs: tuple[TensorInfo, ...], inputs: tuple[TensorInfo, ...] = ()
) -> Chain:
    """Steps for the outputs of a model (`model.outputs`; `model.inputs` for those that need them),
    and the state of one stream of it.

    StepError where a step does not fit the model or the step before it.
    """
    return Plan(steps, TensorsForm(outputs=outputs, inputs=inputs)).stream()


def _decoder(info: TensorInfo) -> Callable[[memoryview], Sequence[float]]:
    """Bytes of a tensor's codes as real values."""
    value = _values(info)
    if info.wide:  # a copy is aligned
        return lambda raw: list(map(value, memoryview(bytes(raw)).cast("h")))
    return lambda raw: list(map(value, raw.cast("b")))


def _values(info: TensorInfo) -> Callable[[int], float]:
    """The real value of a code."""
    if info.wide:
        return info.real
    # Negative codes count from the end.
    table = [float(info.real(code)) for code in (*range(128), *range(-128, 0))]
    return table.__getitem__


def _checked(info: TensorInfo, row: Sequence[float]) -> list[float]:
    if len(row) != info.size:
        raise ShapeError(f"output {info.name!r}: found {len(row)} values; accepted: {info.size}")
    values = [float(value) for value in row]
    for at, value in enumerate(values):
        if not math.isfinite(value) or abs(value) > MOST_VALUE:
            raise ShapeError(
                f"output {info.name!r}: value {at}: found {value}; accepted: a float32"
            )
    return values
