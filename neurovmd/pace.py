# SPDX-License-Identifier: Apache-2.0
"""How fast a worker may go: the rest that it owes for the CPU time of all its threads.

A worker that may have the share s of one CPU (the supervisor's duty, or its own `cpu`, whichever is
less) is in debt for the CPU time it took, and pays with time that passes: the debt grows by the CPU
time and falls by s times the time. What was left unused is not saved up. Rest then lasts until the
debt is paid, debt/s from now; a share that changes meanwhile counts at once.

Both threads keep to it: the one that computes rests, the other leaves what has arrived with the
broker, so that reading does not eat what answering needs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from neurovmd.shared import DUTY_ONE, Slot

# Rests shorter than this are saved up, and so is so much of a debt: a wait costs some 50 µs of CPU
# time itself, which at a small share would have to be waited for in turn, and so on for ever.
LEAST_REST_NS = 2_000_000
LEAST_DEBT_NS = 500_000
# With so many messages waiting to be computed a worker that may not go at full speed reads no more.
ENOUGH = 64
# But a little is read this often: signs of life from the broker, and acknowledgements.
READ_EVERY_NS = 1_000_000_000
A_LITTLE = 8


class Pace:
    """The debt of one process. `share` (above 0 to 1) is its own; any thread may call.

    `clock_ns` is monotonic, `cpu_ns` the CPU time of the process.
    """

    def __init__(
        self,
        slot: Slot,
        share: float = 1.0,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        cpu_ns: Callable[[], int] = time.process_time_ns,
    ) -> None:
        self._slot, self._share_q16 = slot, max(1, int(share * DUTY_ONE))
        self._clock_ns, self._process_ns = clock_ns, cpu_ns
        self._lock = threading.Lock()
        self._at_ns, self._cpu_ns = clock_ns(), cpu_ns()
        self._debt = 0  # nanoseconds of CPU time, times DUTY_ONE
        self._read_ns = self._at_ns

    @property
    def _share(self) -> int:
        return min(self._slot.duty_q16, self._share_q16)

    def owed_ns(self) -> int:
        """Account for the CPU time until now; the rest that is owed for it (0: none that is worth
        a wait, or paused).
        """
        with self._lock:
            share = self._share
            now_ns, cpu_ns = self._clock_ns(), self._process_ns()
            took_ns, passed_ns = cpu_ns - self._cpu_ns, now_ns - self._at_ns
            self._at_ns, self._cpu_ns = now_ns, cpu_ns
            self._slot.cpu_ns = cpu_ns
            if not 0 < share < DUTY_ONE:
                self._debt = 0
                return 0
            self._debt = max(0, self._debt + took_ns * DUTY_ONE - passed_ns * share)
            rest_ns = self._debt // share
            least = self._debt < LEAST_DEBT_NS * DUTY_ONE or rest_ns < LEAST_REST_NS
            return 0 if least else rest_ns

    def forgive(self) -> None:
        """Owe nothing: what is queued is to be finished."""
        with self._lock:
            self._debt = 0

    def unread_ns(self, queued: int) -> int:
        """How long the network is to be left alone, with so many messages queued (0: read now)."""
        owed_ns = self.owed_ns()
        if self._share in (0, DUTY_ONE):
            return 0
        since_ns = self._at_ns - self._read_ns
        if since_ns >= READ_EVERY_NS:
            return 0
        if queued >= ENOUGH:
            return READ_EVERY_NS - since_ns
        return min(owed_ns, READ_EVERY_NS - since_ns)

    def read(self, queued: int) -> int | None:
        """Note that the network is read now, and how many packets may be (None: any number)."""
        self._read_ns = self._clock_ns()
        enough = self.owed_ns() > 0 or queued >= ENOUGH
        return A_LITTLE if enough and self._share not in (0, DUTY_ONE) else None
