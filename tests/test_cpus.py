# SPDX-License-Identifier: Apache-2.0
"""How many processors a process may keep busy: quotas of control groups as plain files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neurovm import cpus


def tree(folder: Path, limits: dict[str, str], membership: str) -> tuple[Path, Path]:
    """A mounted tree in which groups have these `cpu.max`, and a process' own place in it."""
    mounted = folder / "cgroup"
    for group, text in limits.items():
        place = mounted / group
        place.mkdir(parents=True, exist_ok=True)
        (place / "cpu.max").write_text(text)
    own = folder / "membership"
    own.write_text(membership)
    return mounted, own


@pytest.mark.parametrize(
    ("limits", "quota"),
    [
        ({"a/b": "max 100000\n"}, None),
        ({"a/b": "150000 100000\n"}, 1.5),
        ({"a/b": "max 100000\n", "a": "50000 100000\n"}, 0.5),
        ({"a/b": "400000 100000\n", "a": "300000 100000\n", ".": "200000 100000\n"}, 2.0),
        ({}, None),
        ({"a/b": ""}, None),
        ({"a/b": "100000\n"}, None),
        ({"a/b": "x y\n"}, None),
        ({"a/b": "100000 0\n"}, None),
        ({"a/b": "-1 100000\n"}, None),
        ({"a/b": "0 100000\n"}, None),
    ],
)
def test_the_least_quota_on_the_way_up_counts(
    tmp_path: Path, limits: dict[str, str], quota: float | None
) -> None:
    places = tree(tmp_path, limits, "1:name=systemd:/other\n0::/a/b\n")
    assert cpus.quota(*places) == (1 << 20 if quota is None else quota)
    most = len(os.sched_getaffinity(0))
    assert cpus.usable(*places) == (most if quota is None else max(1, min(most, int(quota))))


@pytest.mark.parametrize("membership", ["", "1:cpu:/a\n", "0::/../a\n", "\xff\n"])
def test_without_a_place_of_its_own_nothing_is_limited(tmp_path: Path, membership: str) -> None:
    places = tree(tmp_path, {"a": "1000 100000\n"}, membership)
    assert cpus.quota(*places) == 1 << 20
    assert cpus.quota(places[0], tmp_path / "none") == 1 << 20


def test_there_is_at_least_one() -> None:
    assert 1 <= cpus.usable() <= len(os.sched_getaffinity(0))
