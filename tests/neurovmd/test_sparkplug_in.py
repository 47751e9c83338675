# SPDX-License-Identifier: Apache-2.0
"""Messages of Sparkplug nodes as a VM hears them: births, aliases, gaps, deaths, rebirths."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

import neurovm
from neurovmd.binding import inputs_of, streams_of
from neurovmd.mailbox import Message
from neurovmd.payload import PayloadError, Sample, SparkplugB
from neurovmd.schema import Input, Vm
from neurovmd.shared import DropReason, SharedBlock
from neurovmd.sparkplug import nodes
from neurovmd.sparkplug.nodes import MOST_NAMES, MOST_NODES
from neurovmd.sparkplug.reader import SparkplugReader
from neurovmd.sparkplug.wire import DataType, Metric, Payload, decode, encode

TOPIC = "spBv1.0/plant/DDATA/edge1/{stream}"


@dataclass
class Edge:
    """An edge node: what it would publish."""

    node: str = "edge1"
    seq: int = 255
    birth: int = 0

    def message(
        self, kind: str, device: str = "", metrics: tuple[Metric, ...] = ()
    ) -> tuple[str, bytes]:
        self.seq = 0 if kind == "NBIRTH" else (self.seq + 1) % 256
        topic = f"spBv1.0/plant/{kind}/{self.node}" + (f"/{device}" if device else "")
        return topic, encode(Payload(1000, metrics, self.seq))

    def nbirth(self, *metrics: Metric) -> tuple[str, bytes]:
        sequence = Metric("bdSeq", datatype=DataType.UINT64, value=self.birth)
        return self.message("NBIRTH", "", (sequence, *metrics))

    def ndeath(self) -> tuple[str, bytes]:
        sequence = Metric("bdSeq", datatype=DataType.UINT64, value=self.birth)
        return f"spBv1.0/plant/NDEATH/{self.node}", encode(Payload(metrics=(sequence,)))


def double(name: str | None, value: float, alias: int | None = None, **more: Any) -> Metric:
    kind = 0 if name is None else DataType.DOUBLE
    return Metric(name, alias, more.pop("t_ms", 5), kind, value=value, **more)


@dataclass
class Ear:
    """A reader and the messages it asks for."""

    reader: SparkplugReader
    now: list[int] = field(default_factory=lambda: [0])

    def hears(self, message: tuple[str, bytes]) -> list[Sample]:
        return list(self.reader(*message))

    @property
    def asked(self) -> list[str]:
        topics = [topic for topic, _ in self.reader.requests]
        for _, payload in self.reader.requests:
            (wish,) = decode(payload).metrics
            assert (wish.name, wish.datatype, wish.value) == (
                "Node Control/Rebirth", DataType.BOOLEAN, True,
            )  # fmt: skip
        self.reader.requests.clear()
        return topics


def ear(**keys: Any) -> Ear:
    now = [0]
    return Ear(SparkplugB(**keys).samples(lambda: now[0]), now)


def test_names_of_a_birth_and_aliases_after_it() -> None:
    edge, one = Edge(), ear()
    assert one.hears(edge.nbirth()) == [(1_000_000, {"bdSeq": 0})]
    birth = edge.message("DBIRTH", "press", (double("flow", 1.5, 1), double("t", 20.0, 2)))
    assert one.hears(birth) == [(5000, {"flow": 1.5, "t": 20.0})]
    data = edge.message("DDATA", "press", (double(None, 2.5, 1), double(None, 3.5, 2, t_ms=4)))
    assert one.hears(data) == [(4000, {"t": 3.5}), (5000, {"flow": 2.5})]
    assert one.asked == []


def test_an_array_under_its_name() -> None:
    edge, one = Edge(), ear(metric="wave")
    one.hears(edge.nbirth())
    wave = Metric("wave", 1, 5, DataType.INT16_ARRAY, value=b"\x01\x00\xff\xff")
    assert one.hears(edge.message("DBIRTH", "m", (wave, double("t", 1.0, 2)))) == [
        (5000, array("h", [1, -1]))
    ]


def test_before_the_birth_names_are_read_aliases_are_not_and_the_birth_is_asked_for() -> None:
    edge, one = Edge(seq=7), ear()
    assert one.hears(edge.message("DDATA", "press", (double(None, 2.5, 1), double("t", 1.0)))) == [
        (5000, {"t": 1.0})
    ]
    assert one.asked == ["spBv1.0/plant/NCMD/edge1"]
    one.hears(edge.message("DDATA", "press", (double(None, 2.5, 1),)))
    assert one.asked == []  # not again at once
    one.now[0] = 11_000_000_000
    one.hears(edge.message("DDATA", "press", (double(None, 2.5, 1),)))
    assert one.asked == ["spBv1.0/plant/NCMD/edge1"]


def test_after_a_gap_aliases_mean_nothing_until_the_next_birth() -> None:
    edge, one = Edge(), ear()
    one.hears(edge.nbirth())
    one.hears(edge.message("DBIRTH", "press", (double("flow", 1.5, 1),)))
    edge.message("DDATA", "press")  # lost
    assert one.hears(edge.message("DDATA", "press", (double(None, 2.5, 1),))) == []
    assert one.asked == ["spBv1.0/plant/NCMD/edge1"]
    one.hears(edge.nbirth())
    one.hears(edge.message("DBIRTH", "press", (double("flow", 1.5, 1),)))
    assert one.hears(edge.message("DDATA", "press", (double(None, 2.5, 1),)))


def test_seq_goes_round_and_counts_what_is_overheard() -> None:
    edge, one = Edge(), ear()
    one.hears(edge.nbirth())
    one.hears(edge.message("DBIRTH", "press", (double("flow", 1.5, 1),)))
    for _ in range(600):
        one.reader.overhear(*edge.message("DDATA", "other", (double("x", 1.0),)))
    one.reader.overhear(*edge.message("NDATA"))
    assert one.hears(edge.message("DDATA", "press", (double(None, 2.5, 1),)))
    assert one.asked == []


def test_a_message_that_comes_twice_is_no_gap() -> None:
    edge, one = Edge(), ear()
    one.hears(edge.nbirth())
    one.hears(edge.message("DBIRTH", "press", (double("flow", 1.5, 1),)))
    data = edge.message("DDATA", "press", (double(None, 2.5, 1),))
    assert one.hears(data) == one.hears(data) != []
    assert one.hears(edge.message("DDATA", "press", (double(None, 3.5, 1),)))
    assert one.asked == []


def test_deaths() -> None:
    edge, one = Edge(birth=3), ear()
    one.hears(edge.nbirth())
    one.hears(edge.message("DBIRTH", "press", (double("flow", 1.5, 1),)))
    # The will of the connection before comes late: it is of another birth.
    old = Edge(birth=2)
    one.hears(old.ndeath())
    assert one.hears(edge.message("DDATA", "press", (double(None, 2.5, 1),)))
    one.hears(edge.message("DDEATH", "press"))
    assert one.hears(edge.message("DDATA", "press", (double(None, 2.5, 1),))) == []
    assert one.asked
    one.hears(edge.ndeath())
    assert one.hears(edge.message("DDATA", "press", (double(None, 2.5, 1),))) == []


def test_aliases_are_of_their_device() -> None:
    edge, one = Edge(), ear()
    one.hears(edge.nbirth())
    one.hears(edge.message("DBIRTH", "a", (double("flow", 1.5, 1),)))
    one.hears(edge.message("DBIRTH", "b", (double("heat", 1.5, 2),)))
    assert one.hears(edge.message("DDATA", "b", (double(None, 2.5, 1),))) == []


def test_historical_values_are_skipped_or_used() -> None:
    old = double("flow", 1.0, t_ms=1, is_historical=True)
    for keys, count in (({}, 1), ({"historical": "use"}, 2)):
        edge, one = Edge(), ear(**keys)
        one.hears(edge.nbirth())
        assert len(one.hears(edge.message("DDATA", "m", (old, double("flow", 2.0))))) == count


def test_without_rebirth_nothing_is_asked() -> None:
    one = ear(rebirth=False)
    one.hears(Edge(seq=7).message("DDATA", "press", (double(None, 2.5, 1),)))
    assert one.asked == []


def test_commands_are_not_ours() -> None:
    one = ear()
    assert one.hears(("spBv1.0/plant/DCMD/edge1/press", b"anything")) == []


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("spBv1.0/plant/DDATA/edge1", b""),
        ("spBv1.0/plant/NDATA/edge1/x", b""),
        ("spBv1.0/plant/XDATA/edge1", b""),
        ("spAv1.0/plant/NDATA/edge1", b""),
        ("spBv1.0/STATE/host", b"{}"),
        ("spBv1.0/plant/NDATA/edge1", b"\x08"),
        ("spBv1.0/plant/DBIRTH/edge1/x", encode(Payload(1, (Metric(alias=1),), 1))),
    ],
)
def test_what_is_no_message_of_sparkplug_is_refused(topic: str, payload: bytes) -> None:
    with pytest.raises(PayloadError, match="no Sparkplug B"):
        ear().hears((topic, payload))


def test_memory_has_an_end() -> None:
    one = ear()
    for number in range(MOST_NODES + 10):
        one.hears(Edge(node=f"n{number}").nbirth(double("x", 1.0, number)))
    metrics = tuple(double(f"m{number}", 1.0, number) for number in range(60_000))
    for number in range(2):
        one.hears(Edge(node=f"big{number}").nbirth(*metrics))
    with pytest.raises(PayloadError, match=f"more than {MOST_NAMES} metrics"):
        one.hears(Edge(node="big2").nbirth(*metrics))


def test_aliases_and_the_length_of_names_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """One name under ever new aliases, device by device; few names, each as long as a message."""
    monkeypatch.setattr(nodes, "MOST_NAMES", 120)
    monkeypatch.setattr(nodes, "MOST_NAME_CHARACTERS", 8000)
    one, edge = ear(), Edge()
    one.hears(edge.nbirth())
    for k in range(2):
        metrics = tuple(Metric("m", at) for at in range(k * 50, (k + 1) * 50))
        one.hears(edge.message("DBIRTH", f"d{k}", metrics))
    with pytest.raises(PayloadError, match="more than 120 metrics"):
        one.hears(edge.message("DBIRTH", "d2", metrics))
    one, edge = ear(), Edge()
    one.hears(edge.nbirth())
    for k in range(6):
        one.hears(edge.message("DBIRTH", "d", (double("m" * 1000, 1.0),)))  # born anew
        one.hears(edge.message("DBIRTH", f"e{k}", (double("m" * 1000, 1.0),)))
    with pytest.raises(PayloadError, match="names of more than 8000 characters"):
        one.hears(edge.message("DBIRTH", "e6", (double("m" * 1000, 1.0),)))


@pytest.mark.parametrize(
    "topic", ["plant/{stream}", "spBv1.0/plant/DBIRTH/edge/{stream}", "spBv1.0/a/DDATA/b",
              "spBv1.0/a/NDATA/b/c", "spBv1.0/a/{stream}/b/c", "spBv1.0/a/DDATA/b/{element}"],
)  # fmt: skip
def test_topics_that_are_no_data_of_sparkplug_are_refused(topic: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="topic"):
        msgspec.convert({"topic": topic, "payload": {"format": "sparkplug_b"}}, Input)


Rig = Callable[[tuple[str, bytes]], list[Any]]


@pytest.fixture
def vm(bundles: dict[str, Path]) -> Any:
    """A VM of two devices of one node, fed message by message."""
    names = [f"s{number}" for number in range(64)]
    entry = {
        "topic": TOPIC,
        "payload": {"format": "sparkplug_b"},
        "to": {"elements": names},
    }
    found = msgspec.convert(
        {"model": "x.nvm", "inputs": [entry], "output": {"wait_for": "any", "on": "always"}}, Vm
    )
    block = SharedBlock(1)
    with neurovm.load(bundles["digits_mlp"]) as model:
        inputs = inputs_of(found, {}, model)
        assert inputs.filters == {"spBv1.0/plant/+/edge1/#": 1}
        yield streams_of("x", found, model, inputs, str, str, block.slot(0)), block.slot(0)


def test_a_vm_hears_the_whole_node_and_answers_to_its_device(vm: Any) -> None:
    table, slot = vm
    edge = Edge()

    def answers(message: tuple[str, bytes]) -> list[Any]:
        return [each for each in table.answers(Message(*message, None)) if each.payload]

    (request,) = answers(edge.message("DDATA", "press", (double(None, 1.0, 4),)))
    assert (request.topic, request.is_request) == ("spBv1.0/plant/NCMD/edge1", True)
    assert answers(edge.nbirth(double("load", 1.0, 1))) == []
    (result,) = answers(edge.message("DBIRTH", "press", (double("s1", 1.0, 2),)))
    assert b'"stream":"press"' in result.payload
    (other,) = answers(edge.message("DDATA", "press", (double(None, 9.0, 2),)))
    assert b'"seq":2' in other.payload
    assert answers(edge.message("DDEATH", "press")) == []
    assert answers(edge.ndeath()) == []
    assert slot.dropped.tolist() == [0] * len(DropReason)


def test_what_is_broken_is_counted(vm: Any) -> None:
    table, slot = vm
    for topic in ("NDATA/edge1", "DDATA/edge1/press"):
        table.answers(Message(f"spBv1.0/plant/{topic}", b"\x08", None))
    table.answers(Message("spBv1.0/plant/DDATA/edge1/press/more", b"", None))
    assert slot.dropped[DropReason.PAYLOAD] == 2
    assert slot.dropped[DropReason.TOPIC] == 1
