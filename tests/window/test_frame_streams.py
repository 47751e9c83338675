# SPDX-License-Identifier: Apache-2.0
"""From messages to results: every window's answer is the dense network's on the oracle's window."""

from __future__ import annotations

import json
import random
import struct
from array import array
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import window_oracle as oracle
from window_rig import RAW, Rig

import neurovm
from neurovm.model import Model
from neurovmd.mailbox import Receipt
from neurovmd.refusal import MappingError
from neurovmd.shared import DropReason
from neurovmd.window.frames import Frames
from neurovmd.window.rule import Window
from neurovmd.window.slide import Slide

PUMP = Path(__file__).parents[1] / "fixtures" / "pump_window_dscnn.tflite"
SIZE, FRAME = 16, 64
STAMPED = {"format": "json", "field": "v", "t_us": "t"}


@pytest.fixture(scope="module")
def pump() -> Model:
    return neurovm.convert_tflite(PUMP)


def rows(count: int, seed: int = 0) -> np.ndarray:
    """(count, FRAME) values that quantise to all codes, and beyond."""
    return np.random.default_rng(seed).uniform(-0.1, 1.1, (count, FRAME)).astype(np.float32)


def codes(model: Model, window: np.ndarray) -> np.ndarray:
    info = model.inputs[0]
    real = np.rint(window.astype(np.float64) / info.scale) + info.zero_point
    return np.clip(real, -128, 127).astype(np.int8)


def dense(model: Model, window: np.ndarray) -> list[int]:
    """What the network answers to one window of reals, as codes."""
    answer = model.predict(codes(model, window).reshape(model.inputs[0].shape))
    return [int(code) for code in np.asarray(answer).ravel()]


def test_a_result_each_hop_says_which_messages_it_covers(pump: Model) -> None:
    rig, frames = Rig(pump, {"hop": 3}), rows(40)
    found = []
    for frame in frames:
        rig.ns += 10**9
        found += rig.send(frame.tobytes())
    ends = list(range(SIZE, 41, 3))
    assert [r["values"] for r in found] == [dense(pump, frames[e - SIZE : e]) for e in ends]
    assert [r["seq"] for r in found] == ends
    assert [r.get("seq_first", r["seq"]) for r in found] == [1, *(e + 1 for e in ends[:-1])]
    begin_us = 1_760_000_000 * 10**6
    assert found[1]["window"] == {
        "t0_us": begin_us + 4 * 10**6,
        "t1_us": begin_us + 19 * 10**6,
        "n": SIZE,
    }
    assert found[-1]["sops"] < pump.manifest.macs


@pytest.mark.parametrize("hop", [1, 2, 5, SIZE, SIZE + 3])
def test_packets_of_any_length_give_the_same_windows(pump: Model, hop: int) -> None:
    frames, draw = rows(120, seed=hop), random.Random(hop)
    rig, at, found = Rig(pump, {"hop": hop}), 0, []
    while at < len(frames):
        n = draw.choice([1, 1, 2, 7, 40])
        found += rig.send(frames[at : at + n].tobytes())
        at += n
    ends = range(SIZE, 121, hop)
    assert [r["values"] for r in found] == [dense(pump, frames[e - SIZE : e]) for e in ends]
    seqs = [r["seq"] for r in found]
    assert seqs == sorted(seqs)


def test_a_packet_of_many_hops_shows_that_it_goes_on(pump: Model) -> None:
    """Who watches the worker looks at how long it is busy with one thing."""
    rig, frames = Rig(pump, {}), rows(SIZE + 2)
    rig.send(frames[:1].tobytes())
    assert rig.slot.busy_since_ns == 0  # it is idle: nobody said that it began
    rig.slot.busy_since_ns = rig.ns
    rig.ns += 9 * 10**9
    rig.send(frames[1 : SIZE - 1].tobytes())
    assert rig.slot.busy_since_ns == rig.ns - 9 * 10**9  # no window is whole yet
    assert len(rig.send(frames[SIZE - 1 :].tobytes())) == 3
    assert rig.slot.busy_since_ns == rig.ns


@pytest.mark.parametrize("more", [{}, {"rate_hz": 10.0}, {"gap_after": "60 s"}])
def test_nothing_that_arrives_is_late_when_the_clock_is_set_back(
    pump: Model, more: dict[str, Any]
) -> None:
    rig, frames = Rig(pump, {"time": "arrival", **more}), rows(2 * SIZE)
    found = []
    for at, frame in enumerate(frames):
        rig.ns += 10**8 if at != SIZE else -3 * 10**9
        found += rig.send(frame.tobytes())
    ends = (SIZE, 2 * SIZE)
    assert [r["values"] for r in found] == [dense(pump, frames[e - SIZE : e]) for e in ends]
    assert (rig.slot.late_events, rig.slot.duplicates) == (0, 0)


def test_windows_that_are_not_full_yet_are_answered_with_wait_for_any(pump: Model) -> None:
    rig = Rig(pump, {"hop": 4}, source={"initial": 0.25}, output={"wait_for": "any"})
    frames = rows(12)
    found = [result for frame in frames for result in rig.send(frame.tobytes())]
    quarter = np.full((SIZE, FRAME), 0.25, np.float32)
    whole = np.concatenate([quarter, frames])
    assert [r["values"] for r in found] == [dense(pump, whole[e : e + SIZE]) for e in (4, 8, 12)]


def sliding_rows(count: int) -> list[np.ndarray]:
    frames = rows(SIZE + count)
    return [frames[i : i + SIZE] for i in range(count)]


def test_whole_windows_are_compared_with_those_before(pump: Model) -> None:
    rig = Rig(pump, {"whole": True})
    windows = sliding_rows(12)
    windows[6] = rows(SIZE, seed=9)  # no continuation, and the next is none of it
    found = [rig.send(window.tobytes()) for window in windows]
    assert [r["values"] for (r,) in found] == [dense(pump, window) for window in windows]
    assert rig.slot.window_shift_misses == 3  # the first, too
    assert rig.send(rows(3).tobytes()) == []
    assert rig.slot.dropped[DropReason.PAYLOAD] == 1


def test_comparing_ends_where_windows_never_continue(pump: Model) -> None:
    rig = Rig(pump, {"whole": True})
    windows = [rows(SIZE, seed=seed) for seed in range(130)]
    found = [rig.send(window.tobytes()) for window in windows]
    assert [r["values"] for (r,) in found] == [dense(pump, window) for window in windows]
    assert rig.slot.window_shift_misses == 100


@pytest.mark.parametrize("rule", ["peak", "mean_variance"])
def test_normalised_windows(pump: Model, rule: str) -> None:
    scale, offset = 0.5, 0.25
    window = {"hop": 2, "normalize": rule, "scale": scale, "offset": offset}
    rig, frames = Rig(pump, window), rows(30)
    frames[:, 3] = 0.5
    found = [result for frame in frames for result in rig.send(frame.tobytes())]
    wanted = []
    for end in range(SIZE, 31, 2):
        part = frames[end - SIZE : end].astype(np.float64) * scale + offset
        if rule == "peak":
            part = part / np.abs(part).max(axis=0)
        else:
            deviation = part.std(axis=0)
            away = part - part.mean(axis=0)
            flat = deviation < 1e-12
            part = np.where(flat, 0.0, away / np.where(flat, 1.0, deviation))
        wanted.append(dense(pump, part))
    assert [r["values"] for r in found] == wanted


@pytest.mark.parametrize("seed", range(12))
def test_streams_in_any_order_equal_the_oracle(pump: Model, seed: int) -> None:
    draw = random.Random(seed)
    late_us = draw.choice([0, 50_000])
    rate_hz = draw.choice([None, 40.0, 25.0])
    hop = draw.choice([1, 2, 5])
    gap = draw.choice(["reset", "hold", "interpolate"]) if rate_hz else "reset"
    window: dict[str, Any] = {"hop": hop, "gap": gap, "gap_after": "150 ms", "time": "payload"}
    window |= {"late": "50 ms"} if late_us else {}
    window |= {"rate_hz": rate_hz} if rate_hz else {}
    sent, t = [], 10**9
    values = rows(90, seed)
    for row in values:
        t += draw.choices([25_000, 31_000, 90_000, 400_000], [30, 9, 9, 2])[0]
        sent.append((t, [tuple(map(float, row))]))
    for _ in range(20):
        i = draw.randrange(len(sent) - 2)
        sent[i], sent[i + 1] = sent[i + 1], sent[i]
    sent.insert(50, sent[49])
    sent.insert(60, (10**9 + 7, sent[3][1]))
    rig = Rig(pump, window, source={"payload": STAMPED})
    found = []
    for at, ((row,)) in sent:
        found += rig.send(json.dumps({"t": at, "v": list(row)}).encode())
    found += rig.end()
    rule = oracle.Rule(
        size=SIZE, hop=hop, late_us=late_us, gap=gap, gap_us=150_000,
        grid_us=Fraction(10**6) / Fraction(rate_hz) if rate_hz else None,
        span_us=round(SIZE * 1e6 / rate_hz) if rate_hz else None,
    )  # fmt: skip
    wanted = oracle.all_windows(rule, sent)
    assert len(wanted) > 3, seed
    assert [r["values"] for r in found] == [dense(pump, np.array(w.rows)) for w in wanted]
    assert [(r["window"]["t0_us"], r["window"]["t1_us"]) for r in found] == [
        (w.t0_us, w.t1_us) for w in wanted
    ]
    assert [r["window"].get("filled", 0) for r in found] == [w.made_up for w in wanted]
    seen = oracle.in_order(rule, sent)
    assert rig.slot.late_events >= seen.late > 0
    assert rig.slot.duplicates == seen.duplicates


NAMES_OF_64 = [f"c{i}" for i in range(FRAME)]


def test_columns_of_several_topics_meet_by_their_time(pump: Model) -> None:
    source = {"topic": "a/{stream}/{element}", "payload": STAMPED}
    to = {"elements": NAMES_OF_64}
    rig = Rig(pump, {"hop": 1, "time": "payload"}, source={**source, "to": to})
    frames, found = rows(SIZE + 2), []
    for t, frame in enumerate(frames):
        columns = list(range(FRAME))
        random.Random(t).shuffle(columns)
        for c in columns:
            payload = json.dumps({"t": t * 1000, "v": float(frame[c])}).encode()
            found += rig.send(payload, f"a/p/c{c}")
    ends = range(SIZE, SIZE + 3)
    assert [r["values"] for r in found] == [dense(pump, frames[e - SIZE : e]) for e in ends]


def test_columns_meet_on_a_grid(pump: Model) -> None:
    source = {"topic": "a/{stream}/{element}", "payload": STAMPED}
    window = {"hop": 1, "time": "payload", "rate_hz": 100.0}
    rig = Rig(pump, window, source={**source, "to": {"elements": NAMES_OF_64}})
    slopes = np.linspace(0.001, 0.02, FRAME)
    found = []
    for k in range(60):  # every column at its own moments: straight lines in time
        for c in range(FRAME):
            t = 10**6 + k * 7000 + c * 13
            value = slopes[c] * (t - 10**6) / 10**4
            found += rig.send(json.dumps({"t": t, "v": value}).encode(), f"a/p/c{c}")
    assert len(found) > 5
    for result in found:
        t0 = result["window"]["t0_us"]
        assert t0 % 10_000 == 0
        at = t0 + 10_000 * np.arange(SIZE)
        ideal = slopes[None, :] * (at[:, None] - 10**6) / 10**4
        assert max(abs(np.array(result["values"]) - dense(pump, ideal))) <= 1


def test_columns_without_a_value_are_refused(pump: Model) -> None:
    to = {"elements": NAMES_OF_64}
    source = {"topic": "a/{stream}/{element}", "payload": {"format": "json", "field": "v"}}
    rig = Rig(pump, {}, source={**source, "to": to})
    assert rig.send(b'{"v": []}', "a/p/c0") == []
    assert rig.refused == ["PAYLOAD: found 0 values; accepted: one or more"]
    rig = Rig(pump, {}, source={"payload": {"format": "json", "field": ""}, "to": to})
    assert rig.send(b'{"c0": [], "c1": []}') == []
    assert rig.refused == ["VALUE: an object of elements without a value"]


def test_an_object_by_name_is_a_row(pump: Model) -> None:
    source = {"payload": {"format": "json", "field": ""}, "to": {"elements": NAMES_OF_64}}
    rig, frames, found = Rig(pump, {}, source=source), rows(SIZE), []
    for frame in frames:
        named = {name: float(value) for name, value in zip(NAMES_OF_64, frame, strict=True)}
        found += rig.send(json.dumps(named).encode())
    assert [r["values"] for r in found] == [dense(pump, frames)]


def test_output_steps_follow_hops(pump: Model) -> None:
    steps = [{"kind": "mean", "n": 2}]
    rig = Rig(pump, {"hop": 2}, output={"steps": steps, "form": {"values": "real"}})
    frames = rows(SIZE + 4)
    found = [result for frame in frames for result in rig.send(frame.tobytes())]
    info = pump.outputs[0]
    real = [[info.real(code) for code in dense(pump, frames[e - SIZE : e])] for e in (16, 18, 20)]
    assert found[-1]["values"] == pytest.approx(np.mean(real[1:], axis=0))


@pytest.mark.parametrize("window", [{}, {"normalize": "peak", "scale": 1.0}])
def test_steps_that_look_at_inputs_see_the_window(pump: Model, window: dict[str, Any]) -> None:
    rig, frames = Rig(pump, window), rows(SIZE + 3)
    inputs = rig.inputs
    session = pump.session(window=neurovm.Window())
    slide = Slide(inputs.shape, session, inputs.coder, pump.session, eager=False, keeps=True)
    found = []
    for frame in frames:
        flat = array("d", map(float, frame))
        for hop in slide.push(Frames(0, 0, 1, flat, 0, False)):
            assert hop.filled == 0
            found.append(list(slide.codes))
    peak = 1.0 if not window else np.abs(np.stack([frames[i : i + SIZE] for i in range(4)])).max(1)
    peaks = np.broadcast_to(peak, (4, FRAME))
    wanted = [codes(pump, frames[i : i + SIZE].astype(float) / peaks[i]) for i in range(4)]
    assert found == [each.ravel().tolist() for each in wanted]


# Acknowledgements


def test_messages_between_hops_wait_for_the_result_that_covers_them(pump: Model) -> None:
    rig, frames = Rig(pump, {"hop": 2}), rows(SIZE + 2)
    receipts = [Receipt(mid) for mid in range(len(frames))]
    for i, frame in enumerate(frames):
        done = rig.done(frame.tobytes(), receipt=receipts[i])
        if i in (SIZE - 1, SIZE + 1):
            assert done[-1].payload
        for each in done:
            each.settle()
    assert [r.done for r in receipts[-3:]] == [True] * 3
    assert all(r.held for r in receipts[: SIZE - 1])


def test_a_result_keeps_what_it_covers_when_the_message_goes_on(pump: Model) -> None:
    """Its first hop changes the answer, the others do not: the result answers all of it."""
    rig, frames = Rig(pump, {"hop": 1}, output={"on": "change"}), np.repeat(rows(1), SIZE + 2, 0)
    receipts = [Receipt(1), Receipt(2)]
    assert not any(d.payload for d in rig.done(frames[: SIZE - 1].tobytes(), receipt=receipts[0]))
    done = rig.done(frames[SIZE - 1 :].tobytes(), receipt=receipts[1])
    assert sum(bool(each.payload) for each in done) == 1
    for each in done:
        each.settle()
    assert [receipt.done for receipt in receipts] == [True, True]


def test_a_hop_that_changes_nothing_is_not_published(pump: Model) -> None:
    rig, frame = Rig(pump, {"hop": 2}, output={"on": "change"}), rows(1)
    found = [result for _ in range(SIZE + 9) for result in rig.send(frame.tobytes())]
    assert len(found) == 1
    receipts = [Receipt(1), Receipt(2)]
    rig.send(frame.tobytes())
    for receipt in receipts:
        for each in rig.done(frame.tobytes(), receipt=receipt):
            each.settle()
    assert all(receipt.done for receipt in receipts)


def test_one_message_may_hold_several_hops(pump: Model) -> None:
    rig, frames = Rig(pump, {"hop": 1}), rows(SIZE + 2)
    receipt = Receipt(5)
    done = rig.done(frames.tobytes(), receipt=receipt)
    found = [json.loads(each.payload) for each in done]
    ends = range(SIZE, SIZE + 3)
    assert [r["values"] for r in found] == [dense(pump, frames[e - SIZE : e]) for e in ends]
    assert [r["seq"] for r in found] == [1, 1, 1]
    for each in done[:-1]:
        each.settle()
    assert not receipt.done
    done[-1].settle()
    assert receipt.done


def test_streams_are_apart(pump: Model) -> None:
    rig, frames = Rig(pump, {"hop": 2}), [rows(SIZE + 4, seed) for seed in range(3)]
    found: dict[str, list[Any]] = {}
    for k in range(SIZE + 4):
        for stream in range(3):
            for result in rig.send(frames[stream][k].tobytes(), f"a/s{stream}"):
                found.setdefault(result["stream"], []).append(result["values"])
    for stream in range(3):
        own = frames[stream]
        wanted = [dense(pump, own[e - SIZE : e]) for e in (16, 18, 20)]
        assert found[f"s{stream}"] == wanted
    assert rig.slot.streams == 3


def test_a_message_is_not_answered_before_the_result_it_led_to(pump: Model) -> None:
    rig, frame = Rig(pump, {"hop": 1}, output={"on": "change"}), rows(1)
    receipt = Receipt(7)
    done = rig.done(np.repeat(frame, SIZE + 4, axis=0).tobytes(), receipt=receipt)
    assert len(done) == 1  # the first hop changed the answer, the others nothing
    assert done[0].payload
    assert not receipt.done
    done[0].settle()
    assert receipt.done


def test_on_interval_the_last_hop_is_answered(pump: Model) -> None:
    rig = Rig(pump, {"hop": 1}, output={"on": "interval", "interval_s": 1})
    frames = rows(SIZE + 5)
    for frame in frames:
        assert rig.send(frame.tobytes()) == []
    (first,) = [json.loads(each.payload) for each in rig.streams.due()]
    assert first["values"] == dense(pump, frames[-SIZE:])
    rig.ns += 2 * 10**9
    assert rig.streams.due() == []


def test_samples_held_for_late_ones_go_on_after_a_while(pump: Model) -> None:
    rig = Rig(pump, {"late": "200 ms", "time": "payload"}, source={"payload": STAMPED})
    frames = rows(SIZE)
    for t, frame in enumerate(frames):
        payload = json.dumps({"t": t * 1000, "v": frame.tolist()}).encode()
        assert rig.send(payload) == []
    assert rig.streams.next_due_s() == pytest.approx(0.2)
    assert rig.streams.due() == []
    rig.ns += 200_000_000
    (done,) = rig.streams.due()
    assert json.loads(done.payload)["values"] == dense(pump, frames)
    assert rig.streams.next_due_s() is None


# What is refused


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (struct.pack("<63f", *range(63)), DropReason.PAYLOAD),
        (b"", DropReason.PAYLOAD),
        (struct.pack("<64f", *[float("nan")] * 64), DropReason.VALUE),
        (struct.pack("<64f", *[float("inf")] * 64), DropReason.VALUE),
        (b"abc", DropReason.PAYLOAD),
    ],
)
def test_messages_that_hold_no_rows(pump: Model, payload: bytes, reason: DropReason) -> None:
    rig, frames = Rig(pump, {}), rows(SIZE)
    for frame in frames[:-1]:
        rig.send(frame.tobytes())
    assert rig.send(payload) == []
    assert rig.slot.dropped[reason] == 1
    (result,) = rig.send(frames[-1].tobytes())
    assert (result["values"], result["seq"]) == (dense(pump, frames), SIZE)


@pytest.mark.parametrize(
    ("window", "more", "words"),
    [
        ({"size": 15}, {}, "1024 values together"),
        ({"by": "time", "size": "1 s"}, {}, "rate of the frames is not known"),
        ({"by": "time", "size": "1 s", "rate_hz": 15.0}, {}, "15 frames of 68"),
        ({"by": "time", "size": "0.33 s", "rate_hz": 16.0}, {}, "a multiple of 0.0625 s"),
        ({"hop": "auto", "period": "1 s"}, {}, "rate of the frames is not known"),
        ({"time": "payload"}, {}, "a payload that says its time"),
        ({"late": "1 s"}, {}, "no samples are late"),
        ({"gap": "hold"}, {}, "rate of the rows is not known"),
        ({"scale": [1.0, 2.0]}, {}, "one, or 64"),
        ({"axis": 2}, {}, "an axis of 16 frames"),
        ({"rate_hz": 1e6, "gap_after": "1 h"}, {}, "at most"),
        ({}, {"to": {"elements": ["a", "b", "a1"]}}, "frames of 3 values"),
        ({}, {"to": {"tensor": 1}}, "to.tensor"),
        ({}, {"payload": {"format": "raw", "dtype": "uint8"}}, "dtype"),
        ({}, {"payload": {"format": "aer"}}, "no spikes"),
    ],
)
def test_windows_that_do_not_fit_are_named(
    pump: Model, window: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    with pytest.raises(MappingError, match=words):
        Rig(pump, window, source=more)


@pytest.mark.parametrize(
    "window",
    [
        {"by": "time", "size": "9" * 400 + " s"},
        {"late": "9" * 400 + " s"},
        {"gap_after": "20000000 min"},
        {"rate_hz": 1e-300},
        {"size": 0},
        {"hop": "fast"},
        {"hop": "1 s"},
        {"exact": False},
        {"whole": True, "hop": 2},
        {"period": "1 s"},
        {"scale": float("nan")},
        {"normalize": "max"},
    ],
)
def test_windows_that_are_none(window: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(window, Window)


def test_inputs_of_one_signal_are_alike(pump: Model) -> None:
    one = {"topic": "a/x", "payload": RAW, "window": {}}
    with pytest.raises(MappingError, match=r"inputs\[1\].window"):
        Rig(pump, None, inputs=[one, {**one, "window": {"hop": 2}}])


def test_automatic_hops_are_multiples_of_the_strides(pump: Model) -> None:
    rig = Rig(pump, {"hop": "auto", "period": "0.5 s", "rate_hz": 10.0, "time": "arrival"})
    plan = pump.plan(neurovm.Window(hop=rig.inputs.shape.hop))
    assert rig.inputs.shape.hop >= 5
    assert rig.inputs.shape.hop % plan.step == 0
