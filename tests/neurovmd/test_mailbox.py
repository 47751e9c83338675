# SPDX-License-Identifier: Apache-2.0
"""The queue between the threads: order, bounds, what is dropped, waking and closing."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from neurovmd.mailbox import BATCH, Mailbox, Message, Receipt


def message(number: int, *, qos: int = 0, size: int = 0) -> Message:
    return Message(str(number), bytes(size), Receipt(number) if qos else None)


def drain(mailbox: Mailbox) -> list[str | None]:
    taken: list[str | None] = []
    while batch := mailbox.take(0.0):
        taken += [item.topic for item in batch]
    return taken


def test_messages_come_out_in_order_and_in_batches() -> None:
    mailbox = Mailbox()
    assert mailbox.put([message(number) for number in range(100)]) == 0
    first = mailbox.take() or []
    assert [item.topic for item in first] == [str(number) for number in range(BATCH)]
    assert len(mailbox) == 100 - BATCH


def test_the_oldest_qos_0_message_makes_room() -> None:
    mailbox = Mailbox(limit=3)
    assert mailbox.put([message(number) for number in range(5)]) == 2
    assert drain(mailbox) == ["2", "3", "4"]


def test_a_qos_1_message_is_never_dropped() -> None:
    mailbox = Mailbox(limit=2)
    assert mailbox.put([message(number, qos=1) for number in range(4)]) == 0
    assert mailbox.put([message(9)]) == 1
    assert drain(mailbox) == ["0", "1", "2", "3"]


def test_bytes_are_bounded_too() -> None:
    mailbox = Mailbox(limit_bytes=1000)
    assert mailbox.put([message(number, size=400) for number in range(5)]) == 2
    assert drain(mailbox) == ["2", "3", "4"]
    assert mailbox.put([message(7, size=5000)]) == 0
    assert drain(mailbox) == ["7"]


def test_closing_wakes_the_taker_after_what_is_queued() -> None:
    mailbox = Mailbox()
    taken: list[list[Message] | None] = []

    def take() -> None:
        while (batch := mailbox.take()) is not None:
            taken.append(batch)
        taken.append(None)

    thread = threading.Thread(target=take)
    thread.start()
    mailbox.put([message(1)])
    mailbox.close()
    thread.join(10.0)
    assert not thread.is_alive()
    assert taken[-1] is None
    assert sum(len(batch or []) for batch in taken) == 1


def test_a_rest_ends_when_the_mailbox_closes() -> None:
    mailbox = Mailbox()
    thread = threading.Thread(target=mailbox.rest, args=(3600.0,))
    thread.start()
    mailbox.put([message(1)])
    mailbox.close()
    thread.join(10.0)
    assert not thread.is_alive()


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=60), st.integers(1, 10))
def test_whatever_comes_the_newest_qos_0_and_every_qos_1_survive(
    kinds: list[tuple[bool, int]], limit: int
) -> None:
    mailbox = Mailbox(limit=limit, limit_bytes=200)
    sent = [message(n, qos=qos, size=size) for n, (qos, size) in enumerate(kinds)]
    dropped = sum(mailbox.put([item]) for item in sent)
    left = drain(mailbox)
    assert len(left) + dropped == len(sent)
    assert left == sorted(left, key=lambda topic: int(topic or 0))
    assert [item.topic for item in sent if item.receipt] == [
        topic for topic in left if sent[int(topic or 0)].receipt
    ]
    assert mailbox._bytes == 0
