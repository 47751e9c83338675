# SPDX-License-Identifier: Apache-2.0
"""Reload with a real broker: what stays notices nothing, what is wrong is refused whole."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from benchmarks.daemon_footprint import switches
from benchmarks.rig import Client, Daemon, Mosquitto, free_port, wait_for
from neurovmd import config, last_good, layers, models
from neurovmd.identity import config_hash
from neurovmd.layers import Source
from neurovmd.rollout import plan
from neurovmd.shared import SharedBlock
from neurovmd.supervisor import SPARE_SLOTS
from neurovmd.vm import Vm

VM = """\
model: {model}
inputs:
  - topic: {name}/{{stream}}/sensor/{{element}}
    to: {{tensor: 0}}
output: {{on: always, wait_for: any, form: {{{form}}}}}
"""
TOP, CODES = "top_k: 1", "values: codes"
Make = Callable[..., Daemon]


@pytest.fixture
def text(bundles: dict[str, Path]) -> Callable[..., str]:
    """A VM's file by name."""

    def one(name: str, form: str = TOP, model: object = bundles["digits_mlp"]) -> str:
        return VM.format(name=name, form=form, model=model)

    return one


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Daemon] = []

    def one(port: int, main: str = "", **vms: str) -> Daemon:
        server = f'node: box\nmqtt: {{server: "mqtt://127.0.0.1:{port}"}}\n'
        made.append(Daemon(tmp_path / f"d{len(made)}", server + main, **vms))
        return made[-1]

    yield one
    for daemon in made:
        daemon.stop()


def write(daemon: Daemon, name: str, text: str) -> None:
    (daemon.folder / "vm.d" / f"{name}.yaml").write_text(text)


def connected(daemon: Daemon) -> None:
    def all_up() -> bool:
        status = daemon.status()
        return all([status["mqtt"]["connected"], *(vm["connected"] for vm in status["vms"])])

    wait_for(all_up, "all are connected")


def reload(daemon: Daemon) -> dict[str, Any]:
    """SIGHUP; what the daemon says of its configuration when it has decided."""
    before = daemon.status()["config"]["reloads"]
    assert daemon.child is not None
    daemon.child.send_signal(signal.SIGHUP)
    daemon.heard("")  # a listener that does not read is waited for
    decided = wait_for(
        lambda: (found := daemon.status()["config"])["reloads"] > before and found, "a decision"
    )
    return dict(decided)


def answered(client: Client, name: str) -> int:
    """How many messages the results on a VM's stream answer."""
    results = client.on(f"neurovm/box/{name}/result/p")
    return sum(each["seq"] - each.get("seq_first", each["seq"]) + 1 for each in results)


def pids(daemon: Daemon) -> dict[str, int]:
    return {vm["name"]: vm["pid"] for vm in daemon.status()["vms"]}


def test_what_stays_the_same_keeps_its_process_and_nothing_is_lost(
    broker: Mosquitto, make: Make, text: Callable[..., str]
) -> None:
    daemon = make(broker.port, a=text("a"), b=text("b"), c=text("c"))
    daemon.start()
    connected(daemon)
    client = Client(broker.port)
    client.subscribe("neurovm/#")
    before = pids(daemon)
    sent = 0

    def send(count: int) -> int:
        for number in range(count):
            for name in "ab":
                client.publish(f"{name}/p/sensor/{number % 64}", f'{{"value": {number % 7}}}')
        return count

    sent += send(100)
    wait_for(lambda: client.on("neurovm/box/a/result/p"), "a answers in its old form")
    write(daemon, "a", text("a", CODES))
    (daemon.folder / "vm.d/c.yaml").unlink()
    write(daemon, "d", text("d"))
    assert daemon.child is not None
    daemon.child.send_signal(signal.SIGHUP)
    sent += send(200)
    wait_for(lambda: daemon.status()["config"]["reloads"] == 1, "the reload is over")
    sent += send(100)
    connected(daemon)
    after = pids(daemon)
    assert list(after) == ["a", "b", "d"]
    assert after["b"] == before["b"]
    assert after["a"] != before["a"]
    assert daemon.vm("b")["restarts"] == 0
    wait_for(lambda: answered(client, "b") >= sent, "b answers all")
    wait_for(lambda: answered(client, "a") >= sent, "a answers all")
    seqs = [each["seq"] for each in client.on("neurovm/box/b/result/p")]
    assert seqs == sorted(set(seqs))
    assert answered(client, "b") == sent
    results = client.on("neurovm/box/a/result/p")
    assert "top" in results[0]
    assert "values" in results[-1]
    client.wait("neurovm/box/c/state", lambda said: said == b"")  # nothing is kept of it
    client.wait("neurovm/box/c/availability", lambda said: said == b"offline")
    client.wait("neurovm/box/d/state", lambda said: said and said["state"] == "ready")
    assert any(said.startswith("RELOADING=1\nMONOTONIC_USEC=") for said in _notified(daemon))
    client.close()


def _notified(daemon: Daemon) -> list[str]:
    daemon.heard("")
    return daemon.notified


@pytest.mark.parametrize("wrong", ["key", "model", "missing", "misfit", "main"])
def test_a_wrong_configuration_is_refused_whole(
    tmp_path: Path, broker: Mosquitto, make: Make, text: Callable[..., str], wrong: str
) -> None:
    daemon = make(broker.port, a=text("a"), b=text("b"))
    daemon.start()
    connected(daemon)
    client = Client(broker.port)
    client.subscribe("neurovm/box/info")
    good = client.wait("neurovm/box/info", lambda said: said["config_state"] == "current")
    before = pids(daemon)
    (tmp_path / "junk.nvm").write_bytes(b"junk")
    files = {
        "key": ("vm.d/b.yaml", text("b").replace("model:", "modell:"), "b.yaml:1:1"),
        "model": ("vm.d/b.yaml", text("b", TOP, tmp_path / "junk.nvm"), "junk.nvm"),
        "missing": ("vm.d/b.yaml", text("b", TOP, tmp_path / "none.nvm"), "none.nvm"),
        "misfit": ("vm.d/b.yaml", text("b").replace("tensor: 0", "tensor: 3"), "tensor"),
        "main": ("neurovmd.yaml", "log_lvel: info\n", "log_lvel"),
    }
    file, content, reason = files[wrong]
    right = (daemon.folder / file).read_text()
    (daemon.folder / file).write_text(content)
    write(daemon, "a", text("a", CODES))  # right in itself, and not taken alone
    decided = reload(daemon)
    assert decided["state"] == "last_good"
    assert reason in decided["reason"]
    said = client.wait("neurovm/box/info", lambda said: said["config_state"] == "last_good")
    assert reason in said["config_reason"]
    assert said["config_hash"] == good["config_hash"]
    assert pids(daemon) == before
    assert "config.refused" in daemon.said()
    wait_for(
        lambda: any("the last good configuration serves" in each for each in _notified(daemon)),
        "STATUS says so",
    )
    (daemon.folder / file).write_text(right)
    decided = reload(daemon)
    assert (decided["state"], decided["reason"]) == ("current", "")
    assert decided["hash"] != good["config_hash"]
    assert pids(daemon)["b"] == before["b"]
    assert pids(daemon)["a"] != before["a"]
    client.close()


def test_refusals_and_changes_leave_nothing_behind(
    tmp_path: Path, make: Make, text: Callable[..., str]
) -> None:
    daemon = make(free_port(), a=text("a"), b=text("b"))
    daemon.start()
    pid = daemon.status()["pid"]
    children = Path(f"/proc/{pid}/task/{pid}/children")

    def held() -> tuple[int, int]:
        return len(list(Path(f"/proc/{pid}/fd").iterdir())), len(children.read_text().split())

    before = held()
    good = daemon.vm("b")["model"]
    (tmp_path / "junk.nvm").write_bytes(b"junk")
    # Two VMs are loaded each time, more in all than there is room for.
    for number in range(SPARE_SLOTS // 2 + 3):
        write(daemon, "a", text("a", f"top_k: {2 + number % 5}"))
        write(daemon, "b", text("b", TOP, tmp_path / "junk.nvm" if number % 2 else good))
        assert reload(daemon)["state"] == ("last_good" if number % 2 else "current")
    # At most: a client of the control socket may just have gone when it was counted.
    wait_for(
        lambda: all(now <= was for now, was in zip(held(), before, strict=True)),
        f"as before: {before}, not {held()}",
    )


def test_the_same_configuration_again_changes_nothing(make: Make, text: Callable[..., str]) -> None:
    daemon = make(free_port(), a=text("a"))
    daemon.start()
    before, was = pids(daemon), daemon.status()["config"]
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(10.0)
        control.connect(str(daemon.folder / "neurovmd.sock"))
        control.sendall(b'{"op": "reload"}\n')
        assert json.loads(control.recv(4096)) == {"status": "ok", "data": None}
    wait_for(lambda: daemon.status()["config"]["reloads"] == 1, "a decision")
    changes = {"changed": [], "added": [], "removed": [], "untouched": ["a"]}
    assert daemon.status()["config"] == {**was, "reloads": 1, "changes": changes}
    assert pids(daemon) == before


def test_a_new_broker_is_taken_over(
    tmp_path: Path, broker: Mosquitto, make: Make, text: Callable[..., str]
) -> None:
    other = Mosquitto(tmp_path / "other", autosave=False)
    other.start()
    try:
        daemon = make(broker.port, a=text("a"))
        daemon.start()
        connected(daemon)
        client = Client(broker.port)
        client.subscribe("neurovm/box/#")
        daemon.config.write_text(
            daemon.config.read_text().replace(str(broker.port), str(other.port))
        )
        assert reload(daemon)["state"] == "current"
        client.wait("neurovm/box/availability", lambda said: said == b"offline")
        client.wait("neurovm/box/a/availability", lambda said: said == b"offline")
        new = Client(other.port)
        new.subscribe("neurovm/box/#")
        new.wait("neurovm/box/availability", lambda said: said == b"online")
        connected(daemon)
        new.publish("a/p/sensor/1", '{"value": 1}')
        assert new.wait("neurovm/box/a/result/p", bool)["seq"] == 1
        client.close()
        new.close()
    finally:
        other.kill()


def test_a_running_worker_takes_the_new_level_of_the_log(
    broker: Mosquitto, make: Make, text: Callable[..., str]
) -> None:
    daemon = make(broker.port, a=text("a"))
    daemon.start()
    connected(daemon)
    before = pids(daemon)
    client = Client(broker.port)
    client.publish("a/p/sensor/1", "rubbish")
    wait_for(lambda: "message.dropped" in daemon.said(), "a worker says what it refuses")
    main = daemon.folder / "neurovmd.yaml"
    main.write_text(main.read_text() + "log_level: error\n")
    assert reload(daemon)["state"] == "current"
    said = daemon.said().count("message.dropped")
    for count in range(2, 40):  # the 2nd, 4th, 8th, ... would be said
        client.publish("a/p/sensor/1", "rubbish")
        wait_for(lambda count=count: daemon.vm("a")["dropped"]["payload"] == count, "it is refused")
    assert pids(daemon) == before
    assert daemon.said().count("message.dropped") <= said + 1  # before it had looked
    client.close()


def session_present(port: int, client_id: str) -> bool:
    """Whether a broker keeps a session for this client; it is taken up, and kept."""
    found: list[bool] = []
    one = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
    one.on_connect = lambda _client, _data, flags, *_: found.append(flags.session_present)
    kept = Properties(PacketTypes.CONNECT)
    kept.SessionExpiryInterval = 600
    one.connect("127.0.0.1", port, clean_start=False, properties=kept)
    wait_for(lambda: one.loop(0.05) or found, "the broker answers")
    one.disconnect()
    one.loop(0.05)
    return found[0]


def test_the_session_of_a_removed_vm_ends_and_others_are_kept(
    broker: Mosquitto, make: Make, text: Callable[..., str]
) -> None:
    daemon = make(broker.port, a=text("a"), b=text("b"), c=text("c"))
    daemon.start()
    connected(daemon)
    remembered = daemon.folder / "state/a.subscriptions.json"
    wait_for(remembered.exists, "its filters are remembered")
    (daemon.folder / "vm.d/a.yaml").unlink()
    write(daemon, "b", text("b", CODES))
    assert reload(daemon)["state"] == "current"
    connected(daemon)
    wait_for(lambda: not remembered.exists(), "a has said farewell")
    assert daemon.stop() == 0
    kept = {name: session_present(broker.port, f"neurovmd-box-{name}") for name in "abc"}
    assert kept == {"a": False, "b": True, "c": True}


def test_a_stopped_vm_stays_stopped(make: Make, text: Callable[..., str]) -> None:
    daemon = make(free_port(), a=text("a"))
    daemon.start()
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(daemon.folder / "neurovmd.sock"))
        control.sendall(b'{"op": "stop", "vm": "a"}\n')
        control.recv(4096)
    wait_for(lambda: daemon.vm("a")["state"] == "stopped", "a is stopped")
    write(daemon, "a", text("a", CODES))
    assert reload(daemon)["state"] == "current"
    wait_for(lambda: daemon.vm("a")["state"] == "stopped", "a is stopped again")


def test_a_switched_tree_is_one_change_and_files_are_watched(
    make: Make, text: Callable[..., str], bundles: dict[str, Path]
) -> None:
    daemon = make(free_port(), "watch_s: 1\n")
    for name, form in (("one", TOP), ("two", CODES)):
        folder = daemon.folder / "trees" / name / "vm.d"
        folder.mkdir(parents=True)
        shutil.copy(bundles["digits_mlp"], folder / "x.nvm")
        for vm in "ab":
            # b is the same in both trees: other files, the same content.
            (folder / f"{vm}.yaml").write_text(text(vm, form if vm == "a" else TOP, "x.nvm"))
    (daemon.folder / "current").symlink_to("trees/one")
    daemon.start()
    before = pids(daemon)
    assert list(before) == ["a", "b"]
    (daemon.folder / "next").symlink_to("trees/two")
    (daemon.folder / "next").replace(daemon.folder / "current")
    wait_for(lambda: daemon.status()["config"]["reloads"] == 1, "the change is seen")
    after = pids(daemon)
    assert after["b"] == before["b"]
    assert after["a"] != before["a"]
    shutil.rmtree(daemon.folder / "trees/one")
    assert daemon.status()["config"]["state"] == "current"
    assert any("trees/two" in file for file in daemon.status()["files"])
    # The removed tree is no change; neither is what was just taken.
    pid = daemon.status()["pid"]
    woken = switches(pid)
    wait_for(lambda: switches(pid) >= woken + 4, "some looks", 20.0)
    assert daemon.status()["config"]["reloads"] == 1
    assert pids(daemon) == after


def test_a_start_takes_the_last_good_one_where_it_may(
    broker: Mosquitto, make: Make, text: Callable[..., str], bundles: dict[str, Path]
) -> None:
    daemon = make(broker.port, "on_invalid: last_good\n", a=text("a", TOP, "a.nvm"))
    shutil.copy(bundles["digits_mlp"], daemon.folder / "vm.d/a.nvm")
    daemon.start()
    kept = daemon.folder / "state" / last_good.NAME
    wait_for(kept.is_dir, "a copy")
    was = daemon.status()["config"]["hash"]
    daemon.stop()
    write(daemon, "a", "model: 3\n")
    (daemon.folder / "vm.d/a.nvm").unlink()
    daemon.start()
    found = daemon.status()["config"]
    assert (found["state"], found["hash"]) == ("last_good", was)
    assert "a.yaml:1:1" in found["reason"]
    connected(daemon)
    client = Client(broker.port)
    client.subscribe("neurovm/box/#")
    client.publish("a/p/sensor/1", '{"value": 1}')
    assert client.wait("neurovm/box/a/result/p", bool)["seq"] == 1
    client.close()
    daemon.stop()
    # Without that word a wrong configuration ends the start, also with a copy beside it.
    main = kept / "neurovmd.yaml"
    main.write_text(main.read_text().replace('"last_good"', '"exit"'))
    daemon.start(ready=False)
    assert daemon.child is not None
    assert daemon.child.wait(20.0) == 78


@pytest.mark.parametrize("damage", ["gone", "cut"])
@pytest.mark.parametrize("word", ["last_good", "exit"])
def test_a_start_with_a_model_that_does_not_load(
    broker: Mosquitto,
    make: Make,
    text: Callable[..., str],
    bundles: dict[str, Path],
    damage: str,
    word: str,
) -> None:
    """As after a refused reload and a power cut: what served is in service again, or what is not
    is said.
    """
    main = f"on_invalid: {word}\nwatch_s: 1\n"
    daemon = make(broker.port, main, a=text("a"), b=text("b", TOP, "b.nvm"))
    model = daemon.folder / "vm.d/b.nvm"
    shutil.copy(bundles["digits_mlp"], model)
    daemon.start()
    wait_for((daemon.folder / "state" / last_good.NAME).is_dir, "a copy")
    was = daemon.status()["config"]["hash"]
    daemon.stop()
    whole = model.read_bytes()
    model.unlink()
    if damage == "cut":
        model.write_bytes(whole[: len(whole) // 2])
    daemon.start()

    def config() -> dict[str, Any]:
        return dict(daemon.status()["config"])

    def states() -> dict[str, str]:
        return {vm["name"]: vm["state"] for vm in daemon.status()["vms"]}

    if word == "last_good":
        wait_for(lambda: config()["state"] == "last_good", "the copy is in service")
        wait_for(lambda: states() == {"a": "ready", "b": "ready"}, "all of it")
        assert config()["hash"] == was
    else:
        assert config()["state"] == "partial"
        assert states() == {"a": "ready", "b": "failed"}
    assert "b: " in config()["reason"]
    first = daemon.vm("a")["pid"]
    model.write_bytes(whole)  # mended
    wait_for(lambda: config()["state"] == "current", "what is wanted serves")
    wait_for(lambda: states() == {"a": "ready", "b": "ready"}, "all of it")
    assert config()["reason"] == ""
    assert daemon.vm("a")["pid"] == first


def test_the_copy_says_the_same_and_holds_no_secret(
    tmp_path: Path, text: Callable[..., str], bundles: dict[str, Path]
) -> None:
    (tmp_path / "vm.d").mkdir()
    (tmp_path / "vm.d/a.yaml").write_text(
        text("a").replace("a/{stream}", "${file:../name}/${node}/{stream}")
    )
    (tmp_path / "name").write_text("hidden-hall\n")
    (tmp_path / "pass").write_text("x\n")
    file = tmp_path / "neurovmd.yaml"
    file.write_text(
        "vm_dir: vm.d\nnode: n\nstate_dir: state\non_invalid: last_good\n"
        "mqtt: {username: u, password_file: pass}\n"
    )
    settings = config.load(file, environ={})
    last_good.save(settings)
    found = last_good.find(Source(file), environ={})
    assert found is not None
    assert config_hash(found) == config_hash(settings)
    assert found.config.mqtt == settings.config.mqtt
    assert found.deployments[0].vm.inputs == settings.deployments[0].vm.inputs
    assert models.digest(found.deployments[0].model) == models.digest(bundles["digits_mlp"])
    copied = tmp_path / "state" / last_good.NAME
    texts = [path.read_text() for path in copied.resolve().rglob("*.yaml")]
    assert len(texts) == 2
    assert not any("hidden-hall" in text for text in texts)
    # The next one takes its place, and only one is kept.
    file.write_text(file.read_text() + "log_level: debug\n")
    last_good.save(config.load(file, environ={}))
    again = last_good.find(Source(file), environ={})
    assert again is not None
    assert again.config.log_level == "debug"
    assert len(list((tmp_path / "state").iterdir())) == 2
    # A damaged model is not served.
    (model,) = (copied / models.STORE).iterdir()
    model.write_bytes(b"junk")
    assert last_good.find(Source(file), environ={}) is None


def test_a_hash_says_what_a_configuration_says_not_where(
    tmp_path: Path, text: Callable[..., str]
) -> None:
    found = []
    for name in ("x", "y"):
        (tmp_path / name / "vm.d").mkdir(parents=True)
        (tmp_path / name / "vm.d/a.yaml").write_text(text("a"))
        (tmp_path / name / "neurovmd.yaml").write_text("node: n\nvm_dir: vm.d\n")
        found.append(config_hash(config.load(tmp_path / name / "neurovmd.yaml", environ={})))
    assert found[0] == found[1]
    (tmp_path / "y/vm.d/a.yaml").write_text(text("a", CODES))
    assert config_hash(config.load(tmp_path / "y/neurovmd.yaml", environ={})) != found[0]


def test_the_plan_compares_content(tmp_path: Path, bundles: dict[str, Path]) -> None:
    def settings(folder: str, main: str = "", **vms: str) -> config.Settings:
        root = tmp_path / folder
        (root / "vm.d").mkdir(parents=True)
        (root / "neurovmd.yaml").write_text(f"node: n\nvm_dir: vm.d\nstate_dir: /s\n{main}")
        for name, model in vms.items():
            os.link(bundles[model], root / "vm.d" / f"{name}.nvm")
            vm = VM.format(name=name, form=TOP, model=f"{name}.nvm")
            (root / "vm.d" / f"{name}.yaml").write_text(vm)
        return config.load(root / "neurovmd.yaml", environ={})

    before = settings("1", a="digits_mlp", b="digits_mlp", c="digits_mlp")
    block = SharedBlock(3)
    vms = [Vm(each, block.slot(i), before) for i, each in enumerate(before.deployments)]
    after = settings("2", "log_level: debug\n", a="digits_mlp", b="digits_dscnn", d="digits_mlp")
    found = plan(vms, before, after)
    assert list(found.keep) == ["a"]
    assert [each.name for each in found.load] == ["b", "d"]
    assert found.stop == ["c"]
    moved = plan(vms, before, settings("3", "prefix: p\n", a="digits_mlp"))
    assert [each.name for each in moved.load] == ["a"]


def test_a_fingerprint_follows_every_file(tmp_path: Path) -> None:
    (tmp_path / "vm.d").mkdir()
    (tmp_path / "model.nvm").write_bytes(b"1")
    stack = [layers.Layer(tmp_path, tmp_path / layers.MAIN)]
    seen = {layers.fingerprint(stack, [tmp_path / "model.nvm"])}
    for name in ("neurovmd.yaml", "vm.d/a.yaml", "model.nvm"):
        (tmp_path / name).write_bytes(b"22")
        seen.add(layers.fingerprint(stack, [tmp_path / "model.nvm"]))
    assert len(seen) == 4
