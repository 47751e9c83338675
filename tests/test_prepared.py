# SPDX-License-Identifier: Apache-2.0
"""Packed weights and costs kept in a file: shared, and never believed."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from random_models import random_model

import neurovm
from neurovm import _kernel, prepared
from neurovm.errors import BundleError
from neurovm.model import Model

SEEDS = (1, 4)
HEADER = 128


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of files, for this test alone."""
    where = tmp_path / "prepared"
    monkeypatch.setenv(prepared.VARIABLE, str(where))
    return where


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return neurovm.convert_tflite(random_model(SEEDS[0]).model).save(tmp_path / "net.nvm")


def answers(model: Model, steps: int = 5) -> list[bytes]:
    rng = random.Random(7)
    session = model.session()
    size = sum(t.bytes for t in model.inputs)
    return [session.step(rng.randbytes(size)).tobytes() for _ in range(steps)]


def files(where: Path) -> list[Path]:
    return sorted(where.glob("*" + prepared.SUFFIX))


def test_a_second_load_maps_what_the_first_wrote(kept: Path, bundle: Path) -> None:
    wanted = answers(neurovm.load(bundle))
    (path,) = files(kept)
    written = path.read_bytes()
    model = neurovm.load(bundle)
    assert answers(model) == wanted
    assert path.read_bytes() == written
    assert str(path) in Path("/proc/self/maps").read_text()
    assert kept.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_checking_a_file_writes_and_measures_nothing(kept: Path, bundle: Path) -> None:
    model = neurovm.load(bundle, check="sha256")
    assert not kept.exists()
    assert not any(cost.measured for cost in model.costs())
    wanted = answers(neurovm.load(bundle))
    (path,) = files(kept)
    assert answers(neurovm.load(bundle, check="sha256")) == answers(model) == wanted
    path.write_bytes(path.read_bytes()[:-1])
    assert answers(neurovm.load(bundle, check="sha256")) == wanted
    assert files(kept) == [path]


def test_files_of_writers_that_were_ended_are_removed(kept: Path, bundle: Path) -> None:
    neurovm.load(bundle)
    old, fresh = (kept / f"{name}{prepared.NEW}" for name in ("old", "fresh"))
    for path in (old, fresh):
        path.write_bytes(b"half")
    past = time.time() - 2 * prepared.ABANDONED_S
    os.utime(old, (past, past))
    files(kept)[0].unlink()
    neurovm.load(bundle)
    assert [path.name for path in kept.glob("*" + prepared.NEW)] == [fresh.name]


def test_costs_are_measured_once(kept: Path, bundle: Path) -> None:
    first = neurovm.load(bundle, calibrate=False)
    assert not any(cost.measured for cost in first.costs())
    second = neurovm.load(bundle, calibrate=True)  # the file lacks them: written anew
    third = neurovm.load(bundle, calibrate=True)
    assert third.costs() == second.costs()
    assert not any(cost.measured for cost in neurovm.load(bundle, calibrate=False).costs())
    assert [path.suffix for path in kept.iterdir()] == [prepared.SUFFIX]


def test_off_and_unwritable_keep_everything_in_memory(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = answers(neurovm.load(bundle))
    (tmp_path / "file").write_bytes(b"")
    for named in ("0", "off", str(tmp_path / "file" / "below"), "/proc/self/none"):
        monkeypatch.setenv(prepared.VARIABLE, named)
        assert answers(neurovm.load(bundle)) == wanted


def test_a_kernel_whose_file_is_gone_keeps_everything_in_memory(
    kept: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = answers(neurovm.load(bundle))
    prepared.clear(kept)
    monkeypatch.setattr(_kernel, "__file__", str(kept / "gone.so"))
    assert answers(neurovm.load(bundle)) == wanted
    assert files(kept) == []


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="threads need two processors")
@pytest.mark.parametrize("calibrate", [False, True])
def test_threads_are_there_whatever_the_file_holds(
    kept: Path, bundle: Path, calibrate: bool
) -> None:
    def tasks() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    before, kept_open = tasks(), []
    for damage in (False, True, False):  # no file; one; one that is damaged
        model = neurovm.load(bundle, threads=2, calibrate=calibrate)
        kept_open.append(model)
        deadline = time.monotonic() + 30
        while tasks() != before + len(kept_open) and time.monotonic() < deadline:
            pass  # a thread that has ended is listed a little longer
        assert tasks() == before + len(kept_open)
        assert model.threads == 2
        assert any(cost.measured for cost in model.costs()) == calibrate
        (path,) = files(kept)
        if damage:
            path.write_bytes(path.read_bytes()[:HEADER])


def test_costs_of_several_threads_are_nobody_elses(kept: Path, bundle: Path) -> None:
    neurovm.load(bundle, threads=2, calibrate=True).close()
    alone = neurovm.load(bundle, calibrate=True)
    if len(os.sched_getaffinity(0)) > 1:
        neurovm.load(bundle, threads=2, calibrate=True).close()
    assert neurovm.load(bundle, calibrate=True).costs() == alone.costs()
    assert len(files(kept)) == 1


def test_the_folder_follows_the_environment() -> None:
    named = {"HOME": "/home/u", "XDG_CACHE_HOME": "/x", "CACHE_DIRECTORY": "/c:/d"}
    assert prepared.folder(named) == Path("/c/prepared")
    assert prepared.folder({**named, prepared.VARIABLE: "/p"}) == Path("/p")
    assert prepared.folder({**named, prepared.VARIABLE: "OFF"}) is None
    del named["CACHE_DIRECTORY"]
    assert prepared.folder(named) == Path("/x/neurovm/prepared")
    assert prepared.folder({"HOME": "/home/u"}) == Path("/home/u/.cache/neurovm/prepared")
    assert prepared.folder({}) is None


def damaged(data: bytes) -> list[bytes]:
    """Truncated, lengthened, emptied, with lengths that lie, with bytes that changed."""
    rng = random.Random(3)
    made = [data[:n] for n in (0, 1, 31, 100, HEADER, HEADER + 8, len(data) // 2, len(data) - 1)]
    made += [data + b"\0", bytes(len(data)), b"\xff" * len(data)]
    for at in (96, 104):  # the lengths
        for value in (0, 1, 1 << 31, (1 << 64) - 1):
            made.append(data[:at] + value.to_bytes(8, "little") + data[at + 8 :])
    made = [each for each in made if each != data]  # no costs: their length was 0
    for at in rng.sample(range(len(data)), 60):
        if not 112 <= at < HEADER:  # the header's padding says nothing
            made.append(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :])
    return made


def test_a_damaged_file_is_set_aside_and_made_anew(kept: Path, bundle: Path) -> None:
    wanted = answers(neurovm.load(bundle))
    (path,) = files(kept)
    whole = path.read_bytes()
    for data in damaged(whole):
        path.write_bytes(data)
        assert answers(neurovm.load(bundle), 2) == wanted[:2]
        assert path.read_bytes() == whole
        assert path.with_suffix(prepared.DAMAGED).read_bytes() == data
        path.with_suffix(prepared.DAMAGED).unlink()


def test_what_is_no_private_file_is_not_read(kept: Path, bundle: Path, tmp_path: Path) -> None:
    wanted = answers(neurovm.load(bundle))
    (path,) = files(kept)
    whole = path.read_bytes()

    def as_link() -> None:
        (tmp_path / "elsewhere").write_bytes(whole)
        path.symlink_to(tmp_path / "elsewhere")

    def as_shared() -> None:
        path.write_bytes(whole)
        path.chmod(0o666)

    for make in (as_link, as_shared, lambda: os.mkfifo(path), path.mkdir):
        path.unlink()
        make()
        assert answers(neurovm.load(bundle)) == wanted
        if path.is_dir():
            path.rmdir()
            neurovm.load(bundle)
    kept.chmod(0o777)
    path.unlink()
    assert answers(neurovm.load(bundle)) == wanted
    assert not files(kept)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user, as root alone may")
def test_another_users_file_is_neither_read_nor_moved(kept: Path, bundle: Path) -> None:
    wanted = answers(neurovm.load(bundle))
    (path,) = files(kept)
    os.chown(kept, 12345, -1)
    os.chown(path, 12345, -1)
    assert answers(neurovm.load(bundle)) == wanted
    assert list(kept.iterdir()) == [path]
    assert path.stat().st_uid == 12345


@pytest.mark.parametrize("seed", SEEDS)
def test_the_kernel_refuses_what_would_lead_it_astray(seed: int) -> None:
    """Any bytes as a pack: refused, or run within bounds; records and offsets never differ."""
    content = neurovm.convert_tflite(random_model(seed).model).content
    made = _kernel.Program(content.layers, content.arena)
    whole = bytes(made.packed())
    codes = bytes(range(256)) * (made.bytes_in // 256 + 1)

    def run(data: bytes) -> bool:
        program = _kernel.Program(content.layers, content.arena)
        try:
            program.adopt(data)
        except (BundleError, neurovm.ShapeError):
            return False
        session = _kernel.Session(program)
        session.step(codes[: made.bytes_in])
        program.predict(codes[: made.bytes_in], bytearray(made.bytes_out), 1)
        return True

    assert run(whole)
    for n in (0, 8, 64, len(whole) - 1):
        assert not run(whole[:n])
    assert not run(bytes(len(whole)))
    assert not run(b"\xff" * len(whole))
    rng = random.Random(seed)
    records = 8 + made.n_layers * 96
    refused = 0
    for at in [*rng.sample(range(records), 60), *rng.sample(range(len(whole)), 60)]:
        flipped = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
        refused += not run(flipped)
    if made.pack_bytes > records + 64:  # an instruction set that packs
        assert refused >= 30


def test_packs_are_taken_before_the_first_session_alone() -> None:
    content = neurovm.convert_tflite(random_model(1).model).content
    program = _kernel.Program(content.layers, content.arena)
    _kernel.Session(program)
    with pytest.raises(RuntimeError, match="packed already"):
        program.adopt(bytes(program.packed()))


def test_the_folder_stays_within_its_size(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for seed in range(4):
        path = neurovm.convert_tflite(random_model(seed).model).save(tmp_path / f"{seed}.nvm")
        neurovm.load(path)
        paths.append(path)
    found = files(kept)
    assert len(found) == 4
    for age, path in enumerate(found):
        os.utime(path, (age + 1, age + 1))
    room = sum(path.stat().st_size for path in found)
    monkeypatch.setattr(prepared, "MOST_BYTES", room)
    extra = neurovm.convert_tflite(random_model(9).model).save(tmp_path / "9.nvm")
    neurovm.load(extra)
    left = files(kept)
    assert sum(path.stat().st_size for path in left) <= room
    assert found[0] not in left
    assert prepared.clear(kept) == len(left)
    assert files(kept) == []
    assert prepared.clear(tmp_path / "none") == 0


def test_another_set_or_kernel_has_another_file(kept: Path, bundle: Path) -> None:
    manifest = neurovm.load(bundle).manifest
    kernel = Path(_kernel.__file__)
    keys = {prepared.key_of(manifest, isa, kernel) for isa in ("scalar", "avx2")}
    keys.add(prepared.key_of(manifest, "avx2", Path(__file__)))
    assert len(keys) == 3
    assert prepared.read(kept, prepared.key_of(manifest, "none", kernel)) is None
