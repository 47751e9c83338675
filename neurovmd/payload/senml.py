# SPDX-License-Identifier: Apache-2.0
"""SenML packs (RFC 8428) as JSON or CBOR: records with base fields, resolved into samples."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from neurovmd.payload import json
from neurovmd.payload.values import PayloadError, Reader, Sample, bounded_us

# RFC 8428 §6, table 4; each also stands as its text, which CBOR's decoders have to take.
LABELS = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs",
    0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
}  # fmt: skip
_NUMBERS = frozenset(("bver", "bt", "bv", "bs", "v", "s", "t", "ut"))
_TEXTS = frozenset(("bn", "bu", "n", "u", "vs"))
# §4.5.1: names of resolved records.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*\Z")
# §4.5.3: a time below 2^28 s is relative to now.
_ABSOLUTE_S = 1 << 28
# §4.4: 10 is RFC 8428; RFC 9100 adds a bit for each feature: 4 is secondary units (RFC 8798).
_VERSIONS = frozenset((*range(1, 11), 10 | 1 << 4))
MOST_RECORDS = 65536

Record = dict[str, Any]


class Senml(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="format", tag="senml"
):
    """`encoding`: json, cbor, or auto: by the first byte.

    `record` is the one name whose values are taken, as numbers; without it a sample holds all
    records of a moment by name: those with a number (`v`), true or false (`vb`), or with
    `value: sum` those with a sum (`s`). `names`: full (with the base name) or short (the record's
    own, where it has one). `units` is what the records of a name must be in. Other kinds of values
    are other data.
    """

    encoding: Literal["auto", "json", "cbor"] = "auto"
    record: Annotated[str, Meta(min_length=1)] | None = None
    names: Literal["full", "short"] = "full"
    value: Literal["value", "sum"] = "value"
    units: dict[str, str] = {}

    @property
    def timed(self) -> bool:
        """Always: a record without a time is of the moment when it comes."""
        return True

    def samples(self, clock_ns: Callable[[], int] = time.time_ns) -> Reader:
        """As many samples as a pack has moments; `clock_ns` is the time of day, for times that are
        relative to it. PayloadError for packs that RFC 8428 has refused, and for those without
        any number.
        """
        from neurovmd.payload import cbor_items  # for whoever may read CBOR

        decode_cbor = cbor_items.decode

        def read(topic: str | None, payload: bytes) -> Sequence[Sample]:
            del topic
            moments: dict[int, dict[str, object]] = {}
            now_us = clock_ns() // 1000
            for name, t_s, number in self._resolved(self._pack(payload, decode_cbor)):
                relative_us = bounded_us(t_s * 1e6, "t") if t_s else 0
                t_us = relative_us + (0 if t_s >= _ABSOLUTE_S else now_us)
                moments.setdefault(t_us, {})[name] = number
            if not moments:
                wanted = self.record or "any record"
                raise PayloadError(f"no {self.value} of {wanted}")
            return [
                Sample(t_us, moments[t_us] if self.record is None else moments[t_us][self.record])  # type: ignore[arg-type]  # a number
                for t_us in sorted(moments)
            ]

        return read

    def _pack(self, payload: bytes, decode_cbor: Callable[[bytes], object]) -> list[Record]:
        """The records as they were sent, CBOR's labels as JSON's."""
        is_json = self.encoding == "json"
        if self.encoding == "auto":
            is_json = payload.lstrip(b" \t\r\n")[:1] == b"["
        pack = json.decode(payload) if is_json else decode_cbor(payload)
        if not isinstance(pack, list) or not 1 <= len(pack) <= MOST_RECORDS:
            raise PayloadError(f"no SenML: accepted is a list of 1 to {MOST_RECORDS} records")
        return [_labelled(record) for record in pack]

    def _resolved(self, pack: list[Record]) -> Sequence[tuple[str, float, float]]:
        """Name, time (s, as sent) and number of every record that has one, in the pack's order."""
        base: Record = {}
        found: list[tuple[str, float, float]] = []
        for record in pack:
            version = record.get("bver", 10)
            if version not in _VERSIONS or version != base.setdefault("bver", version):
                raise PayloadError(f"SenML of version {version!r:.20}; accepted: 10")
            base.update(
                {key: record[key] for key in ("bn", "bt", "bu", "bv", "bs") if key in record}
            )
            number = self._number(record, base)
            if number is None:
                continue
            own = record.get("n", "")
            name = base.get("bn", "") + own
            if not _NAME.match(name):
                raise PayloadError(f"no SenML: the name {name!r:.60}")
            if self.names == "short" and own:
                name = own
            if self.record not in (None, name):
                continue
            unit = record.get("u", base.get("bu"))
            if name in self.units and unit != self.units[name]:
                raise PayloadError(f"{name}: unit {unit!r:.20}; accepted: {self.units[name]}")
            found.append((name, _sum(record, base, "t", "bt"), number))
        return found

    def _number(self, record: Record, base: Record) -> float | None:
        """A record's number with its base; None for other values. Checks that it has one value."""
        given = sum(key in record for key in ("v", "vs", "vb", "vd"))
        if given > 1:
            raise PayloadError(f"no SenML: a record with {given} values")
        if self.value == "sum":
            # Of sum and base sum the missing one is zero (§4.2).
            return _sum(record, base, "s", "bs") if "s" in record or "bs" in base else None
        if "vb" in record:
            return float(record["vb"])
        return _sum(record, base, "v", "bv") if "v" in record else None


def _sum(record: Record, base: Record, own: str, of_base: str) -> float:
    try:
        return float(record.get(own, 0) + base.get(of_base, 0))
    except OverflowError:
        raise PayloadError(f"no SenML: {own} beyond all numbers") from None


def _labelled(record: object) -> Record:
    """A record by its labels, each value of the right kind; PayloadError where it is none."""
    if not isinstance(record, Mapping):
        raise PayloadError(f"no SenML: the record {record!r:.40}")
    found: Record = {}
    for key, value in record.items():
        if type(key) is int and key not in LABELS:
            continue  # fields that came later are let go (§4.4)
        label = LABELS[key] if type(key) is int else key
        if not isinstance(label, str):
            raise PayloadError(f"no SenML: the label {key!r:.40}")
        if label in found:
            raise PayloadError(f"no SenML: {label} twice in a record")
        if label.endswith("_"):  # §4.4: must be understood
            raise PayloadError(f"SenML that asks for {label!r:.40}, which is not known here")
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        wrong = (
            (label in _NUMBERS and not is_number)
            or (label in _TEXTS and not isinstance(value, str))
            or (label == "vb" and not isinstance(value, bool))
        )
        if wrong:
            raise PayloadError(f"no SenML: {label} is {value!r:.40}")
        found[label] = value
    return found
