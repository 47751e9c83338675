# SPDX-License-Identifier: Apache-2.0
"""What is remembered of a session's filters, and that a damaged file costs only that."""

from pathlib import Path

import pytest

from neurovmd.subscriptions import Subscriptions


def test_what_is_no_longer_wanted_is_named(tmp_path: Path) -> None:
    one = Subscriptions(tmp_path / "state", "pump")
    assert one.obsolete(["a"]) == []
    one.remember(["b", "a"])
    assert one.obsolete(["a", "c"]) == ["b"]
    assert Subscriptions(tmp_path / "state", "other").obsolete([]) == []


def test_the_same_filters_are_not_written_again(tmp_path: Path) -> None:
    one = Subscriptions(tmp_path, "pump")
    one.remember(["a"])
    (file,) = tmp_path.iterdir()
    before = file.stat().st_ino
    one.remember(["a"])
    assert file.stat().st_ino == before
    one.remember(["b"])
    assert [each.stat().st_ino for each in tmp_path.iterdir()] != [before]


@pytest.mark.parametrize("rubbish", [b"", b'["\xff\xfe"]', b'{"a": 1}', b"[" * 10000, bytes(64)])
def test_a_damaged_file_is_set_right(tmp_path: Path, rubbish: bytes) -> None:
    one = Subscriptions(tmp_path, "pump")
    one.remember(["a"])
    (file,) = tmp_path.iterdir()
    file.write_bytes(rubbish)
    assert one.obsolete(["a"]) == []
    one.remember(["a"])
    assert one.obsolete([]) == ["a"]
