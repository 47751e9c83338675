# SPDX-License-Identifier: Apache-2.0
"""The connection by scripted brokers: protocols, retries, limits, refusals."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from scripted_broker import (
    CONNACK_5,
    CONNACK_311,
    NOT_AUTHORIZED_5,
    TAKEN_OVER,
    UNSUPPORTED_5,
    UNSUPPORTED_311,
    Clock,
    Heard,
    Make,
    broker,
    pump,
)

from benchmarks.rig import wait_for
from neurovmd import client, mqtt, reconnect
from neurovmd.broker import Broker
from neurovmd.mqtt import Connection


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
    closes = (b"",) * reconnect.CLOSES_KNOWN
    server, heard, clock = scripted(CONNACK_5, *closes, CONNACK_311, CONNACK_5), Heard(), Clock()
    connection = Connection(broker(server, clock), heard)
    for ups in (1, 2, 3):
        pump(connection, lambda wanted=ups: len(heard.ups) == wanted, clock)
        server.peers[-1].shutdown(socket.SHUT_RDWR)
    assert server.levels == [5, *[5] * reconnect.CLOSES_KNOWN, 4, 5]


def test_a_broker_of_5_alone_is_found_after_a_slow_start(scripted: Make) -> None:
    closes = (b"",) * reconnect.CLOSES_UNKNOWN
    refusals = (UNSUPPORTED_311,) * reconnect.CLOSES_UNKNOWN
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
    assert limit < len(cut) < client.PACKET_OVERHEAD + 2 * limit + 2 * client.CHUNK_BYTES
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
