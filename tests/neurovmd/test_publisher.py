# SPDX-License-Identifier: Apache-2.0
"""Results out and acknowledgements back: order, windows, losses, what is overdue."""

from __future__ import annotations

from scripted_broker import (
    CONNACK_311,
    Clock,
    Heard,
    Make,
    broker,
    pump,
)

from benchmarks.rig import wait_for
from neurovmd.mailbox import HELD, Receipt
from neurovmd.mqtt import IN_FLIGHT, Connection
from neurovmd.publisher import ACKNOWLEDGE_S, BACKLOG, Publisher
from neurovmd.schema import Output
from neurovmd.shared import DropReason, SharedBlock
from neurovmd.stream_table import Done


def done(receipt: Receipt | None, payload: bytes = b"r") -> Done:
    return Done(receipt, "out", payload)


def publisher(connection: Connection) -> tuple[Publisher, SharedBlock]:
    block = SharedBlock(1)
    made = Publisher(Output(), block.slot(0))
    made.connection = connection
    return made, block


def test_inputs_are_acknowledged_in_order_once_answered(scripted: Make) -> None:
    server, heard = scripted(CONNACK_311), Heard()
    connection = Connection(broker(server, protocol="3.1.1"), heard)
    pump(connection, lambda: heard.ups)
    out, _ = publisher(connection)
    receipts = [Receipt(mid) for mid in (5, 6, 7)]
    for receipt in receipts:
        out.received(receipt)
    out.take([done(receipts[1], b""), done(receipts[2], b"")])
    out.pump()
    connection.writable()
    assert b"\x40\x02" not in server.received
    out.take([done(receipts[0])])
    out.pump()
    connection.writable()
    assert b"\x40\x02" not in server.received
    out.published(1, "")
    out.pump()
    connection.writable()
    wait_for(
        lambda: bytes(server.received).endswith(bytes.fromhex("400200054002000640020007")), "acks"
    )


def test_no_more_than_the_window_is_in_flight_and_a_refusal_is_counted(scripted: Make) -> None:
    server, heard = scripted(CONNACK_311), Heard()
    connection = Connection(broker(server, protocol="3.1.1"), heard)
    pump(connection, lambda: heard.ups)
    out, block = publisher(connection)
    out.take([done(None) for _ in range(50)])
    out.pump()
    assert len(out._in_flight) == IN_FLIGHT
    for mid in range(1, 51):
        out.published(mid, "Quota exceeded" if mid == 3 else "")
        out.pump()
    assert out.idle
    assert block.slot(0).results_out == 49
    assert block.slot(0).dropped[DropReason.RESULT] == 1


def test_a_result_without_an_acknowledgement_is_overdue_and_sent_again(scripted: Make) -> None:
    server, heard, clock = scripted(CONNACK_311, CONNACK_311), Heard(), Clock()
    connection = Connection(broker(server, clock, protocol="3.1.1"), heard)
    pump(connection, lambda: heard.ups)
    out, block = publisher(connection)
    out._clock_ns = lambda: int(clock.now * 1e9)
    receipt = Receipt(3)
    out.take([done(receipt), done(None), done(None)])
    assert out.overdue_at_s is None
    out.pump()
    out.published(1, "")
    assert out.overdue_at_s == clock.now + ACKNOWLEDGE_S
    clock.now += ACKNOWLEDGE_S - 0.001
    assert not out.overdue()
    clock.now += 0.002
    assert out.overdue()
    assert block.slot(0).unacknowledged == 2
    assert "not acknowledged" in out.trouble
    connection.give_up(out.trouble)
    out.lost()
    assert (out.overdue(), len(out.unanswered())) == (False, 2)
    pump(connection, lambda: len(heard.ups) == 2, clock)
    out.pump()
    assert len(out._in_flight) == 2
    for mid in (1, 2):
        out.published(mid, "")
    assert (out.idle, out.trouble, out.unanswered()) == (True, "", [])


def test_held_inputs_are_acknowledged_with_their_result_or_before_they_fill_the_window(
    scripted: Make,
) -> None:
    server, heard = scripted(CONNACK_311), Heard()
    connection = Connection(broker(server, protocol="3.1.1"), heard)
    pump(connection, lambda: heard.ups)
    out, _ = publisher(connection)
    acks: list[int] = []
    connection.ack = acks.append
    receipts = [Receipt(mid, held=True) for mid in range(1, HELD + 3)]
    for receipt in receipts[:HELD]:
        out.received(receipt)
    out.pump()
    assert acks == []
    for receipt in receipts[HELD:]:
        out.received(receipt)
    out.pump()
    assert acks == [1, 2]
    out.take([Done(None, "out", b"r", covers=tuple(receipts))])
    out.pump()
    assert acks == [1, 2]
    out.published(1, "")
    out.pump()
    assert acks == [receipt.mid for receipt in receipts]


def test_a_lost_connection_voids_what_was_to_be_acknowledged(scripted: Make) -> None:
    server, heard = scripted(CONNACK_311), Heard()
    connection = Connection(broker(server, protocol="3.1.1"), heard)
    pump(connection, lambda: heard.ups)
    out, _ = publisher(connection)
    acks: list[int] = []
    connection.ack = acks.append
    old, new = Receipt(1), Receipt(1)
    out.received(old)
    out.lost()
    out.received(new)
    out.take([done(old)])
    out.pump()
    out.published(1, "")
    out.pump()
    assert acks == []
    new.done = True
    out.pump()
    assert acks == [1]


def test_results_wait_for_a_connection_and_receipts_do_not_outlive_it(scripted: Make) -> None:
    server, heard = scripted(CONNACK_311), Heard()
    connection = Connection(broker(server, protocol="3.1.1"), heard)
    out, _ = publisher(connection)
    receipt = Receipt(9)
    out.received(receipt)
    out.lost()
    out.take([done(receipt)])
    out.pump()
    assert not out.idle
    pump(connection, lambda: heard.ups)
    out.pump()
    connection.writable()
    wait_for(lambda: b"out" in server.received, "the result")
    out.published(1, "")
    out.pump()
    connection.writable()
    assert out.idle
    assert b"\x40\x02\x00\x09" not in server.received


def test_a_loss_repeats_the_last_answers_in_their_order(scripted: Make) -> None:
    server, heard = scripted(CONNACK_311), Heard()
    connection = Connection(broker(server, protocol="3.1.1"), heard)
    pump(connection, lambda: heard.ups)
    out, block = publisher(connection)
    clock = Clock()
    out._clock_ns = lambda: int(clock.now * 1e9)
    out.take([done(None, str(number).encode()) for number in range(6)])
    out.pump()
    out.published(1, "")
    clock.now += 6.0
    out.published(2, "")
    out.published(3, "")
    clock.now += 1.0
    out.lost()
    out.lost()
    assert [item.payload for item in out._waiting] == [b"1", b"2", b"3", b"4", b"5"]
    out.pump()
    for mid in range(7, 12):
        out.published(mid, "")
    assert out.idle
    assert block.slot(0).results_out == 6


def test_the_backlog_of_results_is_felt(scripted: Make) -> None:
    server, heard = scripted(CONNACK_311), Heard()
    out, _ = publisher(Connection(broker(server, protocol="3.1.1"), heard))
    out.take([done(None) for _ in range(BACKLOG - 1)])
    assert out.has_room
    out.take([done(None)])
    assert not out.has_room
