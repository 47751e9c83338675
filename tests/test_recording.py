# SPDX-License-Identifier: Apache-2.0
"""Recordings: what is written is read back; bounded, expiring, atomic; untrusted when read."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovm import recording
from neurovm.errors import RecordingError

DAY_US = 86400 * 10**6
START_US = 1_760_000_000_000_000


def written(
    messages: list[tuple[str, bytes]],
    *,
    max_bytes: int = 1 << 20,
    max_message_bytes: int = 1 << 16,
    expire_s: float | None = None,
) -> tuple[bytes, recording.Writer]:
    out = io.BytesIO()
    writer = recording.Writer(
        out,
        max_bytes=max_bytes,
        max_message_bytes=max_message_bytes,
        expire_s=expire_s,
        clock_us=lambda: START_US,
    )
    for topic, payload in messages:
        writer.put(topic, payload)
    return out.getvalue(), writer


def read(data: bytes, at_us: int = START_US) -> list[recording.Recorded]:
    return list(recording.read(io.BytesIO(data), "file", clock_us=lambda: at_us))


TOPICS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(st.lists(st.tuples(TOPICS, st.binary(max_size=40)), max_size=8))
def test_what_is_written_is_read_back(messages: list[tuple[str, bytes]]) -> None:
    data, _ = written(messages)
    found = read(data)
    assert [(each.topic, each.payload) for each in found] == messages
    assert [each.line for each in found] == list(range(2, len(messages) + 2))
    assert {each.t_us for each in found} <= {START_US}


@given(st.binary(max_size=200))
def test_anything_may_be_read(data: bytes) -> None:
    try:
        read(data)
    except RecordingError as error:
        assert 1 <= error.line <= data.count(b"\n") + 1
        assert str(error).startswith(f"file:{error.line}: ")


@given(st.data())
def test_a_damaged_recording_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(written([("a/b", b"1.5"), ("a/c", b"\xff")], expire_s=60)[0])
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(whole))
    except RecordingError as error:
        assert error.line >= 1


def test_the_most_bytes_hold() -> None:
    data, writer = written([("t", b"x" * 50)] * 100, max_bytes=1000)
    assert 900 < len(data) <= 1000
    assert writer.messages == len(read(data))
    assert not writer.put("t", b"x" * 50)


def test_a_large_message_leaves_only_its_size() -> None:
    data, writer = written([("t", b"x" * 51), ("t", b"x" * 50)], max_message_bytes=50)
    large, small = read(data)
    assert (large.payload, large.size) == (None, 51)
    assert small.payload == b"x" * 50
    assert writer.left_out == 1


def test_an_expired_recording_is_refused() -> None:
    data, _ = written([("t", b"1")], expire_s=86400)
    assert len(read(data, START_US + DAY_US - 1)) == 1
    with pytest.raises(recording.ExpiredError, match="file:1: found a recording that expired"):
        read(data, START_US + DAY_US)


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(RecordingError, match="format 2"):
        read(b'{"neurovm_recording": 2}\n')


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "seen.jsonl"
    with recording.create(target) as out:
        out.write(b"all")
        assert not target.exists()
    assert target.read_bytes() == b"all"
    assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ZeroDivisionError), recording.create(target) as out:
        out.write(bytes(1 // 0))
    assert target.read_bytes() == b"all"
    assert list(tmp_path.iterdir()) == [target]


def test_only_expired_recordings_are_removed(tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_bytes(written([("t", b"1")], expire_s=60)[0])
    (tmp_path / ".cut.jsonl.x1").write_bytes(written([("t", b"1")], expire_s=60)[0][:-3])
    (tmp_path / "new.jsonl").write_bytes(written([("t", b"1")], expire_s=600)[0])
    (tmp_path / "kept.jsonl").write_bytes(written([("t", b"1")])[0])
    (tmp_path / "mine.jsonl").write_text(json.dumps({"expires_us": 1}) + "\n")
    (tmp_path / "noise.jsonl").write_bytes(b"\xff" * 10_000)
    (tmp_path / "folder.jsonl").mkdir()
    removed = recording.remove_expired(tmp_path, clock_us=lambda: START_US + 61 * 10**6)
    assert [path.name for path in removed] == [".cut.jsonl.x1", "old.jsonl"]
    assert not (tmp_path / "old.jsonl").exists()
    assert (tmp_path / "mine.jsonl").exists()
