# SPDX-License-Identifier: Apache-2.0
"""One MQTT connection inside its owner's select loop; the only place that speaks paho.

The owner watches `fileno`, calls `readable`, `writable` and `tick`, and hears about it through
`Events`; every call is made on the owner's one thread, as paho writes to its socket from whichever
thread calls it. A broker that is away is a state: the connection retries for ever
(`neurovmd.reconnect`), in the other version of MQTT after CONNACK reason 132, two closes before any
CONNACK, or silence.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.subscribeoptions import SubscribeOptions

from neurovm.regular import read_regular
from neurovmd import client as clients
from neurovmd import log
from neurovmd.broker import Broker, Events
from neurovmd.client import Client
from neurovmd.reconnect import QUICK_CLOSES, RETRY_LAST_S, Attempts

CONNACK_TIMEOUT_S = 5.0
READ_BATCH = 64
# QoS 1 messages of ours that may be unacknowledged.
IN_FLIGHT = 20
MAX_PASSWORD_FILE_BYTES = 65536

_UNSUPPORTED_VERSION = 132
_TAKEN_OVER = 142


class Connection:
    """The connection of one process. `state` is what it is doing, in words."""

    def __init__(self, broker: Broker, events: Events) -> None:
        self._broker = broker
        self._events = events
        self._attempts = Attempts(broker.protocol, broker.clock())
        self._client: Client | None = None
        self._poll = select.poll()
        self._opened_at: float | None = None
        self._up_at: float | None = None
        self._leaving = False
        self._in_flight = IN_FLIGHT
        self._asked: tuple[int | None, list[str]] = (None, [])
        self.state = "not connected yet"
        self.subscribed = False  # since the last connect, at least one filter
        # The broker's answer to the last `subscribe`: whether it came, and what it refused.
        self.settled = False
        self.refused: list[str] = []

    @property
    def connected(self) -> bool:
        return self._up_at is not None

    @property
    def protocol(self) -> str:
        return self._attempts.protocol

    def fileno(self) -> int | None:
        sock = self._client.socket() if self._client else None
        number = sock.fileno() if sock else -1
        return number if number >= 0 else None

    def wants_write(self) -> bool:
        return self._client is not None and self._client.want_write()

    def readable(self, most: int | None = None) -> None:
        """Take what has arrived, at most `most` packets (None: 64)."""
        if self._client is not None:
            self._client.left = READ_BATCH if most is None else most
        for _ in range(READ_BATCH):
            client = self._client
            if client is None or client.loop_read() != paho.MQTT_ERR_SUCCESS or not client.left:
                return
            if client.max_inflight_messages > self._in_flight:
                self._begin_again(client)
            if not self._more():
                return

    def writable(self) -> None:
        """Send what is waiting, as far as the socket takes it."""
        if self._client is not None and self._client.want_write():
            self._client.loop_write()

    def tick(self) -> float:
        """Do what time asks for (retry, ping, give up); returns the clock time of the next call."""
        now = self._broker.clock()
        if self._opened_at is not None:
            if now >= self._opened_at + CONNACK_TIMEOUT_S:
                self._attempts.unanswered()
                self._drop("the broker took the connection but never answered")
            else:
                return self._opened_at + CONNACK_TIMEOUT_S
        if self._up_at is None:
            if self._leaving:
                return now + RETRY_LAST_S
            if now >= self._attempts.at:
                self._open()
            return self._attempts.at if self._opened_at is None else now + CONNACK_TIMEOUT_S
        if self._client is not None:
            self._client.loop_misc()
            return now + min(15.0, self._client.keepalive / 4)
        return self._attempts.at

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> int:
        """Queue one message and return its id; 0 when there is no connection to queue it on."""
        if self._client is None or self._up_at is None:
            return 0
        return self._client.publish(topic, payload, qos, retain).mid

    def subscribe(self, filters: dict[str, int]) -> None:
        """Subscribe each filter at its QoS; `settled` and `refused` tell the answer."""
        if self._client is None or not filters:
            return
        self.settled = False
        if self._attempts.five:
            options = [
                (name, SubscribeOptions(qos=qos, noLocal=True)) for name, qos in filters.items()
            ]
            _, mid = self._client.subscribe(options)
        else:
            _, mid = self._client.subscribe(list(filters.items()))
        self._asked = (mid, list(filters))

    def unsubscribe(self, filters: list[str]) -> None:
        if self._client is not None and filters:
            self._client.unsubscribe(filters)

    def ack(self, mid: int) -> None:
        """PUBACK one QoS 1 message of this connection (`manual_ack`)."""
        if self._client is not None:
            self._client.ack(mid, 1)

    def give_up(self, reason: str) -> None:
        """End a connection that is up but does not serve; the next attempt follows."""
        if self._up_at is not None:
            self._up_at, self.subscribed = None, False
            self._drop(reason)

    def leave(self, *, for_good: bool = False) -> None:
        """Send DISCONNECT and never come back; the will is not published then.

        `for_good`: nor will anybody else take the session up, so the broker may end it (MQTT 5;
        before that it can only be emptied, by `unsubscribe`).
        """
        self._leaving = True
        if self._client is not None:
            ends = clients.end_of_session() if for_good and self._attempts.five else None
            with contextlib.suppress(OSError):
                self._client.disconnect(properties=ends)
                self._client.loop_write()

    def forget(self) -> None:
        """In a forked child: close the inherited socket without a word to the broker."""
        sock = self._client.socket() if self._client else None
        if sock is not None:
            sock.close()
        self._client = None

    def _more(self) -> bool:
        sock = self._client.socket() if self._client else None
        if sock is None:
            return False
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return True
        return bool(self._poll.poll(0))

    def _open(self) -> None:
        broker = self._broker
        try:
            client = self._client = self._client or self._new_client()
            if broker.username is not None:
                client.username_pw_set(broker.username, _password(broker.password_file))
            clients.connect(client, broker, five=self._attempts.five)
        except (OSError, ValueError) as error:
            self._failed(f"{broker.host}:{broker.port}: {error}")
            return
        self._opened_at = broker.clock()
        self.writable()

    def _new_client(self) -> Client:
        five = self._attempts.five
        client = clients.make(self._broker, five=five, in_flight=self._in_flight)
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        return client

    def _on_socket_open(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        # Without it every QoS 1 answer waits for a delayed ACK (20 ms and more).
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that vanished is noticed 30 s after our first unanswered byte.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
        self._poll.register(sock, select.POLLIN)

    def _on_socket_close(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._poll.unregister(sock)

    def _on_connect(
        self, _client: paho.Client, _data: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        self._opened_at = None
        if reason.is_failure:
            if reason.value == _UNSUPPORTED_VERSION:
                self._attempts.wrong_version()
            self._failed(f"the broker refused: {reason.getName()}")
            return
        most = getattr(properties, "ReceiveMaximum", IN_FLIGHT)
        if most < self._in_flight:
            self._in_flight = most  # acted on when paho has left its callback
            return
        self._up_at = self._broker.clock()
        self._attempts.accepted()
        self.state = "connected"
        log.info("mqtt.connected", protocol=self.protocol, session_present=flags.session_present)
        self._events.mqtt_up(flags.session_present)

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, flags: Any, reason: Any, _properties: Any
    ) -> None:
        if self._opened_at is not None:
            self._opened_at = None
            self._attempts.closed_unanswered()
            self._failed("the connection was closed before the broker answered")
        elif self._leaving:
            self._up_at = None
            self.state = "left"
        elif self._up_at is not None:
            from_server = flags.is_disconnect_packet_from_server
            self._lost(reason.value if from_server else 0, reason.getName() if from_server else "")

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        topic: str | None
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = None
        content_type = getattr(message.properties, "ContentType", "")
        self._events.mqtt_message(
            topic, bytes(message.payload), message.qos, message.mid, content_type
        )

    def _on_publish(
        self, _client: paho.Client, _data: Any, mid: int, reason: Any, _properties: Any
    ) -> None:
        self._events.mqtt_published(mid, reason.getName() if reason.is_failure else "")

    def _on_subscribe(
        self, _client: paho.Client, _data: Any, mid: int, reasons: Any, _properties: Any
    ) -> None:
        asked, filters = self._asked
        if mid != asked:
            return
        self.settled, self.refused = True, []
        for name, reason in zip(filters, reasons, strict=False):
            if reason.is_failure:
                self.refused.append(name)
                log.error("mqtt.subscription_refused", filter=name, reason=reason.getName())
            else:
                self.subscribed = True

    def _begin_again(self, client: paho.Client) -> None:
        """Connect anew as a client that sends no more than the broker takes unacknowledged.

        One message more would end the connection (MQTT 5, Receive Maximum), and a client's limit is
        fixed before it connects.
        """
        log.info("mqtt.receive_maximum", messages=self._in_flight)
        self._client = None
        self._attempts.at = self._broker.clock()
        client.disconnect()
        client.loop_write()

    def _lost(self, code: int, name: str) -> None:
        """A connection that was up is gone; the next has a client of its own.

        A client would send its unanswered messages again at once, before anything else; what is to
        be sent again, and in which order, is the owner's to say.
        """
        self._client = None
        alive_s = self._broker.clock() - (self._up_at or 0.0)
        self._up_at = None
        self.subscribed = False
        who = f"another client uses the id {self._broker.client_id}"
        taken_over = code == _TAKEN_OVER
        quick = self._attempts.lost(alive_s, taken_over=taken_over)
        reason = f"the broker ended the connection: {name}" if name else "the connection was lost"
        if taken_over:
            reason = f"{who} and took this session over: give each node its own name"
        elif quick >= QUICK_CLOSES:
            reason = f"{reason} soon after connecting, {quick} times; perhaps {who}"
        self._failed(reason)

    def _drop(self, reason: str) -> None:
        """Give up an attempt that hangs."""
        self._opened_at = None
        client, self._client = self._client, None
        sock = client.socket() if client else None
        if client is not None and sock is not None:
            self._on_socket_close(client, None, sock)
            sock.close()
        self._failed(reason)

    def _failed(self, reason: str) -> None:
        """Plan the next attempt, in the other protocol where that is the likely remedy."""
        self.state = reason
        changes, delay_s = self._attempts.plan(self._broker.clock())
        if changes:
            self._client = None
            log.info("mqtt.fallback", protocol=self.protocol, reason=reason)
        if delay_s:
            log.warning("mqtt.down", reason=reason, retry_s=round(delay_s, 1))
        self._events.mqtt_down(reason)


def _password(file: str | None) -> str | None:
    """The first line of `file`."""
    if file is None:
        return None
    text = read_regular(file, MAX_PASSWORD_FILE_BYTES).decode("utf-8")
    return text.split("\n", 1)[0]
