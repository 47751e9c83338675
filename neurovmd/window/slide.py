# SPDX-License-Identifier: Apache-2.0
"""Frames of one stream as windows through a network: a result each hop."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from neurovmd import log
from neurovmd.window.block import Flat
from neurovmd.window.coder import Coder
from neurovmd.window.frames import Frames
from neurovmd.window.shape import Shape

if TYPE_CHECKING:
    from neurovm import Session
    from neurovm.windows import WindowSession

TRIAL = 100
MOST_MISSES = 50
"""Of `TRIAL` compared windows: with more that are no continuation, comparing ends."""


class Hop(NamedTuple):
    """A window that was run: the times of its first and last frame, and how many frames of it were
    made up.
    """

    t0_us: int
    t1_us: int
    filled: int


class Spans:
    """When the frames of a window were taken, as runs of them."""

    def __init__(self, size: int) -> None:
        self._size, self._count = size, 0
        self._runs: deque[tuple[int, int, int, int]] = deque()

    def add(self, n: int, first_us: int, last_us: int, filled: int) -> None:
        """`n` further frames."""
        self._runs.append((n, first_us, last_us, filled))
        self._count += n
        while self._count - self._runs[0][0] >= self._size:
            self._count -= self._runs.popleft()[0]

    def clear(self) -> None:
        """No frames."""
        self._runs.clear()
        self._count = 0

    def hop(self) -> Hop:
        """The window that ends with the newest frame."""
        n, first_us, last_us, filled = self._runs[0]
        skipped = max(0, self._count - self._size)
        t0_us = first_us + (last_us - first_us) * skipped // max(1, n - 1)
        made_up = sum(run[3] for run in self._runs) - min(filled, skipped)
        return Hop(t0_us, self._runs[-1][2], min(made_up, self._size))


class Slide:
    """The windows of one stream.

    `session` is a WindowSession where `shape.way` is `slide` or `compare`; `whole` gives an
    ordinary one where comparing does not pay. With `eager` the first result comes after the first
    hop: what of the window was not heard is the coder's initial value. Else it comes with the
    first whole window. `codes` are those of the last window, where `keeps` asks for them.
    """

    def __init__(
        self,
        shape: Shape,
        session: Session | WindowSession,
        coder: Coder,
        whole: Callable[[], Session],
        *,
        eager: bool,
        keeps: bool = False,
    ) -> None:
        self._shape, self.session, self._eager = shape, session, eager
        self._encode, self._initial = coder.encode, coder.initial()
        self._made = coder.making(shape.size)
        self._way, self._whole = shape.way, whole
        self._keeps = keeps
        self._laid: bytes | bytearray = b""
        # Numbers of a frame in what is kept: reals, or bytes of codes.
        self._unit = shape.frame if self._made else len(self._encode(self._initial))
        self._spans = Spans(shape.size)
        self._tried = self._missed = 0
        self.misses = 0
        self._window = self._pending = self._nothing()
        self._left = 0
        self.begin()

    def _nothing(self) -> Any:
        return array("d") if self._made else bytearray()

    def _kept(self, values: Flat) -> Any:
        """Frames in the form in which they are kept."""
        return array("d", values) if self._made else self._encode(values)

    def begin(self) -> None:
        """As before the first frame."""
        self._window, self._pending = self._nothing(), self._nothing()
        if self._eager:
            self._window += self._kept(array("d", self._initial) * self._shape.size)
        self._left = self._shape.hop if self._eager else self._shape.size
        self._spans.clear()
        if self._eager and self._way == "slide":
            self.session.push(self._window)  # type: ignore[union-attr]  # of its way

    @property
    def codes(self) -> array[int]:
        """The codes of the last window, as the model was given them."""
        return array("h" if self._shape.wide else "b", bytes(self._laid))

    def push(self, frames: Frames) -> Iterator[Hop]:
        """The hops that further frames complete; it holds each when it is given."""
        if frames.anew:
            self.begin()
        width, at = self._shape.frame, 0
        most = self._shape.size * self._unit
        while at < frames.n:
            count = min(self._left, frames.n - at)
            # A hop may be longer than a window: only its end is looked at.
            first = max(at, at + count - self._shape.size)
            self._pending += self._kept(frames.values[first * width : (at + count) * width])
            del self._pending[:-most]
            filled = max(0, min(frames.filled - at, count))
            self._spans.add(count, _time(frames, at), _time(frames, at + count - 1), filled)
            at += count
            self._left -= count
            if not self._left:
                self._left = self._shape.hop
                self._run()
                yield self._spans.hop()

    def _run(self) -> None:
        pending, self._pending = self._pending, self._nothing()
        slides = self._way == "slide"
        if slides:
            self.session.push(pending)  # type: ignore[union-attr]  # of its way
        if slides and not self._keeps:
            return
        self._window += pending
        del self._window[: -self._shape.size * self._unit]
        if slides:
            self._laid = self._window
            return
        made = self._made
        self._step(self._window if made is None else self._encode(made(self._window)))

    def _step(self, codes: bytes | bytearray) -> None:
        wide = self._shape.wide
        laid = self._laid = laid_out(codes, self._shape.outer, self._shape.inner, wide=wide)
        if self._way == "compare":
            self._compare(laid)
        else:
            self.session.step(memoryview(laid).cast("h") if wide else laid)

    def _compare(self, codes: bytes | bytearray) -> None:
        session = self.session
        before = session.misses  # type: ignore[union-attr]  # of its way
        session.step(codes)
        missed = session.misses - before  # type: ignore[union-attr]  # of its way
        self.misses += missed
        self._missed += missed
        self._tried += 1
        if self._tried < TRIAL:
            return
        if self._missed > MOST_MISSES:
            self.session, self._way = self._whole(), "whole"
            self.session.step(codes)
            log.warning("window.not_continued", misses=self._missed, windows=self._tried)
        self._tried = self._missed = 0


def laid_out(codes: bytes | bytearray, outer: int, inner: int, *, wide: bool) -> bytes | bytearray:
    """Frame after frame, with time where the model has it: behind `outer` runs of `inner` codes."""
    if outer == 1:
        return codes
    kind = "h" if wide else "b"
    found = array(kind, bytes(codes))
    frame = outer * inner
    moved = array(kind, bytes(len(codes)))
    per_run = len(found) // outer
    for run in range(outer):
        for k in range(inner):
            begin = run * per_run + k
            moved[begin : (run + 1) * per_run : inner] = found[run * inner + k :: frame]
    return moved.tobytes()


def _time(frames: Frames, index: int) -> int:
    """The time of one of the frames."""
    if frames.n < 2:
        return frames.last_us
    return frames.first_us + (frames.last_us - frames.first_us) * index // (frames.n - 1)
