# SPDX-License-Identifier: Apache-2.0
"""Layers: which file wins, what masks, a node's overlay, a switched tree, and who said so."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from neurovm.errors import ConfigError
from neurovmd import config, layers, models, places
from neurovmd.__main__ import main
from neurovmd.layers import Source

VM = """\
model: {model}
inputs: [{{topic: "plant/{{stream}}/x", payload: {{field: ""}}}}]
"""


def tree(folder: Path, **files: str) -> Path:
    """Files by path, `/` written as `__` and without `.yaml`."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def stack(tmp_path: Path) -> Source:
    """Three layers, each saying something the others do not."""
    vendor = tree(
        tmp_path / "usr",
        neurovmd="node: box\nprefix: vendor\nmqtt: {server: mqtt://vendor, keepalive_s: 10}\n",
        conf__d__50="log_level: debug\n",
        vm__d__a=VM.format(model="a.nvm"),
        vm__d__b=VM.format(model="b.nvm"),
        vm__d__c=VM.format(model="c.nvm"),
        nodes__box="mqtt: {username: overlay}\n",
        nodes__other="mqtt: {username: other}\n",
    )
    # conf.d and vm.d: `__` cannot say it.
    for name in ("conf", "vm"):
        (vendor / name / "d").rename(vendor / f"{name}.d")
        (vendor / name).rmdir()
    etc = tree(tmp_path / "etc", neurovmd="prefix: plant\nmqtt: {server: mqtt://etc}\n")
    (etc / "vm.d").mkdir()
    (etc / "vm.d/b.yaml").write_text(VM.format(model="other.nvm"))
    (etc / "vm.d/c.yaml").symlink_to(os.devnull)
    run = tmp_path / "run"
    run.mkdir()
    return Source(folders=(vendor, etc, run))


def test_a_later_layer_wins_key_by_key_and_vm_by_vm(stack: Source) -> None:
    loaded = config.load(stack, environ={})
    mqtt = loaded.config.mqtt
    assert (loaded.config.prefix, loaded.config.log_level) == ("plant", "debug")
    assert (mqtt.server, mqtt.keepalive_s, mqtt.username) == ("mqtt://etc", 10, "overlay")
    assert [(each.name, each.model.name) for each in loaded.deployments] == [
        ("a", "a.nvm"),
        ("b", "other.nvm"),
    ]
    assert loaded.deployments[1].model.parent == stack.folders[1] / "vm.d"


def test_an_empty_file_masks_and_one_of_the_same_name_replaces(stack: Source) -> None:
    _, etc, run = stack.folders
    (run / "vm.d").mkdir()
    (run / "vm.d/a.yaml").write_text("")
    (run / "vm.d/c.yaml").write_text(VM.format(model="back.nvm"))
    (etc / "conf.d").mkdir()
    (etc / "conf.d/50.yaml").write_text("power: {limit: 5 W}\n")
    loaded = config.load(stack, environ={})
    assert [each.name for each in loaded.deployments] == ["b", "c"]
    assert loaded.config.log_level == "info"  # the vendor's 50.yaml does not hold any more
    assert loaded.config.power.limit_w == 5.0
    (run / "conf.d").mkdir()
    (run / "conf.d/50.yaml").symlink_to(os.devnull)
    assert config.load(stack, environ={}).config.power.limit is None


def test_the_overlay_is_the_nodes_own_and_cannot_rename_it(stack: Source) -> None:
    vendor = stack.folders[0]
    other = config.load(stack, environ={"NEUROVMD__NODE": "other"})
    assert (other.node, other.config.mqtt.username) == ("other", "other")
    assert config.load(stack, environ={"NEUROVMD__NODE": "third"}).config.mqtt.username is None
    extra = vendor / "nodes/box/vm.d"
    extra.mkdir(parents=True)
    (extra / "mine.yaml").write_text(VM.format(model="mine.nvm"))
    (extra / "a.yaml").write_text("")
    assert [vm.name for vm in config.load(stack, environ={}).deployments] == ["b", "mine"]
    (vendor / "nodes/box.yaml").write_text("\nnode: else\n")
    with pytest.raises(ConfigError, match="overlay") as caught:
        config.load(stack, environ={})
    assert (Path(caught.value.file).name, caught.value.line) == ("box.yaml", 2)


def test_vm_dir_stands_for_vm_d_of_the_layer_that_gives_it(stack: Source, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/z.yaml").write_text(VM.format(model="z.nvm"))
    (stack.folders[1] / "neurovmd.yaml").write_text("vm_dir: ../elsewhere\n")
    loaded = config.load(stack, environ={})
    assert [each.name for each in loaded.deployments] == ["a", "b", "c", "z"]
    assert [each.model.name for each in loaded.deployments][1] == "b.nvm"


def test_the_system_s_own_file_brings_its_layers(tmp_path: Path) -> None:
    etc = tree(tmp_path / "etc", neurovmd="prefix: etc\n")
    where = places.Places(
        config_file=etc / "neurovmd.yaml",
        vm_dir=etc / "vm.d",
        cache_dir=tmp_path / "cache",
        state_dir=tmp_path / "state",
        socket=tmp_path / "sock",
        vendor=tree(tmp_path / "usr", neurovmd="prefix: usr\nlog_level: error\n"),
        runtime=tree(tmp_path / "run", neurovmd="prefix: run\n"),
    )
    for file in (None, where.config_file):
        loaded = config.load(file, where=where, environ={}, host="h")
        assert (loaded.config.prefix, loaded.config.log_level) == ("run", "error")
    alone = tree(tmp_path / "alone", neurovmd="prefix: alone\n") / "neurovmd.yaml"
    loaded = config.load(alone, where=where, environ={}, host="h")
    assert (loaded.config.prefix, loaded.config.log_level) == ("alone", "info")
    assert layers.Source(None).layers(places.SYSTEM)[0].folder == Path("/usr/lib/neurovmd")


@pytest.fixture
def nobody() -> Iterator[None]:
    """What is closed to others is closed to the test, also where root runs it."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


@pytest.mark.parametrize("closed", ["", "conf.d", "vm.d"])
def test_a_folder_that_cannot_be_looked_into_is_an_error(
    tmp_path: Path, closed: str, request: pytest.FixtureRequest
) -> None:
    """It may say anything: to go on without it would be another configuration."""
    for folder in (tmp_path, *tmp_path.parents):
        if "pytest" in str(folder):
            folder.chmod(0o755)
    layer = tmp_path / "etc"
    (layer / "conf.d").mkdir(parents=True)
    (layer / "vm.d").mkdir()
    (layer / "neurovmd.yaml").write_text("node: box\n")
    (layer / closed).chmod(0)
    request.getfixturevalue("nobody")
    with pytest.raises(ConfigError, match="readable by the daemon") as caught:
        config.load(Source(folders=(layer,)), environ={})
    assert caught.value.file.startswith(str(layer / closed))


def test_a_tree_switched_by_a_link_is_read_whole(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("one", "two"):
        folder = tree(root / "trees" / name, neurovmd=f"prefix: {name}\nnode: n\n")
        (folder / "vm.d").mkdir()
        (folder / "vm.d/a.yaml").write_text(VM.format(model=f"../{name}.nvm"))
    (root / "current").symlink_to("trees/one")
    source = Source(folders=(root,))
    stack = source.layers(places.SYSTEM)
    before = layers.fingerprint(stack)
    assert config.load(source, environ={}).config.prefix == "one"
    (root / "next").symlink_to("trees/two")
    (root / "next").replace(root / "current")
    # Layers that were looked up before the switch still read the old tree, whole.
    assert [path.parent.name for path in layers.files(stack, "n")] == ["one"]
    after = source.layers(places.SYSTEM)
    assert layers.fingerprint(after) != before
    loaded = config.load(source, environ={})
    assert loaded.config.prefix == "two"
    assert loaded.deployments[0].model.resolve() == root / "trees/two/two.nvm"
    # Beside the tree, a file of the box wins over it.
    (root / "neurovmd.yaml").write_text("prefix: local\n")
    assert config.load(source, environ={}).config.prefix == "local"


def test_a_model_is_found_by_its_content(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"model").hexdigest()
    low, high = tmp_path / "low", tmp_path / "high"
    (high / "vm.d").mkdir(parents=True)
    file = high / "vm.d/a.yaml"
    file.write_text(VM.format(model=f"sha256:{digest}"))
    source = Source(folders=(low, high))
    missing = config.load(source, environ={}).deployments[0].model
    assert missing == high / "models/sha256" / f"{digest}.nvm"
    store = low / "models/sha256"
    store.mkdir(parents=True)
    kept = store / f"{digest}.tflite"
    kept.write_bytes(b"model")
    (deployment,) = config.load(source, environ={}).deployments
    assert deployment.model == kept
    models.verify(deployment.vm.model, kept, str(file))
    kept.write_bytes(b"other")
    with pytest.raises(ConfigError, match="the content of its name"):
        models.verify(deployment.vm.model, kept, str(file))
    file.write_text(VM.format(model="sha256:abc"))
    with pytest.raises(ConfigError, match="64 hex digits"):
        config.load(source, environ={})


def test_show_says_where_every_value_comes_from(
    stack: Source, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROVMD__LOG_LEVEL", "error")
    arguments = [f"--layer={folder}" for folder in stack.folders]
    assert main([*arguments, "config", "show", "--origin"]) == 0
    shown = dict(line.split("  # ") for line in capsys.readouterr().out.splitlines())
    vendor, etc, _ = stack.folders
    assert shown['prefix: "plant"'] == f"{etc}/neurovmd.yaml:1"
    assert shown["mqtt.keepalive_s: 10"] == f"{vendor}/neurovmd.yaml:3"
    assert shown['mqtt.username: "overlay"'] == f"{vendor}/nodes/box.yaml:1"
    assert shown['log_level: "error"'] == "environment variable NEUROVMD__LOG_LEVEL"
    assert shown["mqtt.ca_file: null"] == "default"
    assert shown['vms.b.model: "other.nvm"'] == f"{etc}/vm.d/b.yaml:1"
    assert shown["vms.b.max_streams: 64"] == "default"
    assert main([*arguments, "config", "--diff"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert f'prefix: "neurovm" -> "plant"  # {etc}/neurovmd.yaml:1' in said
    assert not any("max_streams" in line or line.endswith("default") for line in said)
    assert main([*arguments, "config", "--effective"]) == 0
    assert "prefix: plant" in capsys.readouterr().out


def test_a_configuration_of_another_place_serves_what_stands_beside_it(tmp_path: Path) -> None:
    """Not what the service of this box, or its user, serves."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder, vm in ((mine, "pump"), (other, "mic")):
        (folder / "vm.d").mkdir(parents=True)
        (folder / "neurovmd.yaml").write_text("node: n\n")
        (folder / "vm.d" / f"{vm}.yaml").write_text("model: m.nvm\ninputs: [{topic: a}]\n")
    where = places.find({"XDG_CONFIG_HOME": str(tmp_path)}, 1000, tmp_path)
    where = replace(where, config_file=other / "neurovmd.yaml", vm_dir=other / "vm.d")
    found = config.load(mine / "neurovmd.yaml", where=where, environ={})
    assert [each.name for each in found.deployments] == ["pump"]
    assert found.config.vm_dir == str(mine / "vm.d")
    usual = config.load(None, where=where, environ={})
    assert [each.name for each in usual.deployments] == ["mic"]
