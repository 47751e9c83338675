# SPDX-License-Identifier: Apache-2.0
"""Results as SenML packs (RFC 8428) beside the results themselves: a record for each value."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping

import msgspec

from neurovmd import topics
from neurovmd.outlets import SenmlOutput
from neurovmd.payload import cbor_writer
from neurovmd.payload.raw import little_endian
from neurovmd.payload.senml import LABELS
from neurovmd.sparkplug import results
from neurovmd.sparkplug.results import Value
from neurovmd.sparkplug.wire import DataType

_NUMBER_OF = {name: number for number, name in LABELS.items()}
_NO_NAME = re.compile(r"[^A-Za-z0-9\-:./_]")
_FIRST = re.compile(r"[A-Za-z0-9]")


class SenmlOutlet:
    """What is said of the results of one VM; `names` fill the topic and the base name."""

    def __init__(self, asked: SenmlOutput, names: Mapping[str, str]) -> None:
        self._topic = topics.fill(asked.topic, names)
        self._base_name = topics.fill(asked.base_name, names)
        self._is_cbor = asked.encoding == "cbor"
        self._encode = msgspec.json.Encoder().encode

    def message(self, payload: bytes) -> tuple[str, bytes] | None:
        """Topic and pack of a result; None for what is none or has no value."""
        result = results.read(payload)
        if result is None or not result.values:
            return None
        stream = {"stream": result.stream}
        base: dict[str, object] = {
            "bn": _name(topics.fill(self._base_name, stream)),
            "bt": result.t_ms / 1000,
        }
        prefix = f"{result.stream}/"
        records = [
            record
            for name, value in result.values.items()
            for record in _records(_NO_NAME.sub("_", name.removeprefix(prefix)), value)
        ]
        if not records:
            return None
        records[0] = {**base, **records[0]}
        return topics.fill(self._topic, stream), self._pack(records)

    def _pack(self, records: list[dict[str, object]]) -> bytes:
        if not self._is_cbor:
            return self._encode(records)
        labelled = [{_NUMBER_OF[key]: value for key, value in each.items()} for each in records]
        return cbor_writer.encode(labelled)


def _name(text: str) -> str:
    """A name as RFC 8428 §4.5.1 allows it."""
    name = _NO_NAME.sub("_", text)
    return name if _FIRST.match(name) else f"n{name}"


def _records(name: str, value: Value) -> Iterator[dict[str, object]]:
    kind, found = value
    if kind == DataType.BOOLEAN:
        yield {"n": name, "vb": found}
    elif kind == DataType.STRING:
        yield {"n": name, "vs": found}
    elif isinstance(found, bytes):
        numbers: array[int] = little_endian("d", found)
        for at, number in enumerate(numbers):
            yield {"n": f"{name}/{at}", "v": number}
    else:
        yield {"n": name, "v": found}
