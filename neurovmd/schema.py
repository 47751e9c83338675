# SPDX-License-Identifier: Apache-2.0
"""The schema of the configuration: every key, its default, its range."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from neurovm import quantity
from neurovm.description import ProfileName
from neurovm.encoders import AnyEncoder
from neurovm.frontends import AnyFrontEnd
from neurovm.manifest import CapabilityName, check_capabilities
from neurovm.steps import Alert, AnyStep
from neurovm.steps.chain import MOST_STEPS
from neurovmd import models, places, topics
from neurovmd.outlets import Actuator, HomeAssistant, SenmlOutput, Shown, Sparkplug
from neurovmd.payload import Json, Payload, SparkplugB
from neurovmd.window.rule import Window

DEFAULT_OUTPUT_TOPIC = "{prefix}/{node}/{vm}/result/{stream}"
DEFAULT_ALERT_TOPIC = "{prefix}/{node}/{vm}/event/{stream}"
MQTT_PORTS = {"mqtt": 1883, "mqtts": 8883}

# A level of a topic and a part of a client id: no slash, no wildcard, no space.
LEVEL = "1 to 64 of A-Z a-z 0-9 _ . - and a letter or digit first"
LevelName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description=LEVEL)]
TopicPrefix = Annotated[
    str,
    Meta(
        pattern=r"^[^+#/$\x00-\x1f{}][^+#\x00-\x1f{}]{0,255}$",
        description="1 to 256 characters, no + # { }, and no / or $ first",
    ),
]
Quantity = str | float | None
MOST_WINDOWS = 100_000
MOST_ALERTS = 64


def _keyed(key: str, check: Callable[[str], object], value: str) -> None:
    """Run a check, naming the key in its ValueError."""
    try:
        check(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


class Mqtt(Struct, frozen=True, forbid_unknown_fields=True):
    """The broker. `mqtts://` is MQTT over TLS, checked against `ca_file` or the system's CAs."""

    server: str = "mqtt://127.0.0.1:1883"
    protocol: Literal["auto", "5", "3.1.1", 5] = "auto"
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    keepalive_s: Annotated[int, Meta(ge=10, le=65535)] = 60

    def __post_init__(self) -> None:
        accepted = "mqtt://HOST[:PORT] or mqtts://HOST[:PORT]"
        # What stands before an @ is an account, which no message of ours repeats.
        shown = re.sub("//.*@", "//…@", self.server)
        try:
            parts = urlsplit(self.server)
            port = parts.port
        except ValueError:
            raise ValueError(f"server: found {shown!r}; accepted: {accepted}") from None
        rest = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
        if parts.scheme not in MQTT_PORTS or not parts.hostname or rest or port == 0:
            raise ValueError(f"server: found {shown!r}; accepted: {accepted}")

    @property
    def host(self) -> str:
        return urlsplit(self.server).hostname or ""

    @property
    def port(self) -> int:
        parts = urlsplit(self.server)
        return parts.port or MQTT_PORTS[parts.scheme]

    @property
    def tls(self) -> bool:
        return self.server.startswith("mqtts:")


class Power(Struct, frozen=True, forbid_unknown_fields=True):
    """`limit` is what the box may draw on average over `window`; none = unlimited."""

    limit: Quantity = None
    window: str | float = "10 s"

    def __post_init__(self) -> None:
        if self.limit is not None:
            quantity.parse(self.limit, quantity.WATTS, key="limit")
        quantity.parse(self.window, quantity.SECONDS, key="window")

    @property
    def limit_w(self) -> float | None:
        return None if self.limit is None else quantity.parse(self.limit, quantity.WATTS)

    @property
    def window_s(self) -> float:
        return quantity.parse(self.window, quantity.SECONDS)


class Http(Struct, frozen=True, forbid_unknown_fields=True):
    """`listen`: where the health endpoint answers; none = nowhere. `infer`: whether models too."""

    listen: str | None = None
    infer: bool = False

    def __post_init__(self) -> None:
        if self.listen is not None and _address(self.listen) is None:
            accepted = "ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080 (no names)"
            raise ValueError(f"listen: found {self.listen!r}; accepted: {accepted}")

    @property
    def address(self) -> tuple[str, int] | None:
        return None if self.listen is None else _address(self.listen)

    @property
    def is_local(self) -> bool:
        """Whether this machine alone can ask."""
        host = (self.address or ("::1", 0))[0]
        return host == "::1" or host.startswith("127.")


def _address(text: str) -> tuple[str, int] | None:
    """A literal IP address and a port; None for anything else."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    family = socket.AF_INET6 if bracketed else socket.AF_INET
    try:
        socket.inet_pton(family, host)
    except (OSError, ValueError):
        return None
    number = int(port) if re.fullmatch("[0-9]{1,5}", port) else 0
    return (host, number) if colon and 0 < number < 65536 else None


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """`neurovmd.yaml`. `node` is the host's name where none is given."""

    node: LevelName | None = None
    prefix: TopicPrefix = "neurovm"
    mqtt: Mqtt = Mqtt()
    vm_dir: str = str(places.SYSTEM.vm_dir)
    cache_dir: str = str(places.SYSTEM.cache_dir)
    state_dir: str = str(places.SYSTEM.state_dir)
    socket: str = str(places.SYSTEM.socket)
    log_level: Literal["error", "warning", "info", "debug"] = "info"
    power: Power = Power()
    watch_s: Annotated[float, Meta(ge=1, le=86400)] | None = None
    on_invalid: Literal["exit", "last_good"] = "exit"
    http: Http = Http()
    home_assistant: HomeAssistant = HomeAssistant()
    sparkplug: Sparkplug = Sparkplug()


class Target(Struct, frozen=True, forbid_unknown_fields=True):
    """Which input tensor, and the names of its elements in C order (none = by number).

    `first` is where an encoder's spikes begin in the tensor, so that several share it.
    """

    tensor: Annotated[int, Meta(ge=0, le=255)] = 0
    elements: Annotated[list[str], Meta(min_length=1)] | None = None
    first: Annotated[int, Meta(ge=0, le=1 << 32)] = 0

    def __post_init__(self) -> None:
        names = self.elements or []
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"elements: found {name!r} twice; accepted: each name once")


class Input(Struct, frozen=True, forbid_unknown_fields=True):
    """Where messages come from, what they hold, and which inputs of the model they set."""

    topic: str
    qos: Literal[0, 1] = 1
    payload: Payload = Json()
    to: Target = Target()
    initial: float = 0.0
    encode: AnyEncoder | None = None
    front_end: list[AnyFrontEnd] = msgspec.field(default_factory=list)
    window: Window | None = None

    def __post_init__(self) -> None:
        _keyed("topic", lambda _: self.pattern({}), self.topic)

    def pattern(self, names: Mapping[str, str]) -> topics.TopicPattern:
        """The topics that are read and what is subscribed for them, `names` filled in."""
        written = topics.parse_input(self.topic, names)
        return self.payload.pattern(written) if isinstance(self.payload, SparkplugB) else written


class Form(Struct, frozen=True, forbid_unknown_fields=True):
    """What a result holds: the `top_k` largest outputs, or all `values` as reals or codes.

    Of a spiking network: the `top_k` outputs of most spikes (readouts: of highest potential), or
    `values`: its spike counts or potentials, or its output spikes as `events` or `packed`.
    """

    top_k: Annotated[int, Meta(ge=1, le=1024)] | None = None
    values: Literal["real", "codes", "counts", "potentials", "events", "packed"] | None = None

    def __post_init__(self) -> None:
        if (self.top_k is None) == (self.values is None):
            found = "neither" if self.top_k is None else "both"
            raise ValueError(f"found {found}; accepted: one of top_k and values")

    @property
    def is_events(self) -> bool:
        """Whether a result holds the output spikes themselves."""
        return self.values in ("events", "packed")


class Output(Struct, frozen=True, forbid_unknown_fields=True):
    topic: str = DEFAULT_OUTPUT_TOPIC
    on: Literal["change", "always", "interval", "window"] = "change"
    interval_s: Annotated[float, Meta(ge=0.01, le=86400)] | None = None
    window_s: Annotated[float, Meta(ge=0.000001, le=86400)] | None = None
    wait_for: Literal["all", "any"] = "all"
    form: Form = Form(top_k=1)
    steps: Annotated[list[AnyStep], Meta(max_length=MOST_STEPS)] = msgspec.field(
        default_factory=list
    )
    alerts: Annotated[list[Alert], Meta(max_length=MOST_ALERTS)] = msgspec.field(
        default_factory=list
    )
    alert_topic: str = DEFAULT_ALERT_TOPIC
    senml: SenmlOutput | None = None
    qos: Literal[0, 1] = 1
    retain: bool = False

    def __post_init__(self) -> None:
        _keyed("topic", topics.check_output, self.topic)
        _keyed("alert_topic", topics.check_output, self.alert_topic)
        names = [alert.name for alert in self.alerts]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"alerts: found {name!r} twice; accepted: each name once")
        if (self.on == "interval") != (self.interval_s is not None):
            raise ValueError(
                f"interval_s: found {self.interval_s} with on: {self.on}; "
                "accepted: seconds with on: interval, nothing with the others"
            )
        if (self.on == "window") != (self.window_s is not None):
            raise ValueError(
                f"window_s: found {self.window_s} with on: {self.on}; "
                "accepted: seconds with on: window, nothing with the others"
            )


class Time(Struct, frozen=True, forbid_unknown_fields=True):
    """The time of a spiking network, stream by stream.

    `source`: the payload's own (default where all inputs are events), the arrival of a message
    (default otherwise), or the message itself: each begins where the one before ended. `reset`:
    with `source: message`, whether every message begins anew. A gap of more than `idle_reset_s` (or
    of ten million ticks), forwards or backwards, begins anew, and no message may span more.
    `wait_s`: with `source: payload`, after how long without a message what is still held is run.
    """

    source: Literal["payload", "arrival", "message"] | None = None
    reset: Literal["never", "message"] = "never"
    idle_reset_s: Annotated[float, Meta(ge=0.001, le=86400)] = 60.0
    wait_s: Annotated[float, Meta(ge=0.001, le=86400)] = 0.1

    def __post_init__(self) -> None:
        if self.reset == "message" and self.source != "message":
            raise ValueError(
                f"reset: found message with source: {self.source}; "
                "accepted: it with source: message"
            )


class Vm(Struct, frozen=True, forbid_unknown_fields=True):
    """One VM's file."""

    model: Annotated[str, Meta(min_length=1)]
    inputs: Annotated[list[Input], Meta(min_length=1, max_length=64)]
    output: Output = Output()
    time: Time = Time()
    profile: ProfileName = "xnnpack"
    require_certificate: bool = False
    backend: Literal["cpu"] = "cpu"
    max_streams: Annotated[int, Meta(ge=1, le=65536)] = 64
    max_message_bytes: Annotated[int, Meta(ge=1, le=16 * 1024 * 1024)] = 65536
    memory: str | int | None = None
    cpu: Annotated[float, Meta(gt=0, le=1)] | None = None
    threads: Annotated[int, Meta(ge=1, le=64)] = 1
    power_limit: Quantity = None
    planes: Annotated[int, Meta(ge=1, le=8)] = 8
    sandbox: bool = True
    capabilities: list[CapabilityName] = msgspec.field(default_factory=list)
    home_assistant: Shown = Shown()
    actuators: Annotated[list[Actuator], Meta(max_length=64)] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        check_capabilities(self.capabilities)
        if self.threads > 1 and self.cpu is not None:
            raise ValueError(
                f"threads: found {self.threads} with cpu: {self.cpu:g}; "
                "accepted: 1 with a share of one CPU, more without it"
            )
        window_s, idle_s = self.output.window_s, self.time.idle_reset_s
        if window_s is not None and idle_s / window_s > MOST_WINDOWS:
            raise ValueError(
                f"output.window_s: found {window_s:g} with time.idle_reset_s {idle_s:g}; accepted: "
                f"{idle_s / MOST_WINDOWS:g} or more (a gap may hold {MOST_WINDOWS} windows)"
            )
        if self.power_limit is not None:
            quantity.parse(self.power_limit, quantity.WATTS, key="power_limit")
        if self.memory is not None:
            quantity.parse(self.memory, quantity.BYTES, key="memory")
        if models.is_reference(self.model):
            _keyed("model", models.check_reference, self.model)
        elif not self.model.endswith(models.SUFFIXES):
            accepted = f"a .nvm or .tflite file, or {models.ACCEPTED}"
            raise ValueError(f"model: found {self.model!r}; accepted: {accepted}")

    @property
    def power_limit_w(self) -> float | None:
        """The most that may be attributed to the VM, in watts."""
        if self.power_limit is None:
            return None
        return quantity.parse(self.power_limit, quantity.WATTS)

    @property
    def memory_bytes(self) -> int | None:
        return None if self.memory is None else int(quantity.parse(self.memory, quantity.BYTES))

    @property
    def memory_text(self) -> str:
        """`memory` for people: as it was written where it has a unit."""
        if isinstance(self.memory, str) and not self.memory.strip().isdigit():
            return self.memory
        count = self.memory_bytes or 0
        return f"{count / 2**20:g}Mi" if count >= 2**20 else f"{count} B"
