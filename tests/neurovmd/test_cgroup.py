# SPDX-License-Identifier: Apache-2.0
"""Delegated control groups on a tree of plain files: what is read, written and said."""

import os
from pathlib import Path

import pytest

from neurovmd import cgroup

SERVICE = "system.slice/neurovmd.service"
FILES = ("memory.max", "memory.swap.max", "cpu.max", "pids.max", "cgroup.procs")


class FakeTree:
    """What the kernel shows, as plain files; a new group has its files as soon as it is made."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, controllers: str) -> None:
        self.mounted = folder / "cgroup"
        self.service = self.mounted / SERVICE
        self.service.mkdir(parents=True)
        for group in (self.mounted, self.service):
            (group / "cgroup.controllers").write_text(controllers + "\n")
            (group / "cgroup.subtree_control").write_text("")
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
    (group.folder / "memory.events").write_text("low 0\nmax 7\noom 3\noom_kill 2\n")
    assert group.memory_kills() == 2
    (group.folder / "memory.events").write_text("oom_kill many\n")
    assert group.memory_kills() == 0


def test_a_group_is_removed_when_it_is_empty(fake: FakeTree) -> None:
    group = fake.tree().group("pump")
    # Plain files keep a folder from going, as processes do.
    assert not group.remove()
    for name in FILES:
        (group.folder / name).unlink()
    assert group.remove()
    assert group.remove()


@pytest.mark.parametrize(
    ("controllers", "membership", "reason"),
    [
        ("", f"0::/{SERVICE}\n", "has no controllers"),
        ("cpuset io", f"0::/{SERVICE}\n", "has no controllers, found ['cpuset', 'io']"),
        ("cpu memory", "0::/elsewhere\n", "is not delegated"),
        ("cpu memory", "0::/\n", "is not delegated"),
        ("cpu memory", "4:memory:/only\n", "is not delegated"),
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
