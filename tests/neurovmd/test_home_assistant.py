# SPDX-License-Identifier: Apache-2.0
"""Home Assistant's discovery: what it is told, judged by its rules, on a real broker."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any, cast

import jinja2
import msgspec
import pytest
import yaml
from home_assistant_rules import judge, judge_by_its_own
from one_vm import VM, Start, connected

import neurovm
from benchmarks.rig import Client, Daemon, Mosquitto, wait_for
from neurovm.description import TensorInfo
from neurovmd import face, field_path, home_assistant
from neurovmd.config import Deployment, Settings
from neurovmd.discovery import NAME
from neurovmd.outlets import Entity, HomeAssistant, Shown
from neurovmd.schema import Config, Form, Input, Output
from neurovmd.schema import Vm as VmFile

NODE_TOPIC = "homeassistant/device/neurovm-box/config"
VM_TOPIC = "homeassistant/device/neurovm-box/digits/config"
ON = "home_assistant: {enabled: true, stats_s: 1}\n"
SOON = "from neurovmd import discovery\ndiscovery.WELCOME_S = (0.0, 0.1)\n"
Json = dict[str, Any]
SCORES = VM.replace("form: {values: codes}", "form: {top_k: 2}")


def render(template: str, result: dict[str, Any]) -> str:
    """As Home Assistant fills a template with a payload."""
    return jinja2.Environment().from_string(template).render(value_json=result)


def settings_of(*, name: str = "pump", node: str = "box", shown: Shown | None = None) -> Settings:
    vm = VmFile(
        model="pump.nvm",
        inputs=[Input(topic="plant/{stream}/v")],
        output=Output(form=Form(top_k=1)),
        home_assistant=shown or Shown(),
    )
    deployment = Deployment(name, Path(f"{name}.yaml"), vm, Path("pump.nvm"))
    config = Config(home_assistant=HomeAssistant(enabled=True))
    return Settings(config, node, (deployment,), ())


def device(entities: list[Entity], shown: Shown | None = None, *streams: str) -> Any:
    settings = settings_of(shown=shown)
    (deployment,) = settings.deployments
    given = deployment.vm.home_assistant.entities
    entities = entities if given is None else given
    return home_assistant.vm(settings, deployment, entities, streams or ["default"])


def tensor(size: int, labels: tuple[str, ...] | None = None) -> TensorInfo:
    return TensorInfo(
        name="out", shape=(1, size), dtype="int8", scale=0.5, zero_point=0, labels=labels
    )


class Known:
    """As much of a model as a face looks at."""

    def __init__(self, size: int, labels: tuple[str, ...] | None, *, timed: bool = False) -> None:
        self.outputs, self.inputs = (tensor(size, labels),), (tensor(3),)
        self.timed, self.sha256 = timed, "ab" * 32


def face_of(
    size: int,
    labels: tuple[str, ...] | None = None,
    *,
    steps: str = "[]",
    form: str = "{top_k: 1}",
    timed: bool = False,
) -> face.Face:
    text = f"steps: {steps}\nform: {form}"
    output = msgspec.convert(yaml.safe_load(text), Output)
    vm = VmFile(model="m.nvm", inputs=[Input(topic="a")], output=output)
    found = face.of(vm, cast(neurovm.Model, Known(size, labels, timed=timed)))
    assert len(msgspec.json.encode(found)) <= 4000
    assert msgspec.json.decode(msgspec.json.encode(found), type=face.Face) == found
    return found


ABC = ("normal", "leak", "cavitation")
TOP = {"top": [{"index": 1, "label": "leak", "value": 0.75}]}
# What is shown, of which result, as what.
FACES: dict[str, tuple[face.Face, Json, list[str]]] = {
    "labels": (face_of(3, ABC), TOP, ["leak", "0.75"]),
    "no labels": (face_of(10), TOP, ["1", "0.75"]),
    "labels twice": (face_of(3, ("a", "a", "b")), TOP, ["leak", "0.75"]),
    "an empty label": (face_of(2, ("", "b")), TOP, ["1", "0.75"]),
    "many labels": (face_of(999, tuple(map(str, range(999)))), TOP, ["leak", "0.75"]),
    "long labels": (
        face_of(90, tuple(f"{n} {'x' * 60}" for n in range(90))),
        TOP,
        ["leak", "0.75"],
    ),
    "one number": (face_of(1), {"top": [{"value": 3}]}, ["3"]),
    "values": (face_of(3, form="{values: real}"), {"values": [1, 2.5, 3]}, ["1", "2.5", "3"]),
    "named values": (
        face_of(2, ("l", "r"), form="{values: codes}"),
        {"values": [1, 2]},
        ["1", "2"],
    ),
    "many values": (face_of(100, form="{values: real}"), {}, []),
    "spikes": (face_of(5, tuple("abcde"), timed=True), {"top": []}, ["None", "None"]),
    "counts": (face_of(5, form="{values: counts}", timed=True), {}, []),
    "a regression": (
        face_of(1, steps="[{kind: regression, unit: bar}]"),
        {"value": 4.5, "unit": "bar"},
        ["4.5"],
    ),
    "a threshold": (
        face_of(1, steps="[{kind: threshold, above: 0.5}]"),
        {"active": True},
        ["ON"],
    ),
    "thresholds": (
        face_of(3, ABC, steps="[{kind: threshold, above: 0.5}]"),
        {"active": ["leak"]},
        ["OFF", "ON", "OFF"],
    ),
    "thresholds without names": (
        face_of(2, steps="[{kind: threshold, above: 0.5}]"),
        {"active": [1]},
        ["OFF", "ON"],
    ),
    "an anomaly": (
        face_of(1, steps="[{kind: anomaly, mean: 0, deviation: 1}, {kind: threshold, above: 3}]"),
        {"active": False},
        ["OFF"],
    ),
    "a class": (
        face_of(3, ABC, steps="[{kind: classify}]"),
        {"class": {"index": 1, "label": "leak"}, "score": 0.5},
        ["leak", "0.5"],
    ),
    "no class": (
        face_of(3, ABC, steps="[{kind: classify}]"),
        {"class": None, "score": 0.1},
        ["None", "0.1"],
    ),
    "a keyword": (
        face_of(3, ABC, steps="[{kind: keyword, threshold: 0.5}]"),
        {"keyword": {"index": 2, "label": "cavitation"}, "score": 0.5},
        ["cavitation", "0.5"],
    ),
    "a ranking": (face_of(3, ABC, steps="[{kind: top_k, k: 2}]"), TOP, ["leak", "0.75"]),
    "an empty ranking": (face_of(3, ABC, steps="[{kind: top_k, k: 2}]"), {"top": []}, ["None"] * 2),
}


def test_every_face_is_right_by_its_rules() -> None:
    devices = []
    for name, (found, result, wanted) in FACES.items():
        made = device(found.entities, None, "p1", "ein Strom", "ü%")
        assert judge(made.topic, made.payload()) == [], name
        devices.append(made)
        shown = [each for key, each in made.components.items() if key.startswith("p1/")]
        assert [render(each["value_template"], result) for each in shown] == wanted, name
    problem = FACES["an anomaly"][0].entities
    assert [entity.device_class for entity in problem] == ["problem"]
    assert FACES["labels"][0].entities[0].options == list(ABC)
    assert FACES["long labels"][0].entities[0].options is None
    python = os.environ.get("NEUROVM_HOMEASSISTANT")
    if python:
        judge_by_its_own(python, [(made.topic, made.payload()) for made in devices])


def test_the_files_own_entities_are_right_by_its_rules() -> None:
    shown = Shown(
        expire_after_s=60,
        entities=[
            Entity(
                name="Temperature",
                value="values[0]",
                unit="°C",
                device_class="temperature",
                state_class="measurement",
            ),
            Entity(name="Alarm", value="values[1]", kind="binary_sensor", above=0.5),
            Entity(name="State", value="top[0].label", device_class="enum", options=["a", "b"]),
        ],
    )
    made = device([], shown)
    said = made.payload()
    assert judge(made.topic, said) == []
    python = os.environ.get("NEUROVM_HOMEASSISTANT")
    if python:
        node = home_assistant.node(settings_of())
        gone = {"x/y": {"platform": "sensor"}}
        messages = [(made.topic, said), (made.topic, made.payload(gone))]
        judge_by_its_own(python, [*messages, (node.topic, node.payload())])
    found = {each["name"]: each for each in said["components"].values()}
    assert found["Temperature"]["expire_after"] == 60
    alarm = found["Alarm"]["value_template"]
    assert render(alarm, {"values": [0, 0.75]}) == "ON"
    assert render(alarm, {"values": [0, 0.5]}) == "OFF"
    assert render(alarm, {"values": [0]}) == "OFF"
    assert render(found["Temperature"]["value_template"], {"values": [21.5]}) == "21.5"


def test_the_judge_finds_faults() -> None:
    made = device(FACES["labels"][0].entities)
    for change in (
        {"unique_id": made.components["/rate"]["unique_id"]},
        {"state_topic": "a/#"},
        {"state_class": "sum"},
        {"device_class": "power", "unit_of_measurement": "V"},
        {"what": 1},
    ):
        components = json.loads(json.dumps(made.components))
        components["/dropped"].update(change)
        assert judge(made.topic, {**made.payload(), "components": components})
    assert judge("homeassistant/device/a.b/config", made.payload())


def test_names_never_meet() -> None:
    """Different nodes, VMs and streams have different topics and identifiers."""
    seen_topics, seen_ids = set(), set()
    names = ["a", "a_d", "a.", "a__d", "a-b", "a.b", "a_b"]
    for node in names:
        for name in names:
            settings = settings_of(node=node, name=name)
            one = [Entity(name="value", value="value")]
            made = home_assistant.vm(settings, settings.deployments[0], one, ["p", "a"])
            assert judge(made.topic, made.payload()) == []
            seen_topics.add(made.topic)
            seen_ids |= {each["unique_id"] for each in made.components.values()}
        seen_topics.add(home_assistant.topic(settings))
    assert len(seen_topics) == len(names) * (len(names) + 1)
    assert len(seen_ids) == len(names) ** 2 * 7


def test_a_path_is_followed_and_written_alike() -> None:
    result = {"top": [{"label": "x y"}], "values": {"a b": [1, 2.5]}}
    for path, wanted in (("top[0].label", "x y"), ("values.a b[1]", "2.5")):
        template = f"{{{{ {field_path.in_template(path)} }}}}"
        assert render(template, result) == wanted
        assert str(field_path.follow(result, field_path.steps(path))) == wanted
    assert field_path.follow(result, field_path.steps("top[1].label")) is None
    for wrong in ("a'b", "a]", "{{x}}", "", "a..b", "a[x]"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"name": "x", "value": wrong}, Entity)


def test_the_face_of_a_model_names_it(bundles: dict[str, Path]) -> None:
    vm = VmFile(model="m.nvm", inputs=[Input(topic="a")], output=Output(form=Form(values="real")))
    with neurovm.load(bundles["digits_mlp"]) as model:
        assert face.of(vm, model) == face.Face(model.sha256[:12], [])


def latest(client: Client, topic: str) -> Any:
    found = client.on(topic)
    return found[-1] if found else None


def reloaded(daemon: Daemon) -> None:
    assert daemon.child is not None
    before = daemon.status()["config"]["reloads"]
    daemon.child.send_signal(signal.SIGHUP)
    wait_for(lambda: daemon.status()["config"]["reloads"] > before, "the reload")


def begin(broker: Mosquitto, start: Start, **vms: str) -> tuple[Daemon, Client]:
    client = Client(broker.port)
    client.subscribe("homeassistant/#", "neurovm/#")
    daemon = start(broker.port, main=ON, run=False, **vms)
    daemon.start(prelude=SOON)
    connected(daemon)
    return daemon, client


def test_a_vm_is_found_shown_and_taken_back(
    broker: Mosquitto, start: Start, bundles: dict[str, Path]
) -> None:
    text = SCORES.replace(SCORES.split("\n")[0], f"model: {bundles['digits_mlp']}")
    daemon, client = begin(broker, start, digits=text)
    client.publish("plant/p/sensor/5", '{"value": 0.5}')
    result = client.wait("neurovm/box/digits/result/p", bool)
    said = client.wait(VM_TOPIC, lambda heard: heard and "p/class" in heard["components"])
    assert judge(VM_TOPIC, said) == []
    assert judge(NODE_TOPIC, client.wait(NODE_TOPIC, bool)) == []
    python = os.environ.get("NEUROVM_HOMEASSISTANT")
    if python:
        judge_by_its_own(python, [(VM_TOPIC, said), (NODE_TOPIC, latest(client, NODE_TOPIC))])
    best = said["components"]["p/class"]
    assert best["state_topic"] == "neurovm/box/digits/result/p"
    assert render(best["value_template"], result) == str(result["top"][0]["index"])
    stats = client.wait("neurovm/box/digits/stats", lambda heard: heard["inferences"] >= 1)
    rate = said["components"]["/rate"]
    assert float(render(rate["value_template"], stats)) >= 0.0
    state = client.wait("neurovm/box/digits/state", lambda heard: heard["state"] == "ready")
    problem = said["components"]["/problem"]["value_template"]
    assert render(problem, state) == "OFF"
    assert render(problem, {"state": "failed", "reason": "x"}) == "ON"
    client.messages.clear()
    client.publish("homeassistant/status", "online")
    client.wait(VM_TOPIC, lambda heard: heard == said)
    client.wait("neurovm/box/digits/state", lambda heard: heard == state)
    names = [name for name, _ in client.messages]
    assert names.index(VM_TOPIC) < names.index("neurovm/box/digits/state")
    (daemon.folder / "vm.d/digits.yaml").rename(daemon.folder / "vm.d/other.yaml")
    client.messages.clear()
    reloaded(daemon)
    client.wait(VM_TOPIC, lambda heard: heard == b"")
    client.wait("homeassistant/device/neurovm-box/other/config", bool)
    client.close()


def test_what_went_while_the_daemon_was_away_is_taken_back(broker: Mosquitto, start: Start) -> None:
    daemon, client = begin(broker, start)
    client.publish("plant/p/sensor/5", '{"value": 0.5}')
    first = client.wait(NODE_TOPIC, bool)
    said = client.wait(VM_TOPIC, bool)
    assert daemon.stop() == 0
    daemon.start(prelude=SOON)  # the streams of before are shown again, before any is heard
    wait_for(lambda: latest(client, VM_TOPIC) == said and daemon.vm("digits")["connected"], "both")
    assert daemon.stop() == 0
    text = daemon.config.read_text()
    daemon.config.write_text(text.replace(ON, ""))
    client.messages.clear()
    daemon.start()
    client.wait(VM_TOPIC, lambda heard: heard == b"")
    client.wait(NODE_TOPIC, lambda heard: heard == b"")
    daemon.config.write_text(text)
    client.messages.clear()
    reloaded(daemon)
    assert client.wait(NODE_TOPIC, bool) == first
    client.close()


def test_of_many_streams_a_few_are_shown(broker: Mosquitto, start: Start) -> None:
    few = ON.replace("stats_s: 1", "streams: 3")
    client = Client(broker.port)
    client.subscribe("homeassistant/#", "neurovm/box/digits/result/#")
    daemon = start(broker.port, main=few, run=False)
    daemon.start(prelude=SOON)
    connected(daemon)
    for number in range(30):
        client.publish(f"plant/s{number}/sensor/5", '{"value": 0.5}')
    client.wait("neurovm/box/digits/result/s29", bool)
    topic = VM_TOPIC
    # Every value of an output of ten is too many; only its own figures are left.
    assert client.wait(topic, bool)["components"].keys() == {
        "/rate",
        "/dropped",
        "/power",
        "/energy",
        "/problem",
    }
    vm = daemon.folder / "vm.d/digits.yaml"
    vm.write_text(vm.read_text() + 'home_assistant: {entities: [{name: five, value: "values[5]"}]}')
    client.messages.clear()
    reloaded(daemon)
    for number in range(30):
        client.publish(f"plant/s{number}/sensor/5", '{"value": 1.5}')

    def full() -> bool:
        heard = latest(client, topic)
        return bool(heard) and len(heard["components"]) == 3 + 5

    wait_for(full, "three streams")
    kept = json.loads((daemon.folder / "state" / NAME).read_bytes())
    assert len(kept["streams"]["digits"]) == 3
    client.close()
