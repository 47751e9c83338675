# SPDX-License-Identifier: Apache-2.0
"""Delegated control groups on a tree of plain files: what is read, written and said."""

import errno
import os
from pathlib import Path

import pytest

from neurovmd import cgroup

SERVICE = "system.slice/neurovmd.service"
FILES = (
    "memory.max",
    "memory.swap.max",
    "cpu.max",
    "pids.max",
    "cgroup.procs",
    "cgroup.kill",
)


class FakeTree:
    """What the kernel shows, as plain files; a new group has its files as soon as it is made.

    `marks` are the extended attributes of the service's group.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, controllers: str) -> None:
        self.mounted = folder / "cgroup"
        self.service = self.mounted / SERVICE
        self.service.mkdir(parents=True)
        for group in (self.mounted, self.service):
            (group / "cgroup.controllers").write_text(controllers + "\n")
            (group / "cgroup.subtree_control").write_text("")
        (self.service / "cgroup.procs").write_text(f"{os.getpid()}\n")
        self.marks = {"user.delegate": b"1"}
        self.membership = folder / "membership"
        self.membership.write_text(f"1:name=systemd:/other\n0::/{SERVICE}\n")
        made = Path.mkdir

        def mkdir(
            path: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False
        ) -> None:
            there = path.exists()
            made(path, mode, parents, exist_ok)
            if not there and path.is_relative_to(self.mounted):
                for name in FILES:
                    (path / name).write_text("")

        monkeypatch.setattr(Path, "mkdir", mkdir)
        monkeypatch.setattr(os, "getxattr", self.getxattr)

    def getxattr(self, path: Path, name: str) -> bytes:
        if path != self.service or name not in self.marks:
            raise OSError(errno.ENODATA, "No data available")
        return self.marks[name]

    def take_over(self) -> tuple[cgroup.Tree | None, str]:
        return cgroup.take_over(self.mounted, self.membership)

    def tree(self) -> cgroup.Tree:
        tree, reason = self.take_over()
        assert reason == ""
        assert tree is not None
        return tree


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTree:
    return FakeTree(tmp_path, monkeypatch, "cpuset cpu io memory pids")


def test_the_supervisor_moves_to_its_leaf_and_enables_what_it_needs(fake: FakeTree) -> None:
    tree = fake.tree()
    assert (fake.service / "supervisor/cgroup.procs").read_text() == str(os.getpid())
    assert (fake.service / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert tree == cgroup.Tree(fake.service, ("cpu", "memory", "pids"))


def test_a_second_start_finds_its_leaf_there(fake: FakeTree) -> None:
    assert fake.tree() == fake.tree()


def test_a_worker_gets_its_limits(fake: FakeTree) -> None:
    group = fake.tree().group("pump", memory_bytes=64 << 20, cpu_share=0.25)
    assert group == cgroup.Group(fake.service / "vm-pump", ("memory", "cpu"))
    assert (group.folder / "memory.max").read_text() == "67108864"
    assert (group.folder / "memory.swap.max").read_text() == "0"
    assert (group.folder / "cpu.max").read_text() == "25000 100000"
    assert (group.folder / "pids.max").read_text() == "64"
    group.add(4711)
    assert (group.folder / "cgroup.procs").read_text() == "4711\n"


def test_threads_of_a_worker_are_processes_too(fake: FakeTree) -> None:
    group = fake.tree().group("pump", threads=4)
    assert (group.folder / "pids.max").read_text() == "67"


def test_no_limit_is_written_down_as_none(fake: FakeTree) -> None:
    group = fake.tree().group("pump")
    assert group.held == ()
    assert (group.folder / "memory.max").read_text() == "max"
    assert (group.folder / "cpu.max").read_text() == "max 100000"


def test_a_share_below_what_the_kernel_takes_becomes_its_least(fake: FakeTree) -> None:
    group = fake.tree().group("pump", cpu_share=0.001)
    assert (group.folder / "cpu.max").read_text() == "1000 100000"


def test_only_what_the_kernel_offers_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeTree(tmp_path, monkeypatch, "memory pids")
    tree = fake.tree()
    assert (fake.service / "cgroup.subtree_control").read_text() == "+memory +pids"
    group = tree.group("pump", memory_bytes=1 << 20, cpu_share=0.5)
    assert group.held == ("memory",)
    assert (group.folder / "cpu.max").read_text() == ""


def test_kills_for_memory_are_counted(fake: FakeTree) -> None:
    group = fake.tree().group("pump", memory_bytes=1 << 20)
    assert group.memory_kills() == 0
    assert not group.killed
    (group.folder / "memory.events").write_text("low 0\nmax 7\noom 3\noom_kill 2\n")
    assert group.memory_kills() == 2
    assert group.killed
    # A group that could not be removed is not blamed on the next worker in it.
    assert not fake.tree().group("pump", memory_bytes=1 << 20).killed
    (group.folder / "memory.events").write_text("oom_kill many\n")
    assert group.memory_kills() == 0


def test_a_group_is_removed_when_it_is_empty(fake: FakeTree) -> None:
    group = fake.tree().group("pump")
    # Plain files keep a folder from going, as processes do.
    assert not group.remove()
    assert (group.folder / "cgroup.kill").read_text() == "1"
    for name in FILES:
        (group.folder / name).unlink()
    assert group.remove()
    assert group.remove()


@pytest.mark.parametrize(
    ("controllers", "membership", "reason"),
    [
        ("", f"0::/{SERVICE}\n", "has no controllers"),
        ("cpuset io", f"0::/{SERVICE}\n", "has no controllers, found ['cpuset', 'io']"),
        ("cpu memory", "0::/system.slice\n", "systemd has not marked it so"),
        ("cpu memory", "0::/elsewhere\n", "elsewhere: No such file or directory"),
        ("cpu memory", "0::/\n", "it is the root of the tree"),
        ("cpu memory", "4:memory:/only\n", "it is the root of the tree"),
    ],
)
def test_what_is_not_handed_over_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, controllers: str, membership: str, reason: str
) -> None:
    fake = FakeTree(tmp_path, monkeypatch, controllers)
    fake.membership.write_text(membership)
    tree, said = fake.take_over()
    assert tree is None
    assert reason in said
    assert not (fake.service / "supervisor").exists()


@pytest.mark.parametrize(
    ("marks", "processes", "reason"),
    [
        ({}, (), "systemd has not marked it so"),
        ({"user.delegate": b"0"}, (), "systemd has not marked it so"),
        ({"trusted.delegate": b"1"}, (1,), "other processes are in it (1)"),
        ({"user.delegate": b"1"}, (7, 8, 9, 10), "other processes are in it (7, 8, 9)"),
    ],
)
def test_a_group_that_is_not_the_daemons_own_is_left_alone(
    fake: FakeTree, marks: dict[str, bytes], processes: tuple[int, ...], reason: str
) -> None:
    fake.marks = marks
    with (fake.service / "cgroup.procs").open("a") as file:
        file.writelines(f"{pid}\n" for pid in processes)
    tree, said = fake.take_over()
    assert tree is None
    assert said.endswith(f"is not delegated to the daemon (drop-in `limits`): {reason}")
    assert not (fake.service / "supervisor").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize(("owner", "above", "taken"), [(4711, 0, True), (4711, 4711, False)])
def test_before_systemd_251_the_owner_tells(
    fake: FakeTree, monkeypatch: pytest.MonkeyPatch, owner: int, above: int, taken: bool
) -> None:
    fake.marks = {}
    os.chown(fake.service, owner, -1)
    os.chown(fake.service.parent, above, -1)
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    tree, _ = fake.take_over()
    assert (tree is not None) is taken


def test_the_old_hierarchy_is_no_tree_of_ours(tmp_path: Path) -> None:
    assert cgroup.take_over(tmp_path, tmp_path / "membership") == (
        None,
        f"{tmp_path} is not a tree of control groups version 2",
    )


def test_a_membership_that_cannot_be_read_is_said(fake: FakeTree) -> None:
    fake.membership.unlink()
    tree, said = fake.take_over()
    assert tree is None
    assert said == f"{fake.membership}: No such file or directory"


def test_what_the_kernel_refuses_is_said(fake: FakeTree, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _text: bytes) -> int:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(os, "write", refuse)
    tree, said = fake.take_over()
    assert tree is None
    assert said == f"{fake.service}/supervisor/cgroup.procs: Device or resource busy"
