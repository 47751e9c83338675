# SPDX-License-Identifier: Apache-2.0
"""Files of events: what real writers wrote, and what is broken."""

from __future__ import annotations

import random
from array import array
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_files import ROOT

from neurovm.errors import BackendError, EventError
from neurovm.events import Recording, aer, nmnist, read, synthetic, write
from neurovm.events.synthetic import SHAPES, Scene, record

FIXTURE = Path(__file__).resolve().parent.parent / "fixtures" / "events.aedat4"


def nmnist_record(x: int, y: int, p: int, t_us: int) -> bytes:
    """40 bits as a number, the way the format is described."""
    return (x << 32 | y << 24 | p << 23 | t_us).to_bytes(5, "big")


def test_nmnist_records(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(nmnist_record(3, 33, 1, 8_388_607 - 5) + nmnist_record(33, 0, 0, 8_388_607))
    seen = read(path)
    assert (seen.width, seen.height, len(seen), seen.duration_us) == (34, 34, 2, 5)
    assert list(zip(seen.times_us, seen.x, seen.y, seen.p, strict=True)) == [
        (8_388_602, 3, 33, 1),
        (8_388_607, 33, 0, 0),
    ]


def test_nmnist_turns_of_the_clock_are_in_the_times(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    records = [
        (1, 1, 1, 8000),
        (0, 240, 0, 0),
        (2, 2, 0, 10),
        (0, 240, 0, 0),
        (0, 240, 0, 9),
        (3, 3, 1, 2),
    ]
    path.write_bytes(b"".join(nmnist_record(*each) for each in records))
    seen = read(path)
    assert seen.times_us.tolist() == [8000, 8192 + 10, 3 * 8192 + 2]
    assert seen.x.tolist() == [1, 2, 3]


def test_nmnist_of_a_larger_sensor(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(nmnist_record(239, 179, 1, 5))
    assert read(path, size=(240, 180)).x.tolist() == [239]
    with pytest.raises(EventError, match="event 0: found x 239; accepted: 0 to 33"):
        read(path)
    with pytest.raises(EventError, match="height: found 241; accepted: 1 to 240"):
        read(path, size=(10, 241))


@pytest.mark.parametrize("length", [1, 4, 6, 9])
def test_nmnist_truncated(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes((nmnist_record(1, 1, 1, 5) * 2)[:length])
    with pytest.raises(
        EventError, match=f"a.bin: found {length // 5} whole events and {length % 5}"
    ):
        read(path)


def test_nmnist_time_goes_back(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"".join(nmnist_record(1, 1, 1, t) for t in (4, 9, 8)))
    with pytest.raises(EventError, match="event 2: found 8 µs after 9 µs") as raised:
        read(path)
    assert raised.value.index == 2


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_an_nmnist_file_or_an_error(data: bytes) -> None:
    try:
        seen = nmnist.decode(data, "a.bin")
    except EventError as error:
        assert str(error).startswith("a.bin: ")
        return
    clocks = sum(data[at] == 240 for at in range(1, len(data), 5))
    assert len(seen) == len(data) // 5 - clocks
    assert seen.times_us.tolist() == sorted(seen.times_us)


def test_an_empty_nmnist_file_has_no_events(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"")
    assert len(read(path)) == 0


def test_a_real_nmnist_file() -> None:
    path = ROOT / "data" / "dvs" / "sample_nmnist.bin"
    if not path.exists():
        pytest.skip("the shared recordings are not here")
    seen = read(path)
    assert len(seen) == path.stat().st_size // 5
    assert nmnist.encode(seen) == path.read_bytes()


@pytest.mark.parametrize("suffix", [".bin", ".aer"])
def test_what_is_written_is_read(tmp_path: Path, suffix: str) -> None:
    seen = record(Scene(shape="disc", duration_us=20_000), seed=1)
    path = tmp_path / f"a{suffix}"
    write(path, seen)
    assert read(path) == seen


def test_nmnist_cannot_hold_everything() -> None:
    late = Recording(
        array("q", [1 << 23]), array("H", [0]), array("H", [0]), array("B", [0]), 34, 34
    )
    with pytest.raises(EventError, match="accepted: 0 to 8388607"):
        nmnist.encode(late)
    tall = Recording(array("q"), array("H"), array("H"), array("B"), 34, 241)
    with pytest.raises(EventError, match="at most 256 × 240"):
        nmnist.encode(tall)


def test_files_of_several_blocks(tmp_path: Path) -> None:
    seen = record(Scene(shape="bar", duration_us=20_000), seed=1)
    late = record(Scene(shape="bar", duration_us=20_000), seed=2)
    late.times_us[:] = array("q", [t + 30_000 for t in late.times_us])
    path = tmp_path / "a.aer"
    path.write_bytes(aer.pack_xypt(seen) + aer.pack_xypt(late))
    both = read(path)
    assert both.times_us == seen.times_us + late.times_us
    assert both.p == seen.p + late.p
    path.write_bytes(aer.pack_xypt(late) + aer.pack_xypt(seen))
    with pytest.raises(EventError, match=f"event {len(late)}: found .* after"):
        read(path)
    other = record(Scene(shape="bar", width=20, duration_us=20_000), seed=2)
    path.write_bytes(aer.pack_xypt(seen) + aer.pack_xypt(other))
    with pytest.raises(EventError, match="found a block of 20 × 34 pixels; accepted: 34 × 34"):
        read(path)
    nothing = Recording(array("q"), array("H"), array("H"), array("B"), 34, 34)
    path.write_bytes(aer.pack_xypt(seen) + aer.pack_xypt(nothing))
    with pytest.raises(EventError, match="found a block of no events"):
        read(path)


def test_every_truncation_of_an_aer_file(tmp_path: Path) -> None:
    seen = record(Scene(shape="bar", duration_us=1_500), seed=1)
    block = aer.pack_xypt(seen)[: 24 + 8 * 5]
    block = block[:12] + (5).to_bytes(4, "little") + block[16:]
    path = tmp_path / "a.aer"
    for length in range(2 * len(block)):
        path.write_bytes((block + block)[:length])
        if length == len(block):
            assert len(read(path)) == 5
            continue
        with pytest.raises(EventError, match=r"a\.aer"):
            read(path)


@pytest.mark.parametrize("name", ["a.csv", "a", "a.aedat"])
def test_other_files_are_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(EventError, match=r"accepted: \.bin, \.aedat4, \.aer"):
        read(tmp_path / name)
    with pytest.raises(EventError, match=r"accepted: \.bin, \.aer"):
        write(tmp_path / name, record(Scene(shape="bar", duration_us=2000), seed=1))


@pytest.mark.parametrize("suffix", [".bin", ".aedat4", ".aer"])
def test_a_file_that_is_not_there(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / f"a{suffix}")


# AEDAT4


def with_aedat() -> None:
    pytest.importorskip("aedat", reason="the package aedat is not installed")


def test_aedat4() -> None:
    with_aedat()
    seen = read(FIXTURE)
    assert (seen.width, seen.height) == (34, 30)
    assert list(zip(seen.times_us, seen.x, seen.y, seen.p, strict=True)) == [
        (1_700_000_000_000_000 + 37 * i + i % 5, (7 * i + 3) % 34, 5 * i % 30, i // 3 % 2)
        for i in range(300)
    ]


def test_broken_aedat4_files_are_one_error(tmp_path: Path) -> None:
    """Some make the package abort its process; here it is always an EventError, or the events."""
    with_aedat()
    whole, right = FIXTURE.read_bytes(), read(FIXTURE)
    rng = random.Random(1)
    path = tmp_path / "broken.aedat4"
    cases = [b"", b"#!AER-DAT4.0\r\n", whole[:20], whole[: len(whole) // 2], whole[:-400]]
    for _ in range(12):
        changed = bytearray(whole)
        for _ in range(3):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        cases.append(bytes(changed))
    for case in cases:
        path.write_bytes(case)
        try:
            assert len(read(path)) == len(right)
        except EventError as error:
            assert str(path) in str(error)


def test_aedat4_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "aedat.py").write_text("raise ImportError('taken away')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BackendError, match=r"taken away.*pip install 'neurovm\[events\]'"):
        read(FIXTURE)


# The simulated sensor


@pytest.mark.parametrize("shape", SHAPES)
def test_a_scene_is_a_recording_and_repeats_itself(shape: str) -> None:
    scene = Scene(shape=shape, width=30, height=26, duration_us=40_000)
    seen = record(scene, seed=3)
    assert seen.check("scene") == record(scene, seed=3)
    assert seen != record(scene, seed=4)
    assert len(seen) > 300
    assert seen.times_us[-1] < 40_000


def test_a_pixel_sends_what_its_brightness_says() -> None:
    """Without noise: events of a pixel add up to within a threshold of its logarithm."""
    np = pytest.importorskip("numpy")
    scene = Scene(shape="disc", noise_hz=0.0, mismatch=0.0, duration_us=60_000)
    seen = record(scene, seed=1)
    total = np.zeros((34, 34))
    np.add.at(total, (seen.y, seen.x), np.where(np.asarray(seen.p), 1, -1) * scene.threshold)
    change = np.log(synthetic.brightness(scene, 60_000)) - np.log(synthetic.brightness(scene, 0))
    assert np.abs(total - change).max() < scene.threshold * (1 + 1e-9)


def test_a_still_scene_is_silent_but_for_noise() -> None:
    still = Scene(shape="square", orbit=0.0, noise_hz=0.0)
    assert len(record(still, seed=1)) == 0
    noisy = Scene(shape="square", orbit=0.0, noise_hz=2.0, duration_us=1_000_000)
    assert abs(len(record(noisy, seed=1)) - 2 * 34 * 34) < 5 * (2 * 34 * 34) ** 0.5


def test_a_scene_out_of_range_is_named() -> None:
    with pytest.raises(EventError, match="shape: found 'heart'; accepted: square, disc"):
        Scene(shape="heart")
    for key in ("duration_us", "size", "threshold"):
        with pytest.raises(EventError, match=f"{key}: found 0"):
            Scene(shape="disc", **{key: 0})
    with pytest.raises(EventError, match="width: found 0"):
        Scene(shape="disc", width=0)
