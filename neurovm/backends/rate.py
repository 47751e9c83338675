# SPDX-License-Identifier: Apache-2.0
"""Rate-coded programs: a session whose every answer is T time steps of the backend's own.

Wraps what a backend made of the program, and looks like it from outside: codes in, codes out.
Needs no numpy. The rule is that of `neurovm.description.RateInfo`; `neurovm.reference.rate` is its
NumPy model.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from neurovm.errors import BundleError, ShapeError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from neurovm.backends.base import BackendSession, Executable
    from neurovm.description import Manifest, RateInfo, Way

MOST_STEPS = 1024
_MOST_THETA = 1 << 24


class RateProgram:
    """A rate-coded bundle made ready to run; `inner` is the program of its IF neurons."""

    def __init__(self, inner: Executable, manifest: Manifest, rate: RateInfo) -> None:
        self._inner = inner
        self._rate = rate
        self._zero = b"".join(
            bytes([info.zero_point & 0xFF]) * info.size for info in manifest.inputs
        )
        self._answer_codes = sum(info.size for info in manifest.outputs)
        self._head_codes = _checked(manifest, rate)
        self._tables = spike_tables(rate.steps, rate.of_inputs)

    def session(self, counters: Buffer | None = None, way: Way = "auto") -> RateSession:
        """A new stream; its counters are those of the time steps."""
        return RateSession(
            self._inner.session(counters, way),
            self._rate,
            self._tables,
            self._zero,
            (self._head_codes, self._answer_codes),
        )

    def predict(self, codes: Buffer, out: Buffer, rows: int) -> None:
        """`rows` independent answers from int8 codes to int8 codes."""
        given = memoryview(codes).cast("B")
        if given.nbytes != rows * len(self._zero):
            raise ShapeError(f"found {given.nbytes} codes; accepted: {rows} rows")
        self.session().run(given, out)

    def step_sessions(
        self, sessions: Sequence[RateSession], codes: Buffer, out: Buffer | None = None
    ) -> Buffer:
        """One answer of each session to a row of codes."""
        rows = _rows(codes, len(self._zero))
        if len(rows) != len(sessions):
            raise ShapeError(f"codes: found {len(rows)} rows; accepted: {len(sessions)}")
        answers = (session.step(row) for session, row in zip(sessions, rows, strict=True))
        return _collect(answers, len(rows), self._answer_codes, out)


class RateSession:
    """One stream: it keeps the input codes, and runs T steps from rest whenever they change.

    Fewer where an exit opens.
    """

    def __init__(
        self,
        state: BackendSession,
        rate: RateInfo,
        tables: list[bytes],
        zero: bytes,
        sizes: tuple[int, int],
    ) -> None:
        self._state, self._rate, self._tables = state, rate, tables
        self._zero = zero
        self._codes = bytearray(zero)
        self._rest = bytes(sizes[0]) if rate.tail else b""
        first = len(zero)
        self._tail_index = array("I", range(first, first + sizes[0]))
        acc = state.layer(rate.head)[1]
        if acc is None:
            raise BundleError(f"layer {rate.head} keeps no potential; it cannot be the head")
        self._potentials = acc
        self._exits = rate.looks
        self._out = bytearray(sizes[1])
        self._output = memoryview(self._out).cast("b").toreadonly()
        self._changed = False
        self._fresh = True

    @property
    def output(self) -> memoryview:
        if self._fresh:
            self._run()
        return self._output

    @property
    def changed(self) -> bool:
        return self._changed

    @property
    def counters(self) -> tuple[int, int, int, int, int]:
        return self._state.counters

    @property
    def sent_planes(self) -> int:
        return self._state.sent_planes

    @property
    def planes(self) -> int:
        return self._state.planes

    @planes.setter
    def planes(self, planes: int) -> None:
        self._state.planes = planes

    def bounds(self) -> tuple[bytes, bytes]:
        return self._state.bounds()

    def step(self, codes: Buffer) -> memoryview:
        """Set all inputs; T steps where any changed."""
        given = memoryview(codes)
        if given.nbytes != len(self._codes) or given.itemsize != 1:
            raise ShapeError(
                f"{len(self._codes)} input codes are needed, {given.nbytes} were given"
            )
        return self._take(bytearray(given.tobytes()))

    def update(self, indices: Buffer | int, codes: Buffer | int) -> memoryview:
        """Set some inputs; T steps where any changed."""
        if isinstance(indices, int) and isinstance(codes, int):
            if not 0 <= indices < len(self._codes) or not -128 <= codes <= 127:
                raise ShapeError(
                    f"found index {indices}, code {codes}; accepted: 0 to {len(self._codes) - 1}, "
                    "-128 to 127"
                )
            indices, codes = array("I", [indices]), array("b", [codes])
        if isinstance(indices, int) or isinstance(codes, int):
            raise TypeError("found a number and a buffer; accepted: two of either")
        where, given = memoryview(indices), memoryview(codes)
        if where.itemsize != 4 or given.itemsize != 1 or where.nbytes != 4 * given.nbytes:
            raise ShapeError(
                f"{given.nbytes} codes of one byte for {where.nbytes} bytes of indices; "
                f"one uint32 a code is needed"
            )
        flat, n = where.cast("B").cast("I").tolist(), len(self._codes)
        if flat and max(flat) >= n:
            raise ShapeError(f"index {max(flat)} is out of range; the inputs have {n} codes")
        changed = bytearray(self._codes)
        for index, code in zip(flat, given.tobytes(), strict=True):
            changed[index] = code
        return self._take(changed)

    def run(self, codes: Buffer, out: Buffer | None = None) -> Buffer:
        """An answer to each row of codes."""
        rows = _rows(codes, len(self._codes))
        return _collect(map(self.step, rows), len(rows), len(self._out), out)

    def run_updates(
        self,
        indices: Buffer,
        codes: Buffer,
        ends: Buffer | None = None,
        out: Buffer | None = None,
    ) -> Buffer:
        """An answer to each update."""
        where, given = memoryview(indices), memoryview(codes)
        last = range(1, len(where) + 1) if ends is None else memoryview(ends).tolist()
        first = [0, *last][: len(last)]
        rising = all(a <= b for a, b in zip(first, last, strict=True))
        if not rising or (last[-1] if last else 0) != len(where) or len(given) != len(where):
            raise ShapeError(
                f"found {len(where)} indices, {len(given)} codes and ends {list(last)}; accepted: "
                "one code an index, ends that ascend to their number"
            )
        if any(index >= len(self._codes) for index in where.tolist()):
            raise ShapeError(f"an index is out of range; the inputs have {len(self._codes)} codes")
        answers = (self.update(where[a:b], given[a:b]) for a, b in zip(first, last, strict=True))
        return _collect(answers, len(last), len(self._out), out)

    def reset(self) -> None:
        self._codes[:] = self._zero
        self._changed = False
        self._fresh = True

    def force(self, way: str, layer: int | None = None) -> None:
        self._state.force(way, layer)

    def layer(self, index: int) -> tuple[memoryview, memoryview | None, int, int, str]:
        return self._state.layer(index)

    def _take(self, codes: bytearray) -> memoryview:
        """Set the codes; equal ones have the answer that is there, as every run starts at rest."""
        if codes == self._codes and not self._fresh:
            self._changed = False
            return self._output
        self._codes = codes
        return self._run()

    def _run(self) -> memoryview:
        state, rest = self._state, self._rest
        state.reset()
        codes = bytes(self._codes)
        answer = None
        for step, table in enumerate(self._tables, 1):
            state.step(codes.translate(table) + rest)
            if step in self._exits and self._lead() > self._exits[step]:
                answer = self._decode(step)
                break
        if answer is None:
            answer = self._decode(self._rate.steps)
        if self._rate.tail:
            answer = state.update(self._tail_index, answer).tobytes()
        self._changed = self._fresh or answer != self._out
        self._fresh = False
        self._out[:] = answer
        return self._output

    def _lead(self) -> int:
        """By how much the largest potential is ahead of all others."""
        second, first = sorted(self._potentials.tolist())[-2:]
        return int(first - second)

    def _decode(self, steps: int) -> bytes:
        """Codes of the head's potentials after so many steps, rounded half up and clamped."""
        rate = self._rate
        lo, hi, full = rate.lo, rate.hi, rate.theta * steps
        zero, span = rate.of_head
        twice = 2 * span
        return bytes(
            min(hi, max(lo, zero + (twice * u + full) // (2 * full))) & 0xFF
            for u in self._potentials.tolist()
        )


def _rows(codes: Buffer, size: int) -> list[memoryview]:
    given = memoryview(codes).cast("B")
    if given.nbytes % size != 0:
        raise ShapeError(f"codes: found {given.nbytes}; accepted: whole rows of {size}")
    return [given[at : at + size] for at in range(0, given.nbytes, size)]


def _collect(answers: Iterable[memoryview], rows: int, size: int, out: Buffer | None) -> Buffer:
    """So many answers one after the other, in `out` or a new buffer."""
    found: Buffer = memoryview(bytearray(rows * size)).cast("b") if out is None else out
    into = memoryview(found).cast("B")
    if into.nbytes != rows * size:
        raise ShapeError(f"out: found {into.nbytes} codes; accepted: {rows * size}")
    for row, answer in enumerate(answers):
        into[row * size : (row + 1) * size] = answer.cast("B")
    return found


def spike_tables(steps: int, sent: tuple[int, int] = (-128, 255)) -> list[bytes]:
    """For each step what byte a code's byte becomes, for (z, span) `sent`: 1, 0, or −1 as 255."""
    zero, span = sent
    offsets = [(byte ^ 0x80) - 128 - zero for byte in range(256)]  # of each byte's code from z
    sizes = [2 * min(abs(offset), span) for offset in offsets]
    due = [[(step * size + span) // (2 * span) for size in sizes] for step in range(steps + 1)]
    return [
        bytes(
            (after - before) * (1 if offset > 0 else -1) & 0xFF
            for after, before, offset in zip(due[step + 1], due[step], offsets, strict=True)
        )
        for step in range(steps)
    ]


def _checked(manifest: Manifest, rate: RateInfo) -> int:
    """The number of the head's neurons; BundleError where the figures cannot be."""
    pairs, exits = (rate.of_inputs, rate.of_head), rate.looks
    valid = (
        1 <= rate.steps <= MOST_STEPS
        and 0 <= rate.head < len(manifest.layers)
        and -128 <= rate.lo < rate.hi <= 127
        and 1 <= rate.theta <= _MOST_THETA
        and all(-128 <= zero <= 127 and 1 <= span <= 255 for zero, span in pairs)
        and all(1 <= step < rate.steps and least >= 0 for step, least in exits.items())
        and list(exits) == sorted(exits)
        and (not exits or manifest.layers[rate.head].neurons > 1)
    )
    if not valid:
        raise BundleError(f"{manifest.name}: rate coding with {rate} cannot be run; damaged")
    return manifest.layers[rate.head].neurons
