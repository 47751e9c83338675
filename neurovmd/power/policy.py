# SPDX-License-Identifier: Apache-2.0
"""How much of the time the workers may compute: a pure function of what was measured.

The limit is a promise on the mean draw over every ``window_s`` seconds. Two rules give the duty:

1. The predicted draw ``base_w + duty · cores · core_w`` stays below the limit in every interval;
   no bursts on credit, because a burst is paid for with a pause as long as the window.
2. What an interval drew too much in spite of rule 1 is missing from the budget of the next ones.

``base_w`` is the draw without the workers' computing and ``core_w`` what one busy core adds. Both
are learned, at once when they turn out higher than thought and slowly when lower. The duty falls
at once; it rises at once where even ``CAUTION`` times the believed ``core_w`` would fit, and by
``RISE`` a decision beyond that.
"""

from dataclasses import dataclass, replace

# Part of the limit that is never planned with: meters are a per cent or two off, and decisions
# come late.
MARGIN = 0.03
# The duty before the first measurement: enough to start, too little to matter.
START_DUTY = 1 / 16
# A core may draw so many times what is guessed or believed of it ...
CAUTION = 4.0
# ... and where that would not fit, the duty rises by no more than this in a decision (1 s).
RISE = 0.1
# The part of the way down that a learned value goes in one decision.
FALL = 0.1
# Below this many busy cores what the workers add drowns in the noise: the draw is taken for the
# base.
QUIET_CORES = 0.05
# The next decision may come this late; the budget must last until then.
HORIZON_S = 2.0

# (seconds, joules) of the last intervals, oldest first, the oldest cut to fit the window; joules
# are None where no source had an answer.
History = tuple[tuple[float, float | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One measured stretch of time. ``energy_j`` is None where no source had an answer."""

    elapsed_s: float  # > 0
    energy_j: float | None  # >= 0
    busy_cores: float  # CPU seconds per second that the workers used, >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that one decision hands to the next."""

    guess_core_w: float  # > 0; what is learned stays between half of it and CAUTION times it
    core_w: float
    base_w: float | None = None
    duty: float = START_DUTY  # 0..1; 0 is a pause
    infeasible: bool = False
    history: History = ()


def start(core_w: float) -> State:
    """The state before anything was measured; ``core_w`` (> 0) is the guess for one busy core."""
    return State(guess_core_w=core_w, core_w=core_w)


def decide(
    state: State, interval: Interval, *, limit_w: float, window_s: float, cores: float
) -> State:
    """The next state; its ``duty`` holds until the next decision.

    ``limit_w`` > 0, ``window_s`` > 0; ``cores`` (> 0) is how many CPU seconds per second the
    workers are expected to use at duty 1. ``infeasible`` says that the box without them is at the
    limit already; the duty is 0 then.
    """
    state = replace(_learn(state, interval), history=remember(state.history, interval, window_s))
    if state.base_w is None:
        return state
    planned_w = limit_w * (1 - MARGIN)
    target_w = min(planned_w, _affordable_w(state.history, limit_w, window_s))
    # A worker is more than its computing thread: it may use more than its duty of a core.
    reach = max(cores, interval.busy_cores / state.duty) if state.duty > 0 else cores
    wanted = (target_w - state.base_w) / (reach * state.core_w)
    highest = max(state.duty + RISE, wanted / CAUTION)
    return replace(
        state,
        duty=max(0.0, min(wanted, highest, 1.0)),
        infeasible=min(state.base_w, mean_w(state.history) or 0.0) >= planned_w,
    )


def remember(history: History, interval: Interval, window_s: float) -> History:
    """The history with one more interval, cut to the newest ``window_s`` seconds."""
    kept: list[tuple[float, float | None]] = []
    left_s = window_s
    for seconds, joules in reversed((*history, (interval.elapsed_s, interval.energy_j))):
        part = min(1.0, left_s / seconds)
        kept.append((seconds * part, None if joules is None else joules * part))
        left_s -= seconds * part
        if left_s <= 0:
            break
    return tuple(reversed(kept))


def mean_w(history: History) -> float | None:
    """Mean draw over the measured intervals; None when there are none."""
    measured = [(seconds, joules) for seconds, joules in history if joules is not None]
    total_s = sum(seconds for seconds, _ in measured)
    return sum(joules for _, joules in measured) / total_s if total_s > 0 else None


def _learn(state: State, interval: Interval) -> State:
    if interval.energy_j is None:
        return state
    drawn_w = interval.energy_j / interval.elapsed_s
    busy = interval.busy_cores
    if state.base_w is None:
        return replace(state, base_w=max(0.0, drawn_w - state.core_w * busy))
    if state.duty == 0:
        # What the workers draw in a pause (their network side) is not in our hands: it is base.
        return replace(state, base_w=_towards(state.base_w, drawn_w))
    if busy < QUIET_CORES:
        base_w = max(0.0, drawn_w - state.core_w * busy)
        return replace(state, base_w=_towards(state.base_w, base_w))
    core_w = _towards(state.core_w, (drawn_w - state.base_w) / busy)
    likely_w = min(max(core_w, state.guess_core_w / 2), state.guess_core_w * CAUTION)
    if core_w == likely_w:
        return replace(state, core_w=core_w)
    # No core draws so little, or so much: the base is not what was believed.
    base_w = max(0.0, drawn_w - likely_w * busy)
    return replace(state, core_w=likely_w, base_w=_towards(state.base_w, base_w))


def _towards(believed: float, seen: float) -> float:
    """Up at once, down slowly: an error on the high side costs speed, one on the low side the
    promise.
    """
    return seen if seen > believed else believed + FALL * (seen - believed)


def _affordable_w(history: History, limit_w: float, window_s: float) -> float:
    """The most that may be drawn from now on with no window of the next ``HORIZON_S`` seconds
    above the limit.
    """
    # A stretch nobody measured gives no credit and takes none.
    known = [(s, limit_w * s if joules is None else joules) for s, joules in history]
    energy_j = sum(joules for _, joules in known)
    horizon_s = min(HORIZON_S, window_s)
    # Until a window's worth is remembered, the oldest interval leaves the window later.
    passed_s = min(max(0.0, window_s - sum(seconds for seconds, _ in known)), horizon_s)
    affordable_w = (limit_w * window_s - energy_j) / passed_s if passed_s > 0 else float("inf")
    # For the window that ends passed_s from now, the condition is tightest where an interval has
    # left it, or at the horizon.
    for seconds, joules in known:
        leaving_s = min(seconds, horizon_s - passed_s)
        if leaving_s <= 0:
            break
        passed_s += leaving_s
        energy_j -= joules * leaving_s / seconds
        affordable_w = min(affordable_w, (limit_w * window_s - energy_j) / passed_s)
    return affordable_w
