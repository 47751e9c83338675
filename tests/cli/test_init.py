# SPDX-License-Identifier: Apache-2.0
"""`neurovm init`: what is published, and a draft that the daemon accepts."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neurovm
from benchmarks.rig import Client, Mosquitto, find_mosquitto
from neurovm.cli import draft, patterns, survey
from neurovm.cli.exits import Exit
from neurovm.description import TensorInfo
from neurovm.recording import Recorded
from neurovmd import __main__ as daemon
from neurovmd import config, listen, once

Run = Callable[..., Any]


def heard(messages: dict[str, list[bytes | str]]) -> survey.Survey:
    """A survey of these payloads by topic, one a second."""
    found = survey.Survey()
    for topic, payloads in messages.items():
        for at, payload in enumerate(payloads):
            data = payload.encode() if isinstance(payload, str) else payload
            found.hear(Recorded(1, at * 1_000_000, topic, data, len(data)))
    return found


def tensor(size: int, dtype: str) -> TensorInfo:
    return TensorInfo(name="x", shape=(1, size), dtype=dtype, scale=0.5, zero_point=0)


def drafted(
    messages: dict[str, list[bytes | str]],
    size: int | None = None,
    dtype: str = "float32",
    order: list[str] | None = None,
) -> draft.Draft:
    found = patterns.find(heard(messages).by_messages())
    inputs = () if size is None else (tensor(size, dtype),)
    model = None if size is None else "m.nvm"
    made = draft.write(found, "some messages", model, inputs, {} if order is None else {0: order})
    assert made is not None
    return made


def topics(messages: dict[str, list[bytes | str]]) -> list[str]:
    found = patterns.find(heard(messages).by_messages())
    return [each.topic(draft.roles(each, None)) for each in found]


def plant(streams: int, elements: list[str]) -> dict[str, list[bytes | str]]:
    return {
        f"plant/p{n}/sensor/{name}": ['{"value": 1.5}', '{"value": -2}']
        for n in range(streams)
        for name in elements
    }


def test_a_survey_knows_kinds_ranges_and_rates() -> None:
    found = heard(
        {
            "a": ["1", "-2.5", "true"],
            "b": ['{"v": {"x": 1}, "list": [1, 2, 3], "s": "?"}'],
            "c": [b"\x00\xff", b"\x01\xfe"],
            "d": ["hello", ""],
            "e": ["null", "[1, null]"],
        }
    )
    a, b, c, d, e = (found.topics[name] for name in "abcde")
    assert a.kinds == {"number": 3}
    assert (a.fields["", False].low, a.fields["", False].high) == (-2.5, 1.0)
    assert a.rate_hz == pytest.approx(1.0)
    assert b.rate_hz is None
    assert sorted(b.fields) == [("list", True), ("v.x", False)]
    assert (c.kinds, c.least_bytes, c.most_bytes) == ({"binary": 2}, 2, 2)
    assert d.kinds == {"text": 1, "empty": 1}
    assert e.kinds == {"json": 1, "list": 1}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (plant(2, ["flow", "pressure"]), ["plant/{stream}/sensor/{element}"]),
        (plant(1, ["flow", "pressure"]), ["plant/p0/sensor/{element}"]),
        ({"plant/p1/flow": ["1"], "plant/p2/flow": ["1"]}, ["plant/{stream}/flow"]),
        ({"a/x": ["[1, 2]"], "a/y": ["[1, 2]"]}, ["a/{stream}"]),
        ({"a/x": ["[1, 2]"], "a/y": ["[1, 2, 3]"]}, ["a/x", "a/y"]),
        (
            {**plant(2, ["flow"]), "home/kitchen/light/state": ['{"value": 1}']},
            ["plant/{stream}/sensor/flow", "home/kitchen/light/state"],
        ),
        ({"neurovm/box/vm/result/p": ["1"], "neurovm/box/info": ['{"a": 1}']}, []),
        ({"a/{b}": ["1"], "c\nd": ["2"], "x" * 513: ["3"], "/".join("a" * 17): ["4"]}, []),
        ({"a": ["text"], "b": [b"\xff", b"\xff\xff"]}, []),
    ],
)
def test_levels_that_vary_are_generalised(
    messages: dict[str, list[bytes | str]], expected: list[str]
) -> None:
    assert topics(messages) == expected


def test_clocks_and_counters_are_no_sensors() -> None:
    (pattern,) = patterns.find(
        heard({"a": ['{"ts": 1760000000, "seq": 4, "temp": 21, "hum": 40}']}).by_messages()
    )
    assert pattern.reading == patterns.Reading("object", "", names=("hum", "temp"))


def test_elements_are_filled_where_their_number_fits() -> None:
    made = drafted(plant(2, ["s10", "s2"]), 2, order=["s10", "s2"])
    assert made.missing == []
    assert "\n      elements: [s10, s2]" in made.text
    assert drafted(plant(2, ["0", "1"]), 2).entries[0].elements is None
    less = drafted(plant(2, ["s10", "s2"]), 3)
    assert less.missing == ["input 0: 2 of 3 elements heard"]
    assert "      # elements: [s2, s10]" in less.text
    assert drafted({"a": ["[1, 2]"]}, 3).missing == ["input 0: lists of 2 heard, 3 values needed"]
    assert drafted({"a": [b"\xff" * 4]}, 4, "uint8").entries[0].dtype == "uint8"
    assert drafted({"a": [b"\xff" * 16]}, 4, "uint8").entries[0].dtype == "float32"


def test_an_order_that_nobody_knows_is_not_guessed() -> None:
    """A VM with a wrong order answers, and wrongly; one without any refuses to hear."""
    for order in (None, ["s1", "s2"]):
        made = drafted(plant(2, ["s10", "s2"]), 2, order=order)
        assert made.missing == ["input 0: the order of the 2 names heard"]
        assert "\n      elements:" not in made.text
        assert "\n      # elements: [s2, s10]" in made.text
    # Long lists too: with the # taken away they are what YAML reads.
    names = [f"sensor-{n}-of-the-pump" for n in range(200)]
    made = drafted(plant(1, names), 200)
    lines = made.text.splitlines()
    at = next(n for n, line in enumerate(lines) if "# elements: [" in line)
    end = next(n for n in range(at, len(lines)) if lines[n].endswith("]"))
    freed = [line.replace("      # ", "      ", 1) for line in lines[at : end + 1]]
    assert yaml.safe_load("\n".join(freed)) == {"elements": sorted(names, key=patterns.natural)}


def test_a_level_with_the_model_s_own_names_is_the_element() -> None:
    square = {f"plant/{a}/{b}": ["1", "2"] for a in ("x", "y") for b in ("flow", "level")}
    assert drafted(square, 2, order=["level", "flow"]).entries[0].elements == ("level", "flow")
    assert drafted(square, 2, order=["y", "x"]).entries[0].topic == "plant/{element}/{stream}"


def test_the_order_comes_from_the_manifest_that_built_the_bundle(
    run: Run, bundle: Path, tmp_path: Path
) -> None:
    names = [f"s{n}" for n in range(63, -1, -1)]
    deploy = {"inputs": [{"topic": "x/{element}", "to": {"elements": names}}, "junk", {"to": 3}]}
    named = tmp_path / "named.nvm"
    with neurovm.load(bundle) as model, model.with_deploy(deploy) as other:
        other.save(named)
    seen = tmp_path / "seen.jsonl"
    seen.write_text("".join(f'{{"topic": "plant/p/{n}", "payload": "1"}}\n' for n in names))
    target = tmp_path / "new/vm.d/pump.yaml"
    ran = run("init", "--from", seen, "--model", named, "--draft", target)
    assert ran.code == Exit.OK, ran.err
    (entry,) = yaml.safe_load(target.read_text())["inputs"]
    assert entry["to"]["elements"] == names
    assert (
        run("init", "--from", seen, "--model", bundle).err.count("the order of the 64 names") == 1
    )


def test_a_draft_that_cannot_be_written_is_refused_before_listening(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurovm.cli.init.listen", lambda *_: pytest.fail("it listens"))
    (tmp_path / "file").write_text("")
    url = "mqtt://127.0.0.1:1"
    ran = run("init", "--listen", url, "--draft", tmp_path / "file/vm.yaml")
    assert (ran.code, "cannot be written" in ran.err) == (Exit.CANNOT_CREATE, True)


def test_a_model_chooses_among_patterns() -> None:
    busy = {"noise/x": ["[1, 2, 3]"] * 9}
    made = drafted({**busy, **plant(3, ["flow", "level"])}, 2)
    assert made.entries[0].topic == "plant/{stream}/sensor/{element}"
    assert "#   noise/x: a list of 3 numbers, 1 to 3; 1 topics, 9 messages" in made.text
    # Three things, two names each: with three inputs the things are the elements.
    assert drafted(plant(3, ["a", "b"]), 3).entries[0].topic == "plant/{element}/sensor/{stream}"


HOSTILE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@settings(
    max_examples=150,
    deadline=None,
    # Whether a busy machine makes examples slowly says nothing of the drafts.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.dictionaries(
        st.lists(HOSTILE, min_size=1, max_size=4).map("/".join),
        st.one_of(
            st.binary(max_size=16),
            st.recursive(
                st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), HOSTILE),
                lambda inner: (
                    st.lists(inner, max_size=3) | st.dictionaries(HOSTILE, inner, max_size=3)
                ),
                max_leaves=8,
            ).map(lambda value: json.dumps(value).encode()),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_draft_is_a_right_vm_file(
    tmp_path: Path, bundle: Path, messages: dict[str, bytes]
) -> None:
    """Whatever is published: no crash, and a file that the daemon accepts with a model."""
    found = heard({topic.translate({43: 45, 35: 45}): [p] for topic, p in messages.items()})
    some = patterns.find(found.by_messages())
    made = draft.write(some, "some messages", None)
    if made is None:
        assert some == []
        return
    (tmp_path / "vm.d").mkdir(exist_ok=True)
    text = made.text.replace(draft.PLACEHOLDER, str(bundle))
    (tmp_path / "vm.d/draft.yaml").write_text(text)
    main = tmp_path / "neurovmd.yaml"
    main.write_text("node: box\nvm_dir: vm.d\n")
    where = config.load(main, environ={})
    first = next(topic for topic in found.topics if _matches(where, topic))
    assert (
        once.run(
            where,
            io.BytesIO(json.dumps({"topic": first, "payload": "1"}).encode()),
            "sample",
            lambda _: None,
            lambda _: None,
        ).unheard
        == 0
    )


def _matches(where: config.Settings, topic: str) -> bool:
    from neurovmd import topics as levels

    source = where.deployments[0].vm.inputs[0]
    return levels.parse_input(source.topic).matches(topic.split("/"))


def test_the_survey_is_bounded() -> None:
    found = survey.Survey()
    for number in range(survey.MAX_TOPICS + 50):
        found.hear(Recorded(1, number, f"flood/{number}", b"1", 1))
    many = {f"k{n}": n for n in range(1000)}
    deep = "[" * 2000 + "]" * 2000
    for payload in (json.dumps(many), deep, '{"a":' * 500 + "1" + "}" * 500, "9" * 5000):
        found.hear(Recorded(1, 1, "flood/0", payload.encode(), len(payload)))
    assert len(found.topics) == survey.MAX_TOPICS
    assert found.beyond == 50
    assert len(found.topics["flood/0"].fields) <= survey.MAX_FIELDS
    (pattern,) = patterns.find(found.by_messages())
    assert pattern.topics == survey.MAX_TOPICS
    some = json.dumps({f"k{n}": n for n in range(8)}).encode()
    for name in list(found.topics):
        found.hear(Recorded(1, 1, name, some, len(some)))
    assert sum(len(topic.fields) for topic in found.topics.values()) == survey.MAX_ALL_FIELDS
    made = draft.write([pattern], "a flood", None)
    assert made is not None
    assert len(made.text) < 256 * 1024


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A recording of 64 elements on two streams."""
    file = tmp_path / "seen.jsonl"
    lines = [
        {"t_us": n, "topic": f"plant/{stream}/sensor/{n}", "payload": '{"value": 1}'}
        for stream in "pq"
        for n in range(64)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_a_draft_for_a_model_is_accepted_and_hears(
    run: Run, sample: Path, bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "vm.d").mkdir()
    target = tmp_path / "vm.d/digits.yaml"
    ran = run("init", "--from", sample, "--model", bundle, "--draft", target)
    assert ran.code == Exit.OK, ran.err
    assert "neurovmd check accepts the draft" in ran.err
    assert "plant/{stream}/sensor/{element}" in ran.out
    (tmp_path / "neurovmd.yaml").write_text("node: box\nvm_dir: vm.d\n")
    assert daemon.main(["check", "--config", str(tmp_path / "neurovmd.yaml")]) == 0
    where = config.load(tmp_path / "neurovmd.yaml", environ={})
    with sample.open("rb") as stream:
        tally = once.run(where, stream, "seen", lambda _: None, lambda _: None)
    # `wait_for: all`: each stream answers once its 64 elements are there.
    assert (tally.messages, tally.dropped, tally.unheard, tally.results) == (128, 0, 0, 2)
    again = run("init", "--from", sample, "--draft", target)
    assert (again.code, "--force" in again.err) == (Exit.CANNOT_CREATE, True)


def test_what_is_missing_is_said(run: Run, sample: Path, bundle: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text("".join(sample.read_text().splitlines(keepends=True)[:60]))
    ran = run("init", "--from", few, "--model", bundle, "-o", "json")
    assert ran.code == Exit.OK
    data = json.loads(ran.out)
    assert data["missing"] == ["input 0: 60 of 64 elements heard (by number)"]
    assert "missing: input 0: 60 of 64" in ran.err
    assert data["patterns"][0]["topic"] == "plant/p/sensor/{element}"
    assert data["topics"][0]["fields"] == [{"path": "value", "range": [1.0, 1.0]}]


def test_nothing_to_draft_from(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "seen.jsonl"
    file.write_text('{"topic": "a\\u001b[2J", "payload": "hello"}\n')
    ran = run("init", "--from", file)
    assert ran.code == Exit.OK
    assert "nothing to draft from" in ran.err
    assert "\x1b" not in ran.out
    assert run("init", "--from", file, "--draft", tmp_path / "x.yaml").code == Exit.DATA
    assert not (tmp_path / "x.yaml").exists()
    assert run("init").code == Exit.USAGE


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed (`make test` installs it)")
    server = Mosquitto(tmp_path / "broker", autosave=False)
    server.start()
    yield server
    server.kill()


def test_init_listens_to_a_broker(broker: Mosquitto, spawn: Run) -> None:
    """A publisher that goes on until the command has heard enough."""
    client = Client(broker.port)
    ended = threading.Event()

    def publish() -> None:
        while not ended.wait(0.005):
            for stream in "pq":
                for element in ("flow", "pressure", "level"):
                    client.publish(f"plant/{stream}/sensor/{element}", '{"value": 7}', qos=0)
            client.publish("junk", b"\xff\x00", qos=0)

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        url = f"mqtt://127.0.0.1:{broker.port}"
        ran = spawn("init", "--listen", url, "--for", "1s", "-o", "json")
    finally:
        ended.set()
        publisher.join()
        client.close()
    assert ran.returncode == 0, ran.stderr
    data = json.loads(ran.stdout)
    assert {each["topic"] for each in data["topics"]} >= {"junk", "plant/p/sensor/flow"}
    assert data["topics"][0]["rate_hz"] > 1
    assert data["patterns"][0]["topic"] == "plant/{stream}/sensor/{element}"
    assert "elements: [flow, level, pressure]" in data["draft"]


def test_init_says_when_no_broker_answers(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurovm.cli.init.listen", lambda *_: int(Exit.UNAVAILABLE))
    assert run("init", "--listen", "mqtt://127.0.0.1:1").code == Exit.UNAVAILABLE


def recorded(path: Path, messages: dict[str, object]) -> Path:
    """A recording with one message a topic."""
    lines = (json.dumps({"topic": t, "payload": json.dumps(p)}) for t, p in messages.items())
    path.write_text("\n".join(lines) + "\n")
    return path


def test_what_nodes_say_themselves_is_left_out(run: Run, tmp_path: Path) -> None:
    info = {"node": "box", "config_hash": "1", "vms": []}
    file = recorded(
        tmp_path / "seen.jsonl",
        {
            "my/prefix/box/availability": "online",
            "my/prefix/box/info": info,
            "my/prefix/box/pump/state": {"state": "ready"},
            "my/prefix/box/pump/result/p1": {"seq": 4},
            "my/prefix/box/pump/in/p1": [1, 2],
            "my/prefix/boxer/x": 1,
            "plant/p1/flow": {"value": 3, "ts": 1.795e9},
            "zigbee/bridge/info": {"version": 1},
        },
    )
    data = json.loads(run("init", "--from", file, "-o", "json").out)
    assert {each["topic"] for each in data["topics"]} == {
        "my/prefix/box/pump/in/p1",
        "my/prefix/boxer/x",
        "plant/p1/flow",
        "zigbee/bridge/info",
    }
    assert data["own"] == {"nodes": ["my/prefix/box"], "topics": 4, "messages": 4}
    text = run("init", "--from", file).out
    assert "not shown: 4 messages on 4 topics of neurovm itself (my/prefix/box)" in text
    assert "ts (time in s)" in text
    assert "result" not in text


def test_many_topics_are_shown_by_what_they_have_in_common(run: Run, tmp_path: Path) -> None:
    plant = {f"plant/p{p}/sensor/{e}": {"value": e} for p in range(10) for e in range(64)}
    meter = {f"meter/{n}/power": n for n in range(20)}
    text = run("init", "--from", recorded(tmp_path / "seen.jsonl", {**plant, **meter})).out
    rows = [line.split() for line in text.splitlines()]
    assert ["plant/{stream}/sensor/{element}", "640", "640", "number", "value", "0…63"] in rows
    assert any(row[:3] == ["meter/{stream}/power", "20", "20"] for row in rows)
    assert "660 topics in all" in text


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--listen", "foo"], "'--listen': found 'foo'; accepted: mqtt://HOST"),
        (["--listen", "mqtt://h", "--for", "0"], "'--for': found '0'; accepted: a number above 0"),
    ],
)
def test_a_wrong_option_is_named_as_it_was_written(run: Run, args: list[str], said: str) -> None:
    for command in (["init"], ["record", "-o", "x"]):
        ran = run(*command, *args)
        assert ran.code == Exit.USAGE
        assert said in ran.err
        assert ran.err.count("\n") == 1


def test_who_listens_shortly_waits_shortly(monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    monkeypatch.setattr(listen, "LEAST_CONNECT_S", 0.1)
    arguments = ["listen", "--server", "mqtt://127.0.0.1:1", "--for", "200ms"]
    assert daemon.main(arguments) == Exit.UNAVAILABLE
    assert "no connection within 0.2 s" in capfd.readouterr().err
