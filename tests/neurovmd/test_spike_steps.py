# SPDX-License-Identifier: Apache-2.0
"""Output steps after spiking networks: counts and potentials of what a result would say."""

from __future__ import annotations

import json
import random
from array import array
from typing import Any

import msgspec
import pytest
from echo_network import EchoModel

from neurovm.events import Events, aer
from neurovm.steps import AnyStep, Plan
from neurovm.steps.forms import VectorForm
from neurovmd.binding import inputs_of, streams_of
from neurovmd.mailbox import Message, Receipt
from neurovmd.refusal import MappingError
from neurovmd.schema import Vm
from neurovmd.shared import SharedBlock
from neurovmd.stream_table import Done

NAMES = {"prefix": "neurovm", "node": "box", "vm": "eye"}
AER = {"topic": "cam/{stream}", "payload": {"format": "aer"}}
SIZE = 4


class Rig:
    def __init__(self, output: dict[str, Any], *, readout: bool = False) -> None:
        model = EchoModel(SIZE, readout=readout)
        whole = {"model": "x.nvm", "inputs": [AER], "output": output}
        vm = msgspec.convert({**whole, "time": {"source": "message"}}, Vm)
        self.streams = streams_of(
            "eye",
            vm,
            model,
            inputs_of(vm, NAMES, model),
            lambda stream: f"out/{stream}",
            lambda stream: f"event/{stream}",
            SharedBlock(1).slot(0),
            clock_ns=lambda: 10**12,
            wall_ns=lambda: 1_760_000_000_000_000_000,
        )

    def send(self, addresses: list[int], receipt: Receipt | None = None) -> list[Done]:
        """A message of 1 ms for each spike."""
        times_us = array("q", range(0, 1000 * len(addresses), 1000))
        payload = aer.pack(Events(times_us, array("I", addresses)))
        return self.streams.answers(Message("cam/a", payload, receipt))


def of(done: list[Done], topic: str) -> list[dict[str, Any]]:
    return [json.loads(each.payload) for each in done if each.payload and each.topic == topic]


def messages(seed: int, count: int) -> list[list[int]]:
    source = random.Random(seed)
    return [[source.randrange(SIZE) for _ in range(source.randrange(1, 8))] for _ in range(count)]


STEPS = [
    [{"kind": "mean", "n": 3, "least": 2}, {"kind": "classify"}],
    [{"kind": "ema", "alpha": 0.5}, {"kind": "threshold", "above": 1.5, "release": 1}],
    [{"kind": "threshold", "above": 3}, {"kind": "event"}],
    [{"kind": "keyword", "threshold": 2, "average_s": 0.01, "least": 1, "suppress_s": 0}],
]


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("on", ["always", "change"])
@pytest.mark.parametrize("values", ["counts", "potentials"])
def test_steps_look_at_what_a_result_would_say(steps: list[Any], on: str, values: str) -> None:
    readout = values == "potentials"
    form = {"values": values}
    rig = Rig({"on": on, "form": form, "steps": steps}, readout=readout)
    plain = Rig({"on": "always", "form": form}, readout=readout)
    plan = Plan(msgspec.convert(steps, list[AnyStep]), VectorForm(size=SIZE))
    stream, told, covered, count = plan.stream(), None, 0, 0
    for seq, addresses in enumerate(messages(3, 60), start=1):
        receipt = Receipt(seq)
        done = rig.send(addresses, receipt)
        (bare,) = of(plain.send(addresses), "out/a")
        value = stream.push(bare["until_us"], [float(x) for x in bare[values]])
        fields = None if value is None else json.loads(json.dumps(stream.fields(value)))
        news = fields is not None and (on == "always" or plan.form.momentary or fields != told)
        found = of(done, "out/a")
        assert len(found) == news
        for each in done:
            each.settle()
        assert receipt.done
        if news:
            assert {key: found[0][key] for key in fields} == fields
            assert (found[0].get("seq_first", seq), found[0]["seq"]) == (covered + 1, seq)
            told, covered, count = fields, seq, count + 1
    assert count > 1


def test_steps_after_windows_of_the_streams_own_time() -> None:
    steps = [{"kind": "mean", "n": 2}, {"kind": "round", "digits": 1}]
    form = {"values": "counts"}
    rig = Rig({"on": "window", "window_s": 0.004, "form": form, "steps": steps})
    plain = Rig({"on": "window", "window_s": 0.004, "form": form})
    before = None
    for addresses in messages(5, 40):
        found = of(rig.send(addresses), "out/a")
        bare = of(plain.send(addresses), "out/a")
        assert len(found) == len(bare)
        for said, own in zip(found, bare, strict=True):
            counts = own["counts"]
            wanted = [(a + b) / 2 for a, b in zip(before or counts, counts, strict=True)]
            assert said["values"] == wanted
            assert (said["from_us"], said["until_us"]) == (own["from_us"], own["until_us"])
            before = counts


def test_rules_watch_counts_beside_results() -> None:
    rule = {"name": "busy", "when": {"label": 2, "above": 3}}
    rig = Rig({"on": "always", "form": {"values": "counts"}, "alerts": [rule]})
    active = False
    turns = 0
    for addresses in messages(7, 60):
        done = rig.send(addresses)
        (result,) = of(done, "out/a")
        for turn in of(done, "event/a"):
            assert (turn["alert"], turn["vm"], turn["after"]["index"]) == ("busy", "eye", 2)
            active, turns = turn["type"] == "new", turns + 1
        assert active == (result["counts"][2] >= 3)
    assert turns > 2


def test_on_interval_the_steps_look_when_a_result_is_due() -> None:
    steps = [{"kind": "mean", "n": 2, "least": 2}]
    output = {"on": "interval", "interval_s": 1, "form": {"values": "counts"}, "steps": steps}
    rig = Rig(output)
    receipt = Receipt(1)
    rig.send([1, 1, 2], receipt)
    (silent,) = rig.streams.due()
    assert not silent.payload
    silent.settle()
    assert receipt.done
    rig.send([3])
    (found,) = of(rig.streams.flush(), "out/a")
    assert (found["seq_first"], found["values"]) == (1, [0.0, 1.0, 0.5, 0.5])


@pytest.mark.parametrize(
    ("output", "key"),
    [
        ({"steps": [{"kind": "reconstruction"}]}, "output.steps[0].kind"),
        ({"steps": [{"kind": "nms"}]}, "output.steps[0].kind"),
        ({"steps": [{"kind": "softmax"}], "form": {"values": "events"}}, "output.form.values"),
        ({"steps": [{"kind": "softmax"}], "form": {"values": "packed"}}, "output.form.values"),
        (
            {"alerts": [{"name": "x", "when": {"label": 9, "above": 1}}]},
            "output.alerts[0].when.label",
        ),
    ],
)
def test_what_does_not_fit_is_named(output: dict[str, Any], key: str) -> None:
    with pytest.raises(MappingError) as caught:
        Rig(output)
    assert caught.value.key == key
