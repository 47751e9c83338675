# SPDX-License-Identifier: Apache-2.0
"""paho as we use it: what it may hold in memory, and how it introduces itself to a broker."""

from __future__ import annotations

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from neurovmd.broker import Broker

CONNECT_TIMEOUT_S = 5.0
# A session outlives its connection by a day; an older backlog is not worth replaying.
SESSION_EXPIRY_S = 24 * 3600
# QoS 1 messages a broker may send ahead of our acknowledgements.
RECEIVE_MAXIMUM = 256
PACKET_OVERHEAD = 66_000  # a topic of 65,535 bytes and the fixed part of a PUBLISH
CHUNK_BYTES = 65536
_PUBLISH = 3


class Client(paho.Client):
    """paho without its appetite: of a PUBLISH beyond `most_bytes` only the beginning is kept.

    MQTT 3.1.1 has no way to tell a broker what is too long, and paho holds a whole packet before
    anybody sees it. The rest is read and let go; the message arrives cut, still longer than its
    limit, and is refused and acknowledged like any other that is too long.

    And of what has arrived it takes no more than `left` packets: `loop_read` alone would take one
    for each message in flight.
    """

    most_bytes: int
    left: int = 0

    def _sock_recv(self, bufsize: int) -> bytes:
        packet = self._in_packet
        if not packet["command"]:  # the next packet begins
            if not self.left:
                raise BlockingIOError
            self.left -= 1
        data = super()._sock_recv(min(bufsize, CHUNK_BYTES))
        # Whoever sends is alive: the answer to a ping may stand behind much else.
        self._ping_t = 0.0
        if packet["command"] >> 4 == _PUBLISH and len(packet["packet"]) > self.most_bytes and data:
            packet["to_process"] -= len(data) - 1
            return data[:1]
        return data


def make(broker: Broker, *, five: bool, in_flight: int) -> Client:
    """A client that is not connected yet; the owner sets its callbacks."""
    version = MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311
    client = Client(
        CallbackAPIVersion.VERSION2,
        broker.client_id,
        clean_session=None if five else not broker.persistent,
        protocol=version,
        reconnect_on_failure=False,
        manual_ack=broker.manual_ack,
    )
    client.most_bytes = _most_bytes(broker)
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.max_inflight_messages = in_flight
    if broker.tls:
        client.tls_set(ca_certs=broker.ca_file)
    if broker.will_topic:
        client.will_set(broker.will_topic, b"offline", 1, retain=True)
    # Set, it keeps paho from writing inside publish(): we flush once a batch.
    client.on_socket_register_write = lambda *_: None
    return client


def connect(client: Client, broker: Broker, *, five: bool) -> None:
    """Open the connection and queue CONNECT; OSError or ValueError where that cannot be."""
    if broker.will is not None:
        will = broker.will()
        client.will_set(will.topic, will.payload, will.qos, retain=will.retain)
    where = (broker.host, broker.port, broker.keepalive_s)
    if five:
        client.connect(
            *where, clean_start=not broker.persistent, properties=_connect_properties(broker)
        )
    else:
        client.connect(*where)


def end_of_session() -> Properties:
    """What a DISCONNECT says where the broker is to keep nothing."""
    properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]  # paho
    properties.SessionExpiryInterval = 0
    return properties


def _connect_properties(broker: Broker) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho
    if broker.persistent:
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
    properties.MaximumPacketSize = _most_bytes(broker)
    return properties


def _most_bytes(broker: Broker) -> int:
    return PACKET_OVERHEAD + 2 * broker.max_message_bytes
