# SPDX-License-Identifier: Apache-2.0
"""The shared block: where the supervisor and its workers meet without messages or locks.

One anonymous shared mapping made before the first fork: a header page, then one slot of 128
little 8-byte words for each worker. Every word has exactly one writer, which is why no lock is
needed: an aligned 8-byte store is seen whole or not at all.

Header: magic, version, number of slots, `awake`, `log_level`. Slot: words 0..39 are the worker's,
64..71 the supervisor's; the gap keeps the two writers on different cache lines. All times are
CLOCK_MONOTONIC nanoseconds, which every process of the machine reads alike.
"""

from __future__ import annotations

import mmap
from enum import IntEnum

MAGIC = 0x314453_4D564E  # "NVMSD1", read as a little-endian number
VERSION = 1
HEADER_BYTES = 4096
SLOT_BYTES = 1024
SLOT_WORDS = SLOT_BYTES // 8
DUTY_ONE = 1 << 16
COUNTERS = 5
WORKER_WORDS = 40

_U64_MAX = (1 << 64) - 1
_COUNTERS_WORD = 24
_DROPPED_WORD = 8


class WorkerState(IntEnum):
    """What a worker is doing; `EMPTY` is a slot that no worker has taken."""

    EMPTY = 0
    LOADING = 1
    READY = 2
    FAILED = 3
    DRAINING = 4


class DropReason(IntEnum):
    """Why a message or a result was let go; the index into `Slot.dropped`."""

    QUEUE_FULL = 0
    OVERSIZE = 1
    PAYLOAD = 2
    VALUE = 3
    TOPIC = 4
    STREAMS = 5
    BACKEND = 6
    RESULT = 7


class Word:
    """One unsigned 8-byte word of a slot, as an attribute (0..2^64-1; larger values saturate)."""

    __slots__ = ("_index",)

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, slot: Slot, owner: type | None = None) -> int:
        return slot.words[self._index]

    def __set__(self, slot: Slot, value: int) -> None:
        slot.words[self._index] = min(value, _U64_MAX)


class Slot:
    """The words of one worker; `words` is the caller's window into the block.

    Written by the worker: `pid`, `state`, `connected` (0 or 1), `busy_since_ns` (0 = idle),
    `network_tick_ns`, `messages_in`, `results_out`, `queue_depth` (messages), `dropped`,
    `streams`, `cpu_ns`, `last_message_ns`, `unacknowledged` (results that the broker left without
    an acknowledgement until the connection was given up), `in_work` (fingerprint of the message
    being processed, 0 = none), `late_events` (events of spiking networks and samples of windows,
    let go), of windows also `duplicates`, `reordered`, `gaps` and `window_shift_misses` (whole ones
    that were no continuation), `http_answered` and `http_refused` (inferences), `counters`.
    Written by the supervisor: `generation` (forks so far), `paused` (0 or 1), `duty_q16`
    (0..65536, the share of time the worker may compute), `coalesce_us`, `dead_band` (codes),
    `max_streams`, `deadly` (fingerprint of a message to be refused, 0 = none), `for_good` (0 or 1:
    the worker's end is its VM's; nobody will take its session up).
    """

    __slots__ = ("counters", "dropped", "words")

    pid = Word(0)
    state = Word(1)
    connected = Word(2)
    busy_since_ns = Word(3)
    network_tick_ns = Word(4)
    messages_in = Word(5)
    results_out = Word(6)
    queue_depth = Word(7)
    streams = Word(16)
    cpu_ns = Word(17)
    last_message_ns = Word(18)
    unacknowledged = Word(19)
    in_work = Word(20)
    late_events = Word(21)
    duplicates = Word(22)
    reordered = Word(23)
    gaps = Word(29)
    window_shift_misses = Word(30)
    http_answered = Word(31)
    http_refused = Word(32)

    generation = Word(64)
    paused = Word(65)
    duty_q16 = Word(66)
    coalesce_us = Word(67)
    dead_band = Word(68)
    max_streams = Word(69)
    deadly = Word(70)
    for_good = Word(71)

    def __init__(self, words: memoryview) -> None:
        self.words = words
        self.dropped = words[_DROPPED_WORD : _DROPPED_WORD + len(DropReason)]
        self.counters = words[_COUNTERS_WORD : _COUNTERS_WORD + COUNTERS]

    def clear_worker(self) -> None:
        """Forget what the last worker in this slot wrote (before another is forked into it)."""
        for index in range(WORKER_WORDS):
            self.words[index] = 0

    def end_worker(self) -> None:
        """Say that nobody works here; what was counted stays until the next worker."""
        self.pid = self.connected = self.busy_since_ns = self.queue_depth = 0
        self.state = WorkerState.EMPTY

    def count_drop(self, reason: DropReason, count: int = 1) -> int:
        """Count drops and return how many there have been for this reason."""
        total = self.dropped[reason] + count
        self.dropped[reason] = total
        return total


class SharedBlock:
    """The whole block; make it before the first fork and keep it (it owns the mapping)."""

    def __init__(self, slots: int) -> None:
        if not 0 <= slots <= 4096:
            raise ValueError(f"slots: found {slots}; accepted: 0 to 4096")
        self._memory = mmap.mmap(-1, HEADER_BYTES + SLOT_BYTES * slots)
        words = memoryview(self._memory).cast("Q")
        words[0], words[1], words[2] = MAGIC, VERSION, slots
        self._header = words[: HEADER_BYTES // 8]
        self._slots = tuple(
            Slot(words[first : first + SLOT_WORDS])
            for first in range(HEADER_BYTES // 8, len(words), SLOT_WORDS)
        )
        for slot in self._slots:
            slot.duty_q16 = DUTY_ONE

    def __len__(self) -> int:
        return len(self._slots)

    def slot(self, index: int) -> Slot:
        """The slot of worker `index` (0..slots-1)."""
        return self._slots[index]

    @property
    def slots(self) -> tuple[Slot, ...]:
        return self._slots

    @property
    def awake(self) -> bool:
        """Supervisor's word: it looks at the slots once a second, so workers need not wake it."""
        return self._header[3] != 0

    @awake.setter
    def awake(self, value: bool) -> None:
        self._header[3] = 1 if value else 0

    @property
    def log_level(self) -> int:
        """Supervisor's word: how much is said, an index into `log.LEVELS`."""
        return self._header[4]

    @log_level.setter
    def log_level(self, value: int) -> None:
        self._header[4] = value
