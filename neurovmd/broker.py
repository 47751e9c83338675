# SPDX-License-Identifier: Apache-2.0
"""Where and how a process connects, and what it hears of its connection."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from neurovm.errors import ConfigError
from neurovm.regular import open_regular
from neurovmd.config import Settings
from neurovmd.schema import Mqtt


class Events(Protocol):
    """What the owner of a connection hears."""

    def mqtt_up(self, session_present: bool) -> None:
        """CONNACK: publish what others must see after every connect, subscribe if needed."""

    def mqtt_down(self, reason: str) -> None:
        """The connection is gone (or an attempt failed); `reason` is for people."""

    def mqtt_message(
        self, topic: str | None, payload: bytes, qos: int, mid: int, content_type: str = ""
    ) -> None:
        """One message; `topic` None where it is not UTF-8, `content_type` empty where it says none
        (MQTT 5).
        """

    def mqtt_published(self, mid: int, refusal: str) -> None:
        """PUBACK of a QoS 1 message; `refusal` is empty when the broker took it."""


@dataclass(frozen=True, slots=True)
class Will:
    """What a broker publishes when a connection ends without a DISCONNECT."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where and how to connect. `password_file` is read at each attempt, so that it may rotate.

    The will is a retained `offline` on `will_topic`, or what `will` gives, asked at each attempt.
    """

    host: str
    port: int
    client_id: str
    protocol: str = "auto"
    tls: bool = False
    ca_file: str | None = None
    username: str | None = None
    password_file: str | None = None
    keepalive_s: int = 60
    will_topic: str = ""
    will: Callable[[], Will] | None = None
    persistent: bool = False
    manual_ack: bool = False
    max_message_bytes: int = 1 << 20
    clock: Callable[[], float] = field(default=time.monotonic)

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        role: str,
        will_topic: str,
        persistent: bool = False,
        manual_ack: bool = False,
        max_message_bytes: int = 1 << 16,
    ) -> Broker:
        """How this node connects as `role`: `main` or a VM's name."""
        return cls.at(
            settings.config.mqtt,
            settings.node,
            role=role,
            will_topic=will_topic,
            persistent=persistent,
            manual_ack=manual_ack,
            max_message_bytes=max_message_bytes,
        )

    @classmethod
    def at(
        cls,
        mqtt: Mqtt,
        node: str,
        *,
        role: str,
        will_topic: str,
        persistent: bool = False,
        manual_ack: bool = False,
        max_message_bytes: int = 1 << 16,
    ) -> Broker:
        """As `of`, for a node whose other settings are not known."""
        return cls(
            host=mqtt.host,
            port=mqtt.port,
            client_id=f"neurovmd-{node}-{role}",
            protocol=str(mqtt.protocol),
            tls=mqtt.tls,
            ca_file=mqtt.ca_file,
            username=mqtt.username,
            password_file=mqtt.password_file,
            keepalive_s=mqtt.keepalive_s,
            will_topic=will_topic,
            persistent=persistent,
            manual_ack=manual_ack,
            max_message_bytes=max_message_bytes,
        )


def examine_files(settings: Settings) -> list[ConfigError]:
    """What is wrong with the files that the connection needs."""
    mqtt = settings.config.mqtt
    layered = settings.origins.layered
    errors: list[ConfigError] = []
    if mqtt.password_file is not None and not is_readable(mqtt.password_file):
        found = mqtt.password_file
        errors.append(layered.error("mqtt.password_file", found, "a readable file"))
    if mqtt.ca_file is not None and not _holds_certificates(mqtt.ca_file):
        accepted = "a readable file of PEM certificates"
        errors.append(layered.error("mqtt.ca_file", mqtt.ca_file, accepted))
    return errors


def is_readable(file: str) -> bool:
    """Whether `file` is a regular file that this process may read."""
    try:
        with open_regular(file):
            return True
    except OSError:
        return False


def _holds_certificates(file: str) -> bool:
    import ssl

    if not is_readable(file):
        return False
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except OSError:  # also ssl.SSLError
        return False
    return True
