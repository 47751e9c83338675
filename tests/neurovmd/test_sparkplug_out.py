# SPDX-License-Identifier: Apache-2.0
"""This node as an edge node of Sparkplug B: the order of its messages by the specification's rules,
its payloads by another library, and both directions through a real broker.
"""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_vm import MODEL, VM, Start, connected

from benchmarks.rig import Client, Daemon, Mosquitto, wait_for
from neurovmd.config import Deployment, Settings
from neurovmd.outlets import Sparkplug
from neurovmd.schema import Config, Input
from neurovmd.schema import Vm as VmFile
from neurovmd.sparkplug import results
from neurovmd.sparkplug.edge import Edge, Message
from neurovmd.sparkplug.nodes import REBIRTH, Nodes
from neurovmd.sparkplug.outlet import Outlet
from neurovmd.sparkplug.results import Result
from neurovmd.sparkplug.wire import DataType, Metric, Payload, decode, encode

other = pytest.importorskip("pysparkplug", reason="pysparkplug is not installed (setup.sh)")

KINDS = {
    "NBIRTH": other.NBirth,
    "DBIRTH": other.DBirth,
    "DDATA": other.DData,
    "NDEATH": other.NDeath,
    "NCMD": other.NCmd,
}


class Host:
    """A host application of another library that checks what a node says, message by message."""

    def __init__(self) -> None:
        self.seq: int | None = None
        self.birth_sequence: int | None = None
        self.births: dict[str, Any] = {}
        self.aliases: dict[int, str] = {}
        self.values: dict[tuple[str, str], Any] = {}
        self.historical: list[Any] = []
        self.told: list[str] = []

    def hear(self, topic: str, data: bytes) -> None:
        _, _, kind, _, *rest = topic.split("/")
        device = rest[0] if rest else ""
        self.told.append(f"{kind} {device}".strip())
        if kind == "NDEATH":
            death = other.NDeath.decode(data)
            assert death.bd_seq_metric.name == "bdSeq"
            if death.bd_seq_metric.value == self.birth_sequence:
                self.seq = self.birth_sequence = None
            return
        payload = KINDS[kind].decode(data, birth=self.births.get(device)) if kind in KINDS else None
        seq = decode(data).seq if payload is None else payload.seq
        if kind == "NBIRTH":
            assert seq == 0
            self.births, self.aliases = {}, {}
            found = {metric.name: metric for metric in payload.metrics}
            assert found[REBIRTH].value is False
            self.birth_sequence = found["bdSeq"].value
        else:
            assert self.seq is not None
            assert seq == (self.seq + 1) % 256
        self.seq = seq
        if kind in ("NBIRTH", "DBIRTH"):
            self._born(device, payload)
        if kind == "DDEATH":
            del self.births[device]
        if kind == "DDATA":
            for metric in payload.metrics:
                name = self.births[device].get_name(metric.alias)
                if metric.is_historical:
                    self.historical.append((device, name, metric.value, metric.timestamp))
                else:
                    self.values[device, name] = metric.value

    def _born(self, device: str, payload: Any) -> None:
        self.births[device] = payload
        for metric in payload.metrics:
            if metric.alias is not None:
                name = f"{device}/{metric.name}"
                assert self.aliases.setdefault(metric.alias, name) == name
            if device:
                assert metric.alias is not None
                self.values[device, metric.name] = metric.value


def result(vm: str = "pump", t_ms: int = 5000, **values: Any) -> Result:
    payload = {"vm": vm, "stream": "p1", "t_us": t_ms * 1000, **values}
    found = results.read(msgspec.json.encode(payload))
    assert found is not None
    return found


class Node:
    """An edge node at a settable time, and the host that hears it."""

    def __init__(self) -> None:
        self.now = 1000
        self.edge = Edge("plant", "box", lambda: self.now)
        self.host = Host()

    def connect(self) -> Message:
        will = self.edge.will()
        self.edge.up()
        return will

    def says(self, messages: list[Message]) -> list[str]:
        before = len(self.host.told)
        for message in messages:
            self.host.hear(*message)
        return self.host.told[before:]


def test_births_data_and_deaths_follow_each_other() -> None:
    node = Node()
    node.connect()
    node.edge.alive("pump")
    assert node.says(node.edge.births()) == ["NBIRTH", "DBIRTH pump"]
    # What is new is in a birth, what is known in data.
    assert node.says(node.edge.result(result(value=0.5, label="ok"))) == ["DBIRTH pump"]
    assert node.says(node.edge.result(result(value=0.25, label="no"))) == ["DDATA pump"]
    assert node.host.values == {("pump", "p1/value"): 0.25, ("pump", "p1/label"): "no"}
    assert node.says(node.edge.alive("fan")) == ["DBIRTH fan"]
    assert node.says(node.edge.alive("fan")) == []
    assert node.says(node.edge.dead("fan")) == ["DDEATH fan"]
    assert node.says(node.edge.dead("fan")) == node.says(node.edge.result(result("fan", x=1))) == []
    assert node.says(node.edge.births()) == ["NBIRTH", "DBIRTH pump"]
    assert node.host.values["pump", "p1/value"] == 0.25


def test_a_will_has_the_number_of_the_birth_that_follows() -> None:
    node = Node()
    for number in (0, 1, 2):
        topic, payload = node.connect()
        assert topic == "spBv1.0/plant/NDEATH/box"
        assert decode(payload).seq is None
        (sequence,) = decode(payload).metrics
        assert (sequence.name, sequence.value) == ("bdSeq", number)
        node.says(node.edge.births())
        assert node.host.birth_sequence == number
        node.host.hear(topic, payload)
        assert node.host.seq is None
    # An attempt that reaches nobody uses no number.
    node.edge.will()
    assert decode(node.edge.will()[1]).metrics[0].value == 3


def test_numbers_go_round() -> None:
    node = Node()
    node.connect()
    node.edge.alive("pump")
    node.says(node.edge.births())
    for number in range(700):
        node.says(node.edge.result(result(value=float(number))))
    assert node.host.values["pump", "p1/value"] == 699.0
    edge = Edge("plant", "box", lambda: 0)
    for _ in range(257):
        will = edge.will()
        edge.up()
    assert decode(will[1]).metrics[0].value == 0


def test_what_was_before_the_birth_is_historical() -> None:
    node = Node()
    node.connect()
    node.edge.alive("pump")
    node.now = 10_000
    node.says(node.edge.births())
    assert node.says(node.edge.result(result(t_ms=9_000, value=1.0))) == [
        "DBIRTH pump",
        "DDATA pump",
    ]
    node.says(node.edge.result(result(t_ms=10_001, value=2.0)))
    node.now = 20_000
    node.says(node.edge.births())  # asked for: the connection is the same
    node.says(node.edge.result(result(t_ms=19_000, value=3.0)))
    node.says(node.edge.result(result(t_ms=9_500, value=1.5)))
    assert [found[2:] for found in node.host.historical] == [(1.0, 9_000), (1.5, 9_500)]
    assert node.host.values["pump", "p1/value"] == 3.0
    node.says(node.edge.births())
    assert node.host.values["pump", "p1/value"] == 3.0


def test_a_metric_of_another_type_is_born_again() -> None:
    node = Node()
    node.connect()
    node.edge.alive("pump")
    node.says(node.edge.births())
    for value, kind in (
        (1, "DBIRTH"),
        (2, "DDATA"),
        (0.5, "DBIRTH"),
        ("x", "DBIRTH"),
        (True, "DBIRTH"),
    ):
        assert node.says(node.edge.result(result(value=value))) == [f"{kind} pump"]
        assert node.host.values["pump", "p1/value"] == value


def test_arrays_and_what_is_inside() -> None:
    node = Node()
    node.connect()
    node.edge.alive("pump")
    node.says(node.edge.births())
    node.says(node.edge.result(result(values=[1, 0.5], top=[{"index": 3, "label": "ok"}])))
    assert node.host.values == {
        ("pump", "p1/values"): (1.0, 0.5),
        ("pump", "p1/top/0/index"): 3,
        ("pump", "p1/top/0/label"): "ok",
    }


def test_a_host_asks_by_name_or_by_alias() -> None:
    node = Node()
    node.connect()
    (_, birth), *_ = node.edge.births()
    alias = next(each.alias for each in decode(birth).metrics if each.name == REBIRTH)
    kind = other.DataType.BOOLEAN

    def wish(name: str | None, alias: int | None, value: bool) -> bytes:
        metric = other.Metric(1, name, kind, value=value, alias=alias)
        return other.NCmd(timestamp=1, metrics=(metric,)).encode(include_dtypes=True)

    asks = node.edge.asks_for_birth
    assert asks(wish(REBIRTH, None, True))
    assert asks(wish(None, alias, True))
    assert not asks(wish(REBIRTH, None, False))
    assert not asks(wish("Node Control/Reboot", None, True))
    assert not asks(b"\x08")
    assert not asks(b"")


def test_what_we_say_our_own_ears_hear() -> None:
    node, nodes = Node(), Nodes(lambda: 0)
    node.connect()
    node.edge.alive("pump")
    found: dict[str | None, Any] = {}
    for messages in (
        node.edge.births(),
        node.edge.result(result(value=0.5)),
        node.edge.result(result(value=0.75)),
    ):
        for message in messages:
            found.update({each.name: each.value for each in nodes.hear(*message)})
    assert found["p1/value"] == 0.75
    assert nodes.requests == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=6))
def test_any_result_can_be_said(values: dict[str, Any]) -> None:
    payload = {"vm": "pump", "stream": "p1", "t_us": 1, **values}
    try:
        found = results.read(json.dumps(payload).encode())
    except UnicodeEncodeError:
        return
    if found is None or found.vm != "pump":
        return
    node = Node()
    node.now = 0
    node.connect()
    node.edge.alive("pump")
    node.says(node.edge.births())
    node.says(node.edge.result(found))


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"{}", b'{"vm":"a","stream":"b","t_us":"1"}', b'{"vm":"a","stream":"b","t_us":-1}',
     b'{"vm":1,"stream":"b","t_us":1}', b"\xff", b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_result_is_let_go(payload: bytes) -> None:
    assert results.read(payload) is None


def test_a_host_without_a_group_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="primary_host"):
        msgspec.convert({"primary_host": "scada"}, Sparkplug)


# Whatever the broker brings


class Wire:
    """A connection that is up or not, and what was published on it."""

    def __init__(self) -> None:
        self.connected = False
        self.said: list[tuple[str, bytes]] = []
        self.drops = 0

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> int:
        assert not retain
        if self.connected:
            self.said.append((topic, payload))
        return int(self.connected) * qos

    def subscribe(self, filters: dict[str, int]) -> None:
        assert filters

    def writable(self) -> None:
        pass

    def give_up(self, reason: str) -> None:
        assert reason
        self.drops += 1

    def tick(self) -> float:
        return 0.0

    def leave(self) -> None:
        self.connected = False


STATES = st.sampled_from(["ready", "loading", "failed", "stopped"])
HOSTS = st.builds(
    lambda online, t: json.dumps({"online": online, "timestamp": t}).encode(),
    st.booleans() | st.none() | st.integers(),
    st.integers(-1, 9) | st.text(max_size=2),
)
RESULTS = st.builds(
    lambda t, value: json.dumps({"vm": "pump", "stream": "p", "t_us": t, "v": value}).encode(),
    st.integers(0, 1 << 62),
    st.integers(-5, 5) | st.floats(-1, 1) | st.text(max_size=2) | st.lists(st.integers(0, 3)),
)
COMMANDS = st.builds(
    lambda value: encode(Payload(1, (Metric(REBIRTH, datatype=DataType.BOOLEAN, value=value),))),
    st.booleans(),
)
EVENTS = st.one_of(
    st.tuples(st.just("vm"), STATES),
    st.tuples(st.just("spBv1.0/STATE/scada"), HOSTS | st.binary(max_size=20)),
    st.tuples(st.just("spBv1.0/plant/NCMD/box"), COMMANDS | st.binary(max_size=20)),
    st.tuples(st.just("neurovm/box/pump/result/p"), RESULTS | st.binary(max_size=20)),
    st.tuples(st.sampled_from(["up", "down", "tick", "later"]), st.just(b"")),
)


@given(st.booleans(), st.lists(EVENTS, max_size=60))
def test_whatever_comes_a_host_is_told_by_the_rules(waits: bool, events: list[Any]) -> None:
    now = [0.0]
    asked = Sparkplug("plant", "scada" if waits else None)
    deployment = Deployment(
        "pump", Path("pump.yaml"), VmFile(model="pump.nvm", inputs=[Input(topic="a")]), Path("p")
    )
    settings = Settings(Config(sparkplug=asked), "box", (deployment,), ())
    vm = SimpleNamespace(name="pump", state="loading")
    outlet = Outlet(
        settings, lambda: [vm], clock=lambda: now[0], now_ms=lambda: int(now[0] * 1000) + 5
    )  # type: ignore[arg-type,return-value]  # what a VM is to it
    wire, host = Wire(), Host()
    outlet.connection = wire  # type: ignore[assignment]  # what a connection is to it
    for kind, what in events:
        if kind == "up" and not wire.connected:
            will = outlet._will()
            wire.connected = True
            outlet.mqtt_up(False)
        elif kind == "down" or wire.drops:
            if wire.connected:
                wire.connected, wire.drops = False, 0
                wire.said.append((will.topic, will.payload))
                outlet.mqtt_down("lost")
        elif kind == "vm":
            vm.state = what
            outlet.tell_vm(vm)  # type: ignore[arg-type]  # what a VM is to it
        elif kind == "tick":
            outlet.tick()
        elif kind == "later":
            now[0] += 0.6
        elif wire.connected:
            outlet.mqtt_message(kind, what, 1, 1)
        for message in wire.said:
            host.hear(*message)
        wire.said.clear()
        if host.seq is not None:
            assert ("pump" in host.births) == (vm.state == "ready")


# Through a real broker


TAKES_SPARKPLUG = VM.replace(
    "  - topic: plant/{stream}/sensor/{element}\n    to: {tensor: 0}\n",
    "  - topic: spBv1.0/mill/DDATA/edge1/{stream}\n    payload: {format: sparkplug_b}\n"
    "    to: {tensor: 0, elements: [" + ", ".join(f"s{number}" for number in range(64)) + "]}\n",
)


def ours(client: Client) -> list[tuple[str, bytes]]:
    return [each for each in list(client.messages) if each[0].startswith("spBv1.0/plant/")]


def of_kind(client: Client, kind: str) -> list[bytes]:
    return [data for topic, data in ours(client) if f"/{kind}/" in topic]


def heard(client: Client) -> Host:
    """What a host makes of all that was said so far."""
    host = Host()
    for topic, data in ours(client):
        if "/NCMD/" not in topic:
            host.hear(topic, data)
    return host


@pytest.fixture
def daemon(broker: Mosquitto, start: Start) -> Daemon:
    assert "sparkplug_b" in TAKES_SPARKPLUG
    text = TAKES_SPARKPLUG.replace("values: codes", "top_k: 1").replace(str(MODEL), "{model}")
    one = start(broker.port, main="sparkplug: {group: plant}\n", run=False)
    model = (one.folder / "vm.d" / "digits.yaml").read_text().split("\n")[0].removeprefix("model: ")
    (one.folder / "vm.d" / "digits.yaml").write_text(text.replace("{model}", model))
    return one


def data(kind: str, seq: int, *metrics: Any) -> bytes:
    """What a node of another library says."""
    payload = KINDS[kind](timestamp=1, seq=seq, metrics=metrics)
    return bytes(payload.encode(include_dtypes=kind.endswith("BIRTH")))


def test_in_and_out_through_a_broker(broker: Mosquitto, daemon: Daemon) -> None:
    host = Client(broker.port)
    host.subscribe("spBv1.0/#")
    daemon.start()
    connected(daemon)
    wait_for(lambda: of_kind(host, "DBIRTH"), "the device's birth")
    # In: data of a node whose birth nobody heard, then its birth, as it was asked.
    double = other.DataType.DOUBLE

    def metric(value: float, name: str | None) -> Any:
        return other.Metric(1, name, double, value=value, alias=4)

    host.publish("spBv1.0/mill/DDATA/edge1/press", data("DDATA", 9, metric(1.0, None)))
    asked = "spBv1.0/mill/NCMD/edge1"
    wait_for(lambda: [each for each in list(host.messages) if each[0] == asked], "the request")
    command = other.NCmd.decode(next(each[1] for each in host.messages if each[0] == asked))
    assert [(each.name, each.value) for each in command.metrics] == [(REBIRTH, True)]
    sequence = other.Metric(1, "bdSeq", other.DataType.INT64, value=0)
    host.publish("spBv1.0/mill/NBIRTH/edge1", data("NBIRTH", 0, sequence))
    host.publish("spBv1.0/mill/DBIRTH/edge1/press", data("DBIRTH", 1, metric(1.0, "s3")))
    # Out: the result, under our node.
    label = ("digits", "press/top/0/index")
    wait_for(lambda: label in heard(host).values, "a result as Sparkplug")
    births = len(of_kind(host, "DBIRTH"))
    host.publish("spBv1.0/mill/DDATA/edge1/press", data("DDATA", 2, metric(9.0, None)))
    wait_for(lambda: of_kind(host, "DDATA") and heard(host), "data")
    assert len(of_kind(host, "DBIRTH")) == births
    # A host asks for everything again.
    wish = Metric(REBIRTH, datatype=DataType.BOOLEAN, value=True)

    def born_again() -> bool:
        host.publish("spBv1.0/plant/NCMD/box", encode(Payload(1, (wish,))))
        return len(of_kind(host, "NBIRTH")) > 1

    wait_for(born_again, "births once more")
    assert daemon.vm("digits")["dropped"]["payload"] == 0
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(daemon.folder / "neurovmd.sock"))
        control.sendall(b'{"op": "stop", "vm": "digits"}\n')
        wait_for(lambda: "DDEATH digits" in heard(host).told, "the device's death")
    daemon.stop()
    wait_for(lambda: of_kind(host, "NDEATH"), "the node's death")
    last = heard(host)
    assert last.told[-1] == "NDEATH"
    assert last.seq is None
    host.close()


def test_the_will_is_the_death_of_this_birth(broker: Mosquitto, daemon: Daemon) -> None:
    host = Client(broker.port)
    host.subscribe("spBv1.0/plant/#")
    daemon.start()
    wait_for(lambda: of_kind(host, "DBIRTH"), "the births")
    number = heard(host).birth_sequence
    daemon.stop(signal.SIGKILL)
    death = other.NDeath.decode(wait_for(lambda: of_kind(host, "NDEATH"), "the will")[-1])
    assert death.bd_seq_metric.value == number
    assert heard(host).seq is None
    host.close()


def test_a_primary_host_is_waited_for(broker: Mosquitto, daemon: Daemon) -> None:
    text = daemon.config.read_text()
    daemon.config.write_text(text.replace("{group: plant}", "{group: plant, primary_host: scada}"))
    host = Client(broker.port)
    host.subscribe("spBv1.0/plant/#", "neurovm/box/digits/result/#")
    state = "spBv1.0/STATE/scada"
    host.publish(state, json.dumps({"online": False, "timestamp": 5}), retain=True)
    daemon.start()
    connected(daemon)
    # What is found before the host is there is kept, and said as historical.
    born = other.Metric(1, "s3", other.DataType.DOUBLE, value=1.0)
    host.publish("spBv1.0/mill/DDATA/edge1/press", data("DDATA", 9, born))
    host.wait("neurovm/box/digits/result/press", lambda found: found["seq"] == 1)
    assert of_kind(host, "NBIRTH") == []
    wait_for(lambda: daemon.status()["sparkplug"]["stored"] == 1, "the result is kept")
    assert daemon.status()["sparkplug"] == {
        "connected": True, "state": "connected", "born": False, "stored": 1,
    }  # fmt: skip
    host.publish(state, json.dumps({"online": True, "timestamp": 4}))  # an older word
    host.publish(state, json.dumps({"online": True, "timestamp": 6}), retain=True)
    wait_for(lambda: heard(host).historical, "the kept result")
    assert heard(host).told[:2] == ["NBIRTH", "DBIRTH digits"]
    # It goes: the node dies, and is born with another number when it is back.
    host.publish(state, json.dumps({"online": False, "timestamp": 7}), retain=True)
    wait_for(lambda: of_kind(host, "NDEATH"), "the death")
    assert heard(host).seq is None
    host.publish(state, json.dumps({"online": True, "timestamp": 8}), retain=True)
    wait_for(lambda: heard(host).birth_sequence == 1, "another birth")
    host.close()
