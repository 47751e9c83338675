# SPDX-License-Identifier: Apache-2.0
"""Where results go beside their own topic, as the configuration says it."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

from neurovmd import topics
from neurovmd.field_path import FieldPath

MOST_SHOWN_STREAMS = 64
"""Streams of a VM that a worker names to the supervisor."""

Words = Annotated[str, Meta(pattern=r"^[^\x00-\x1f{}]{1,64}$", description="1 to 64 characters")]
Class = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,63}$", description="such as temperature")]


class HomeAssistant(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether and how Home Assistant finds this node's VMs (MQTT discovery).

    `streams` of each VM at most are shown; figures of node and VMs are told every `stats_s`.
    """

    enabled: bool = False
    discovery_prefix: Annotated[
        str,
        Meta(
            pattern=r"^[^+#/$\x00-\x1f{}][^+#\x00-\x1f{}]{0,127}$",
            description="1 to 128 characters, no + # { }, and no / or $ first",
        ),
    ] = "homeassistant"
    streams: Annotated[int, Meta(ge=1, le=MOST_SHOWN_STREAMS)] = 16
    stats_s: Annotated[float, Meta(ge=1, le=86400)] = 30.0


class Entity(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing that Home Assistant shows of every stream: what stands at `value` in a result.

    A `binary_sensor` is on where that is true, with `above` a larger number, with `holds` a list
    that has it.
    """

    name: Words
    value: FieldPath
    kind: Literal["sensor", "binary_sensor"] = "sensor"
    unit: Words | None = None
    device_class: Class | None = None
    state_class: Literal["measurement", "total", "total_increasing"] | None = None
    options: Annotated[list[Words], Meta(min_length=1, max_length=256)] | None = None
    above: float | None = None
    holds: str | int | None = None

    def __post_init__(self) -> None:
        tests = [each for each in (self.above, self.holds) if each is not None]
        if tests and self.kind != "binary_sensor":
            raise ValueError("found above or holds; accepted: them with kind: binary_sensor")
        if len(tests) > 1:
            raise ValueError("above: found beside holds; accepted: one of the two")
        is_sensor = self.kind == "sensor"
        if not is_sensor and (self.unit or self.state_class or self.options):
            accepted = "them with kind: sensor"
            raise ValueError(f"found a unit, state_class or options; accepted: {accepted}")
        if self.options and (self.unit or self.state_class):
            raise ValueError("options: found with a unit or state_class; accepted: without")


class Shown(Struct, frozen=True, forbid_unknown_fields=True):
    """How a VM is shown there; without `entities` by what its results hold.

    `expire_after_s`: after so long without a result a value counts as unavailable (none: never).
    """

    show: bool = True
    expire_after_s: Annotated[int, Meta(ge=1, le=31536000)] | None = None
    entities: Annotated[list[Entity], Meta(max_length=16)] | None = None

    def __post_init__(self) -> None:
        names = [entity.name for entity in self.entities or []]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"entities: found {name!r} twice; accepted: each name once")


class Actuator(Struct, frozen=True, forbid_unknown_fields=True):
    """A topic that a VM drives: what stands at `value` in each result, as `payload` says it.

    Numbers are held between `low` and `high`, change by `slew` a second at most, and are told every
    `every_s` at most; `map` gives what stands for a label, truth value or number. `safe` is told
    when nothing was heard for `stale_s`, when the VM ends however it does, and at its start.
    """

    topic: str
    value: FieldPath = "values[0]"
    payload: Annotated[str, Meta(pattern=r"\{value\}", max_length=1024)] = "{value}"
    decimals: Annotated[int, Meta(ge=0, le=12)] | None = None
    low: float | None = None
    high: float | None = None
    slew: Annotated[float, Meta(gt=0)] | None = None
    every_s: Annotated[float, Meta(ge=0.001, le=86400)] | None = None
    map: Annotated[dict[str, float | str], Meta(min_length=1, max_length=1024)] | None = None
    safe: float | str | None = None
    stale_s: Annotated[float, Meta(ge=0.01, le=86400)] | None = None
    qos: Literal[0, 1] = 1
    retain: bool = False

    def __post_init__(self) -> None:
        try:
            topics.check_output(self.topic)
        except ValueError as error:
            raise ValueError(f"topic: {error}") from None
        numbers = [self.low, self.high, self.slew, self.safe, *(self.map or {}).values()]
        if not all(math.isfinite(each) for each in numbers if isinstance(each, (int, float))):
            raise ValueError("found nan or inf; accepted: finite numbers")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low: found {self.low:g}; accepted: at most high, {self.high:g}")
        if isinstance(self.safe, (int, float)) and self.held(self.safe) != self.safe:
            raise ValueError(f"safe: found {self.safe:g}; accepted: a value from low to high")
        if self.stale_s is not None and self.safe is None:
            raise ValueError("stale_s: found without safe; accepted: with what is then told")
        texts = [each for each in (self.map or {}).values() if isinstance(each, str)]
        if self.slew is not None and (texts or isinstance(self.safe, str)):
            raise ValueError("slew: found with texts; accepted: with numbers alone")

    def held(self, value: float) -> float:
        """`value` between `low` and `high`."""
        if self.low is not None:
            value = max(value, self.low)
        return value if self.high is None else min(value, self.high)

    def said(self, value: float | str) -> bytes:
        """The payload for a value."""
        if isinstance(value, str):
            text = value
        elif self.decimals is not None:
            text = f"{value:.{self.decimals}f}"
        else:
            whole = value == int(value) and abs(value) < 1 << 53
            text = str(int(value)) if whole else repr(float(value))
        return self.payload.replace("{value}", text).encode()


class SenmlOutput(Struct, frozen=True, forbid_unknown_fields=True):
    """SenML packs beside the results: where, in which encoding, and what their names begin with."""

    topic: str = "{prefix}/{node}/{vm}/senml/{stream}"
    encoding: Literal["json", "cbor"] = "json"
    base_name: Annotated[str, Meta(min_length=1, max_length=256)] = "{node}/{vm}/{stream}/"

    def __post_init__(self) -> None:
        for key, check in (("topic", topics.check_output), ("base_name", _check_base_name)):
            try:
                check(getattr(self, key))
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None


def _check_base_name(name: str) -> None:
    topics.check_names(name, (*topics.FILLED, "stream"))
    if not re.fullmatch(r"[A-Za-z0-9{][A-Za-z0-9\-:./_{}]*", name):
        raise ValueError(
            f"found {name!r}; accepted: A-Z a-z 0-9 - : . / _, a letter or digit first"
        )


_Level = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
        description="1 to 64 of A-Z a-z 0-9 _ . - and a letter or digit first",
    ),
]


class Sparkplug(Struct, frozen=True, forbid_unknown_fields=True):
    """`group`: of which group this node is an edge node of Sparkplug B; none = of none. Where
    `primary_host` is named, births wait for that host to be online.
    """

    group: _Level | None = None
    primary_host: _Level | None = None

    def __post_init__(self) -> None:
        if self.primary_host is not None and self.group is None:
            raise ValueError("primary_host: found one without group; accepted: both, or neither")
