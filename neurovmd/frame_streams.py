# SPDX-License-Identifier: Apache-2.0
"""The streams of a VM whose inputs are windows of frames: rows in, a window a hop, results out.

A result follows a hop, and holds what the network answers to the window that ended with it.
Messages between two hops wait for the result that covers them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from neurovm import Window as Sliding
from neurovm.errors import EventError, ShapeError
from neurovmd import log
from neurovmd.mailbox import Message, Receipt
from neurovmd.mapping import WHOLE
from neurovmd.overhearing import Overheard
from neurovmd.result import Cost, ResultWriter
from neurovmd.schema import Vm
from neurovmd.shared import DropReason, Slot
from neurovmd.stepping import StepChain
from neurovmd.stream_table import AnyStream, Done, StreamTable, log_refusal
from neurovmd.window.block import Budget, Rows, Tally
from neurovmd.window.frames import FrontStage
from neurovmd.window.inputs import FrameInputs
from neurovmd.window.placement import Placement
from neurovmd.window.slide import Hop, Slide
from neurovmd.window.timeline import Timeline

if TYPE_CHECKING:
    from neurovm import Model, Session
    from neurovm.windows import WindowSession

_SOPS, _DENSE_MACS = 3, 4


@dataclass(slots=True, kw_only=True)
class FrameStream(AnyStream):
    """One sensor key: its samples, frames and windows.

    `result`: the answer to the last hop, not handed on yet. `hopped`: whether the message that is
    processed completed a hop; `wrong`: what its front end could not take. `told`, `told_misses`:
    what the slot knows of its counts.
    """

    placement: Placement
    timeline: Timeline
    front: FrontStage
    slide: Slide
    hop: Hop | None = None
    published: bytes | None = None
    result: Done | None = None
    hopped: bool = False
    news: bool = False
    patience_s: float = 0.0
    wrong: str = ""
    told: Tally = field(default_factory=Tally)
    told_misses: int = 0


def log_late(stream: str, count: int, total: int) -> None:
    """Log the 1st, 2nd, 4th, 8th, ... late sample."""
    if total.bit_length() != (total - count).bit_length():
        log.warning("samples.late", stream=stream, samples=count, total=total)


class FrameStreams(StreamTable[FrameStream]):
    """As `Streams`, for windows; `late` hears of samples let go, after they were counted: the
    stream, how many, and how many in all.
    """

    def __init__(
        self,
        vm: Vm,
        model: Model,
        inputs: FrameInputs,
        writer: ResultWriter,
        topic: Callable[[str], str],
        slot: Slot,
        *,
        chain: StepChain | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
        work_ns: Callable[[], int] | None = None,
        refused: Callable[[DropReason, str, int], None] = log_refusal,
        late: Callable[[str, int, int], None] | None = None,
    ) -> None:
        super().__init__(vm, slot, clock_ns, refused)
        self._planes = vm.planes
        self.overheard = Overheard(inputs.bindings)
        self._model, self._inputs, self._writer = model, inputs, writer
        self._topic, self._wall_ns = topic, wall_ns
        self._work_ns = work_ns or clock_ns
        self._late, self._chain = late or log_late, chain
        self._needs_inputs = chain is not None and chain.needs_inputs
        self._late_s = inputs.rule.late_us / 1e6
        self._patient: dict[str, FrameStream] = {}

    # Streams

    def _open(self, name: str) -> FrameStream:
        inputs, shape = self._inputs, self._inputs.shape
        eager = self._output.wait_for == "any"
        session: Session | WindowSession
        if shape.way == "whole":
            session = self._session()
        else:
            window = Sliding(hop=shape.plan.hop, size=shape.plan.size)  # type: ignore[union-attr]  # of its way
            session = self._model.session(window=window, counters=self._slot.counters)
        slide = Slide(
            shape,
            session,
            inputs.coder,
            self._session,
            eager=eager,
            keeps=self._needs_inputs,
        )
        stream = FrameStream(
            name=name,
            topic=self._topic(name),
            missing=set() if eager else {0},
            placement=Placement(inputs),
            timeline=Timeline(inputs.course),
            front=FrontStage(inputs.front()),
            slide=slide,
        )
        if self._chain is not None:
            stream.steps = self._chain.open(name)
        return stream

    def _session(self) -> Session:
        session = self._model.session(counters=self._slot.counters)
        if self._planes != WHOLE:
            session.planes = self._planes
        return session

    # Messages

    def _take(self, message: Message) -> FrameStream:
        heard = self._inputs.read(message.topic, message.payload)
        stream = self._stream(heard.stream)
        stream.seq += 1
        stream.hopped = False
        budget, arrived_us = Budget(), self._wall_ns() // 1000
        for block in stream.placement.blocks(heard.pieces, arrived_us):
            self._follow(stream, stream.timeline.push(block, budget))
        self._count(stream)
        self._wait(stream)
        return stream

    def _follow(self, stream: FrameStream, rows: Iterator[Rows]) -> None:
        """Rows through front end, windows and network; a result for every hop that asks for one."""
        counters, start_ns = self._slot.counters, self._work_ns()
        sops, macs = counters[_SOPS], counters[_DENSE_MACS]

        def charge() -> None:
            nonlocal sops, macs, start_ns
            cost, now_ns = stream.cost, self._work_ns()
            cost.compute_ns += now_ns - start_ns
            cost.sops += counters[_SOPS] - sops
            cost.dense_macs += counters[_DENSE_MACS] - macs
            sops, macs, start_ns = counters[_SOPS], counters[_DENSE_MACS], now_ns

        for each in rows:
            for hop in self._hops(stream, each):
                charge()
                self._hop(stream, hop)
        charge()

    def _hops(self, stream: FrameStream, rows: Rows) -> Iterator[Hop]:
        try:
            frames = stream.front.push(rows)
            if not frames.n:
                return
            values = self._inputs.coder.prepared(frames.values)
            if frames.anew and self._model.stateful:
                stream.slide.session.reset()
            yield from stream.slide.push(frames._replace(values=values))
        except (EventError, ShapeError) as error:  # of a front end, such as one that overflows
            stream.front.reset()  # what follows is no part of the same frames
            stream.slide.begin()
            stream.wrong = str(error)

    def _hop(self, stream: FrameStream, hop: Hop) -> None:
        stream.hop, stream.hopped, stream.news = hop, True, True
        if self._slot.busy_since_ns:  # a long packet is no stuck worker while its hops go on
            self._slot.busy_since_ns = self._clock_ns()
        stream.missing.clear()
        told = len(self._early)
        codes = stream.slide.codes if self._needs_inputs else ()
        self._decide(stream, hop.t1_us, stream.slide.session.output, codes)
        is_due = self._is_due(stream)
        if stream.result is not None and (is_due or len(self._early) > told):
            self._early.insert(told, stream.result)  # before what this hop tells
            stream.result = None
        if is_due:
            stream.result = super()._answer(stream, None)

    def _is_due(self, stream: FrameStream) -> bool:
        """Whether a hop has a result of its own."""
        steps, on = stream.steps, self._output.on
        if on == "interval":
            return False
        if steps is not None and self._output.steps:
            return steps.has_news if on == "always" else steps.is_change
        return on == "always" or stream.slide.session.output.tobytes() != stream.published

    # Results

    def _to_answer(self, stream: FrameStream) -> bool:
        return stream.result is not None

    def _answer(self, stream: FrameStream, receipt: Receipt | None) -> Done:
        if stream.result is None:
            return super()._answer(stream, receipt)  # of an interval
        result, stream.result = stream.result, None
        return replace(result, receipt=receipt)

    def _unanswered(self, stream: FrameStream, receipt: Receipt | None) -> Done:
        if not stream.hopped or self._output.on == "always":
            return self._hold(stream, receipt)
        covers = tuple(stream.held)  # their window changed nothing
        stream.held.clear()
        return self._without_result(receipt, covers)

    def _plan(self, stream: FrameStream) -> None:
        if stream.news:
            super()._plan(stream)

    def _write(self, stream: FrameStream, first: int, cost: Cost) -> bytes:
        session, stream.news = stream.slide.session, False
        codes = session.output
        stream.published = codes.tobytes()
        answer = None if self._planes == WHOLE else session.answer()  # type: ignore[union-attr]  # an ordinary one
        said = None if stream.steps is None else stream.steps.tell()
        t_us, window = self._wall_ns() // 1000, self._window(stream.hop)
        return self._writer.write(
            stream.name, first, stream.seq, t_us, codes, cost, answer, said, window
        )

    def _window(self, hop: Hop | None) -> dict[str, Any] | None:
        """What a result says of its window."""
        if hop is None:
            return None
        said: dict[str, Any] = {"t0_us": hop.t0_us, "t1_us": hop.t1_us}
        said["n"] = self._inputs.shape.size
        if self._inputs.rule.rate_hz is not None:
            said["resampled"] = True
        if hop.filled:
            said["filled"] = hop.filled
        return said

    # Samples that wait

    def _wait(self, stream: FrameStream) -> None:
        """Plan when what waits for late samples goes on though nothing more is heard."""
        if stream.timeline.holds:
            stream.patience_s = self._clock_ns() / 1e9 + self._late_s
            self._patient[stream.name] = stream
        else:
            self._patient.pop(stream.name, None)

    def _settle(self, stream: FrameStream) -> None:
        del self._patient[stream.name]
        self._follow(stream, stream.timeline.drain(Budget()))
        self._count(stream)
        if self._output.on == "interval":
            self._plan(stream)
        elif stream.result is not None:
            self._early.append(self._answer(stream, None))

    def due(self) -> list[Done]:
        """The results whose time has come."""
        now_s = self._clock_ns() / 1e9
        for stream in [each for each in self._patient.values() if each.patience_s <= now_s]:
            self._settle(stream)
        return [*self._take_early(), *super().due()]

    def flush(self) -> list[Done]:
        """What still waits, at the end."""
        for stream in list(self._patient.values()):
            self._settle(stream)
        return [*self._take_early(), *super().flush()]

    def _take_early(self) -> list[Done]:
        early, self._early = self._early, []
        return early

    def next_due_s(self) -> float | None:
        """Seconds until `due` has something; None while nothing waits."""
        waits = [wait for wait in (super().next_due_s(),) if wait is not None]
        now_s = self._clock_ns() / 1e9
        waits += [max(0.0, each.patience_s - now_s) for each in self._patient.values()]
        return min(waits, default=None)

    def _count(self, stream: FrameStream) -> None:
        """Tell the slot what became of samples since it was told last."""
        if stream.wrong:
            self._refuse(DropReason.VALUE, stream.wrong)
            stream.wrong = ""
        slot, tally, told = self._slot, stream.timeline.tally, stream.told
        if tally != told:
            late = tally.late - told.late
            slot.late_events += late
            slot.duplicates += tally.duplicates - told.duplicates
            slot.reordered += tally.reordered - told.reordered
            slot.gaps += tally.gaps - told.gaps
            stream.told = replace(tally)
            if late:
                self._late(stream.name, late, slot.late_events)
        slot.window_shift_misses += stream.slide.misses - stream.told_misses
        stream.told_misses = stream.slide.misses
