# SPDX-License-Identifier: Apache-2.0
"""Session: the state of one stream on one program."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, get_args

from neurovm.description import Counters, Way

if TYPE_CHECKING:
    from neurovm.backends import BackendSession


WAYS: tuple[Way, ...] = get_args(Way)


class LayerState(NamedTuple):
    """One layer of a session; the views are rewritten by the next step.

    `codes` int8; `accumulators` int32, None where the kind, or a session of way "dense", keeps
    none; `events` sent and `sops` since it was opened; `way` of the last step.
    """

    codes: memoryview
    accumulators: memoryview | None
    events: int
    sops: int
    way: str


class Answer(NamedTuple):
    """What the last step's answer is worth (`Session.answer`).

    `planes` of 8 were sent. `low` and `high`: between which codes every output code ends once all
    are; `codes` the best estimate, the step's own moved between them. `exact`: all ends meet.
    `certified`: the largest code of the first output (the first of equal ones) will be at `best`;
    for an output of one code, that it is exact. Where not, `best` is that of `codes`.
    """

    planes: int
    exact: bool
    certified: bool
    best: int
    codes: memoryview
    low: memoryview
    high: memoryview


class Session:
    """The state of one stream: every step updates only what changed.

    A session starts with every input at its zero point, and with the initial state of a network
    that keeps one (`Model.stateful`): for that each call of `step` or `update` is one step of time,
    whether or not an input changed, and `reset` is the start of a new sequence. It is used by one
    thread at a time (a second
    one gets RuntimeError); the GIL is released while the kernel runs. `Model.session` makes one.
    """

    __slots__ = ("_first", "_state", "run", "run_updates", "step", "update")

    def __init__(self, state: BackendSession, *, first: int = 0) -> None:
        self._state = state
        self._first = first
        self.step = state.step
        """step(codes) → memoryview: all inputs' int8 codes, concatenated in C order.

        Returns the session's own read-only int8 view of all outputs, rewritten by the next call.
        ShapeError where the length or type does not fit; nothing has changed then."""
        self.update = state.update
        """update(indices, codes) → memoryview: absolute int8 codes for some elements.

        `indices` (uint32) count through all inputs concatenated; a later entry wins. One element
        takes two ints, the quickest form. ShapeError
        where an index is out of range or the lengths differ; nothing has changed then."""
        self.run = state.run
        """run(codes, out=None) → buffer: one step a row, with one call.

        `codes`: rows of all inputs' codes, one after the other. Returns a row of all outputs' codes
        each: `out` (writable, of that size), or a new memoryview. ShapeError where the length is
        not that of whole rows; nothing has changed then."""
        self.run_updates = state.run_updates
        """run_updates(indices, codes, ends=None, out=None) → buffer: many updates with one call.

        Step k is `update` by the indices and codes from ends[k − 1] (first 0) to ends[k], uint32
        that do not descend and end at the number of indices; None: one step a code. Returns rows of
        outputs as `run` does. ShapeError as `update`, for all steps before the first."""

    @property
    def state(self) -> BackendSession:
        """The backend's own session, which `Model.step_sessions` takes."""
        return self._state

    @property
    def output(self) -> memoryview:
        """The output codes as the last step left them."""
        return self._state.output

    @property
    def changed(self) -> bool:
        """Whether the last step changed any output code."""
        return self._state.changed

    @property
    def counters(self) -> Counters:
        """Totals since it was opened, or of all that share its block of counters."""
        return Counters(*self._state.counters)

    @property
    def planes(self) -> int:
        """How many of the 8 bit planes of a code each layer sends from the next step on.

        8 at first, and for other codings than `bitplane` always. With fewer, a layer sends the
        nearest code that they can say, and an answer is an estimate: see `answer`. Going back to 8
        sends the rest, and answers are exact again. ValueError beyond 1 to 8, BackendError where
        the model is not of coding `bitplane` or keeps state.
        """
        return self._state.planes

    @planes.setter
    def planes(self, planes: int) -> None:
        self._state.planes = planes

    def answer(self) -> Answer:
        """How far the last step's answer can be from the exact one; BackendError as `planes`.

        Intervals go from layer to layer, from the planes of the inputs that were sent, and hold
        whatever the unsent ones are. That takes the work of two dense runs, beside what `counters`
        count. The rule is `nvm_session_bounds` in core_c/include/nvm.h.
        """
        found, ends = self._state.output, self._state.bounds()
        low, high = (memoryview(end).cast("b") for end in ends)
        kept = bytes(
            min(max(code, least), most) & 0xFF
            for code, least, most in zip(found.tolist(), low.tolist(), high.tolist(), strict=True)
        )
        codes = memoryview(kept).cast("b")
        exact = ends[0] == ends[1]
        size = self._first or len(codes)
        best = _certain(low[:size].tolist(), high[:size].tolist())
        certified = best is not None if size > 1 else exact
        if best is None:
            first = codes[:size].tolist()
            best = first.index(max(first))
        return Answer(self._state.sent_planes, exact, certified, best, codes, low, high)

    def reset(self) -> None:
        """Back to the start: every input at its zero point, every state at its initial value.

        Counters are kept.
        """
        self._state.reset()

    def layer(self, index: int) -> LayerState:
        """The state of layer `index`, as numbered by `Model.explain`."""
        return LayerState(*self._state.layer(index))


def _certain(low: list[int], high: list[int]) -> int | None:
    """Where the first largest of codes between these ends is for certain; None: nowhere."""
    at = low.index(max(low))
    above = all(low[at] > code for code in high[:at])
    return at if above and all(low[at] >= code for code in high[at + 1 :]) else None
