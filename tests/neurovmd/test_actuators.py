# SPDX-License-Identifier: Apache-2.0
"""Actuators: what they are told, how fast it changes, and that they are safe when nobody steers."""

from __future__ import annotations

import json
import os
import random
import signal
from typing import Any

import msgspec
import pytest
from one_vm import VM, Start, connected

from benchmarks.rig import Client, Mosquitto, wait_for
from neurovm.errors import ConfigError
from neurovmd import config
from neurovmd.actuators import Actuators, safe_words
from neurovmd.mailbox import Receipt
from neurovmd.outlets import Actuator
from neurovmd.publisher import Publisher
from neurovmd.schema import Output
from neurovmd.shared import SharedBlock
from neurovmd.stream_table import Done, Order

NAMES = {"prefix": "neurovm", "node": "box", "vm": "valve"}


class Clock:
    """Time in the hands of a test."""

    def __init__(self) -> None:
        self.ns = 5_000_000_000

    def __call__(self) -> int:
        return self.ns

    def pass_s(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)


class Valve:
    """One actuator and what it was told."""

    def __init__(self, **fields: Any) -> None:
        self.clock = Clock()
        self.one = msgspec.convert({"topic": "valve/{stream}/set", **fields}, Actuator)
        self.all = Actuators([self.one], NAMES, self.clock)

    def say(self, value: Any, stream: str = "a") -> list[bytes]:
        self.all.heard(stream)
        return told(self.all.drive(stream, msgspec.json.encode({"values": [value]})))

    def due(self) -> list[bytes]:
        return told(self.all.due())


def told(done: list[Done]) -> list[bytes]:
    assert all(item.order is not None and item.receipt is None for item in done)
    return [item.payload for item in done]


def test_numbers_are_held_and_written_as_asked() -> None:
    valve = Valve(low=-1, high=2.5)
    assert [valve.say(v) for v in (0, 0.5, 9, -9, 1e-7, True)] == [
        [b"0"],
        [b"0.5"],
        [b"2.5"],
        [b"-1"],
        [b"1e-07"],
        [b"1"],
    ]
    text = Valve(payload='{"set": {"v": {value}}}', decimals=2)
    assert text.say(1 / 3) == [b'{"set": {"v": 0.33}}']
    big = Valve()
    assert json.loads(big.say(2.0**60)[0]) == 2.0**60


def test_what_is_no_number_is_safe_once_or_nothing() -> None:
    for wrong in (None, "text", [1], {}, float("nan"), float("inf")):
        valve = Valve(low=0, high=1, safe=0.25)
        assert valve.say(0.5) == [b"0.5"]
        assert valve.say(wrong) == [b"0.25"]
        assert valve.say(wrong) == []
        assert valve.say(0.5) == [b"0.5"]
        assert Valve(low=0).say(wrong) == []


def test_labels_and_truth_values_by_a_map() -> None:
    valve = Valve(map={"leak": "OFF", "true": 1, "3": 0.5}, safe="OFF")
    assert valve.say("leak") == [b"OFF"]
    assert valve.say(True) == [b"1"]
    assert valve.say(3) == [b"0.5"]
    assert valve.say("unheard of") == [b"OFF"]
    assert Valve().say("heat") == [b"heat"]


def test_it_is_told_so_often_and_the_newest_then() -> None:
    valve = Valve(every_s=1)
    assert valve.due() == []
    assert valve.say(1) == [b"1"]
    valve.clock.pass_s(0.4)
    assert valve.say(2) == valve.say(3) == []
    assert valve.all.next_due_s() == pytest.approx(0.6)
    assert valve.due() == []
    valve.clock.pass_s(0.7)
    assert valve.due() == [b"3"]
    assert valve.due() == []


def test_it_changes_slowly_from_safe_to_what_is_wanted() -> None:
    valve = Valve(slew=10, every_s=0.1, safe=0, decimals=3)
    assert valve.due() == []
    heard = valve.say(2.5)
    while valve.all.next_due_s() is not None:
        valve.clock.pass_s(0.1)
        heard += valve.due()
    assert heard == [b"1.000", b"2.000", b"2.500"]
    valve.clock.pass_s(60)  # a long rest gives no licence to jump
    assert valve.say(-9) == [b"1.500"]


def test_nothing_ever_leaves_its_range_or_jumps() -> None:
    """Random words at random times, judged by what was told alone."""
    seed = random.Random(4)
    for _ in range(200):
        low, high = sorted((seed.uniform(-5, 5), seed.uniform(-5, 5)))
        slew, every_s = seed.choice([None, 3.0]), seed.choice([None, 0.05, 0.5])
        valve = Valve(low=low, high=high, slew=slew, every_s=every_s, safe=low)
        last, last_ns = low, None
        for _ in range(40):
            valve.clock.pass_s(seed.expovariate(10))
            words = valve.due() if seed.random() < 0.5 else valve.say(seed.uniform(-9, 9))
            for word in words:
                value = float(word)
                assert low <= value <= high
                if last_ns is not None and every_s is not None:
                    assert valve.clock.ns - last_ns >= every_s * 1e9 - 1
                if slew is not None:
                    assert abs(value - last) <= slew * (every_s or 0.1) + 1e-9
                last, last_ns = value, valve.clock.ns


def test_it_is_safe_when_nothing_was_heard() -> None:
    valve = Valve(safe=0, stale_s=2, slew=1)
    valve.all.due()
    assert len(valve.say(1)) == 1
    valve.clock.pass_s(1.5)
    valve.all.heard("a")  # an input that changes no result is one all the same
    valve.clock.pass_s(1.5)
    assert b"0" not in valve.due()
    assert valve.all.next_due_s() == pytest.approx(0.1, abs=0.5)
    valve.clock.pass_s(0.6)
    assert valve.due() == [b"0"]
    assert valve.due() == []
    assert valve.all.next_due_s() is None
    valve.clock.pass_s(60)
    assert valve.say(1) == [b"0.1"]


def test_streams_have_their_own_and_all_end_safe() -> None:
    valve = Valve(safe=7, stale_s=1)
    assert valve.say(1, "a") == valve.say(1, "b") == [b"1"]
    valve.clock.pass_s(0.9)
    valve.all.heard("b")
    valve.clock.pass_s(0.2)
    done = valve.all.due()
    assert [item.topic for item in done] == ["valve/a/set"]
    assert {item.topic for item in valve.all.stop()} == {"valve/a/set", "valve/b/set"}
    fixed = Valve(topic="{prefix}/{node}/{vm}/x", safe="off")
    assert fixed.all.next_due_s() == 0.0
    assert fixed.due() == [b"off"]
    assert fixed.due() == []
    said = list(safe_words([valve.one, fixed.one], NAMES, ["a", "ü"]))
    assert [(topic, payload) for topic, payload, _ in said] == [
        ("valve/a/set", b"7"),
        ("valve/ü/set", b"7"),
        ("neurovm/box/valve/x", b"off"),
    ]


WRONG = [
    {"low": 2, "high": 1},
    {"low": 0, "safe": -1},
    {"stale_s": 1},
    {"slew": 0},
    {"slew": 1, "safe": "off"},
    {"slew": 1, "map": {"a": "b"}},
    {"payload": "no value"},
    {"value": "a b]"},
    {"topic": "a/+"},
    {"topic": "a/{element}"},
    {"safe": float("nan")},
    {"map": {}},
    {"every_s": 0},
]


@pytest.mark.parametrize("fields", WRONG, ids=str)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        Valve(**fields)


def test_a_vm_does_not_hear_its_own_words(tmp_path: Any) -> None:
    (tmp_path / "vm.d").mkdir()
    text = VM + "actuators: [{topic: 'plant/{stream}/sensor/5'}]\n"
    (tmp_path / "vm.d/a.yaml").write_text(text)
    main = tmp_path / "neurovmd.yaml"
    main.write_text("node: box\nvm_dir: vm.d\n")
    with pytest.raises(ConfigError, match=r"inputs\[0\].topic.*actuators\[0\].topic"):
        config.load(main, environ={})


class FakeConnection:
    """Takes what is published; nothing is acknowledged by itself."""

    connected = True

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> int:
        del qos, retain
        self.sent.append((topic, payload))
        return len(self.sent)

    def ack(self, mid: int) -> None:
        raise AssertionError(mid)


def order(payload: bytes, topic: str = "v", qos: int = 1) -> Done:
    return Done(None, topic, payload, order=Order(qos, retain=False))


def test_only_the_newest_word_counts() -> None:
    publisher = Publisher(Output(), SharedBlock(1).slot(0))
    connection = publisher.connection = FakeConnection()  # type: ignore[assignment]  # enough of one
    publisher.take([order(b"1")])
    publisher.pump()
    publisher.take([order(b"2"), order(b"3"), order(b"4", "w", qos=0)])
    publisher.pump()
    assert connection.sent == [("v", b"1"), ("w", b"4")]
    publisher.published(1, "")
    publisher.pump()
    assert connection.sent[2:] == [("v", b"3")]
    connection.connected = False
    publisher.lost()
    publisher.take([order(b"5")])
    publisher.pump()
    assert not publisher.idle
    connection.connected = True
    publisher.pump()
    assert connection.sent[3:] == [("v", b"5")]
    publisher.published(4, "")
    assert publisher.idle
    assert publisher.overdue_at_s is None


def test_a_message_that_ends_in_a_word_is_acknowledged() -> None:
    publisher = Publisher(Output(), SharedBlock(1).slot(0))
    publisher.connection = FakeConnection()  # type: ignore[assignment]  # enough of one
    receipt = Receipt(7)
    publisher.take([Done(receipt, "v", b"1", order=Order(0, retain=False))])
    assert receipt.done


DRIVES = """\
actuators:
  - {topic: "act/{stream}", value: "values[3]", low: -50, high: 50, safe: -50, stale_s: 1}
  - {topic: act/all, value: seq, safe: 0, payload: '{"n": {value}}', qos: 0}
"""


def test_the_loop_and_every_way_it_ends(broker: Mosquitto, start: Start, bundles: Any) -> None:
    text = VM.replace(VM.split("\n")[0], f"model: {bundles['digits_mlp']}") + DRIVES
    client = Client(broker.port)
    client.subscribe("act/#", "neurovm/box/digits/result/#")
    daemon = start(broker.port, digits=text)
    connected(daemon)
    client.wait("act/all", lambda said: said == {"n": 0})

    def steer(seq: int) -> None:
        client.publish("plant/p/sensor/5", json.dumps({"value": seq / 10}))
        result = client.wait("neurovm/box/digits/result/p", lambda said: said["seq"] == seq)
        wanted = min(50, max(-50, result["values"][3]))
        wait_for(lambda: wanted in client.on("act/p"), f"the word {wanted}")

    def safe(why: str) -> None:
        wait_for(lambda: client.on("act/p")[-1:] == [-50], why)

    for seq in (1, 2, 3):
        steer(seq)
    client.wait("act/all", lambda said: said == {"n": 3})
    safe("nothing was heard")
    client.messages.clear()
    steer(4)
    os.kill(daemon.vm("digits")["pid"], signal.SIGKILL)
    safe("the worker is gone")
    client.wait("act/all", lambda said: said == {"n": 0})
    connected(daemon)
    client.messages.clear()
    steer(1)
    assert daemon.stop() == 0
    safe("the daemon was stopped")
    client.close()


def test_a_killed_daemon_leaves_them_safe(broker: Mosquitto, start: Start, bundles: Any) -> None:
    text = VM.replace(VM.split("\n")[0], f"model: {bundles['digits_mlp']}")
    text += DRIVES.replace("stale_s: 1", "stale_s: 600")
    client = Client(broker.port)
    client.subscribe("act/#")
    daemon = start(broker.port, digits=text)
    connected(daemon)
    client.publish("plant/p/sensor/5", '{"value": 0.5}')
    client.wait("act/p", lambda said: said != -50)
    daemon.stop(signal.SIGKILL)
    client.wait("act/p", lambda said: said == -50)
    client.close()
