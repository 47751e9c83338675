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

    `codes` int8; `accumulators` int32, None where the kind keeps none; `events` sent and `sops`
    since the session began; `way` of the last step.
    """

    codes: memoryview
    accumulators: memoryview | None
    events: int
    sops: int
    way: str


class Session:
    """The state of one stream: every step updates only what changed.

    A session starts with every input at its zero point, and with the initial state of a network
    that keeps one (`Model.stateful`): for that each call of `step` or `update` is one step of time,
    whether or not an input changed, and `reset` is the start of a new sequence. It is used by one
    thread at a time (a second
    one gets RuntimeError); the GIL is released while the kernel runs. `Model.session` makes one.
    """

    __slots__ = ("_state", "step", "update")

    def __init__(self, state: BackendSession, way: Way = "auto") -> None:
        if way not in WAYS:
            raise ValueError(f"way {way!r} is not known; accepted: {', '.join(WAYS)}")
        if way != "auto":
            state.force(way)
        self._state = state
        self.step = state.step
        """step(codes) → memoryview: all inputs' int8 codes, concatenated in C order.

        Returns the session's own read-only int8 view of all outputs, rewritten by the next call.
        ShapeError where the length or type does not fit; nothing has changed then."""
        self.update = state.update
        """update(indices, codes) → memoryview: absolute int8 codes for some elements.

        `indices` (uint32) count through all inputs concatenated; a later entry wins. ShapeError
        where an index is out of range or the lengths differ; nothing has changed then."""

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
        """Totals since the session began, or of all that share its block of counters."""
        return Counters(*self._state.counters)

    def reset(self) -> None:
        """Back to the start: every input at its zero point, every state at its initial value.

        Counters are kept.
        """
        self._state.reset()

    def layer(self, index: int) -> LayerState:
        """The state of layer `index`, as numbered by `Model.explain`."""
        return LayerState(*self._state.layer(index))
