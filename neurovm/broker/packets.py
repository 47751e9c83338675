# SPDX-License-Identifier: Apache-2.0
"""Packets of MQTT 3.1.1 (OASIS Standard, 2014): bytes in, values out, and back.

Everything that a client sends is checked here; MalformedError names the section that it breaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

MOST_BYTES = 16 << 20
"""The longest packet that is taken; the standard allows 256 MiB."""


class Kind(IntEnum):
    """Types of control packets (table 2.1)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


_FLAGS = {Kind.PUBREL: 2, Kind.SUBSCRIBE: 2, Kind.UNSUBSCRIBE: 2}


class MalformedError(Exception):
    """A packet that the standard forbids: the connection has to be closed."""


class ProtocolError(Exception):
    """A CONNECT of another version of the protocol than 3.1.1."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is published: `qos` 0 to 2."""

    topic: str
    payload: bytes
    qos: int
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    """Who connects. `client` may be empty, `keep_alive_s` 0 is for ever."""

    client: str
    clean: bool
    keep_alive_s: int
    will: Message | None


def take(buffer: bytearray) -> tuple[int, bytes] | None:
    """Remove one packet from the front: its first byte and its body; None where it is not whole."""
    length = 0
    for position in range(1, 5):
        if position >= len(buffer):
            return None
        byte = buffer[position]
        length |= (byte & 0x7F) << (7 * (position - 1))
        if byte < 0x80:
            break
    else:
        raise MalformedError("2.2.3: a remaining length of more than four bytes")
    if length > MOST_BYTES:
        raise MalformedError(f"a packet of {length} bytes; accepted: up to {MOST_BYTES}")
    start = position + 1
    if len(buffer) < start + length:
        return None
    first, body = buffer[0], bytes(buffer[start : start + length])
    del buffer[: start + length]
    return first, body


def kind_of(first: int) -> Kind:
    """The type in a packet's first byte, whose flags are those of the standard."""
    number = first >> 4
    if not 1 <= number <= 14:
        raise MalformedError(f"2.2.1: packet type {number}")
    kind = Kind(number)
    if kind is not Kind.PUBLISH and first & 15 != _FLAGS.get(kind, 0):
        raise MalformedError(f"2.2.2: flags {first & 15} of {kind.name}")
    return kind


class _Reader:
    """Fields of one body, from its front."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def rest(self) -> bytes:
        found, self._at = self._body[self._at :], len(self._body)
        return found

    @property
    def more(self) -> bool:
        return self._at < len(self._body)

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._body):
            raise MalformedError("a packet that ends too early")
        found, self._at = self._body[self._at : end], end
        return found

    def byte(self) -> int:
        return self._take(1)[0]

    def number(self) -> int:
        return int.from_bytes(self._take(2), "big")

    def octets(self) -> bytes:
        return self._take(self.number())

    def text(self) -> str:
        try:
            found = self.octets().decode()
        except UnicodeDecodeError:
            raise MalformedError("1.5.3: a string that is not UTF-8") from None
        if "\0" in found:
            raise MalformedError("1.5.3: a string with U+0000")
        return found

    def packet_id(self) -> int:
        found = self.number()
        if found == 0:
            raise MalformedError("2.3.1: packet identifier 0")
        return found

    def topic(self) -> str:
        found = self.text()
        if not found or "+" in found or "#" in found:
            raise MalformedError(f"3.3.2.1: topic name {found!r}")
        return found


def read_connect(body: bytes) -> Connect:
    """ProtocolError for another version."""
    reader = _Reader(body)
    name, level = reader.text(), reader.byte()
    if (name, level) != ("MQTT", 4):
        raise ProtocolError(f"{name!r} level {level}; accepted: MQTT 3.1.1")
    flags = reader.byte()
    will_qos, has_will = flags >> 3 & 3, bool(flags & 4)
    if flags & 1 or will_qos == 3 or (not has_will and flags & 0x38):
        raise MalformedError(f"3.1.2.3: connect flags {flags:#04x}")
    keep_alive_s, client, will = reader.number(), reader.text(), None
    if has_will:
        will = Message(reader.topic(), reader.octets(), will_qos, bool(flags & 0x20))
    for flag in (0x80, 0x40):  # user name and password, of anybody
        if flags & flag:
            reader.octets()
    if reader.more:
        raise MalformedError("3.1.3: more than the flags announce")
    return Connect(client, bool(flags & 2), keep_alive_s, will)


def read_publish(first: int, body: bytes) -> tuple[Message, int]:
    """The message and its packet identifier, 0 at QoS 0."""
    qos, reader = first >> 1 & 3, _Reader(body)
    if qos == 3:
        raise MalformedError("3.3.1.2: QoS 3")
    topic = reader.topic()
    packet_id = reader.packet_id() if qos else 0
    return Message(topic, reader.rest(), qos, bool(first & 1)), packet_id


def read_id(body: bytes) -> int:
    """The packet identifier of an acknowledgement."""
    reader = _Reader(body)
    found = reader.packet_id()
    if reader.more:
        raise MalformedError("an acknowledgement of more than two bytes")
    return found


def read_subscribe(body: bytes) -> tuple[int, list[tuple[str, int]]]:
    """The packet identifier, and every filter with the QoS that is asked for."""
    reader = _Reader(body)
    packet_id, wishes = reader.packet_id(), []
    while reader.more:
        wish, qos = reader.text(), reader.byte()
        if qos > 2:
            raise MalformedError(f"3.8.3: QoS {qos}")
        wishes.append((wish, qos))
    if not wishes:
        raise MalformedError("3.8.3: no topic filter")
    return packet_id, wishes


def read_unsubscribe(body: bytes) -> tuple[int, list[str]]:
    """The packet identifier and the filters."""
    reader = _Reader(body)
    packet_id, filters = reader.packet_id(), []
    while reader.more:
        filters.append(reader.text())
    if not filters:
        raise MalformedError("3.10.3: no topic filter")
    return packet_id, filters


def _packet(first: int, body: bytes) -> bytes:
    length, left = bytearray(), len(body)
    while True:
        left, low = left >> 7, left & 0x7F
        length.append(low | (0x80 if left else 0))
        if not left:
            return bytes([first]) + bytes(length) + body


def connack(code: int, *, present: bool = False) -> bytes:
    return _packet(Kind.CONNACK << 4, bytes([present, code]))


def acknowledgement(kind: Kind, packet_id: int) -> bytes:
    """PUBACK, PUBREC, PUBREL, PUBCOMP or UNSUBACK."""
    return _packet(kind << 4 | _FLAGS.get(kind, 0), packet_id.to_bytes(2, "big"))


def suback(packet_id: int, codes: list[int]) -> bytes:
    return _packet(Kind.SUBACK << 4, packet_id.to_bytes(2, "big") + bytes(codes))


def pingresp() -> bytes:
    return _packet(Kind.PINGRESP << 4, b"")


def publish(message: Message, packet_id: int = 0, *, again: bool = False) -> bytes:
    """A message on its way to a subscriber; `again` where it was sent before."""
    topic = message.topic.encode()
    head = len(topic).to_bytes(2, "big") + topic
    if message.qos:
        head += packet_id.to_bytes(2, "big")
    flags = again << 3 | message.qos << 1 | message.retain
    return _packet(Kind.PUBLISH << 4 | flags, head + message.payload)
