# SPDX-License-Identifier: Apache-2.0
"""Blocks in the order of their times: those that come out of order are waited for, for a while."""

from __future__ import annotations

import heapq

from neurovmd.window.block import Block, Tally

MOST_HELD = 1 << 18
MOST_BLOCKS = 1 << 14
"""Values and blocks of a stream that may wait; beyond, the oldest wait no longer."""
BLOCK_BYTES = 320
"""What a block that waits takes beside its values: tuples, a heap's place, an array's head."""
SET_BACK_US = 10_000_000
"""A time that lies so far and further behind the newest is no late one: the clock was set back."""


class Order:
    """Holds a block until one has come that is newer by `late` ticks, then lets it go on.

    One that comes when a newer one has gone on is late; one at the time of another that is held,
    or was the last to go on, is a duplicate. Both are counted and let go. One further behind
    the newest than `back` ticks is the first of a clock that was set anew. `series`: how many of a
    stream share what may wait.
    """

    def __init__(self, late: int, back: int, tally: Tally, series: int = 1) -> None:
        self._late, self._back, self._tally = late, back, tally
        self._most_values = max(1, MOST_HELD // series)
        self._most_blocks = max(4, MOST_BLOCKS // series)
        self._held: list[tuple[int, Block]] = []
        self._times: set[int] = set()
        self._values = 0
        self._newest: int | None = None
        self._gone: int | None = None

    @property
    def holds(self) -> bool:
        """Whether a block waits."""
        return bool(self._held)

    def push(self, block: Block) -> list[Block]:
        """The blocks that go on, oldest first."""
        gone: list[Block] = []
        if self._newest is not None and block.at < self._newest - self._back:
            gone = self.drain()
            self._newest = self._gone = None
        if not self._is_new(block):
            return gone
        if self._newest is None or block.at > self._newest:
            self._newest = block.at
        else:
            self._tally.reordered += block.n
        heapq.heappush(self._held, (block.at, block))
        self._times.add(block.at)
        self._values += len(block.values)
        until = self._newest - self._late
        while self._held and (self._held[0][0] <= until or self._crowded()):
            gone.append(self._pop())
        return gone

    def _crowded(self) -> bool:
        return self._values > self._most_values or len(self._held) > self._most_blocks

    def drain(self) -> list[Block]:
        """Everything that waits."""
        return [self._pop() for _ in range(len(self._held))]

    def _is_new(self, block: Block) -> bool:
        if block.at in self._times or block.at == self._gone:
            self._tally.duplicates += block.n
        elif self._gone is not None and block.at < self._gone:
            self._tally.late += block.n
        else:
            return True
        return False

    def _pop(self) -> Block:
        at, block = heapq.heappop(self._held)
        self._times.discard(at)
        self._values -= len(block.values)
        self._gone = at
        return block
