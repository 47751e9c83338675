# SPDX-License-Identifier: Apache-2.0
"""The connection against a scripted broker: fallback, refusals, back-off, acknowledgements."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.rig import wait_for
from neurovmd import mqtt
from neurovmd.broker import Broker
from neurovmd.compute import Done
from neurovmd.mailbox import HELD, Receipt
from neurovmd.mqtt import IN_FLIGHT, Connection
from neurovmd.publisher import ACKNOWLEDGE_S, BACKLOG, Publisher
from neurovmd.schema import Output
from neurovmd.shared import DropReason, SharedBlock

CONNACK_5 = bytes.fromhex("2003000000")
CONNACK_311 = bytes.fromhex("20020000")
UNSUPPORTED_5 = bytes.fromhex("2003008400")
UNSUPPORTED_311 = bytes.fromhex("20020001")
NOT_AUTHORIZED_5 = bytes.fromhex("2003008700")
TAKEN_OVER = bytes.fromhex("e0018e")


class Heard:
    """What an owner of a connection hears."""

    def __init__(self) -> None:
        self.ups: list[bool] = []
        self.downs: list[str] = []
        self.messages: list[tuple[str | None, bytes]] = []
        self.published: list[tuple[int, str]] = []

    def mqtt_up(self, session_present: bool) -> None:
        self.ups.append(session_present)

    def mqtt_down(self, reason: str) -> None:
        self.downs.append(reason)

    def mqtt_message(self, topic: str | None, payload: bytes, qos: int, mid: int) -> None:
        del qos, mid
        self.messages.append((topic, payload))

    def mqtt_published(self, mid: int, refusal: str) -> None:
        self.published.append((mid, refusal))


class Scripted:
    """Answers each connection's CONNECT with the next script; then listens.

    A script is what to send; b"" closes at once. `levels` are the protocol levels asked for.
    """

    def __init__(self, *scripts: bytes) -> None:
        self.levels: list[int] = []
        self.received = bytearray()
        self._scripts = list(scripts)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.peers: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._server.accept()
                self.peers.append(peer)
                data = peer.recv(4096)
                self.levels.append(data[data.index(b"MQTT") + 4])
                script = self._scripts.pop(0) if self._scripts else b""
                if not script:
                    peer.close()
                    continue
                peer.sendall(script)
                threading.Thread(target=self._listen, args=(peer,), daemon=True).start()

    def _listen(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := peer.recv(65536):
                self.received += data

    def close(self) -> None:
        for one in (self._server, *self.peers):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join(10.0)


Make = Callable[..., Scripted]


@pytest.fixture
def scripted() -> Iterator[Make]:
    made: list[Scripted] = []

    def make(*scripts: bytes) -> Scripted:
        made.append(Scripted(*scripts))
        return made[-1]

    yield make
    for one in made:
        one.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def pump(connection: Connection, until: Callable[[], object], clock: Clock | None = None) -> None:
    """The owner's loop, until something is true; time jumps to the next attempt."""

    def turn() -> object:
        next_at = connection.tick()
        number = connection.fileno()
        if number is not None:
            select.select([number], [], [], 0.05)
            connection.readable()
            connection.writable()
        elif clock is not None:
            clock.now = max(clock.now, next_at)
        return until()

    wait_for(turn, "what the test waits for")


def broker(server: Scripted, clock: Clock | None = None, **options: object) -> Broker:
    made = Broker(
        host="127.0.0.1",
        port=server.port,
        client_id="neurovmd-box-vm",
        will_topic="w",
        persistent=True,
        manual_ack=True,
        clock=clock or Clock(),
    )
    return replace(made, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "scripts",
    [(UNSUPPORTED_5, CONNACK_311), (UNSUPPORTED_311, CONNACK_311), (b"", b"", CONNACK_311)],
)
def test_a_broker_of_3_1_1_is_tried_again_with_a_new_client(
    scripted: Make, scripts: tuple[bytes, ...]
) -> None:
    server, heard, clock = scripted(*scripts), Heard(), Clock()
    connection = Connection(broker(server, clock), heard)
    pump(connection, lambda: heard.ups, clock)
    assert connection.protocol == "3.1.1"
    assert server.levels == [5] * (len(scripts) - 1) + [4]


def test_silence_is_an_answer_too(scripted: Make) -> None:
    server, heard, clock = scripted(b"\x20", CONNACK_311), Heard(), Clock()
    connection = Connection(broker(server, clock), heard)
    pump(connection, lambda: server.levels, clock)
    clock.now += mqtt.CONNACK_TIMEOUT_S
    pump(connection, lambda: heard.ups, clock)
    assert server.levels == [5, 4]


def test_the_protocol_asked_for_is_kept(scripted: Make) -> None:
    for asked, level in (("5", 5), ("3.1.1", 4)):
        server, heard, clock = scripted(b"", b"", b""), Heard(), Clock()
        connection = Connection(broker(server, clock, protocol=asked), heard)
        pump(connection, lambda found=server: len(found.levels) == 3, clock)
        assert server.levels == [level] * 3


def test_another_broker_at_the_same_place_is_found(scripted: Make) -> None:
    """One of MQTT 5 is replaced by one of 3.1.1 that closes, and the other way round."""
    closes = (b"",) * mqtt.CLOSES_KNOWN
    server, heard, clock = scripted(CONNACK_5, *closes, CONNACK_311, CONNACK_5), Heard(), Clock()
    connection = Connection(broker(server, clock), heard)
    for ups in (1, 2, 3):
        pump(connection, lambda wanted=ups: len(heard.ups) == wanted, clock)
        server.peers[-1].shutdown(socket.SHUT_RDWR)
    assert server.levels == [5, *[5] * mqtt.CLOSES_KNOWN, 4, 5]


def test_a_broker_of_5_alone_is_found_after_a_slow_start(scripted: Make) -> None:
    closes = (b"",) * mqtt.CLOSES_UNKNOWN
    refusals = (UNSUPPORTED_311,) * mqtt.CLOSES_UNKNOWN
    server, heard, clock = scripted(*closes, *refusals, CONNACK_5), Heard(), Clock()
    connection = Connection(broker(server, clock), heard)
    pump(connection, lambda: heard.ups, clock)
    assert server.levels == [5, 5, 4, 4, 5]


def test_a_connection_that_does_not_serve_is_given_up(scripted: Make) -> None:
    server, heard, clock = scripted(CONNACK_5, CONNACK_5), Heard(), Clock()
    connection = Connection(broker(server, clock), heard)
    pump(connection, lambda: heard.ups, clock)
    connection.give_up("it does not serve")
    assert (connection.connected, heard.downs) == (False, ["it does not serve"])
    pump(connection, lambda: len(heard.ups) == 2, clock)


def test_small_packets_leave_at_once(scripted: Make) -> None:
    server, heard = scripted(CONNACK_5), Heard()
    connection = Connection(broker(server), heard)
    pump(connection, lambda: heard.ups)
    sock = socket.socket(fileno=os.dup(connection.fileno() or 0))
    with sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_ca_file_that_is_gone_is_a_failure_like_others(scripted: Make, tmp_path: Path) -> None:
    server, heard = scripted(), Heard()
    (tmp_path / "ca").write_text("no certificate")
    for name in ("none", "ca"):
        connection = Connection(broker(server, tls=True, ca_file=str(tmp_path / name)), heard)
        connection.tick()
        assert not connection.connected
    assert len(heard.downs) == 2
    assert "No such file" in heard.downs[0]


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_message_far_too_long_is_cut_and_not_held(scripted: Make, protocol: str) -> None:
    """A broker of 3.1.1 sends whatever it has; the next message is whole again."""
    size, properties = 20 << 20, b"\0" * (protocol == "5")
    rest = size + 5 + len(properties)
    length = bytes([rest & 127 | 128, rest >> 7 & 127 | 128, rest >> 14 & 127 | 128, rest >> 21])
    long = b"\x32" + length + b"\0\1t\0\7" + properties + bytes(size)
    rest = 4 + len(properties)
    short = bytes([0x30, rest]) + b"\0\1t" + properties + b"x"
    connack = CONNACK_5 if protocol == "5" else CONNACK_311
    server, heard = scripted(connack + long + short), Heard()
    limit = 1000
    connection = Connection(broker(server, protocol=protocol, max_message_bytes=limit), heard)
    pump(connection, lambda: len(heard.messages) == 2)
    (_, cut), last = heard.messages
    assert limit < len(cut) < mqtt.PACKET_OVERHEAD + 2 * limit + 2 * mqtt.CHUNK_BYTES
    assert last == ("t", b"x")
    assert len(heard.ups) == 1


def test_the_answer_to_a_subscription_is_known(scripted: Make) -> None:
    server, heard = scripted(CONNACK_311), Heard()
    connection = Connection(broker(server, protocol="3.1.1"), heard)
    pump(connection, lambda: heard.ups)
    connection.subscribe({"a/+": 1, "secret/#": 1})
    connection.writable()
    assert not connection.settled
    wait_for(lambda: b"secret/#" in server.received, "the subscription")
    mid = server.received[2:4] if server.received[0] == 0x82 else b"\0\1"
    server.peers[-1].sendall(b"\x90\x04" + mid + b"\x01\x80")
    pump(connection, lambda: connection.settled)
    assert connection.refused == ["secret/#"]


def test_a_broker_that_once_spoke_5_is_not_given_up(scripted: Make) -> None:
    server, heard, clock = scripted(CONNACK_5, b"", b"", CONNACK_5), Heard(), Clock()
    connection = Connection(broker(server, clock), heard)
    pump(connection, lambda: heard.ups, clock)
    server.peers[-1].shutdown(socket.SHUT_RDWR)
    pump(connection, lambda: len(heard.ups) == 2, clock)
    assert server.levels == [5, 5, 5, 5]


def test_retries_grow_to_thirty_seconds_and_start_over_after_a_good_connection() -> None:
    heard, clock = Heard(), Clock()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    connection = Connection(Broker(host="127.0.0.1", port=port, client_id="x", clock=clock), heard)
    waits: list[float] = []
    for _ in range(8):
        next_at = connection.tick()
        waits.append(next_at - clock.now)
        clock.now = next_at
    for wait, base in zip(waits, [1, 2, 4, 8, 16, 30, 30, 30], strict=True):
        assert 0.8 * base <= wait <= 1.2 * base
    assert "refused" in heard.downs[-1]


def test_refusals_and_take_overs_are_said_in_words(scripted: Make) -> None:
    server, heard, clock = scripted(NOT_AUTHORIZED_5, CONNACK_5 + TAKEN_OVER), Heard(), Clock()
    connection = Connection(broker(server, clock), heard)
    pump(connection, lambda: len(heard.downs) == 2, clock)
    assert "refused: Not authorized" in heard.downs[0]
    assert "another client uses the id neurovmd-box-vm and took this session over" in heard.downs[1]
    assert not connection.connected


def test_a_topic_that_is_not_utf8_and_many_messages_at_once(scripted: Make) -> None:
    good = bytes.fromhex("3004000174") + b"x"
    bad = bytes.fromhex("30040001ff00")
    server, heard = scripted(CONNACK_311 + bad + good * 500), Heard()
    connection = Connection(broker(server, protocol="3.1.1"), heard)
    pump(connection, lambda: len(heard.messages) == 501)
    assert heard.messages[0][0] is None
    assert heard.messages[1] == ("t", b"x")


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
    connection.ack = acks.append  # type: ignore[method-assign]
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
    connection.ack = acks.append  # type: ignore[method-assign]
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


def test_a_broker_says_how_much_it_takes(scripted: Make) -> None:
    three = bytes.fromhex("2006000003210003")  # CONNACK with Receive Maximum 3
    server, heard = scripted(three, three), Heard()
    connection = Connection(broker(server), heard)
    pump(connection, lambda: heard.ups)
    assert (len(heard.ups), len(server.levels)) == (1, 2)
    for _ in range(5):
        connection.publish("t", b"x")
    connection.writable()
    publish = bytes.fromhex("3207000174")
    wait_for(lambda: server.received.count(publish) >= 3, "three messages")
    connection.publish("last", b"x", qos=0)
    connection.writable()
    wait_for(lambda: b"last" in server.received, "a message of QoS 0")
    assert server.received.count(publish) == 3


def test_the_backlog_of_results_is_felt(scripted: Make) -> None:
    server, heard = scripted(CONNACK_311), Heard()
    out, _ = publisher(Connection(broker(server, protocol="3.1.1"), heard))
    out.take([done(None) for _ in range(BACKLOG - 1)])
    assert out.has_room
    out.take([done(None)])
    assert not out.has_room
