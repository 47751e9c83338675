# SPDX-License-Identifier: Apache-2.0
"""Damaged payloads through the whole way of a message in a VM: reading, mapping, steps, result.

Every message has to end in one of three ways: it is taken, it is counted as a drop for one reason,
or it sets nothing by design (Sparkplug's births and deaths).
"""

from __future__ import annotations

import itertools
import os
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cbor2
import msgspec
from fuzz import payload_mutations as damage
from spiking_networks import NETWORKS

import neurovm
from neurovmd import log
from neurovmd.binding import inputs_of, streams_of
from neurovmd.mailbox import Message
from neurovmd.schema import Vm
from neurovmd.shared import DropReason, SharedBlock
from neurovmd.sparkplug.wire import DataType, Metric, Payload, encode
from neurovmd.stream_table import Done

DIGITS = Path(__file__).parents[1] / "fixtures" / "digits_mlp.tflite"
Change = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to configure a format, with valid payloads and `change`, damage to what they hold.
    `before` are messages that come first each time.
    """

    payload: dict[str, Any]
    seeds: tuple[bytes, ...]
    change: Change = damage.damaged_bytes
    topic: str = "a/{stream}"
    sent: str = "a/p1"
    elements: bool = True
    spiking: bool = False
    encode: dict[str, Any] | None = None
    window: dict[str, Any] | None = None
    columns: list[str] | None = None
    front_end: tuple[dict[str, Any], ...] = ()
    before: tuple[tuple[str, bytes], ...] = ()


REALS = [0.25 * number for number in range(64)]
NAMED = {"s1": 0.5, "s2": 3, "s9": True, "note": "text"}
SENML = [
    {"bn": "s", "bt": 1.7e9, "bu": "Cel", "bver": 10, "n": "1", "v": 20.5},
    {"n": "2", "v": 1, "t": -2},
    {"n": "3", "vb": True, "s": 5},
    {"n": "4", "vs": "text"},
]


def _tree(form: str, dump: Callable[[Any], bytes], change: Change) -> list[Variant]:
    whole = tuple(dump(tree) for tree in (NAMED, REALS, {"s1": 1}))
    inner = dump({"head": {"t": 5.5}, "a": [NAMED, REALS]})
    deep = {"format": form, "field": "a[0]", "time": {"field": "head.t"}}
    listed = {"format": form, "field": "a[1]", "time": {"field": "head.t", "unit": "rfc3339"}}
    dated = dump({"head": {"t": "2026-01-01T00:00:00Z"}, "a": [NAMED, REALS]})
    timed = {"format": form, "field": "a[0].s1", "t_us": "head.t"}
    one = dump({"head": {"t": 5}, "a": [NAMED]})
    return [
        Variant({"format": form, "field": ""}, whole, change),
        Variant(deep, (inner,), change),
        Variant(listed, (dated,), change),
        Variant(timed, (one,), change, "a/{stream}/{element}", "a/p1/s3"),
        Variant(timed, (one,), change, spiking=True, encode={"kind": "delta", "threshold": 0.5}),
    ]


def _senml() -> list[Variant]:
    packs = (
        damage._json_text(SENML),
        cbor2.dumps(SENML),
        cbor2.dumps([{-2: "s", -3: 1.7e9, 0: "1", 2: 20.5}, {0: "2", 4: True, 6: -5}]),
    )
    forms: list[dict[str, Any]] = [
        {},
        {"record": "s1"},
        {"names": "short", "units": {"1": "Cel"}},
        {"value": "sum"},
    ]
    return [Variant({"format": "senml", **form}, packs, damage.in_senml) for form in forms]


def _sparkplug() -> list[Variant]:
    node = (Metric("bdSeq", None, 5, DataType.UINT64, value=0), Metric("s9", 4, 5, 10, value=1.0))
    device = (Metric("s1", 1, 5, DataType.DOUBLE, value=1.0), Metric("s2", 2, 5, 2, value=3))
    births = (
        ("spBv1.0/g/NBIRTH/n", encode(Payload(5, node, 0))),
        ("spBv1.0/g/DBIRTH/n/d", encode(Payload(5, device, 1))),
        ("spBv1.0/g/DDATA/n/other", encode(Payload(5, (), 2))),
    )
    seeds = (damage.metrics_seed(), births[1][1], births[0][1])
    forms: list[dict[str, Any]] = [{}, {"metric": "s1"}, {"historical": "use"}]
    topics = [f"spBv1.0/g/{kind}/n/d" for kind in ("DDATA", "DBIRTH", "DDEATH")]
    topics += [f"spBv1.0/g/{kind}/n" for kind in ("NBIRTH", "NDATA", "NDEATH")]
    made = []
    for number, sent in enumerate(topics):
        payload = {"format": "sparkplug_b", **forms[number % 3]}
        made.append(
            Variant(
                payload,
                seeds,
                damage.in_metrics,
                "spBv1.0/g/DDATA/n/{stream}",
                sent,
                before=births,
            )
        )
    return made


def _raw() -> list[Variant]:
    floats, codes = struct.pack("<64f", *REALS), bytes(range(64))
    return [
        Variant({"format": "raw"}, (floats,), elements=False),
        Variant({"format": "raw", "dtype": "int8"}, (codes,), elements=False),
    ]


def _pcm() -> list[Variant]:
    numbers = struct.pack("<64h", *range(64))
    return [
        Variant({"format": "pcm", "rate_hz": 16000, "channels": 2}, (numbers,), elements=False),
        Variant(
            {"format": "pcm", "rate_hz": 16000, "header": "wav"}, (damage.wav(),), elements=False
        ),
    ]


def _image() -> list[Variant]:
    seeds = (
        damage.picture("L", "PNG"),
        damage.picture("P", "PNG"),
        damage.picture("L", "JPEG"),
        damage.picture("RGB", "JPEG"),
    )
    form = {"format": "image", "colours": "grey"}
    small = ({"kind": "resize", "width": damage.SIDE, "height": damage.SIDE},)
    coloured = (
        {"kind": "resize", "width": damage.SIDE, "height": damage.SIDE},
        {"kind": "colours", "to": "grey"},
    )
    return [
        Variant(form, seeds, damage.in_picture, elements=False),
        Variant(form, seeds, damage.in_picture, elements=False, front_end=small),
        Variant({"format": "image"}, seeds, damage.in_picture, elements=False, front_end=coloured),
    ]


def _text() -> list[Variant]:
    words = b"the quick brown fox"
    nested = damage._json_text({"say": "the quick brown fox", "t": 5})
    return [
        Variant({"format": "text", "features": 64}, (words,), elements=False),
        Variant(
            {"format": "text", "features": 64, "field": "say"},
            (nested,),
            damage.in_json,
            elements=False,
        ),
    ]


def _aer() -> list[Variant]:
    packed, listed = damage.events_seed(_model(spiking=True).inputs[0].size)
    return [
        Variant({"format": "aer"}, (packed,), spiking=True),
        Variant({"format": "aer", "encoding": "json"}, (listed,), damage.in_json, spiking=True),
    ]


COLUMNS = ["s1", "s2", "s3", "s9"]


def _window() -> list[Variant]:
    """16 frames of 4 values, of samples that every format has."""
    tree = {"head": {"t": 5.5}, "a": [NAMED, REALS]}
    stamped = {"format": "json", "time": {"field": "head.t"}}
    rules: list[dict[str, Any]] = [
        {"hop": 3, "late": "1 s", "gap": "interpolate", "rate_hz": 50.0},
        {"hop": 1, "time": "payload", "gap_after": "1 s"},
        {"hop": 2, "time": "payload", "gap": "hold", "rate_hz": 0.1, "normalize": "mean_variance"},
        {"hop": 20, "normalize": "peak", "scale": 1e30},
        {"hop": 4, "front_end": [{"kind": "scale", "scale": 1e38}]},
    ]
    squares = ({"kind": "scale", "scale": 1e38}, {"kind": "difference"})
    made = []
    for at, rule in enumerate(rules):
        each = {"size": 16, **rule}
        for field, to in (("a[0]", COLUMNS), ("a[1]", None), ("a[0].s1", COLUMNS)):
            by_topic = field.endswith("s1")
            variant = Variant(
                {**stamped, "field": field},
                (damage._json_text(tree),),
                damage.in_json,
                "a/{stream}/{element}" if by_topic else "a/{stream}",
                "a/p1/s3" if by_topic else "a/p1",
                window=each,
                columns=to,
                front_end=squares if at == 1 and to else (),
            )
            if to is None and (at == 0 or "front_end" in rule):
                continue  # rows of a packet are of no known rate, or of one value
            made.append(variant)
    sound = {"size": 64, "hop": 5, "gap_after": "10 ms", "gap": "hold"}
    pcm = {"format": "pcm", "rate_hz": 16000, "header": "wav"}
    made.append(Variant(pcm, (damage.wav(),), elements=False, window=sound))
    return made


VARIANTS: dict[str, Callable[[], list[Variant]]] = {
    "json": lambda: _tree("json", damage._json_text, damage.in_json),
    "cbor": lambda: _tree("cbor", cbor2.dumps, damage.in_cbor),
    "senml": _senml,
    "sparkplug_b": _sparkplug,
    "raw": _raw,
    "pcm": _pcm,
    "image": _image,
    "text": _text,
    "aer": _aer,
    "window": _window,
}


@lru_cache
def _model(*, spiking: bool) -> Any:
    if spiking:
        return neurovm.convert_network(next(iter(NETWORKS.values()))())
    return neurovm.convert_tflite(DIGITS.read_bytes(), name="digits")


class Machine:
    """One variant's VM: `feed` gives a word for what became of a message."""

    def __init__(self, variant: Variant) -> None:
        self._variant = variant
        to = {"elements": damage.ELEMENTS} if variant.elements and not variant.spiking else {}
        entry: dict[str, Any] = {"topic": variant.topic, "payload": variant.payload, "to": to}
        if variant.window is not None or variant.front_end:
            to = {} if variant.columns is None else {"elements": variant.columns}
            entry |= {"window": variant.window, "to": to, "front_end": variant.front_end}
        if variant.encode is not None:
            entry["encode"] = variant.encode
        form = {"top_k": 1}
        output = {"on": "always", "wait_for": "any", "form": form}
        vm = msgspec.convert({"model": "x.nvm", "inputs": [entry], "output": output}, Vm)
        model = _model(spiking=variant.spiking)
        log.set_level("error")  # streams that begin anew with every message say so
        self._slot = SharedBlock(1).slot(0)
        inputs = inputs_of(vm, {}, model)
        now = itertools.count(0, 1_000_000)
        self._table = streams_of(
            "x", vm, model, inputs, str, str, self._slot,
            clock_ns=lambda: next(now), refused=self._refused,
        )  # fmt: skip
        self._reasons: list[DropReason] = []
        self._details: list[str] = []

    def _refused(self, reason: DropReason, detail: str, total: int) -> None:
        del total
        self._reasons.append(reason)
        self._details.append(detail)

    def feed(self, payload: bytes) -> str:
        """One message; AssertionError where it is not told what became of it."""
        for topic, earlier in self._variant.before:
            self._table.answers(Message(topic, earlier, None))
        self._reasons.clear()
        before = sum(self._slot.dropped)
        done = self._table.answers(Message(self._variant.sent, payload, None))
        done += self._table.due()
        counted = sum(self._slot.dropped) - before
        assert counted == len(self._reasons) <= 1, (counted, self._reasons)
        assert all(isinstance(each, Done) for each in done)
        if not self._reasons:
            return "accepted"
        assert all(self._details)
        self._details.clear()
        return self._reasons[0].name.lower()


def machines(form: str) -> list[tuple[Variant, Machine]]:
    """The VMs of a format, of this process: what they count is shared with forked ones."""
    return _machines(form, os.getpid())


@lru_cache
def _machines(form: str, pid: int) -> list[tuple[Variant, Machine]]:
    del pid
    return [(variant, Machine(variant)) for variant in VARIANTS[form]()]


def seeds(form: str) -> Callable[[Sequence[Path]], list[bytes]]:
    """Valid payloads, the number of their VM first."""

    def found(paths: Sequence[Path]) -> list[bytes]:
        del paths
        made = enumerate(machines(form))
        return [bytes([at]) + seed for at, (variant, _) in made for seed in variant.seeds]

    return found


def damaged(form: str) -> Callable[[bytes, int], bytes]:
    """Damage by a seed: as it is now and then, to what it holds, to its bytes, or to both."""

    def change(data: bytes, seed: int) -> bytes:
        rng = random.Random(seed)
        variant, _ = machines(form)[data[0]]
        payload, kind = data[1:], rng.random()
        if kind > 0.02:
            if kind < 0.6:
                payload = variant.change(payload, rng)
            if kind > 0.5:
                payload = damage.damaged_bytes(payload, rng)
        return data[:1] + payload[: damage.MOST_BYTES]

    return change


def fed(form: str) -> Callable[[bytes], str]:
    """What becomes of a message."""
    return lambda data: machines(form)[data[0]][1].feed(data[1:])
