# SPDX-License-Identifier: Apache-2.0
"""Rate-coded programs: a session whose every answer is T time steps of the backend's own.

Wraps what a backend made of the program, and looks like it from outside: codes in, codes out.
Needs no numpy. The rule is that of `neurovm.description.RateInfo`; `neurovm.reference.rate` is its
NumPy model.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from neurovm.errors import BundleError, ShapeError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from neurovm.backends.base import BackendSession, Executable
    from neurovm.description import Manifest, RateInfo

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
        self._tables = spike_tables(rate.steps)

    def session(self, counters: Buffer | None = None) -> RateSession:
        """A new stream; its counters are those of the time steps."""
        return RateSession(
            self._inner.session(counters),
            self._rate,
            self._tables,
            self._zero,
            (self._head_codes, self._answer_codes),
        )

    def predict(self, codes: Buffer, out: Buffer, rows: int) -> None:
        """`rows` independent answers from int8 codes to int8 codes."""
        session = self.session()
        given, found = memoryview(codes).cast("B"), memoryview(out).cast("B")
        n_in, n_out = len(self._zero), self._answer_codes
        for row in range(rows):
            answer = session.step(given[row * n_in : (row + 1) * n_in])
            found[row * n_out : (row + 1) * n_out] = answer.cast("B")


class RateSession:
    """One stream: it keeps the input codes, and runs T steps from rest whenever they change."""

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

    def update(self, indices: Buffer, codes: Buffer) -> memoryview:
        """Set some inputs; T steps where any changed."""
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
        for table in self._tables:
            state.step(codes.translate(table) + rest)
        answer = self._decode()
        if self._rate.tail:
            answer = state.update(self._tail_index, answer).tobytes()
        self._changed = self._fresh or answer != self._out
        self._fresh = False
        self._out[:] = answer
        return self._output

    def _decode(self) -> bytes:
        """Codes of the head's potentials, rounded half up and clamped, as bytes."""
        rate = self._rate
        lo, hi, full = rate.lo, rate.hi, rate.theta * rate.steps
        twice = 2 * (hi - lo)
        return bytes(
            min(hi, max(lo, lo + (twice * u + full) // (2 * full))) & 0xFF
            for u in self._potentials.tolist()
        )


def spike_tables(steps: int) -> list[bytes]:
    """For each step what byte a code's byte becomes: 1 where it spikes, else 0."""
    tables = []
    for step in range(steps):
        rising = [(step * k + k + 127) // 255 - (step * k + 127) // 255 for k in range(256)]
        # A code's byte is two's complement: 0x80 is −128, which is k = 0.
        tables.append(bytes(rising[byte ^ 0x80] for byte in range(256)))
    return tables


def _checked(manifest: Manifest, rate: RateInfo) -> int:
    """The number of the head's neurons; BundleError where the figures cannot be."""
    valid = (
        1 <= rate.steps <= MOST_STEPS
        and 0 <= rate.head < len(manifest.layers)
        and -128 <= rate.lo < rate.hi <= 127
        and 1 <= rate.theta <= _MOST_THETA
    )
    if not valid:
        raise BundleError(f"{manifest.name}: rate coding with {rate} cannot be run; damaged")
    return manifest.layers[rate.head].neurons
