# SPDX-License-Identifier: Apache-2.0
"""Streams: seq without gaps, when a result is due, and that it equals the dense network."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from operator_cases import CASES

import neurovm
from neurovmd.compute import MOST_REST_NS, Compute, Streams
from neurovmd.mailbox import HELD, Mailbox, Message, Receipt
from neurovmd.mapping import Inputs
from neurovmd.pace import Pace
from neurovmd.result import ResultWriter
from neurovmd.schema import Vm
from neurovmd.shared import DUTY_ONE, DropReason, SharedBlock, Slot
from neurovmd.stream_table import Done

NAMES = {"prefix": "neurovm", "node": "box", "vm": "digits"}
SIZE = 64


class Clock:
    """Nanoseconds that move only when told to."""

    def __init__(self) -> None:
        self.ns = 10**12

    def __call__(self) -> int:
        return self.ns


class Rig:
    """The streams of one VM, without threads or network."""

    def __init__(self, bundle: Path, **settings: Any) -> None:
        source = {"topic": "a/{stream}/{element}", **settings.pop("source", {})}
        vm = msgspec.convert({"model": "x.nvm", "inputs": [source], **settings}, Vm)
        self.model = neurovm.load(bundle)
        self.slot: Slot = SharedBlock(1).slot(0)
        self.clock = Clock()
        inputs = Inputs(vm, NAMES, self.model)
        writer = ResultWriter("digits", self.model, vm.output.form)
        self.streams = Streams(
            vm,
            self.model,
            inputs,
            writer,
            lambda stream: f"out/{stream}",
            self.slot,
            clock_ns=self.clock,
            wall_ns=lambda: 1_760_000_000_000_000_000,
        )

    def send(self, element: int, value: float, stream: str = "p") -> dict[str, Any] | None:
        payload = json.dumps({"value": value}).encode()
        done = self.streams.accept(Message(f"a/{stream}/{element}", payload, None))
        return json.loads(done.payload) if done.payload else None

    def dense(self, values: dict[int, float]) -> list[int]:
        """The codes of a whole run on these values, by the dense network."""
        info = self.model.inputs[0]
        vector = np.zeros(SIZE)
        for element, value in values.items():
            vector[element] = value
        codes = np.clip(np.rint(vector / info.scale) + info.zero_point, -128, 127)
        shaped = codes.astype(np.int8).reshape(info.shape)
        return [int(code) for code in np.asarray(self.model.predict(shaped)).ravel()]


ALWAYS = {"on": "always", "wait_for": "any", "form": {"values": "codes"}}


def test_each_message_is_answered_with_the_dense_networks_codes(
    bundles: dict[str, Path],
) -> None:
    rig = Rig(bundles["digits_mlp"], output=ALWAYS)
    source = random.Random(3)
    values: dict[int, float] = {}
    for seq in range(1, 201):
        element, value = source.randrange(SIZE), source.random()
        values[element] = value
        result = rig.send(element, value)
        assert result is not None
        assert result["seq"] == seq
        assert "seq_first" not in result
        assert result["values"] == rig.dense(values)
        assert result["sops"] <= result["dense_macs"]


def test_a_result_says_what_it_is(bundles: dict[str, Path]) -> None:
    rig = Rig(
        bundles["digits_mlp"], output={"on": "always", "wait_for": "any", "form": {"top_k": 3}}
    )
    result = rig.send(0, 1.0)
    assert result is not None
    fixed = ("vm", "stream", "seq", "t_us", "profile", "backend", "kind", "neuron", "coding")
    assert [result[key] for key in fixed] == [
        "digits",
        "p",
        1,
        1_760_000_000_000_000,
        "xnnpack",
        "cpu",
        "cpu",
        "sd",
        "graded",
    ]
    assert result["model"] == rig.model.sha256[:12]
    info, codes = rig.model.outputs[0], rig.dense({0: 1.0})
    top = result["top"]
    assert [entry["code"] for entry in top] == sorted(codes, reverse=True)[:3]
    for entry in top:
        assert codes[entry["index"]] == entry["code"]
        assert entry["value"] == pytest.approx(info.scale * (entry["code"] - info.zero_point))


def test_wait_for_all_answers_from_the_last_element_on(bundles: dict[str, Path]) -> None:
    rig = Rig(bundles["digits_mlp"], output={**ALWAYS, "wait_for": "all"})
    values = {element: element / SIZE for element in range(SIZE)}
    assert [rig.send(*item) for item in list(values.items())[:-1]] == [None] * (SIZE - 1)
    result = rig.send(SIZE - 1, values[SIZE - 1])
    assert result is not None
    assert (result["seq_first"], result["seq"]) == (1, SIZE)
    assert result["values"] == rig.dense(values)


def test_on_change_answers_changes_only_and_covers_the_rest(bundles: dict[str, Path]) -> None:
    rig = Rig(bundles["digits_mlp"], output={**ALWAYS, "on": "change"})
    source = random.Random(5)
    values: dict[int, float] = {}
    published: list[int] | None = None
    covered = 0
    for seq in range(1, 301):
        element, value = source.randrange(SIZE), source.choice([0.0, 0.5, 1.0])
        values[element] = value
        result = rig.send(element, value)
        wanted = rig.dense(values)
        assert (result is not None) == (wanted != published)
        if result is not None:
            assert result.get("seq_first", seq) == covered + 1
            assert (result["seq"], result["values"]) == (seq, wanted)
            published, covered = wanted, seq


def test_on_interval_answers_once_an_interval_while_there_is_news(
    bundles: dict[str, Path],
) -> None:
    rig = Rig(bundles["digits_mlp"], output={**ALWAYS, "on": "interval", "interval_s": 2.0})
    assert rig.streams.next_due_s() is None
    assert rig.send(0, 1.0) is None
    assert rig.streams.next_due_s() == 0.0
    (first,) = rig.streams.due()
    assert json.loads(first.payload)["seq"] == 1
    assert rig.send(1, 1.0) is None
    assert rig.send(2, 1.0) is None
    assert rig.streams.due() == []
    assert rig.streams.next_due_s() == 2.0
    rig.clock.ns += 2_000_000_000
    (second,) = rig.streams.due()
    found = json.loads(second.payload)
    assert (found["seq_first"], found["seq"]) == (2, 3)
    assert found["values"] == rig.dense({0: 1.0, 1: 1.0, 2: 1.0})
    rig.clock.ns += 10_000_000_000
    assert rig.streams.due() == []
    assert rig.send(3, 1.0) is None
    assert [json.loads(done.payload)["seq"] for done in rig.streams.flush()] == [4]


@pytest.mark.parametrize(
    "output", [{"on": "interval", "interval_s": 2.0}, {"on": "change", "wait_for": "all"}]
)
def test_messages_without_a_result_yet_are_held_for_it(
    bundles: dict[str, Path], output: dict[str, object]
) -> None:
    rig = Rig(bundles["digits_mlp"], output={**ALWAYS, **output})
    rig.clock.ns += 10_000_000_000
    receipts = [Receipt(mid) for mid in range(SIZE)]
    said = []
    for element, receipt in enumerate(receipts):
        done = rig.streams.accept(Message(f"a/p/{element}", b'{"value": 1}', receipt))
        said.append(done)
    for done in said[:-1]:
        done.settle()
    assert not any(done.payload for done in said[:-1])
    assert not any(receipt.done for receipt in receipts[:-1])
    assert all(receipt.held for receipt in receipts[:-1])
    (result,) = rig.streams.due() or [said[-1]]
    result.settle()
    assert json.loads(result.payload)["seq_first"] == 1
    assert all(receipt.done for receipt in receipts[-HELD:])


def test_streams_are_apart_and_bounded(bundles: dict[str, Path]) -> None:
    rig = Rig(bundles["digits_mlp"], output=ALWAYS, max_streams=2)
    for stream in ("p", "q", "r"):
        result = rig.send(1, 0.5, stream)
        assert (result is None) == (stream == "r")
    result = rig.send(2, 1.0, "q")
    assert result is not None
    assert result["seq"] == 2
    assert result["values"] == rig.dense({1: 0.5, 2: 1.0})
    assert rig.slot.dropped[DropReason.STREAMS] == 1
    assert rig.slot.streams == 2


def test_initial_values_hold_until_heard(bundles: dict[str, Path]) -> None:
    rig = Rig(bundles["digits_mlp"], output=ALWAYS, source={"initial": 0.5})
    result = rig.send(3, 1.0)
    assert result is not None
    assert result["values"] == rig.dense({**dict.fromkeys(range(SIZE), 0.5), 3: 1.0})


def test_refused_messages_are_counted_and_take_no_seq(bundles: dict[str, Path]) -> None:
    rig = Rig(bundles["digits_mlp"], output=ALWAYS)
    receipt = Receipt(7)
    done = rig.streams.accept(Message("a/p/1", b"{", receipt))
    assert (done.receipt, done.payload) == (receipt, b"")
    assert rig.slot.dropped[DropReason.PAYLOAD] == 1
    result = rig.send(1, 0.5)
    assert result is not None
    assert result["seq"] == 1


def test_a_stream_without_memory_is_refused(
    bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(bundles["digits_mlp"], output=ALWAYS)
    assert rig.send(1, 0.5)

    def none_left(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(type(rig.model), "session", none_left)
    assert rig.send(1, 0.5, "q") is None
    assert rig.slot.dropped[DropReason.BACKEND] == 1
    assert rig.send(1, 0.5)


def test_the_counters_reach_the_shared_block(bundles: dict[str, Path]) -> None:
    rig = Rig(bundles["digits_mlp"], output=ALWAYS)
    result = rig.send(1, 0.9)
    assert result is not None
    assert rig.slot.counters[3] >= result["sops"] > 0


class Rests(Mailbox):
    """A mailbox that notes how long it was asked to rest, and lets that time pass on its clock.

    It ends when it is empty; `drains`: and says that it will.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rested_s: list[float] = []
        self.drains = False

    @property
    def closed(self) -> bool:
        return self.drains

    def rest(self, seconds: float) -> None:
        self.rested_s.append(seconds)

    def clock_ns(self) -> int:
        return time.monotonic_ns() + round(sum(self.rested_s) * 1e9)


def run(rig: Rig, mailbox: Rests, share: float = 1.0) -> list[Done]:
    """The compute loop on this thread, to the end of a closed mailbox."""
    done: list[Done] = []
    pace = Pace(rig.slot, share, clock_ns=mailbox.clock_ns, cpu_ns=time.thread_time_ns)
    Compute(rig.streams, mailbox, rig.slot, pace, done.extend, lambda: None).run()
    return done


@pytest.mark.parametrize(("duty", "share"), [(0.25, 1.0), (1.0, 0.25)])
def test_the_worker_rests_in_proportion_to_its_work(
    bundles: dict[str, Path], duty: float, share: float
) -> None:
    rig, mailbox = Rig(bundles["digits_mlp"], output=ALWAYS), Rests()
    rig.slot.duty_q16 = int(duty * DUTY_ONE)
    for number in range(4000):
        mailbox.put([Message(f"a/p/{number % SIZE}", b'{"value": 0.5}', None)])
    mailbox.close()
    before_s = time.thread_time()
    assert len(run(rig, mailbox, share)) == 4000
    worked_s = time.thread_time() - before_s
    assert sum(mailbox.rested_s) > 0
    assert sum(mailbox.rested_s) <= 3 * worked_s
    assert rig.slot.busy_since_ns == 0


def test_a_long_rest_ends_soon_after_the_duty_has_grown(bundles: dict[str, Path]) -> None:
    rig = Rig(bundles["digits_mlp"], output=ALWAYS)

    class Growing(Rests):
        def rest(self, seconds: float) -> None:
            super().rest(seconds)
            if len(self.rested_s) == 3:
                rig.slot.duty_q16 = DUTY_ONE

    mailbox = Growing()
    rig.slot.duty_q16 = 1
    mailbox.put([Message(f"a/p/{number % SIZE}", b'{"value": 0.5}', None) for number in range(64)])
    mailbox.close()
    run(rig, mailbox)
    assert mailbox.rested_s == [MOST_REST_NS / 1e9] * 3


def test_full_duty_never_rests(bundles: dict[str, Path]) -> None:
    rig, mailbox = Rig(bundles["digits_mlp"], output=ALWAYS), Rests()
    mailbox.put([Message(f"a/p/{number % SIZE}", b'{"value": 0.5}', None) for number in range(500)])
    mailbox.close()
    run(rig, mailbox)
    assert mailbox.rested_s == []


def test_a_paused_worker_still_drains(bundles: dict[str, Path]) -> None:
    rig, mailbox = Rig(bundles["digits_mlp"], output=ALWAYS), Rests()
    rig.slot.paused, rig.slot.duty_q16 = 1, 0
    mailbox.drains = True
    mailbox.put([Message("a/p/1", b'{"value": 0.5}', Receipt(1))])
    mailbox.close()
    (done,) = run(rig, mailbox)
    assert json.loads(done.payload)["seq"] == 1


WINDOW = next(c.model for c in CASES if c.name == "READ_VARIABLE:window-1-4-int8")


def test_every_message_is_one_step_of_a_network_that_keeps_state(tmp_path: Path) -> None:
    """Equal messages too, and no step before the first one."""
    neurovm.convert_tflite(WINDOW, name="window").save(tmp_path / "window.nvm")
    rig = Rig(tmp_path / "window.nvm", output=ALWAYS)
    rig.send(0, 0.0, stream="other")
    session = rig.model.session()
    info = rig.model.inputs[0]
    codes = np.full(info.size, max(-128, min(127, info.zero_point)), np.int8)
    source = random.Random(4)
    answers = set()
    for k in range(40):
        element, value = (source.randrange(info.size), source.uniform(-9, 9)) if k % 3 else (0, 1.5)
        codes[element] = np.clip(np.rint(value / info.scale) + info.zero_point, -128, 127)
        result = rig.send(element, value)
        assert result is not None
        assert result["values"] == session.step(codes.copy()).tolist()
        answers.add(tuple(result["values"]))
    assert session.counters.steps == 40
    assert len(answers) > 5
