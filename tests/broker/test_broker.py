# SPDX-License-Identifier: Apache-2.0
"""The embedded broker, with clients of others: what is sent arrives, what is wrong ends alone."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest

from benchmarks.rig import Client, wait_for
from neurovm.broker import packets, topics
from neurovm.broker.packets import MalformedError, Message
from neurovm.broker.server import Broker
from neurovm.broker.session import MOST_WAITING, WINDOW, Session
from neurovm.cli import broker

CONNECT = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a"


def named(client: bytes, *, clean: bool = True, keep_alive_s: int = 0) -> bytes:
    """A CONNECT."""
    body = b"\0\4MQTT\4" + bytes([2 * clean]) + keep_alive_s.to_bytes(2, "big")
    body += len(client).to_bytes(2, "big") + client
    return bytes([0x10, len(body)]) + body


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with (tmp_path_factory.mktemp("broker") / "log").open("wb") as log:
        child, number = broker.start(log)
        yield number
        assert child.poll() is None  # whatever the tests have sent
        broker.end(child)


def raw(port: int, *sent: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.sendall(b"".join(sent))
    return client


def answer(client: socket.socket) -> bytes:
    """All that is said until the connection is closed."""
    said = b""
    try:
        while block := client.recv(65536):
            said += block
    except ConnectionResetError:
        pass
    client.close()
    return said


def heard(client: Client, topic: str) -> bytes:
    """The first payload on a topic."""
    wait_for(lambda: topic in {name for name, _ in client.messages}, f"a message on {topic}")
    return next(payload for name, payload in client.messages if name == topic)


@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_a_short_connection_without_an_id_loses_nothing(port: int, qos: str) -> None:
    """mosquitto_pub and mosquitto_sub as they are called in every README."""
    tools = [shutil.which(name) for name in ("mosquitto_pub", "mosquitto_sub")]
    if None in tools:
        pytest.skip("mosquitto_pub and mosquitto_sub are not installed")
    publish, subscribe = map(str, tools)
    host = ["-h", "127.0.0.1", "-p", str(port), "-q", qos]
    listening = [subscribe, *host, "-t", f"short/{qos}/#", "-t", f"ready/{qos}", "-F", "%p"]
    child = subprocess.Popen(listening, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    other = Client(port)
    other.publish(f"ready/{qos}", "ready", retain=True)
    assert child.stdout.readline() == "ready\n"
    try:
        for number in range(20):
            topic = f"short/{qos}/in"
            subprocess.run([publish, *host, "-t", topic, "-m", str(number)], check=True, timeout=20)
        assert [child.stdout.readline() for _ in range(20)] == [f"{n}\n" for n in range(20)]
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
        other.close()


def test_publish_and_disconnect_in_one_segment(port: int) -> None:
    client = Client(port)
    client.subscribe("one/#")
    raw(port, CONNECT, b"\x30\x08\x00\x05one/xy", b"\xe0\x00").close()
    assert heard(client, "one/x") == b"y"
    client.close()


def test_what_is_retained_is_told_to_whoever_comes_later(port: int) -> None:
    first = Client(port)
    first.publish("kept/a", "1", retain=True)
    first.publish("kept/a", "2", retain=True)
    first.publish("kept/b", "3", retain=True)
    first.publish("kept/b", "", retain=True)
    first.subscribe("done")
    first.publish("done", "all of it is kept")
    heard(first, "done")
    second = Client(port)
    second.subscribe("kept/+")
    assert heard(second, "kept/a") == b"2"
    first.publish("kept/end", "9")
    assert heard(second, "kept/end") == b"9"
    assert "kept/b" not in {name for name, _ in second.messages}
    first.close()
    second.close()


def test_a_will_is_published_unless_the_client_says_goodbye(port: int) -> None:
    client = Client(port)
    client.subscribe("will/#")

    def with_will(name: bytes) -> socket.socket:
        body = b"\0\4MQTT\4\x06\0\0\0\1" + name + b"\0\6will/" + name + b"\0\1" + b"7"
        connected = raw(port, bytes([0x10, len(body)]), body)
        assert connected.recv(4) == b"\x20\x02\0\0"
        return connected

    polite, rude = with_will(b"p"), with_will(b"r")
    polite.sendall(b"\xe0\0")
    assert answer(polite) == b""
    rude.close()
    assert heard(client, "will/r") == b"7"
    assert "will/p" not in {name for name, _ in client.messages}
    client.close()


def test_a_session_keeps_what_its_client_has_not_taken(port: int) -> None:
    subscribe = b"\x82\x0b\x00\x01\x00\x06away/+\x01"
    first = raw(port, named(b"kept", clean=False), subscribe)
    assert first.recv(4) == b"\x20\x02\0\0"
    assert first.recv(5) == b"\x90\x03\x00\x01\x01"
    first.sendall(b"\xe0\0")
    assert answer(first) == b""
    other = raw(port, CONNECT, b"\x32\x0b\x00\x06away/1\x00\x05x", b"\xe0\0")
    assert answer(other) == b"\x20\x02\0\0\x40\x02\x00\x05"
    for sent_again in (b"\x32", b"\x3a"):
        again = raw(port, named(b"kept", clean=False))
        assert again.recv(4, socket.MSG_WAITALL) == b"\x20\x02\1\0"
        message = again.recv(13, socket.MSG_WAITALL)
        assert (message[:1], message[4:10], message[12:]) == (sent_again, b"away/1", b"x")
        again.close()


def test_who_takes_an_id_over_closes_the_other(port: int) -> None:
    first = raw(port, named(b"same"))
    assert first.recv(4) == b"\x20\x02\0\0"
    second = raw(port, named(b"same"))
    assert second.recv(4) == b"\x20\x02\0\0"
    assert answer(first) == b""
    second.sendall(b"\xc0\0")
    assert second.recv(2) == b"\xd0\0"
    second.close()


def test_a_silent_client_is_dropped(port: int) -> None:
    assert answer(raw(port, named(b"silent", keep_alive_s=1))) == b"\x20\x02\0\0"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01a", b"\x20\x02\0\1"),  # MQTT 5
        (named(b"", clean=False), b"\x20\x02\0\2"),
        (b"GET / HTTP/1.1\r\n\r\n", b""),
        (b"\x30\xff\xff\xff\xff\x01", b""),
        (b"\x30\xff\xff\xff\x7f", b""),  # 256 MiB are announced
        (b"\xc0\0", b""),  # before CONNECT
        (CONNECT + CONNECT, b"\x20\x02\0\0"),
        (CONNECT + b"\x36\x05\0\1a\0\1", b"\x20\x02\0\0"),  # QoS 3
        (CONNECT + b"\x30\x04\0\2\xff\xfe", b"\x20\x02\0\0"),  # not UTF-8
        (CONNECT + b"\x30\x03\0\1#", b"\x20\x02\0\0"),
        (CONNECT + b"\x82\x02\0\1", b"\x20\x02\0\0"),
        (CONNECT + b"\x20\x02\0\0", b"\x20\x02\0\0"),
    ],
)
def test_what_the_standard_forbids_ends_that_connection(
    port: int, sent: bytes, said: bytes
) -> None:
    assert answer(raw(port, sent)) == said


def test_random_bytes_end_no_broker(port: int) -> None:
    rng = random.Random(5)
    good = [
        CONNECT,
        b"\x82\x06\0\1\0\1#\1",
        b"\x32\x07\0\1a\0\1xy",
        b"\x62\2\0\1",
        b"\x40\2\0\1",
        b"\xa2\5\0\1\0\1#",
        b"\xc0\0",
    ]
    for _ in range(300):
        text = bytearray(CONNECT + b"".join(rng.choices(good, k=4)))
        for _ in range(rng.randrange(4)):
            text[rng.randrange(len(text))] = rng.randrange(256)
        raw(port, text).close()
    client = Client(port)
    client.subscribe("after/#")
    client.publish("after/all", "1")
    assert heard(client, "after/all") == b"1"
    client.close()


@pytest.mark.parametrize(
    ("wish", "topic", "hit"),
    [
        ("#", "a/b", True),
        ("#", "$SYS/a", False),
        ("+/a", "$SYS/a", False),
        ("$SYS/#", "$SYS/a", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/+/c", "a/b/c", True),
        ("a/+", "a/b/c", False),
        ("a", "a", True),
        ("a", "A", False),
        ("+/+", "/a", True),
    ],
)
def test_filters(wish: str, topic: str, *, hit: bool) -> None:
    assert topics.matches(wish, topic) is hit


@pytest.mark.parametrize(
    ("text", "good"),
    [("a/#", True), ("+", True), ("", False), ("a#", False), ("#/a", False), ("a+/b", False)],
)
def test_what_is_a_filter(text: str, *, good: bool) -> None:
    assert topics.is_filter(text) is good


def test_a_client_that_takes_nothing_costs_bounded_memory() -> None:
    sent: list[bytes] = []
    session = Session("c", clean=True, send=sent.append, unsent_bytes=lambda: 0)
    for number in range(MOST_WAITING + WINDOW + 5):
        session.deliver(Message("t", str(number).encode(), 1), 1)
    assert (len(sent), session.lost) == (WINDOW, 5)
    for packet_id in range(1, WINDOW + 1):
        session.acknowledged(packet_id)
    assert len(sent) == 2 * WINDOW
    big = Session("d", clean=False)
    for _ in range(10):
        big.deliver(Message("t", bytes(16 << 20), 1), 1)
    assert big.lost == 6


def test_a_slow_client_loses_qos_0_alone() -> None:
    sent: list[bytes] = []
    slow = Session("c", clean=True, send=sent.append, unsent_bytes=lambda: 1 << 30)
    slow.deliver(Message("t", b"0", 0), 1)
    slow.deliver(Message("t", b"1", 1), 1)
    assert (sent, slow.lost) == ([packets.publish(Message("t", b"1", 1), 1)], 1)


def test_the_first_loss_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    server = Broker()
    session = Session("slow", clean=True)
    server._sessions["slow"] = session
    server.subscribe(session, [("#", 1)])
    for _ in range(MOST_WAITING + 3):
        server.publish(Message("a/b", b"x", 1))
    assert session.lost == 3
    assert capsys.readouterr().err == "broker.losing client='slow' topic='a/b'\n"


def test_packets_are_taken_whole() -> None:
    whole = packets.publish(Message("a/b", bytes(300), 1), 7)
    buffer = bytearray()
    for byte in whole[:-1]:
        buffer.append(byte)
        assert packets.take(buffer) is None
    buffer += whole[-1:] + b"\xc0"
    taken = packets.take(buffer)
    assert taken is not None
    assert packets.read_publish(*taken) == (Message("a/b", bytes(300), 1), 7)
    assert buffer == b"\xc0"
    with pytest.raises(MalformedError):
        packets.take(bytearray(b"\x30\x80\x80\x80\x80\x01"))
