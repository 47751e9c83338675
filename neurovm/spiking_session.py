# SPDX-License-Identifier: Apache-2.0
"""SpikingSession: the state of one stream on a network of spiking neurons, by ticks or by time.

Needs no numpy: buffers in, memoryviews and arrays out.
"""

from __future__ import annotations

import math
from array import array
from fractions import Fraction
from operator import index
from typing import TYPE_CHECKING, Literal, NamedTuple, overload

from neurovm.description import Counters
from neurovm.errors import ShapeError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from neurovm.backends.spiking import SpikingState
    from neurovm.populations import SpikingInfo

_CASTS: dict[int, Literal["B", "I", "q"]] = {1: "B", 4: "I", 8: "q"}
_LAST_TICK = (1 << 63) - 1
_ROOM = 1 << 14
"""Spikes for which a call of `advance` has room at once."""


class Spikes(NamedTuple):
    """Spikes in time: `times_us` (int64), the beginning of each one's tick, and `addresses`
    (uint32); in the order of ticks, in a tick of addresses, one entry a spike.
    """

    times_us: array[int]
    addresses: array[int]


class PopulationState(NamedTuple):
    """One population after the last tick: `spikes` int8, `v` int32, `current` int32 or None."""

    spikes: memoryview
    v: memoryview
    current: memoryview | None


class SpikingSession:
    """The state of one stream, from tick 0 on; used by one thread at a time.

    Spikes are counts of 0 to 127, one byte a neuron, of all inputs in order, tick by tick; or
    events: a time in microseconds since it was opened, which lies in tick floor(t / dt), and an
    address, counted through all inputs. Both ways may be mixed, and hold the same bits. What does
    not fit is a ShapeError, and nothing has happened then.
    """

    __slots__ = (
        "_dt_us",
        "_info",
        "_out_addresses",
        "_out_ticks",
        "_room",
        "_state",
        "event",
        "step",
        "step_events",
    )

    def __init__(self, state: SpikingState, info: SpikingInfo, most_out: int) -> None:
        self._state = state
        self._info = info
        self._room = max(most_out, _ROOM)
        self._out_ticks: array[int] | None = None
        self._out_addresses: array[int] | None = None
        self._dt_us = Fraction(info.dt_us)
        self.step = state.step
        """step(counts) → memoryview: one tick; int8 counts of all outputs, the session's own view,
        rewritten by the next call."""
        self.step_events = state.step_events
        """step_events(addresses) → memoryview: one tick with a spike at each uint32 address."""
        self.event = state.event
        """event(address) → memoryview: one tick with one spike."""

    @overload
    def run(
        self, spikes: Buffer, *, potentials: Literal[False] = False, ticks: int | None = None
    ) -> memoryview: ...
    @overload
    def run(
        self, spikes: Buffer, *, potentials: Literal[True], ticks: int | None = None
    ) -> tuple[memoryview, memoryview]: ...

    def run(
        self, spikes: Buffer, *, potentials: bool = False, ticks: int | None = None
    ) -> memoryview | tuple[memoryview, memoryview]:
        """T ticks: counts of T · n_in bytes to int8 counts (T, n_out); with `potentials` also int32
        (T, n_out), in units of the populations' scales. `ticks`: T, of a network without inputs.
        """
        raw = _flat(spikes, "bB?c", 1, "counts (one byte each)")
        n_in, n_out = self._info.n_in, self._info.n_out
        _check_trains(memoryview(spikes).shape or (), n_in)
        if ticks is None:
            ticks = len(raw) // n_in if n_in else 0
        if ticks < 0 or len(raw) != ticks * n_in:
            raise ShapeError(f"{len(raw)} counts; a multiple of {n_in}, the inputs, is needed")
        out = memoryview(bytearray(ticks * n_out))
        v = memoryview(bytearray(4 * ticks * n_out)) if potentials else None
        self._state.run(raw, out, None if v is None else v.cast("i"))
        found = _rows(out, "b", ticks, n_out)
        return found if v is None else (found, _rows(v, "i", ticks, n_out))

    def advance(
        self,
        times_us: Buffer,
        addresses: Buffer,
        until_us: float | Fraction | None = None,
    ) -> Spikes:
        """Spikes by time: int64 µs, none before the one before it, and uint32 addresses.

        Runs every tick that begins before `until_us`; None: up to that of the last spike. Returns
        what the outputs send in these ticks. Time never goes backwards: a spike in a tick that is
        done, or at or after `until_us`, is a ShapeError.
        """
        ticks = self._ticks(_flat(times_us, "ql", 8, "times (int64)"))
        if until_us is not None:
            until = self._first_tick(until_us)
        else:
            until = ticks[-1] + 1 if len(ticks) else self.tick
        found = self.advance_ticks(ticks, addresses, until)
        return Spikes(self._times(found[0]), found[1])

    def advance_ticks(
        self, ticks: Buffer, addresses: Buffer, until: int
    ) -> tuple[array[int], array[int]]:
        """As `advance`, in ticks: int64 of each spike, up to but excluding tick `until`."""
        until = index(until)
        if until < self.tick:
            raise ShapeError(f"until tick {until}; tick {self.tick} is the next already")
        if until > _LAST_TICK:
            raise ShapeError(f"until tick {until}; ticks have 63 bits")
        at = _flat(ticks, "ql", 8, "ticks (int64)")
        to = _flat(addresses, "IL", 4, "addresses (uint32)")
        if self._out_ticks is None or self._out_addresses is None:
            self._out_ticks = array("q", bytes(8 * self._room))
            self._out_addresses = array("I", bytes(4 * self._room))
        out_ticks, out_addresses = self._out_ticks, self._out_addresses
        found: tuple[array[int], array[int]] = array("q"), array("I")
        while True:
            done, count, tick = self._state.advance(at, to, until, out_ticks, out_addresses)
            found[0].extend(out_ticks[:count])
            found[1].extend(out_addresses[:count])
            if tick >= until:
                return found
            at, to = at[done:], to[done:]

    def _first_tick(self, time_us: float | Fraction) -> int:
        """The first tick that does not begin before a time; ShapeError where it is no number."""
        n, d = self._dt_us.numerator, self._dt_us.denominator
        if isinstance(time_us, int):
            return -(-time_us * d // n)
        try:
            ticks = Fraction(time_us) / self._dt_us
        except (ValueError, OverflowError, TypeError) as error:
            raise ShapeError(f"until {time_us!r} µs: a number of µs is accepted") from error
        return -(-ticks.numerator // ticks.denominator)

    def _ticks(self, times_us: memoryview) -> memoryview:
        """The tick of each time; ShapeError where time goes back, be it within a tick."""
        dt = self._dt_us
        if dt == 1:
            return times_us
        times = times_us.tolist()
        if times != sorted(times):
            at = next(k for k in range(1, len(times)) if times[k] < times[k - 1])
            raise ShapeError(
                f"times[{at}]: found {times[at]} µs after {times[at - 1]}; accepted: never back"
            )
        n, d = dt.numerator, dt.denominator
        if d == 1:
            return memoryview(array("q", [t // n for t in times]))
        return memoryview(array("q", [t * d // n for t in times]))

    def _times(self, ticks: array[int]) -> array[int]:
        """The beginning of each tick, in whole µs up."""
        n, d = self._dt_us.numerator, self._dt_us.denominator
        return ticks if n == d else array("q", [-(-t * n // d) for t in ticks])

    @property
    def output(self) -> memoryview:
        """int8 counts of the last tick."""
        return self._state.output

    @property
    def potentials(self) -> memoryview:
        """v of all outputs, leaked to the last tick: int32, rewritten whenever it is asked for."""
        return self._state.potentials

    @property
    def tick(self) -> int:
        """The next tick to be run."""
        return self._state.tick

    @property
    def time_us(self) -> float:
        """When the next tick begins."""
        return float(self.tick * self._dt_us)

    @property
    def counters(self) -> Counters:
        """Totals since it was opened, or of all that share its block of counters."""
        return Counters(*self._state.counters)

    def reset(self) -> None:
        """Back to the start, tick 0. Counters are kept."""
        self._state.reset()

    def population(self, index: int) -> PopulationState:
        """The state of a population, as numbered in the manifest; copies."""
        return PopulationState(*self._state.population(index))


def _flat(values: Buffer, forms: str, itemsize: int, what: str) -> memoryview:
    """One row of the elements of a buffer; ShapeError where it holds others, or has gaps."""
    view = memoryview(values)
    form = view.format.lstrip("@=<")
    if form not in forms or view.itemsize != itemsize or not view.c_contiguous:
        raise ShapeError(f"{what}: a buffer of {view.format!r} elements was given, or has gaps")
    if not view.nbytes:
        return memoryview(b"").cast(_CASTS[itemsize])
    return view.cast("B").cast(_CASTS[itemsize])


def _check_trains(shape: tuple[int, ...], n_in: int) -> None:
    """ShapeError where several axes do not end with those of the inputs, as if transposed."""
    if len(shape) > 1 and all(math.prod(shape[k:]) != n_in for k in range(len(shape))):
        raise ShapeError(f"counts of shape {shape}; (ticks, {n_in}) is needed")


def _rows(flat: memoryview, form: Literal["b", "i"], ticks: int, n: int) -> memoryview:
    """(ticks, n); flat where there is nothing."""
    return flat.cast(form, (ticks, n)) if ticks and n else flat.cast(form)
