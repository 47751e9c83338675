# SPDX-License-Identifier: Apache-2.0
"""The example of a fleet: its tree is right for every box, its script switches or refuses."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from neurovmd import config, models
from neurovmd.layers import Source
from neurovmd.variables import Variables

FLEET = Path(__file__).resolve().parents[1] / "examples/fleet"
ROLE = FLEET / "ansible/roles/neurovmd"
# Modules of Ansible, and the arguments of them, that the role may use.
KNOWN = {
    "ansible.builtin.apt": {"deb"},
    "ansible.builtin.copy": {"content", "dest", "force", "group", "mode", "owner", "src"},
    "ansible.builtin.command": {"argv"},
    "ansible.builtin.systemd_service": {"enabled", "name"},
}
AROUND = {"changed_when", "name", "no_log", "register", "when"}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """`/etc/neurovmd` of a box, with the file that cloud-init writes for it."""
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "neurovmd.yaml").write_text("node: pump-1\n")
    return folder


def pack(folder: Path, archive: Path) -> str:
    subprocess.run(["tar", "-C", folder, "-chf", archive, "."], check=True)
    return hashlib.sha256(archive.read_bytes()).hexdigest()


def switch(root: Path, archive: Path, digest: str) -> subprocess.CompletedProcess[str]:
    """Run the script; `reloaded` in the root's parent holds what systemctl was told."""
    bin_folder = root.parent / "bin"
    bin_folder.mkdir(exist_ok=True)
    top = FLEET.parents[1]
    for name, line in (
        ("neurovmd", f'PYTHONPATH={top} exec {sys.executable} -m neurovmd "$@"'),
        ("systemctl", f'echo "$@" >> {root.parent}/reloaded'),
    ):
        (bin_folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (bin_folder / name).chmod(0o755)
    environ = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "FLEET_ROOT": str(root)}
    command = [FLEET / "neurovmd-tree", archive, digest]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("node", "vms", "limit_w"),
    [("pump-1", ["pump"], 5.0), ("press-3", ["press", "pump"], 12.0)],
)
def test_the_tree_is_right_for_every_box(node: str, vms: list[str], limit_w: float) -> None:
    boxes = read(FLEET / "ansible/inventory.yaml")["all"]["children"]["boxes"]["hosts"]
    assert node in boxes
    loaded = config.load(Source(folders=(FLEET / "tree",)), environ={}, host=node)
    assert loaded.node == loaded.config.mqtt.username == node
    assert [each.name for each in loaded.deployments] == vms
    assert loaded.config.power.limit_w == limit_w
    for each in loaded.deployments:
        models.verify(each.vm.model, each.model, str(each.file))
        assert each.vm.inputs[0].topic.startswith(f"plant7/{node}/")


def test_the_script_switches_trees_and_keeps_the_one_before(root: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(FLEET / "tree", tree)
    # What the script judges with must be there on this machine.
    (tree / "neurovmd.yaml").write_text("prefix: first\n")
    names = []
    for prefix in ("first", "second", "third"):
        (tree / "neurovmd.yaml").write_text(f"prefix: {prefix}\n")
        archive = tmp_path / f"{prefix}.tar"
        digest = pack(tree, archive)
        names.append(digest[:16])
        done = switch(root, archive, digest)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"neurovmd-tree: switched to {digest[:16]}\n"
        loaded = config.load(Source(folders=(root,)), environ={})
        assert (loaded.node, loaded.config.prefix) == ("pump-1", prefix)
        assert not loaded.deployments[0].model.is_symlink()
    again = switch(root, archive, digest)  # both still stay
    assert (again.returncode, again.stdout) == (0, f"neurovmd-tree: {digest[:16]} is in service\n")
    assert sorted(path.name for path in (root / "trees").iterdir()) == sorted(names[1:])
    assert (tmp_path / "reloaded").read_text() == "reload-or-restart neurovmd\n" * 4


def test_the_script_refuses_what_is_wrong(root: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(FLEET / "tree", tree)
    (tree / "neurovmd.yaml").write_text("prefix: good\n")
    archive = tmp_path / "tree.tar"
    digest = pack(tree, archive)
    other = switch(root, archive, "0" * 64)
    assert (other.returncode, (root / "current").exists()) == (65, False)
    assert switch(root, archive, digest).returncode == 0
    (tree / "neurovmd.yaml").write_text("prefx: bad\n")
    bad = tmp_path / "bad.tar"
    done = switch(root, bad, pack(tree, bad))
    assert done.returncode == 78
    assert "prefx" in done.stderr
    assert config.load(Source(folders=(root,)), environ={}).config.prefix == "good"
    assert [path.name for path in (root / "trees").iterdir()] == [digest[:16]]
    assert (tmp_path / "reloaded").read_text().count("\n") == 1


def test_the_script_judges_the_tree_for_this_box(root: Path, tmp_path: Path) -> None:
    """Its overlay counts, whose name its own files say; another box' does not."""
    (root / "neurovmd.yaml").write_text("# nothing\n")
    (root / "conf.d").mkdir()
    (root / "conf.d/box.yaml").write_text(
        "node: press-3\nmqtt: {username: a, password_file: ../broker.password}\n"
    )
    (root / "broker.password").write_text("x\n")
    tree = tmp_path / "tree"
    (tree / "nodes").mkdir(parents=True)
    (tree / "neurovmd.yaml").write_text("prefix: good\n")
    (tree / "nodes/pump-1.yaml").write_text("powr: 1\n")
    archive = tmp_path / "tree.tar"
    done = switch(root, archive, pack(tree, archive))
    assert done.returncode == 0, done.stderr  # another box' overlay
    (tree / "nodes/press-3.yaml").write_text("powr: 1\n")
    done = switch(root, archive, pack(tree, archive))
    assert (done.returncode, "nodes/press-3.yaml:1:1: powr" in done.stderr) == (78, True)
    assert len(list((root / "trees").iterdir())) == 1


def test_cloud_init_writes_that_script_and_a_right_file(tmp_path: Path) -> None:
    file = FLEET / "cloud-init/user-data.yaml"
    assert file.read_text().startswith("#cloud-config\n")
    data = read(file)
    assert set(data) == {"write_files", "runcmd"}
    written = {each["path"]: each["content"] for each in data["write_files"]}
    script = "/usr/local/sbin/neurovmd-tree"
    assert written[script] == (FLEET / "neurovmd-tree").read_text()
    own = tmp_path / "conf.d/box.yaml"
    own.parent.mkdir()
    own.write_text(written["/etc/neurovmd/conf.d/box.yaml"])
    variables = Variables({}, serial=lambda: "0042")
    source = Source(folders=(FLEET / "tree", tmp_path))
    loaded, errors = config.examine(source, environ={}, variables=variables)
    assert (loaded.node, errors) == ("pump-0042", [])
    assert all(isinstance(word, str) for command in data["runcmd"] for word in command)
    assert data["runcmd"][-1][0] == script


def test_a_box_gets_through_the_steps_of_its_first_boot(tmp_path: Path) -> None:
    """What user-data writes suffices for the tree as it is shipped."""
    etc = tmp_path / "etc"
    data = read(FLEET / "cloud-init/user-data.yaml")
    for each in data["write_files"]:
        if each["path"].startswith("/etc/neurovmd/"):
            target = etc / Path(each["path"]).relative_to("/etc/neurovmd")
            target.parent.mkdir(parents=True, exist_ok=True)
            # Where no serial number is, as in a container, the host's name does.
            target.write_text(each["content"].replace("pump-${serial}", "pump-1"))
            target.chmod(int(each["permissions"], 8))
    tree = tmp_path / "tree"
    shutil.copytree(FLEET / "tree", tree)
    main = tree / "neurovmd.yaml"
    main.write_text(main.read_text().replace("/etc/neurovmd/", f"{etc}/"))
    archive = tmp_path / "tree.tar"
    done = switch(etc, archive, pack(tree, archive))
    assert done.returncode == 0, done.stderr
    loaded = config.load(Source(folders=(etc,)), environ={})
    assert (loaded.node, loaded.config.mqtt.username) == ("pump-1", "pump-1")
    assert [each.name for each in loaded.deployments] == ["pump"]
    # Without the password the tree is refused, as the daemon would.
    (etc / "broker.password").unlink()
    (tree / "conf.d/20-more.yaml").write_text("watch_s: 10\n")
    done = switch(etc, archive, pack(tree, archive))
    assert (done.returncode, "mqtt.password_file" in done.stderr) == (78, True)


def test_the_role_names_only_files_that_are_there() -> None:
    (play,) = read(FLEET / "ansible/site.yaml")
    assert play["roles"] == [ROLE.name]
    defaults = read(ROLE / "defaults/main.yaml")
    for task in read(ROLE / "tasks/main.yaml"):
        (module,) = set(task) - AROUND
        assert set(task[module]) <= KNOWN[module]
        source = task[module].get("src", "")
        for name, value in defaults.items():
            source = source.replace(f"{{{{ {name} }}}}", str(value))
        path = source.replace("{{ playbook_dir }}", str(FLEET / "ansible"))
        # The archive is made from the tree, as README says.
        assert not source or Path(path).exists() or Path(path).name == "tree.tar"
    assert "tar -C tree -chf tree.tar ." in (FLEET / "README.md").read_text()
