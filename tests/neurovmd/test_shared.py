# SPDX-License-Identifier: Apache-2.0
"""The shared block: layout, one word one meaning, visible across a fork."""

import os

import pytest

from neurovmd.shared import DUTY_ONE, DropReason, SharedBlock, Slot, Word


def test_every_word_of_a_slot_has_its_own_place() -> None:
    block = SharedBlock(2)
    slot = block.slot(1)
    names = [name for name, value in vars(Slot).items() if isinstance(value, Word)]
    for number, name in enumerate(names, start=1000):
        setattr(slot, name, number)
    for number, name in enumerate(names, start=1000):
        assert getattr(slot, name) == number
    assert list(slot.dropped) == [0] * len(DropReason)
    assert list(slot.counters) == [0] * 5
    assert block.slot(0).pid == 0
    assert block.slot(0).duty_q16 == DUTY_ONE


def test_clearing_keeps_what_the_supervisor_wrote() -> None:
    slot = SharedBlock(1).slot(0)
    slot.pid, slot.duty_q16, slot.counters[4] = 7, 11, 13
    assert slot.count_drop(DropReason.RESULT) == 1
    slot.clear_worker()
    assert (slot.pid, slot.duty_q16, slot.counters[4], slot.dropped[7]) == (0, 11, 0, 0)


def test_values_saturate_at_the_word() -> None:
    slot = SharedBlock(1).slot(0)
    slot.cpu_ns = 1 << 70
    assert slot.cpu_ns == (1 << 64) - 1


def test_a_child_writes_and_the_parent_reads() -> None:
    block = SharedBlock(3)
    child = os.fork()
    if child == 0:
        block.slot(2).messages_in = 42
        block.slot(2).counters[0] = 43
        os._exit(0)
    os.waitpid(child, 0)
    assert block.slot(2).messages_in == 42
    assert block.slot(2).counters[0] == 43
    block.awake = True
    assert block.awake
    assert block.slot(2).messages_in == 42


def test_a_block_of_no_workers_and_of_too_many() -> None:
    assert len(SharedBlock(0)) == 0
    with pytest.raises(ValueError, match="0 to 4096"):
        SharedBlock(4097)
