# SPDX-License-Identifier: Apache-2.0
"""The debt of a worker for its CPU time, on clocks of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovmd.pace import A_LITTLE, ENOUGH, LEAST_DEBT_NS, LEAST_REST_NS, READ_EVERY_NS, Pace
from neurovmd.shared import DUTY_ONE, SharedBlock, Slot

MS = 1_000_000


class Clocks:
    """Time and CPU time, in nanoseconds, as the test lets them pass."""

    def __init__(self, share: float = 1.0, duty_q16: int = DUTY_ONE) -> None:
        self.now_ns = self.cpu_ns = 10**12
        self.slot: Slot = SharedBlock(1).slot(0)
        self.slot.duty_q16 = duty_q16
        self.pace = Pace(self.slot, share, clock_ns=lambda: self.now_ns, cpu_ns=lambda: self.cpu_ns)

    def work(self, ns: int, threads: int = 1) -> int:
        """Let so many threads compute for so long; the rest that is owed then."""
        self.now_ns += ns
        self.cpu_ns += threads * ns
        return self.pace.owed_ns()

    def wait(self, ns: int) -> int:
        self.now_ns += ns
        return self.pace.owed_ns()


@given(busy_ns=st.integers(0, 10**11), duty_q16=st.integers(1, DUTY_ONE))
def test_work_and_rest_make_the_duty(busy_ns: int, duty_q16: int) -> None:
    clocks = Clocks(duty_q16=duty_q16)
    rest_ns = clocks.work(busy_ns)
    if rest_ns:
        # busy / (busy + rest) = duty, up to the nanosecond that the division cuts off.
        assert abs(busy_ns * DUTY_ONE - (busy_ns + rest_ns) * duty_q16) <= duty_q16
    else:
        debt_ns = busy_ns * (DUTY_ONE - duty_q16) // DUTY_ONE
        assert min(debt_ns - LEAST_DEBT_NS, debt_ns * DUTY_ONE // duty_q16 - LEAST_REST_NS) <= 0


def test_what_is_too_little_to_wait_for_is_still_owed() -> None:
    clocks = Clocks(share=0.5)
    assert clocks.work(LEAST_REST_NS - 2) == 0
    assert clocks.work(2) == LEAST_REST_NS
    clocks = Clocks(share=2**-10)
    assert clocks.work(LEAST_DEBT_NS) == 0
    assert clocks.work(LEAST_DEBT_NS) == 2 * LEAST_DEBT_NS * 1023


@pytest.mark.parametrize("duty_q16", [0, DUTY_ONE])
def test_at_full_speed_and_in_a_pause_nothing_is_owed(duty_q16: int) -> None:
    clocks = Clocks(duty_q16=duty_q16)
    assert clocks.work(MS, threads=2) == 0
    assert clocks.pace.unread_ns(10 * ENOUGH) == 0
    clocks.slot.duty_q16 = DUTY_ONE // 2
    assert clocks.wait(0) == 0


def test_every_thread_counts_and_the_lesser_share_holds() -> None:
    clocks = Clocks(share=0.25, duty_q16=DUTY_ONE // 2)
    assert clocks.work(MS, threads=2) == 7 * MS
    clocks.slot.duty_q16 = DUTY_ONE // 8
    assert clocks.wait(0) == 14 * MS  # the same debt: (2 - 1/4) ms of CPU time
    assert clocks.slot.cpu_ns == clocks.cpu_ns


def test_what_was_not_used_is_not_saved_up() -> None:
    clocks = Clocks(share=0.5)
    assert clocks.wait(10**10) == 0
    assert clocks.work(4 * MS) == 4 * MS
    assert clocks.wait(2 * MS) == 2 * MS
    assert clocks.wait(1 * MS) == 0
    clocks.pace.forgive()
    assert clocks.wait(0) == 0


def test_reading_waits_for_the_debt_and_for_what_is_queued_but_not_for_ever() -> None:
    clocks = Clocks(share=0.125)
    assert clocks.pace.read(0) is None
    assert clocks.pace.unread_ns(0) == 0
    clocks.work(10 * MS)
    assert clocks.pace.unread_ns(0) == 70 * MS
    clocks.now_ns += 70 * MS
    assert clocks.pace.unread_ns(ENOUGH - 1) == 0
    assert clocks.pace.unread_ns(ENOUGH) == READ_EVERY_NS - 80 * MS
    clocks.now_ns += READ_EVERY_NS - 80 * MS
    clocks.cpu_ns += 10**10
    assert clocks.pace.unread_ns(ENOUGH) == 0  # a sign of life may be in there
    assert clocks.pace.read(0) == A_LITTLE
    assert clocks.pace.unread_ns(0) == READ_EVERY_NS
    clocks.pace.forgive()
    assert clocks.pace.read(ENOUGH) == A_LITTLE
    clocks.slot.duty_q16 = 0
    assert clocks.pace.read(ENOUGH) is None
