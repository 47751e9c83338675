# SPDX-License-Identifier: Apache-2.0
"""Single stages: when frames were taken, columns that miss each other, arrivals, normalisation."""

from __future__ import annotations

import json
import struct
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from window_rig import RAW, Rig

import neurovm
from neurovm.frontends import Micro
from neurovm.model import Model
from neurovmd.shared import DropReason
from neurovmd.window.block import Block, Budget, Tally, Ticks
from neurovmd.window.collect import Collect, Merge
from neurovmd.window.fill import Fill, Gaps
from neurovmd.window.normalize import normalized
from neurovmd.window.slide import Hop, Spans

PUMP = Path(__file__).parents[1] / "fixtures" / "pump_window_dscnn.tflite"
SIZE, FRAME = 16, 64


@pytest.fixture(scope="module")
def pump() -> Model:
    return neurovm.convert_tflite(PUMP)


def test_a_window_begins_within_a_packet() -> None:
    spans = Spans(4)
    spans.add(6, 0, 50, 3)  # the first three were made up
    assert spans.hop() == Hop(20, 50, 1)
    spans.add(3, 60, 80, 2)
    assert spans.hop() == Hop(50, 80, 2)
    spans.add(1, 90, 90, 0)
    assert spans.hop() == Hop(60, 90, 2)
    spans.clear()
    spans.add(4, 5, 8, 4)
    assert spans.hop() == Hop(5, 8, 4)


@pytest.mark.parametrize("rule", ["peak", "mean_variance"])
def test_channels_are_normalised_by_themselves(rule: str) -> None:
    window = np.random.default_rng(3).normal(2, 3, (20, 3))
    window[:, 1] = 0.0 if rule == "peak" else 7.0
    found = np.array(normalized(array("d", window.ravel()), 3, rule)).reshape(20, 3)
    if rule == "peak":
        wanted = window / np.maximum(np.abs(window).max(0), 1e-300)
    else:
        wanted = (window - window.mean(0)) / np.maximum(window.std(0), 1e-300)
    assert np.allclose(found, wanted, rtol=1e-12, atol=1e-12)


def merged(hold: bool, late: int, parts: list[tuple[int, int, float]]) -> tuple[Any, Tally]:
    tally = Tally()
    merge = Merge(2, late, 10**7, tally, hold=hold)
    found = []
    for at, column, value in parts:
        found += merge.push(at, iter([(column, value)]))
    left = merge.drain()
    rows = [(block.at, list(block.values)) for block in (*found, *left)]
    return (rows, len(found)), tally


def test_rows_that_miss_a_column_are_let_go() -> None:
    parts = [(0, 0, 1.0), (0, 1, 2.0), (10, 0, 3.0), (20, 1, 6.0), (20, 0, 5.0), (20, 0, 9.0)]
    (rows, before), tally = merged(False, 0, parts)
    assert (rows, before) == ([(0, [1.0, 2.0]), (20, [5.0, 6.0])], 2)
    assert (tally.gaps, tally.late) == (1, 1)


def test_rows_that_miss_a_column_are_filled_with_hold() -> None:
    parts = [(0, 0, 1.0), (0, 1, 2.0), (10, 0, 3.0), (20, 1, 6.0), (20, 0, 5.0)]
    (rows, _), tally = merged(True, 0, parts)
    assert rows == [(0, [1.0, 2.0]), (10, [3.0, 2.0]), (20, [5.0, 6.0])]
    assert tally.gaps == 1


def test_columns_are_waited_for() -> None:
    parts = [(0, 0, 1.0), (10, 0, 3.0), (0, 1, 2.0), (10, 1, 4.0), (10, 1, 5.0)]
    (rows, before), tally = merged(False, 100, parts)
    assert (rows, before) == ([(0, [1.0, 2.0]), (10, [3.0, 4.0])], 0)
    assert (tally.gaps, tally.late, tally.duplicates, tally.reordered) == (0, 0, 1, 1)


def test_by_arrival_a_row_is_there_when_every_column_came_anew() -> None:
    collect = Collect(2)
    found = []
    for at, (column, value) in enumerate([(0, 1.0), (0, 2.0), (1, 3.0), (1, 4.0), (0, 5.0)]):
        found += collect.push(at, iter([(column, value)]))
    assert [(b.at, list(b.values)) for b in found] == [(2, [2.0, 3.0]), (4, [5.0, 4.0])]


def test_a_late_stretch_of_packets_that_overlap_goes_on() -> None:
    ticks, tally = Ticks.of(100.0, None), Tally()
    fill = Fill(1, Gaps("reset", None, 10**6, 10**7), ticks, tally)
    found = []
    for at in (0, 29_000, 61_000):  # three rows of 10 ms each
        found += fill.push(Block(at, 3, array("d", [1.0, 2.0, 3.0])), Budget())
    assert [rows.anew for rows in found] == [True, False, False]
    assert tally.gaps == 0


PCM = {"format": "pcm", "rate_hz": 1000, "channels": FRAME}


def packet(n: int) -> bytes:
    return np.zeros((n, FRAME), "<i2").tobytes()


def test_packets_by_arrival_are_put_end_to_end(pump: Model) -> None:
    rig = Rig(pump, {"hop": 4, "gap_after": "500 ms"}, source={"payload": PCM})
    begin_us = rig.ns // 1000
    found = []
    for k in range(6):  # they come unevenly
        rig.ns = (begin_us + k * 10_000 + 3_000 * (k % 3)) * 1000
        found += rig.send(packet(10))
    ends_us = [begin_us - 10_000 + 1_000 * (end - 1) for end in range(SIZE, 61, 4)]
    assert [r["window"]["t1_us"] for r in found] == ends_us
    assert [r["window"]["t0_us"] for r in found] == [us - 15_000 for us in ends_us]
    rig.ns += 2 * 10**9
    assert rig.send(packet(10)) == []
    assert len(rig.send(packet(10))) == 2
    assert rig.slot.gaps == 1


def test_a_packets_rows_keep_their_times_where_columns_are_named(pump: Model) -> None:
    names = {"elements": [f"c{i}" for i in range(FRAME)]}
    rig = Rig(pump, {"hop": 1}, source={"payload": PCM, "to": names})
    begin_us = rig.ns // 1000
    (first, second) = rig.send(packet(SIZE + 1))
    start_us = begin_us - 1_000 * (SIZE + 1)
    assert first["window"] == {"t0_us": start_us, "t1_us": start_us + 15_000, "n": SIZE}
    assert second["window"]["t1_us"] == start_us + 16_000


def test_frames_have_the_time_of_the_row_that_completes_them(pump: Model) -> None:
    front_end = [{"kind": "frames", "frame_length": FRAME, "frame_step": 32}]
    pcm = {"format": "pcm", "rate_hz": 1000}
    rig = Rig(pump, {"hop": 1}, source={"payload": pcm, "front_end": front_end})
    assert rig.inputs.course.span_us == (SIZE * 32 + FRAME) * 1000
    begin_us = rig.ns // 1000
    samples = np.arange(FRAME + 32 * SIZE, dtype="<i2")
    found = [
        result
        for at in range(0, len(samples), 50)
        for result in rig.send(samples[at : at + 50].tobytes())
    ]
    start_us = begin_us - 50_000
    last = FRAME - 1 + 32 * (SIZE - 1)
    assert [r["window"]["t1_us"] for r in found] == [
        start_us + 1000 * last, start_us + 1000 * (last + 32),
    ]  # fmt: skip
    assert found[0]["window"]["t0_us"] == start_us + 1000 * (FRAME - 1)


def test_integers_of_a_front_end_are_the_models_codes_unless_scaled() -> None:
    model = neurovm.convert_tflite(PUMP)
    micro = {"kind": "micro", "output": "int8", "num_channels": FRAME}
    source = {"payload": {"format": "pcm", "rate_hz": 16000}, "front_end": [micro]}
    plain = Rig(model, {"size": SIZE}, source=source).inputs.coder
    scaled = Rig(model, {"size": SIZE, "scale": 2.0}, source=source).inputs.coder
    made = Micro(output="int8", num_channels=FRAME).stream((), 16000.0)
    frames = made.push(np.random.default_rng(0).integers(-3000, 3000, 1000).astype(np.int16))
    values = array("b", frames[0].tobytes())
    assert plain.encode(plain.prepared(values)) == values.tobytes()
    info = model.inputs[0]
    reals = np.rint(2.0 * np.array(values) / info.scale) + info.zero_point
    wanted = np.clip(reals, -128, 127).astype(np.int8).tobytes()
    assert scaled.encode(scaled.prepared(values)) == wanted


@pytest.mark.parametrize(("rule", "by_payload"), [({}, True), ({"time": "arrival"}, False)])
def test_time_is_the_payloads_or_that_of_arrival(
    pump: Model, rule: dict[str, Any], by_payload: bool
) -> None:
    payload = {"format": "json", "field": "v", "t_us": "t"}
    rig = Rig(pump, {"hop": 1, **rule}, source={"payload": payload})
    found: list[dict[str, Any]] = []
    for k in range(SIZE):
        rig.ns += 10**9
        found += rig.send(json.dumps({"t": 1000 * k, "v": [0.1] * FRAME}).encode())
    (window,) = [r["window"] for r in found]
    assert window["t1_us"] == (15_000 if by_payload else rig.ns // 1000)


WILD = struct.pack("<f", 3e38) * FRAME


@pytest.mark.parametrize("inner", [True, False])
def test_a_front_end_that_overflows_is_counted_and_begins_anew(pump: Model, inner: bool) -> None:
    front_end = [{"kind": "scale", "scale": 2.0}]
    source = {"payload": RAW, "to": {"elements": [f"c{i}" for i in range(FRAME)]}}
    if inner:
        rig = Rig(pump, {"size": SIZE, "front_end": front_end}, source=source)
    else:
        rig = Rig(pump, {"size": SIZE}, source={**source, "front_end": front_end})
    quiet = struct.pack("<f", 0.25) * FRAME
    for _ in range(SIZE - 1):
        assert rig.send(quiet) == []
    assert rig.send(WILD) == []
    assert rig.slot.dropped[DropReason.VALUE] == 1
    found = [result for _ in range(SIZE) for result in rig.send(quiet)]
    assert len(found) == 1
    assert rig.slot.dropped[DropReason.VALUE] == 1


def test_results_are_json_of_whole_microseconds(pump: Model) -> None:
    rig = Rig(pump, {"hop": 1, "rate_hz": 33.3, "time": "payload"},
              source={"payload": {"format": "json", "field": "v", "t_us": "t"}})  # fmt: skip
    found: list[dict[str, Any]] = []
    for k in range(40):
        message = {"t": k * 20_000, "v": [0.1] * FRAME}
        found += rig.send(json.dumps(message).encode())
    assert found
    assert all(type(r["window"]["t0_us"]) is int and r["window"]["resampled"] for r in found)
