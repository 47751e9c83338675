# SPDX-License-Identifier: Apache-2.0
"""What was seen on the broker, and how good it was: plain data and pure functions.

All times are seconds of wall-clock time since the plant started, except where a name says
`plant_s`. Lists only grow, each has one writer, so that a screen may read while MQTT writes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from examples.pump.faults import NORMAL

# When a state ends, its sensors report one after the other; an alarm outlasts that.
ALARM_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One sensor message as the broker delivered it."""

    t_s: float
    pump: int
    sensor: int
    value: float
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One result of the daemon: its best class, and what it cost to get there.

    It follows message `seq` of its pump (from 1) and tells the work of all messages since the
    result before. `latency_s` is the time from the publishing of that message to the arrival of
    the result; None when the count of messages does not agree.
    """

    t_s: float
    pump: int
    label: str
    value: float
    seq: int
    latency_s: float | None
    sops: int
    dense_macs: int
    compute_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """From `t_s` on the pump is in the state `label`."""

    t_s: float
    pump: int
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the daemon said of itself at `t_s`; counts are since its start.

    `watts` is its mean over the governor's window with the `source` it comes from, None before
    the first reading; `duty` (0..1) is the share of time in which the network may compute, with
    which the governor keeps `limit_w`; `spikes_in` are changed codes of the network's input,
    `spikes_out` those of its neurons, `steps` updates of the network, `dropped` refused messages.
    """

    t_s: float
    watts: float | None
    source: str
    limit_w: float | None
    duty: float
    steps: int
    spikes_in: int
    spikes_out: int
    dropped: int


@dataclass(slots=True, kw_only=True)
class Recording:
    """Everything of one run, in order of arrival."""

    pumps: tuple[str, ...]
    speed: float
    events: list[Event] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    truths: list[Truth] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    sent_s: list[list[float]] = field(init=False)  # of each pump: when each message was published
    unread: int = 0  # messages and answers that were not what is expected
    vm_state: str = "not heard yet"
    daemon_online: bool = False

    def __post_init__(self) -> None:
        self.sent_s = [[] for _ in self.pumps]

    @property
    def published(self) -> int:
        """Sensor messages handed to the broker."""
        return sum(map(len, self.sent_s))

    @property
    def covered(self) -> list[int]:
        """Of each pump: how many messages its last result follows."""
        return [
            max((d.seq for d in self.decisions if d.pump == pump), default=0)
            for pump in range(len(self.pumps))
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A state of one pump over the half-open interval [start_s, end_s)."""

    label: str
    start_s: float
    end_s: float


def spans(changes: Sequence[Truth | Decision], pump: int, end_s: float) -> list[Span]:
    """Consecutive intervals of equal label of one pump, from its first entry to `end_s`."""
    result: list[Span] = []
    for change in changes:
        if change.pump != pump or change.t_s >= end_s:
            continue
        if result and result[-1].label == change.label:
            continue
        if result:
            last = result[-1]
            result[-1] = Span(label=last.label, start_s=last.start_s, end_s=change.t_s)
        result.append(Span(label=change.label, start_s=change.t_s, end_s=end_s))
    return result


def latest(
    changes: Sequence[Truth | Decision], pump: int, since_s: float
) -> list[Truth | Decision]:
    """The entries of one pump from `since_s` on, and the last one before, in order.

    What a view of the last seconds needs, at a cost that does not grow with the run.
    """
    found: list[Truth | Decision] = []
    for change in reversed(changes):
        if change.pump == pump:
            found.append(change)
            if change.t_s < since_s:
                break
    return found[::-1]


def label_at(timeline: Sequence[Span], t_s: float) -> str | None:
    """The label at `t_s`, None before the first interval."""
    index = bisect_right(timeline, t_s, key=lambda span: span.start_s) - 1
    return timeline[index].label if index >= 0 else None


def agreement(truth: Sequence[Span], decided: Sequence[Span]) -> tuple[float, float]:
    """Seconds of agreement, and seconds in which there was a decision at all."""
    same_s = sum(
        max(min(a.end_s, b.end_s) - max(a.start_s, b.start_s), 0.0)
        for a in truth
        for b in decided
        if a.label == b.label
    )
    return same_s, sum(span.end_s - span.start_s for span in decided)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultOutcome:
    """How one fault was seen: `delay_s` (wall) to the first right decision, None if never."""

    pump: int
    label: str
    start_s: float
    length_s: float
    delay_s: float | None


def fault_outcomes(recording: Recording, end_s: float) -> list[FaultOutcome]:
    """Every fault of the run in order of its start."""
    outcomes: list[FaultOutcome] = []
    for pump in range(len(recording.pumps)):
        decided = spans(recording.decisions, pump, end_s)
        for fault in spans(recording.truths, pump, end_s):
            if fault.label == NORMAL:
                continue
            hits = [
                max(span.start_s - fault.start_s, 0.0)
                for span in decided
                if span.label == fault.label
                and span.end_s > fault.start_s
                and span.start_s < fault.end_s
            ]
            outcomes.append(
                FaultOutcome(
                    pump=pump,
                    label=fault.label,
                    start_s=fault.start_s,
                    length_s=fault.end_s - fault.start_s,
                    delay_s=min(hits, default=None),
                )
            )
    return sorted(outcomes, key=lambda outcome: outcome.start_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The figures of a run."""

    events: int
    results: int
    right: int  # results whose class was the true one when they arrived
    agreed_s: float
    decided_s: float
    false_alarms: int  # changes to a fault's class in a healthy pump that lasted `ALARM_S`
    sops: int
    dense_macs: int
    compute_us: float
    latency_ms: tuple[float, float] | None  # median and 95th percentile


def score(recording: Recording, end_s: float) -> Score:
    """Compare decisions with the truth; costs are sums over the results."""
    agreed_s = decided_s = 0.0
    right = alarms = 0
    for pump in range(len(recording.pumps)):
        truth = spans(recording.truths, pump, end_s)
        decided = spans(recording.decisions, pump, end_s)
        same_s, all_s = agreement(truth, decided)
        agreed_s, decided_s = agreed_s + same_s, decided_s + all_s
        right += sum(
            decision.label == label_at(truth, decision.t_s)
            for decision in recording.decisions
            if decision.pump == pump
        )
        alarms += sum(
            span.label != NORMAL
            and label_at(truth, span.start_s) == NORMAL
            and span.end_s - span.start_s >= ALARM_S
            for span in decided
        )
    return Score(
        events=len(recording.events),
        results=len(recording.decisions),
        right=right,
        agreed_s=agreed_s,
        decided_s=decided_s,
        false_alarms=alarms,
        sops=sum(decision.sops for decision in recording.decisions),
        dense_macs=sum(decision.dense_macs for decision in recording.decisions),
        compute_us=sum(decision.compute_us for decision in recording.decisions),
        latency_ms=_latency_ms(recording.decisions),
    )


def _latency_ms(decisions: Sequence[Decision]) -> tuple[float, float] | None:
    known = sorted(d.latency_s for d in decisions if d.latency_s is not None)
    if not known:
        return None
    return known[len(known) // 2] * 1e3, known[len(known) * 19 // 20] * 1e3
