# SPDX-License-Identifier: Apache-2.0
"""Spiking VMs: events and encoded values in, sessions by time stamps, every form of result out."""

from __future__ import annotations

import json
from array import array
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import pytest
from echo_network import EchoModel, EchoSession
from hypothesis import given, settings
from hypothesis import strategies as st

from neurovm.encoders import Delta, Latency, Rate
from neurovm.events import Events, aer
from neurovmd.binding import inputs_of, streams_of
from neurovmd.mailbox import Message, Receipt
from neurovmd.refusal import MappingError
from neurovmd.schema import Vm
from neurovmd.shared import DropReason, SharedBlock, Slot
from neurovmd.spike_clock import Ticks

NAMES = {"prefix": "neurovm", "node": "box", "vm": "eye"}
AER = {"topic": "cam/{stream}", "payload": {"format": "aer"}}
VALUES = {"topic": "plant/{stream}/{element}"}
ALWAYS = {"on": "always", "form": {"values": "counts"}}


class Rig:
    """The streams of one VM, without threads or network; its clocks move when told to."""

    def __init__(self, *inputs: dict[str, Any], model: EchoModel | None = None, **vm: Any) -> None:
        self.model = model or EchoModel(8)
        self.vm = msgspec.convert({"model": "x.nvm", "inputs": list(inputs) or [AER], **vm}, Vm)
        self.slot: Slot = SharedBlock(1).slot(0)
        self.now_us = 10**9
        self.said: list[tuple[str, str]] = []
        self.streams = streams_of(
            "eye",
            self.vm,
            self.model,
            inputs_of(self.vm, NAMES, self.model),
            lambda stream: f"out/{stream}",
            lambda stream: f"event/{stream}",
            self.slot,
            clock_ns=lambda: self.now_us * 1000,
            wall_ns=lambda: 1_760_000_000_000_000_000,
            refused=lambda reason, detail, _: self.said.append((reason.name, detail)),
        )

    @property
    def session(self) -> EchoSession:
        return self.model.sessions[0]

    def send(self, topic: str, payload: bytes) -> list[dict[str, Any]]:
        done = self.streams.answers(Message(topic, payload, None))
        return [json.loads(each.payload) for each in done if each.payload]

    def events(self, times_us: list[int], addresses: list[int]) -> list[dict[str, Any]]:
        return self.send("cam/a", block(times_us, addresses))

    def value(self, element: int, value: float) -> list[dict[str, Any]]:
        return self.send(f"plant/a/{element}", json.dumps({"value": value}).encode())

    def due(self) -> list[dict[str, Any]]:
        return [json.loads(each.payload) for each in self.streams.due() if each.payload]


def block(times_us: list[int], addresses: list[int]) -> bytes:
    return aer.pack(Events(array("q", times_us), array("I", addresses)))


# Time from the payload


def test_a_tick_is_run_when_something_later_is_known() -> None:
    rig = Rig(output=ALWAYS)
    assert rig.events([5000, 5999, 6001], [1, 2, 3])[0]["counts"] == [0, 1, 1, 0, 0, 0, 0, 0]
    (second,) = rig.events([6999, 7000], [3, 4])
    assert second["counts"] == [0, 0, 0, 2, 0, 0, 0, 0]
    assert (second["from_us"], second["until_us"]) == (6000, 7000)
    assert rig.session.spikes == [(0, 1), (0, 2), (1, 3), (1, 3)]


def test_what_is_held_is_run_after_a_silence() -> None:
    rig = Rig(output=ALWAYS, time={"wait_s": 0.5})
    rig.events([0, 1500], [1, 2])
    assert rig.session.spikes == [(0, 1)]
    assert rig.due() == []
    wait_s = rig.streams.next_due_s()
    assert wait_s == pytest.approx(0.501)
    rig.now_us += 500_999
    assert rig.due() == []
    rig.now_us += 2
    (result,) = rig.due()
    assert result["counts"][2] == 1
    assert rig.session.spikes == [(0, 1), (1, 2)]
    assert rig.streams.next_due_s() is None


def test_late_events_are_counted_and_the_others_count() -> None:
    rig = Rig(output=ALWAYS)
    rig.events([0, 10_000], [0, 1])
    (result,) = rig.events([8_000, 9_999, 10_500, 12_000], [2, 3, 4, 5])
    assert result["late"] == 2
    assert result["counts"] == [0, 1, 0, 0, 1, 0, 0, 0]
    assert rig.slot.late_events == 2
    assert rig.said == []


@pytest.mark.parametrize("to_us", [10**9, 90 * 10**9, -(10**9)])
def test_after_a_long_gap_the_network_begins_anew(to_us: int) -> None:
    rig = Rig(output=ALWAYS)
    rig.events([0, 1_000], [0, 1])
    results = rig.events([to_us, to_us + 5000], [2, 3])
    assert rig.session.resets == 1
    assert rig.session.spikes == [(0, 0), (1, 1), (0, 2)]
    assert results[-1]["counts"] == [0, 1, 1, 0, 0, 0, 0, 0]
    assert results[-1]["until_us"] == to_us + 5000
    assert rig.slot.late_events == 0


def test_a_clock_that_jumps_about_fills_no_journal(capfd: pytest.CaptureFixture[str]) -> None:
    rig = Rig(output=ALWAYS)
    for at in range(20):
        start_us = 10**12 * (at % 2)
        rig.events([start_us, start_us + 5], [0, 1])
    assert rig.session.resets == 19
    said = [line for line in capfd.readouterr().err.splitlines() if "stream.restarted" in line]
    assert [line.rpartition("total=")[2] for line in said] == ["1", "2", "4", "8", "16"]


def test_a_message_over_too_long_a_time_is_refused() -> None:
    rig = Rig(output=ALWAYS)
    rig.events([0, 1_000], [0, 1])
    events = Events(array("q", [2_000, 2_000 + 2**32 - 1]), array("I", [2, 3]))
    assert rig.send("cam/a", aer.pack(events)) == []
    assert rig.said == [
        (
            "VALUE",
            "found events over 4294.97 s in a message; accepted: at most 60 (time.idle_reset_s)",
        )
    ]
    assert rig.events([2_000], [2])[0]["counts"] == [0, 1, 0, 0, 0, 0, 0, 0]


def test_a_gap_of_too_many_ticks_begins_anew_however_short_it_is() -> None:
    rig = Rig(output=ALWAYS, model=EchoModel(8, dt_us=0.5))
    rig.events([0, 10], [0, 1])
    rig.events([5_000_005, 5_000_006], [2, 3])
    assert rig.session.resets == 0
    rig.events([10_000_008, 10_000_009], [4, 5])
    assert rig.session.resets == 1
    events = Events(array("q", [10_000_009, 15_000_010]), array("I", [0, 1]))
    assert rig.send("cam/a", aer.pack(events)) == []
    assert rig.said[0][1].startswith("found events over 5 s in a message; accepted: at most 5 ")


@pytest.mark.parametrize(
    "bad",
    [b"", b"junk", block([1, 2], [0, 8]), block([0], [0])[:-1], block([0], [0]) + b"\0" * 8],
)
def test_a_bad_message_leaves_everything_as_it_was(bad: bytes) -> None:
    clean, troubled = Rig(output=ALWAYS), Rig(output=ALWAYS)
    for times, addresses in (([0, 100], [1, 2]), ([2500], [3]), ([2600, 9000], [4, 5])):
        assert troubled.send("cam/a", bad) == []
        assert troubled.events(times, addresses) == clean.events(times, addresses)
    assert [reason for reason, _ in troubled.said] == ["PAYLOAD"] * 3
    assert troubled.slot.dropped[DropReason.PAYLOAD] == 3
    assert troubled.session.spikes == clean.session.spikes


blocks = st.lists(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 7)), max_size=6),
    min_size=1,
    max_size=12,
)


@given(blocks, st.sampled_from([1000.0, 333.5, 7.0]))
@settings(max_examples=80, deadline=None)
def test_how_a_recording_is_cut_into_messages_does_not_matter(
    parts: list[list[tuple[int, int]]], dt_us: float
) -> None:
    rig = Rig(output=ALWAYS, model=EchoModel(8, dt_us=dt_us))
    now, everything = 0, []
    counts = np.zeros(8, int)
    for part in parts:
        times, addresses = [], []
        for gap, address in part:
            now += gap
            times.append(now)
            addresses.append(address)
        everything += list(zip(times, addresses, strict=True))
        for result in rig.events(times, addresses):
            counts += result["counts"]
    rig.now_us += 10**9
    for result in rig.due():
        counts += result["counts"]
    first = everything[0][0] if everything else 0
    dt = Fraction(dt_us)
    expected = sorted((int((time - first) // dt), at) for time, at in everything)
    assert (rig.session.spikes if rig.model.sessions else []) == expected
    assert counts.tolist() == np.bincount([at for _, at in everything], minlength=8).tolist()
    assert rig.slot.late_events == 0


def test_values_with_times_of_their_own() -> None:
    source = {**VALUES, "payload": {"format": "json", "t_us": "t"}, "encode": {"kind": "delta"}}
    rig = Rig(source, AER, output={**ALWAYS, "wait_for": "any"}, time={"source": "payload"})
    rig.events([1_000], [7])
    rig.send("plant/a/2", b'{"value": 5, "t": 3500}')
    rig.events([9_000], [6])
    assert rig.session.spikes == [(0, 7), (2, 2)]
    assert rig.send("plant/a/2", b'{"value": 9}') == []
    assert rig.send("plant/a/2", b'{"value": 9, "t": 1.5}') == []
    assert [reason for reason, _ in rig.said] == ["PAYLOAD", "PAYLOAD"]


# Time from the arrival


def test_events_by_arrival_begin_when_they_come() -> None:
    rig = Rig(output=ALWAYS, time={"source": "arrival"})
    rig.events([500, 900], [1, 2])
    rig.now_us += 5_200
    rig.events([77, 77 + 2_000], [3, 4])
    assert rig.session.spikes == [(0, 1), (0, 2)]
    rig.now_us += 10_000
    rig.due()
    assert rig.session.spikes == [(0, 1), (0, 2), (5, 3), (7, 4)]


def test_a_tick_is_run_when_it_is_over_by_the_clock() -> None:
    rig = Rig(output=ALWAYS, time={"source": "arrival"})
    rig.events([0], [1])
    rig.now_us += 300
    rig.events([0], [2])
    assert rig.session.spikes == []
    assert rig.streams.next_due_s() == pytest.approx(0.001, abs=2e-4)
    rig.now_us += 1_000
    (result,) = rig.due()
    assert result["counts"] == [0, 1, 1, 0, 0, 0, 0, 0]
    assert rig.session.spikes == [(0, 1), (0, 2)]


def test_an_idle_stream_begins_anew() -> None:
    rig = Rig(output=ALWAYS, time={"source": "arrival", "idle_reset_s": 2})
    rig.events([0], [1])
    rig.now_us += 2_100_000
    rig.events([0], [2])
    rig.now_us += 10_000
    rig.due()
    assert rig.session.resets == 2  # at its beginning, and after the gap
    assert rig.session.spikes == [(0, 1), (0, 2)]


def test_values_become_spikes_by_a_delta_encoder() -> None:
    encode = {"kind": "delta", "threshold": 0.5, "off_spike": True}
    rig = Rig(
        {**VALUES, "encode": encode, "to": {"elements": ["flow", "heat"]}},
        model=EchoModel(4),
        output={**ALWAYS, "wait_for": "any"},
    )
    expected: list[tuple[int, int]] = []
    stream = Delta(threshold=0.5, off_spike=True).stream(2)
    values = [0.0, 0.0]
    for step, (name, value) in enumerate(
        [("flow", 0.4), ("flow", 0.6), ("heat", -3), ("flow", 0.2), ("flow", 0.05), ("heat", -1)]
    ):
        values[["flow", "heat"].index(name)] = value
        expected += [(step * 10, at) for at in stream.push(values).addresses]
        rig.send(f"plant/a/{name}", json.dumps({"value": value}).encode())
        rig.now_us += 10_000
        rig.due()
    assert rig.session.spikes == expected
    assert len(expected) == 4


def test_nothing_is_encoded_before_every_element_was_heard() -> None:
    encode = {"kind": "delta", "threshold": 1, "padding": True}
    rig = Rig({**VALUES, "encode": encode}, model=EchoModel(2), output=ALWAYS)
    assert rig.value(0, 50) == []
    rig.now_us += 10_000
    rig.value(1, 70)
    rig.now_us += 10_000
    rig.value(1, 71)
    rig.now_us += 10_000
    (result,) = rig.due()
    assert rig.session.spikes == [(20, 1)]
    assert result["seq"] == 3


def test_a_new_sample_takes_the_place_of_what_is_left_of_the_last() -> None:
    encode = {"kind": "rate", "num_steps": 20}
    rig = Rig({**VALUES, "encode": encode}, model=EchoModel(1), output=ALWAYS)
    rig.value(0, 1.0)
    rig.now_us += 5_000
    rig.value(0, 0.0)
    rig.now_us += 50_000
    rig.due()
    assert rig.session.spikes == [(tick, 0) for tick in range(5)]


def test_a_message_of_several_moments_puts_each_at_its_time() -> None:
    source = {
        "topic": "a/{stream}",
        "payload": {"format": "senml"},
        "encode": {"kind": "delta", "threshold": 0.5, "off_spike": False},
        "to": {"elements": ["x", "y"]},
    }
    rig = Rig(source, model=EchoModel(2), output=ALWAYS, time={"source": "payload"})
    start_s = 1_700_000_000
    for first_s, values in ((0, (0, 0)), (1, (1, 0))):
        pack = [
            {"n": name, "v": value, "t": start_s + first_s + later}
            for later in (0.004, 0)
            for name, value in zip("xy", (values[0], values[1] + 2 * later / 0.004), strict=True)
        ]
        rig.send("a/a", json.dumps(pack).encode())
    rig.send("a/a", json.dumps([{"n": "x", "v": 0, "t": start_s + 3}]).encode())
    assert rig.said == []
    ticks = {(tick, address) for tick, address in rig.session.spikes}
    # y rises at 4 ms of each second, x with the second one.
    assert ticks == {(4, 1), (1000, 0), (1004, 1)}


def test_several_encoders_share_an_input() -> None:
    rig = Rig(
        {
            "topic": "a/{stream}",
            "encode": {"kind": "phase", "phases": 2},
            "to": {"elements": ["x"]},
        },
        {
            "topic": "b/{stream}",
            "encode": {"kind": "population", "out_features": 3, "sigma": 0.01, "seq_length": 1},
            "to": {"first": 1, "elements": ["x"]},
        },
        model=EchoModel(4),
        output={**ALWAYS, "wait_for": "any"},
        time={"source": "message"},
    )
    rig.send("a/a", b'{"value": 0.75}')
    rig.send("b/a", b'{"value": 0.5}')
    assert rig.session.spikes == [(0, 0), (1, 0), (2, 2)]


# Time from the message


def test_each_message_follows_the_one_before() -> None:
    rig = Rig(output=ALWAYS, time={"source": "message"})
    (first,) = rig.events([10**12, 10**12 + 2_500], [1, 2])
    assert first["counts"] == [0, 1, 1, 0, 0, 0, 0, 0]
    assert (first["from_us"], first["until_us"]) == (0, 3000)
    (second,) = rig.events([5], [3])
    assert second["counts"] == [0, 0, 0, 1, 0, 0, 0, 0]
    assert (second["from_us"], second["until_us"]) == (3000, 4000)
    assert rig.session.spikes == [(0, 1), (2, 2), (3, 3)]


def test_each_message_can_begin_anew() -> None:
    encode = {"kind": "rate", "num_steps": 30, "seed": 4}
    rig = Rig(
        {"topic": "a/{stream}", "payload": {"format": "json", "field": ""}, "encode": encode},
        model=EchoModel(2),
        output=ALWAYS,
        time={"source": "message", "reset": "message"},
    )
    train = Rate(num_steps=30, seed=4).encode([0.3, 0.9]).reshape(30, 2)
    for _ in range(3):
        (result,) = rig.send("a/a", b"[0.3, 0.9]")
        assert result["counts"] == train.sum(axis=0).tolist()
        assert result["until_us"] == 30_000


def test_a_value_that_its_encoder_refuses_changes_nothing() -> None:
    encode = {"kind": "latency", "num_steps": 5, "linear": True, "tau": 4}
    rig = Rig(
        {**VALUES, "encode": encode},
        model=EchoModel(2),
        output={**ALWAYS, "wait_for": "any"},
        time={"source": "message"},
    )
    rig.value(0, 1.0)
    assert rig.value(0, 1.5) == []
    assert rig.said == [
        ("VALUE", "value 0: found 1.5; accepted: at most 1 with linear, unless normalize")
    ]
    rig.value(1, 1.0)
    train = Latency(num_steps=5, linear=True, tau=4).encode([1.0, 1.0])[:, 0]
    assert [spike for spike in rig.session.spikes if spike[0] >= 5] == [
        (5 + tick, at) for tick, at in zip(*np.nonzero(train), strict=True)
    ]


# Results


def test_windows_of_the_streams_own_time() -> None:
    rig = Rig(output={"on": "window", "window_s": 0.01, "form": {"values": "counts"}})
    assert rig.events([0, 3_000, 9_999], [1, 1, 2]) == []
    results = rig.events([10_000, 25_000, 45_000], [3, 4, 5])
    assert [(r["from_us"], r["until_us"]) for r in results] == [
        (0, 10_000),
        (10_000, 20_000),
        (20_000, 30_000),
    ]
    assert [r["counts"][1:6] for r in results] == [
        [2, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 1, 0],
    ]
    rig.now_us += 10**6
    (last,) = rig.due()
    assert (last["from_us"], last["until_us"]) == (40_000, 50_000)
    assert last["counts"][5] == 1


def test_a_window_is_acknowledged_with_its_result() -> None:
    rig = Rig(output={"on": "window", "window_s": 0.01, "form": {"values": "counts"}})
    receipts = [Receipt(1), Receipt(2)]
    (held,) = rig.streams.answers(Message("cam/a", block([0], [1]), receipts[0]))
    assert held.receipt is None
    assert not receipts[0].done
    result, _ = rig.streams.answers(Message("cam/a", block([15_000], [1]), receipts[1]))
    result.settle()
    assert (receipts[0].done, receipts[1].done) == (True, False)


def test_the_winner_is_the_output_of_most_spikes() -> None:
    model = EchoModel(3, labels=("left", "right", "none"))
    rig = Rig(
        model=model, output={"on": "always", "form": {"top_k": 2}}, time={"source": "message"}
    )
    (result,) = rig.events([0, 1, 1, 2, 3], [1, 0, 1, 1, 0])
    assert result["top"] == [
        {"index": 1, "label": "right", "value": 3},
        {"index": 0, "label": "left", "value": 2},
    ]
    assert result["neuron"] == "lif"
    assert result["events_in"] == 5


def test_the_winner_of_readouts_is_the_highest_potential() -> None:
    model = EchoModel(3, readout=True)
    rig = Rig(
        model=model, output={"on": "always", "form": {"top_k": 1}}, time={"source": "message"}
    )
    rig.events([0, 0], [2, 2])
    (result,) = rig.events([0], [1])
    assert result["top"] == [{"index": 2, "value": 1.0}]


def test_potentials_are_in_real_units_and_told_when_they_change() -> None:
    rig = Rig(output={"on": "change", "form": {"values": "potentials"}}, time={"source": "message"})
    (result,) = rig.events([0, 0], [2, 2])
    assert result["potentials"] == [0, 0, 1.0, 0, 0, 0, 0, 0]
    assert rig.events([], []) == []


def test_on_change_only_spikes_are_told() -> None:
    rig = Rig(output={"on": "change", "form": {"values": "counts"}}, time={"source": "message"})
    assert len(rig.events([0], [1])) == 1
    assert rig.events([], []) == []


def test_events_as_they_come() -> None:
    rig = Rig(output={"on": "always", "form": {"values": "events"}})
    rig.events([700_000, 701_500], [1, 2])
    (result,) = rig.events([703_000], [3])
    assert result["events"] == {"t_us": [701_000], "addr": [2]}
    packed = Rig(output={"on": "always", "form": {"values": "packed"}})
    packed.streams.answers(Message("cam/a", block([700_000, 701_500], [1, 2]), None))
    (done,) = packed.streams.answers(Message("cam/a", block([703_000], [3]), None))
    assert aer.unpack(done.payload, 8) == Events(array("q", [701_000]), array("I", [2]))


def test_on_interval() -> None:
    rig = Rig(output={"on": "interval", "interval_s": 1, "form": {"values": "counts"}})
    rig.events([0, 2_000], [1, 2])
    rig.events([3_000], [2])
    (result,) = rig.due()
    assert (result["seq_first"], result["seq"]) == (1, 2)
    assert result["counts"] == [0, 1, 1, 0, 0, 0, 0, 0]


def test_streams_are_apart() -> None:
    rig = Rig(output=ALWAYS, time={"source": "message"})
    rig.send("cam/a", block([0], [1]))
    (result,) = rig.send("cam/b", block([0], [2]))
    assert (result["stream"], result["seq"]) == ("b", 1)
    assert [session.spikes for session in rig.model.sessions] == [[(0, 1)], [(0, 2)]]


# What does not fit


@pytest.mark.parametrize(
    ("inputs", "vm", "said"),
    [
        (
            [{**AER, "encode": {"kind": "delta"}}],
            {},
            "inputs[0].encode: found one; accepted: no such",
        ),
        ([{**AER, "topic": "c/{element}"}], {}, "inputs[0].topic"),
        (
            [{**AER, "payload": {"format": "aer", "width": 3, "height": 2}}],
            {},
            "inputs[0].payload: found 3 × 2 × 2 = 12 addresses; accepted: 8 addresses",
        ),
        ([{**AER, "to": {"tensor": 1}}], {}, "inputs[0].to.tensor: found 1; accepted: 0 to 0"),
        ([VALUES], {}, "inputs[0].encode: found nothing; accepted: an encoder"),
        (
            [{**VALUES, "encode": {"kind": "population", "out_features": 9}}],
            {},
            "inputs[0].to: found 0 elements of 9 channels; accepted: at most 8 addresses",
        ),
        (
            [{**VALUES, "encode": {"kind": "delta"}, "to": {"first": 7, "elements": ["a", "b"]}}],
            {},
            "inputs[0].to: found 2 elements of 1 channels; accepted: at most 1 addresses",
        ),
        (
            [{**VALUES, "encode": {"kind": "poisson", "dt": 0.002}}],
            {},
            "inputs[0].encode.dt: found 0.002; accepted: 0.001, as the network's tick",
        ),
        (
            [{**VALUES, "encode": {"kind": "delta"}}],
            {"time": {"source": "payload"}},
            "inputs[0].payload.t_us: found nothing",
        ),
        ([AER], {"output": {"form": {"values": "codes"}}}, "output.form.values: found codes"),
        (
            [AER],
            {"output": {"on": "window", "window_s": 0.0007}},
            "output.window_s: found 0.0007; accepted: 0.001 or more",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    inputs: list[dict[str, Any]], vm: dict[str, Any], said: str
) -> None:
    with pytest.raises(MappingError) as raised:
        Rig(*inputs, **vm)
    assert said in str(raised.value)


def test_readouts_have_no_counts() -> None:
    with pytest.raises(MappingError, match=r"output\.form\.values: found counts; accepted: potent"):
        Rig(model=EchoModel(8, readout=True), output=ALWAYS)


@pytest.mark.parametrize("dt_us", [1.0, 1000.0, 333.3333333, 0.7, 1e6 / 3])
def test_ticks_begin_where_they_say(dt_us: float) -> None:
    ticks = Ticks(dt_us)
    for tick in [*range(500), 10**6 + 1, 10**9 + 7]:
        start = ticks.start_us(tick)
        assert ticks.at(start) >= tick
        assert ticks.at(start - 1) < tick
