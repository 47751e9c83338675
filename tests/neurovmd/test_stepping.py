# SPDX-License-Identifier: Apache-2.0
"""Output steps in the daemon: what results say, when they are due, what alert rules tell."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from operator_cases import CASES

import neurovm
from neurovm.steps import AnyStep, chain
from neurovmd import config
from neurovmd.binding import inputs_of, streams_of
from neurovmd.mailbox import Message, Receipt
from neurovmd.refusal import MappingError
from neurovmd.schema import Vm
from neurovmd.shared import SharedBlock
from neurovmd.stream_table import Done

NAMES = {"prefix": "neurovm", "node": "box", "vm": "digits"}
START_US = 1_760_000_000_000_000


class Rig:
    """The streams of one VM, without threads or network; a message comes every 100 ms."""

    def __init__(self, bundle: Path, **settings: Any) -> None:
        source = {"topic": "a/{stream}/{element}"}
        self.vm = msgspec.convert({"model": "x.nvm", "inputs": [source], **settings}, Vm)
        self.model = neurovm.load(bundle)
        self.now_us = START_US
        self.streams = streams_of(
            "digits",
            self.vm,
            self.model,
            inputs_of(self.vm, NAMES, self.model),
            lambda stream: f"out/{stream}",
            lambda stream: f"event/{stream}",
            SharedBlock(1).slot(0),
            clock_ns=lambda: self.now_us * 1000,
            wall_ns=lambda: self.now_us * 1000,
        )

    def send(self, element: int, value: float, receipt: Receipt | None = None) -> list[Done]:
        self.now_us += 100_000
        payload = json.dumps({"value": value}).encode()
        done = self.streams.answers(Message(f"a/p/{element}", payload, receipt))
        return [each for each in done if each.payload or each.receipt]


def results(done: list[Done]) -> list[dict[str, Any]]:
    return [json.loads(each.payload) for each in done if each.topic == "out/p"]


def events(done: list[Done]) -> list[dict[str, Any]]:
    return [json.loads(each.payload) for each in done if each.topic == "event/p"]


def walk(seed: int, count: int) -> list[tuple[int, float]]:
    source = random.Random(seed)
    return [(source.randrange(64), source.choice([0.0, 0.5, 1.0])) for _ in range(count)]


def output(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"on": "always", "wait_for": "any", "steps": list(steps), **more}


SOFTMAX, EMA = {"kind": "softmax", "temperature": 0.5}, {"kind": "ema", "time_constant_s": 0.3}


@pytest.mark.parametrize(
    "steps",
    [
        [SOFTMAX, EMA],
        [{"kind": "select", "elements": [4]}, {"kind": "regression", "scale": 2, "unit": "mm"}],
        [SOFTMAX, EMA, {"kind": "top_k", "k": 3}],
        [SOFTMAX, EMA, {"kind": "classify", "least": 0.2}],
        [EMA, {"kind": "threshold", "above": 0.3, "release": 0.1}],
        [{"kind": "threshold", "above": 0.3}, {"kind": "event", "update_by": 0.1}],
        [SOFTMAX, {"kind": "keyword", "threshold": 0.15, "average_s": 0.5, "suppress_s": 0.2}],
        [{"kind": "deadband", "by": 0.3}],
    ],
)
def test_results_say_what_the_steps_give(bundles: dict[str, Path], steps: list[Any]) -> None:
    rig = Rig(bundles["digits_mlp"], output=output(*steps))
    twin = Rig(bundles["digits_mlp"], output=output(form={"values": "codes"}))
    stream = chain(msgspec.convert(steps, list[AnyStep]), rig.model.outputs)
    said = 0
    for element, value in walk(1, 200):
        found = results(rig.send(element, value))
        (codes,) = results(twin.send(element, value))
        wanted = stream.push(rig.now_us, bytes(code & 0xFF for code in codes["values"]))
        assert len(found) == (wanted is not None)
        if wanted is not None:
            fields = stream.fields(wanted)
            if "values" in fields:  # of a vector the form shows the largest
                at = max(range(10), key=lambda i: fields["values"][i])
                fields = {"top": [{"index": at, "value": fields["values"][at]}]}
            assert {key: found[0][key] for key in fields} == json.loads(json.dumps(fields))
            assert found[0]["seq"] == codes["seq"]
            assert found[0]["sops"] >= 0
            said += 1
    assert said > 1


def test_the_form_of_a_vector_is_kept(bundles: dict[str, Path]) -> None:
    rig = Rig(bundles["digits_mlp"], output=output(SOFTMAX, form={"top_k": 3}))
    (found,) = results(rig.send(0, 1.0))
    assert [set(entry) for entry in found["top"]] == [{"index", "value"}] * 3
    rig = Rig(bundles["digits_mlp"], output=output(SOFTMAX, form={"values": "real"}))
    (found,) = results(rig.send(0, 1.0))
    assert sum(found["values"]) == pytest.approx(1.0)


def test_on_change_compares_what_the_steps_give(bundles: dict[str, Path]) -> None:
    steps = [SOFTMAX, EMA, {"kind": "classify", "score": False}]
    rig = Rig(bundles["digits_mlp"], output=output(*steps, on="change"))
    twin = Rig(bundles["digits_mlp"], output=output(*steps))
    told, covered, count = None, 0, 0
    for seq, (element, value) in enumerate(walk(2, 300), start=1):
        receipt = Receipt(seq)
        (done,) = rig.send(element, value, receipt)
        done.settle()
        assert receipt.done
        (wanted,) = results(twin.send(element, value))
        found = results([done])
        assert len(found) == (wanted["class"] != told)
        if found:
            assert found[0]["class"] == wanted["class"]
            assert found[0].get("seq_first", seq) == covered + 1
            told, covered, count = wanted["class"], seq, count + 1
    assert 1 < count < 150


def test_events_are_told_also_when_they_repeat(bundles: dict[str, Path]) -> None:
    steps = [
        {"kind": "select", "elements": [0]},
        {"kind": "regression", "scale": 0, "offset": 1},
        {"kind": "keyword", "threshold": 0.5, "least": 1, "suppress_s": 0, "average_s": 0.05},
    ]
    rig = Rig(bundles["digits_mlp"], output=output(*steps, on="change"))
    assert len(results(rig.send(0, 1.0))) == 1
    assert rig.send(1, 1.0) == []  # no rise since


@pytest.mark.parametrize("on", ["always", "change"])
def test_a_message_without_a_result_is_held_or_acknowledged(
    bundles: dict[str, Path], on: str
) -> None:
    step = {"kind": "mean", "n": 4, "least": 4}
    rig = Rig(bundles["digits_mlp"], output=output(step, on=on))
    receipts = [Receipt(mid) for mid in range(4)]
    for receipt in receipts[:3]:
        for done in rig.send(receipt.mid, 1.0, receipt):
            assert not done.payload
            done.settle()
        assert receipt.done == (on == "change")
        assert receipt.held == (on == "always")
    (result,) = rig.send(9, 1.0, receipts[3])
    result.settle()
    assert all(receipt.done for receipt in receipts)
    assert json.loads(result.payload)["seq_first"] == 1


def test_on_interval_waits_for_something_to_say(bundles: dict[str, Path]) -> None:
    step = {"kind": "mean", "n": 3, "least": 3}
    rig = Rig(bundles["digits_mlp"], output=output(step, on="interval", interval_s=1.0))
    rig.send(0, 1.0)
    rig.send(1, 1.0)
    assert rig.streams.due() == []
    rig.send(2, 1.0)
    (done,) = rig.streams.due()
    assert json.loads(done.payload)["seq_first"] == 1


def test_steps_begin_once_all_elements_were_heard(bundles: dict[str, Path]) -> None:
    step = {"kind": "mean", "n": 2, "least": 2}
    rig = Rig(bundles["digits_mlp"], output=output(step, wait_for="all"))
    answered = [bool(results(rig.send(element, 0.5))) for element in range(64)]
    assert not any(answered)
    assert results(rig.send(0, 0.5))


def watching(label: str | int) -> dict[str, Any]:
    return {"name": "rule", "when": {"label": label, "above": 1.0}}


RULE = {"name": "low", "when": {"label": 7, "above": 2.0, "release": 1.0, "for_s": 0.2}}


def test_alert_rules_tell_events_beside_results(bundles: dict[str, Path]) -> None:
    plain = Rig(bundles["digits_mlp"], output=output(on="change"))
    rig = Rig(bundles["digits_mlp"], output=output(on="change", alerts=[RULE], retain=True))
    turns: list[dict[str, Any]] = []
    for element, value in walk(8, 400):
        done = rig.send(element, value)
        turns += events(done)
        wanted = [{**each, "compute_us": 0} for each in results(plain.send(element, value))]
        assert [{**each, "compute_us": 0} for each in results(done)] == wanted
        assert all(each.passing == (each.topic == "event/p") for each in done if each.payload)
    assert [turn["type"] for turn in turns[:4]] == ["new", "end", "new", "end"]
    assert {turn["alert"] for turn in turns} == {"low"}
    assert {turn["vm"] for turn in turns} == {"digits"}
    for new, end in zip(turns[::2], turns[1::2], strict=False):
        assert (new["id"], new["before"]) == (end["id"], None)
        assert end["before"] == new["after"]
        assert end["after"]["end_us"] == end["t_us"]
        assert new["after"]["best"] >= new["after"]["value"] >= 2.0
    assert len({turn["id"] for turn in turns}) == (len(turns) + 1) // 2


def test_rules_watch_what_steps_give(bundles: dict[str, Path]) -> None:
    rule = {"name": "any", "when": {"above": 0.3}}
    steps = [SOFTMAX, EMA, {"kind": "classify"}]
    rig = Rig(bundles["digits_mlp"], output=output(*steps, alerts=[rule]))
    twin = Rig(bundles["digits_mlp"], output=output(SOFTMAX, EMA, form={"values": "real"}))
    active: set[int] = set()
    seen = 0
    for element, value in walk(4, 400):
        for turn in events(rig.send(element, value)):
            index, seen = turn["after"]["index"], seen + 1
            (active.add if turn["type"] == "new" else active.discard)(index)
        (found,) = results(twin.send(element, value))
        assert active == {at for at, x in enumerate(found["values"]) if x >= 0.3}
    assert seen > 1


def test_the_last_event_carries_the_message_that_has_no_result(bundles: dict[str, Path]) -> None:
    rule = {"name": "any", "when": {"label": 0, "above": -1e9}}
    step = {"kind": "keyword", "threshold": 1e9}
    steps = [{"kind": "mean", "n": 1}, step]
    rig = Rig(bundles["digits_mlp"], output=output(*steps, on="change", alerts=[rule]))
    receipt = Receipt(1)
    (done,) = rig.send(0, 1.0, receipt)
    assert done.topic == "event/p"
    assert not receipt.done
    done.settle()
    assert receipt.done


def test_reconstruction_compares_outputs_with_inputs(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.operator == "LOGISTIC")
    neurovm.convert_tflite(case.model, name="same").save(tmp_path / "same.nvm")
    step = {"kind": "reconstruction", "measure": "mae"}
    rig = Rig(tmp_path / "same.nvm", output=output(step))
    info, out = rig.model.inputs[0], rig.model.outputs[0]
    held = [max(-128, min(127, round(0.0 / info.scale) + info.zero_point))] * info.size
    source = random.Random(6)
    session = rig.model.session()
    for _ in range(40):
        at, value = source.randrange(info.size), source.uniform(-2, 2)
        held[at] = max(-128, min(127, round(value / info.scale) + info.zero_point))
        (found,) = results(rig.send(at, value))
        codes = session.step(bytes(code & 0xFF for code in held)).tolist()
        errors = [abs(info.real(a) - out.real(b)) for a, b in zip(held, codes, strict=True)]
        assert found["value"] == pytest.approx(sum(errors) / len(errors), rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (output({"kind": "nms"}), "output.steps[0].kind"),
        (output({"kind": "select", "elements": ["cat"]}), "output.steps[0].elements[0]"),
        (output({"kind": "reconstruction"}), "output.steps[0].kind"),
        (output({"kind": "labels", "labels": ["a"]}), "output.steps[0].labels"),
        (output(SOFTMAX, form={"values": "codes"}), "output.form.values"),
        (output({"kind": "top_k"}, form={"top_k": 2}), "output.form"),
        (
            output({"kind": "keyword", "threshold": 1}, on="interval", interval_s=1),
            "output.on",
        ),
        (output(alerts=[watching("cat")]), "output.alerts[0].when.label"),
        (output(alerts=[watching(10)]), "output.alerts[0].when.label"),
        (output({"kind": "reconstruction", "output": 1}), "output.steps[0].output"),
    ],
)
def test_what_does_not_fit_the_model_is_refused_at_the_start(
    bundles: dict[str, Path], settings: dict[str, Any], key: str
) -> None:
    with pytest.raises(MappingError) as caught:
        Rig(bundles["digits_mlp"], output=settings)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"steps": [{"kind": "none"}]}, "none"),
        ({"steps": [{"kind": "ema", "alpha": 2}]}, "alpha"),
        ({"steps": [SOFTMAX] * 17}, "16"),
        ({"steps": [{"kind": "threshold"}]}, "above, below"),
        ({"alerts": [RULE, RULE]}, "'low' twice"),
        ({"alerts": [{"name": "x", "when": {"above": 1, "release": 2}}]}, "release"),
        ({"alert_topic": "a/+"}, "alert_topic"),
    ],
)
def test_wrong_keys_are_refused_with_the_file(bad: dict[str, Any], says: str) -> None:
    vm = {"model": "x.nvm", "inputs": [{"topic": "a/{stream}"}], "output": bad}
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert(vm, Vm)


@pytest.mark.parametrize(
    ("steps", "key", "accepted"),
    [
        ("[{kind: ema, alpha: 7}]", "output.steps[0].alpha", "a number, above 0 to 1"),
        ("[{kind: nms, most: 999}]", "output.steps[0].most", "a whole number, 1 to 256"),
        ("[{kind: nms, mst: 9}]", "output.steps[0].mst", "any of kind, iou, most, across"),
        ("[{kind: emma}]", "output.steps[0].kind", "ema, regression"),
        ("[7]", "output.steps[0]", "a mapping with kind: select, labels"),
        ("{kind: ema}", "output.steps", "a list of at most 16 entries"),
        ("[{kind: threshold, above: .nan}]", "output.steps[0].above", "a number"),
    ],
)
def test_a_wrong_step_is_located_and_told_by_its_own_kind(
    tmp_path: Path, steps: str, key: str, accepted: str
) -> None:
    (tmp_path / "vm.d").mkdir()
    (tmp_path / "daemon.yaml").write_text("vm_dir: vm.d\n")
    text = f"model: x.nvm\ninputs: [{{topic: 'a/{{stream}}'}}]\noutput:\n  steps: {steps}\n"
    (tmp_path / "vm.d" / "pump.yaml").write_text(text)
    _, errors = config.examine(tmp_path / "daemon.yaml", environ={})
    assert (errors[0].key, errors[0].line) == (key, 4)
    assert accepted in errors[0].accepted


def test_labels_come_from_a_file_beside_the_vms(tmp_path: Path, bundles: dict[str, Path]) -> None:
    (tmp_path / "vm.d").mkdir()
    (tmp_path / "daemon.yaml").write_text("vm_dir: vm.d\n")
    names = [f"digit {k}" for k in range(10)]
    (tmp_path / "vm.d" / "labels.txt").write_text("\n".join(names) + "\n")
    text = f"model: {bundles['digits_mlp']}\ninputs: [{{topic: 'a/{{stream}}/{{element}}'}}]\n"
    text += 'output: {steps: [{kind: labels, labels: "${file:labels.txt}"}]}\n'
    (tmp_path / "vm.d" / "pump.yaml").write_text(text)
    settings, errors = config.examine(tmp_path / "daemon.yaml", environ={})
    assert errors == []
    (step,) = settings.deployments[0].vm.output.steps
    with neurovm.load(bundles["digits_mlp"]) as model:
        stream = chain([step], model.outputs)
        assert stream.form.labels == tuple(names)
