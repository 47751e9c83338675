# SPDX-License-Identifier: Apache-2.0
"""The broker itself: connections, who hears what, retained messages, wills."""

from __future__ import annotations

import asyncio
import itertools
import sys
from dataclasses import replace
from typing import cast

from neurovm.broker import packets, topics
from neurovm.broker.packets import Connect, Kind, MalformedError, Message, ProtocolError
from neurovm.broker.session import Session

CONNECT_S = 10.0
"""So long may a connection say nothing before its CONNECT."""
MOST_RETAINED = 100_000
MOST_AWAY = 1000
"""So many sessions are kept of clients that are not connected; the oldest goes."""
WRONG_VERSION, WRONG_CLIENT = 1, 2
REFUSED = 0x80


class Broker:
    """All sessions and all retained messages of one broker."""

    def __init__(self) -> None:
        self.connections: dict[str, Connection] = {}
        self._sessions: dict[str, Session] = {}
        self._retained: dict[str, Message] = {}
        self._names = itertools.count(1)

    def publish(self, message: Message) -> None:
        """Give a message to everybody who has subscribed to its topic."""
        if message.retain:
            self._retain(message)
        passed = replace(message, retain=False)
        for session in list(self._sessions.values()):
            granted = session.qos_of(message.topic)
            if granted is not None:
                before = session.lost
                session.deliver(passed, granted)
                if session.lost > before == 0:
                    _say("losing", client=session.client, topic=message.topic)

    def _retain(self, message: Message) -> None:
        if not message.payload:
            self._retained.pop(message.topic, None)
        elif message.topic in self._retained or len(self._retained) < MOST_RETAINED:
            self._retained[message.topic] = message

    def subscribe(self, session: Session, wishes: list[tuple[str, int]]) -> list[int]:
        """The QoS of each filter, REFUSED where it is none."""
        codes = [qos if topics.is_filter(wish) else REFUSED for wish, qos in wishes]
        for (wish, _), qos in zip(wishes, codes, strict=True):
            if qos != REFUSED:
                session.subscriptions[wish] = qos
        return codes

    def recall(self, session: Session, wishes: list[tuple[str, int]]) -> None:
        """Send the retained messages of new subscriptions."""
        for wish, qos in wishes:
            if topics.is_filter(wish):
                for topic, message in list(self._retained.items()):
                    if topics.matches(wish, topic):
                        session.deliver(message, qos)

    def open(self, connection: Connection, connect: Connect) -> tuple[Session, bool]:
        """The session of a client that connects, and whether there was one before."""
        name = connect.client or f"\0{next(self._names)}"  # no client can be called so
        other = self.connections.pop(name, None)
        if other is not None:
            other.drop("another client uses its id")
        session = self._sessions.get(name)
        present = session is not None and not connect.clean
        if session is None or connect.clean:
            session = Session(name, connect.clean)
        self._sessions.pop(name, None)
        self._sessions[name] = session  # the newest is the last
        session.clean = connect.clean
        self.connections[name] = connection
        return session, present

    def close(self, connection: Connection, session: Session) -> None:
        """Forget a client that has gone, or keep its session as it wished."""
        if self.connections.get(session.client) is not connection:
            return  # taken over
        del self.connections[session.client]
        session.send = session.unsent_bytes = None
        if session.lost:
            _say("lost", client=session.client, messages=session.lost)
            session.lost = 0
        if session.clean:
            del self._sessions[session.client]
        away = [name for name in self._sessions if name not in self.connections]
        for name in away[: max(0, len(away) - MOST_AWAY)]:
            del self._sessions[name]


class Connection(asyncio.Protocol):
    """One client's connection. Packets are answered in the order in which they come."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._buffer = bytearray()
        self._session: Session | None = None
        self._will: Message | None = None
        self._patience_s: float | None = CONNECT_S
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._heard_s = asyncio.get_running_loop().time()
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._heard_s = asyncio.get_running_loop().time()
        try:
            while not self._transport.is_closing():
                packet = packets.take(self._buffer)
                if packet is None:
                    return
                self._answer(*packet)
        except ProtocolError:
            self._transport.write(packets.connack(WRONG_VERSION))
            self._transport.close()
        except MalformedError as error:
            self.drop(str(error))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio gives it
        if self._timer is not None:
            self._timer.cancel()
        if self._session is not None:
            self._broker.close(self, self._session)
            if self._will is not None:
                self._broker.publish(self._will)

    def drop(self, reason: str) -> None:
        """Close at once; the will is published."""
        who = self._session.client if self._session else "a client"
        _say("dropped", client=who, reason=reason)
        self._transport.abort()

    def _watch(self) -> None:
        """Drop a client that has been silent for longer than it may."""
        if self._patience_s is None:
            return
        loop = asyncio.get_running_loop()
        left_s = self._heard_s + self._patience_s - loop.time()
        if left_s <= 0:
            self.drop("it was silent for too long")
            return
        self._timer = loop.call_later(left_s, self._watch)

    def _answer(self, first: int, body: bytes) -> None:
        kind = packets.kind_of(first)
        if self._session is None:
            if kind is not Kind.CONNECT:
                raise MalformedError(f"3.1: {kind.name} before CONNECT")
            self._connect(packets.read_connect(body))
        elif kind is Kind.PUBLISH:
            self._publish(self._session, *packets.read_publish(first, body))
        elif kind is Kind.SUBSCRIBE:
            packet_id, wishes = packets.read_subscribe(body)
            codes = self._broker.subscribe(self._session, wishes)
            self._transport.write(packets.suback(packet_id, codes))
            self._broker.recall(self._session, wishes)
        elif kind is Kind.UNSUBSCRIBE:
            packet_id, filters = packets.read_unsubscribe(body)
            for wish in filters:
                self._session.subscriptions.pop(wish, None)
            self._transport.write(packets.acknowledgement(Kind.UNSUBACK, packet_id))
        elif kind is Kind.PINGREQ:
            self._transport.write(packets.pingresp())
        elif kind is Kind.DISCONNECT:
            self._will = None
            self._transport.close()
        else:
            self._acknowledge(self._session, kind, body)

    def _connect(self, connect: Connect) -> None:
        if not connect.client and not connect.clean:
            self._transport.write(packets.connack(WRONG_CLIENT))
            self._transport.close()
            return
        session, present = self._broker.open(self, connect)
        self._session, self._will = session, connect.will
        # Section 3.1.2.10: one and a half times the keep alive; 0 turns it off.
        self._patience_s = 1.5 * connect.keep_alive_s or None
        if self._timer is not None:
            self._timer.cancel()
        self._watch()
        self._transport.write(packets.connack(0, present=present))
        session.send = self._transport.write
        session.unsent_bytes = self._transport.get_write_buffer_size
        session.resume()

    def _publish(self, session: Session, message: Message, packet_id: int) -> None:
        if message.qos < 2 or session.first_time(packet_id):
            self._broker.publish(message)
        if message.qos:
            kind = Kind.PUBACK if message.qos == 1 else Kind.PUBREC
            self._transport.write(packets.acknowledgement(kind, packet_id))

    def _acknowledge(self, session: Session, kind: Kind, body: bytes) -> None:
        packet_id = packets.read_id(body)
        if kind in (Kind.PUBACK, Kind.PUBCOMP):
            session.acknowledged(packet_id)
        elif kind is Kind.PUBREC:
            session.half_acknowledged(packet_id)
        elif kind is Kind.PUBREL:
            session.received.discard(packet_id)
            self._transport.write(packets.acknowledgement(Kind.PUBCOMP, packet_id))
        else:
            raise MalformedError(f"{kind.name} is sent by brokers alone")


def _say(event: str, **facts: object) -> None:
    """A line for the log of the box."""
    text = " ".join(f"{key}={value!r}" for key, value in facts.items())
    print(f"broker.{event} {text}", file=sys.stderr, flush=True)
