# SPDX-License-Identifier: Apache-2.0
"""The .nvm file: what is written is read, what is damaged is refused, what is shared is shared."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

import neurovm
from neurovm import bundle
from neurovm.description import FORMAT
from neurovm.errors import BundleError

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="module")
def model() -> neurovm.Model:
    return neurovm.convert_tflite(
        FIXTURES / "digits_mlp.tflite", labels=[str(i) for i in range(10)]
    )


@pytest.fixture(scope="module")
def path(model: neurovm.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model.save(tmp_path_factory.mktemp("bundle") / "digits.nvm")


def test_what_is_saved_is_loaded(model: neurovm.Model, path: Path) -> None:
    loaded = neurovm.load(path)
    assert loaded.manifest == model.manifest.sealed()
    assert loaded.sha256 == model.sha256
    assert loaded.outputs[0].labels == tuple("0123456789")
    x = np.random.default_rng(1).integers(-128, 128, (20, *model.inputs[0].shape[1:]))
    x = x.astype(model.inputs[0].dtype)
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))


def test_conversion_is_reproducible(path: Path, tmp_path: Path) -> None:
    again = neurovm.convert_tflite(
        FIXTURES / "digits_mlp.tflite", labels=[str(i) for i in range(10)]
    ).save(tmp_path / "again.nvm")
    assert again.read_bytes() == path.read_bytes()


def test_layout_is_the_documented_one(path: Path) -> None:
    data = path.read_bytes()
    header_bytes = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + header_bytes])
    assert (8 + header_bytes) % 64 == 0
    metadata = header.pop("__metadata__")
    assert list(metadata) == ["neurovm"]
    assert header["layers"]["dtype"] == header["arena"]["dtype"] == "U8"
    assert all(entry["data_offsets"][0] % 64 == 0 for entry in header.values())
    manifest = json.loads(metadata["neurovm"])
    assert header["layers"]["shape"][0] >= 128 * len(manifest["layers"])
    assert manifest["format"] == 1
    assert set(manifest["golden"][0]) == {"in", "out", "way"}


def test_the_safetensors_package_reads_the_same_file(path: Path) -> None:
    content = bundle.read(path)
    with safe_open(path, "np") as file:
        assert set(file.keys()) == set(content.tensors)
        for name, view in content.tensors.items():
            assert file.get_tensor(name).tobytes() == view.tobytes()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_refused(path: Path, data: st.DataObject) -> None:
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1), label="at")
    raw[at] ^= data.draw(st.integers(1, 255), label="flip")
    header_bytes = int.from_bytes(path.read_bytes()[:8], "little")
    try:
        content = bundle.parse(memoryview(bytes(raw)), "damaged.nvm")
    except BundleError:
        return
    # Only padding carries nothing: a space of the header that became another white space.
    assert 8 <= at < 8 + header_bytes
    assert content.manifest == bundle.read(path).manifest
    assert content.tensors == bundle.read(path).tensors


def test_one_wrong_digit_of_a_scale_is_found(path: Path) -> None:
    raw = path.read_bytes()
    at = raw.index(b'\\"scale\\":') + 13
    damaged = raw[:at] + (b"7" if raw[at : at + 1] != b"7" else b"3") + raw[at + 1 :]
    with pytest.raises(BundleError, match="manifest is damaged"):
        bundle.parse(memoryview(damaged), "digit.nvm")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_truncated_file_is_refused(path: Path, data: st.DataObject) -> None:
    raw = path.read_bytes()
    cut = raw[: data.draw(st.integers(0, len(raw) - 1))]
    with pytest.raises(BundleError, match=r"cut\.nvm: "):
        bundle.parse(memoryview(cut), "cut.nvm")


@settings(max_examples=200, deadline=None)
@given(
    header=st.dictionaries(
        st.sampled_from(["layers", "arena", "golden.0.in", "x"]),
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["U8", "I8", "F32"]),
                "shape": st.lists(st.integers(0, 200), min_size=1, max_size=2),
                "data_offsets": st.tuples(st.integers(0, 200), st.integers(0, 200)),
            }
        ),
    ),
    size=st.integers(0, 200),
)
def test_no_header_passes_that_safetensors_refuses(
    header: dict[str, object], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = json.dumps({"__metadata__": {"neurovm": "{}"}, **header}).encode()
    text += b" " * (-(8 + len(text)) % 64)
    raw = len(text).to_bytes(8, "little") + text + bytes(size)
    file = tmp_path_factory.getbasetemp() / "drawn.safetensors"
    file.write_bytes(raw)
    try:
        with safe_open(file, "np"):
            accepted = True
    except SafetensorError:
        accepted = False
    message = ""
    try:
        bundle.parse(memoryview(raw), "drawn")
    except BundleError as error:
        message = str(error)
    assert message  # no header of these has a valid manifest
    if not accepted:
        assert "manifest:" not in message, "the header was accepted, the manifest was looked at"


def test_foreign_files_are_named(tmp_path: Path) -> None:
    foreign = tmp_path / "weights.safetensors"
    foreign.write_bytes(save({"w": np.zeros(64, np.uint8)}))
    with pytest.raises(BundleError, match="without a neurovm manifest"):
        neurovm.load(foreign)
    text = tmp_path / "notes.nvm"
    text.write_text("this is not a model at all, it is a text\n")
    with pytest.raises(BundleError, match="not a neurovm bundle"):
        neurovm.load(text)
    empty = tmp_path / "empty.nvm"
    empty.touch()
    with pytest.raises(BundleError, match="truncated"):
        neurovm.load(empty)
    with pytest.raises(FileNotFoundError):
        neurovm.load(tmp_path / "missing.nvm")
    with pytest.raises(IsADirectoryError):
        neurovm.load(tmp_path)


def _rewrite(path: Path, target: Path, change: dict[str, object]) -> Path:
    """The same file with changed manifest fields, everything else consistent."""
    content = bundle.read(path)
    manifest = json.loads(content.manifest.encode())
    manifest.update(change)
    manifest["sha256"]["manifest"] = ""
    bare = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    manifest["sha256"]["manifest"] = hashlib.sha256(bare.encode()).hexdigest()
    arrays = {
        n: np.frombuffer(v, np.int8 if n.startswith("golden") else np.uint8)
        for n, v in content.tensors.items()
    }
    text = json.dumps(manifest)
    while True:
        raw = save(arrays, {"neurovm": text})
        missing = -(8 + int.from_bytes(raw[:8], "little")) % 64
        if not missing:
            break
        text += " " * missing
    target.write_bytes(raw)
    return target


def test_a_newer_format_is_refused_by_number(path: Path, tmp_path: Path) -> None:
    newer = _rewrite(path, tmp_path / "newer.nvm", {"format": FORMAT + 1, "something": "new"})
    with pytest.raises(BundleError, match=f"format {FORMAT + 1} is newer"):
        neurovm.load(newer)


def test_an_unknown_manifest_field_is_refused(path: Path, tmp_path: Path) -> None:
    odd = _rewrite(path, tmp_path / "odd.nvm", {"colour": "blue"})
    with pytest.raises(BundleError, match="colour"):
        neurovm.load(odd)


def test_wrong_golden_codes_are_found_by_replaying(path: Path, tmp_path: Path) -> None:
    content = bundle.read(path)
    tensors = dict(content.tensors)
    wrong = bytearray(tensors["golden.1.out"])
    wrong[0] ^= 1
    tensors["golden.1.out"] = memoryview(bytes(wrong))
    manifest = json.loads(content.manifest.encode())
    manifest["sha256"]["golden"] = bundle.digests(tensors)["golden"]
    from neurovm.description import decode

    target = tmp_path / "wrong.nvm"
    target.write_bytes(bundle.serialize(decode(json.dumps(manifest), "wrong"), tensors))
    neurovm.load(target, check="sha256")
    with pytest.raises(BundleError, match="golden vector 1"):
        neurovm.load(target)


def test_saving_is_atomic(model: neurovm.Model, tmp_path: Path) -> None:
    target = model.save(tmp_path / "m.nvm")
    mapped = neurovm.load(target)
    model.save(target)
    assert [p.name for p in tmp_path.iterdir()] == ["m.nvm"]
    assert mapped.session().output.nbytes == model.outputs[0].size
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "no" / "such" / "folder.nvm")


CHILD = """
import os, sys, neurovm
model = neurovm.load(sys.argv[1])
session = model.session()
session.step(bytes(model.inputs[0].size))
assert "numpy" not in sys.modules
print("ready", flush=True)
sys.stdin.read()
"""


def _pss_kb(pid: int, path: Path) -> tuple[int, int]:
    """Resident and proportional kB of the mapping of one file in one process."""
    rss = pss = 0
    inside = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        first = line.split(maxsplit=1)[0]
        if "-" in first and not first.endswith(":"):
            inside = line.endswith(str(path))
        elif inside and first == "Rss:":
            rss += int(line.split()[1])
        elif inside and first == "Pss:":
            pss += int(line.split()[1])
    return rss, pss


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs /proc/PID/smaps")
def test_two_processes_share_the_weights(tmp_path: Path) -> None:
    """Each counts half of the file's resident pages, and neither loads numpy."""
    path = neurovm.convert_tflite(FIXTURES / "digits_resnet.tflite").save(tmp_path / "shared.nvm")
    command = [sys.executable, "-c", CHILD, str(path)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ)
        for _ in range(2)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
        for child in children:
            rss, pss = _pss_kb(child.pid, path)
            assert rss >= path.stat().st_size // 1024
            assert abs(2 * pss - rss) <= 4
    finally:
        for child in children:
            child.communicate()
    assert [child.returncode for child in children] == [0, 0]


def _port(path: Path, which: str, **changes: object) -> dict[str, object]:
    """Manifest fields in which the first input or output differs by `changes`."""
    ports = json.loads(bundle.read(path).manifest.encode())[which]
    return {which: [ports[0] | changes]}


@pytest.mark.parametrize(
    "lie",
    [
        ("inputs", {"shape": [1, 3]}),
        ("inputs", {"shape": [1 << 40, 1 << 40]}),
        ("outputs", {"shape": [1, 11]}),
        ("outputs", {"labels": ["only one"]}),
    ],
    ids=str,
)
def test_a_manifest_that_contradicts_the_program_is_refused(
    path: Path, tmp_path: Path, lie: tuple[str, dict[str, object]]
) -> None:
    wrong = _rewrite(path, tmp_path / "wrong.nvm", _port(path, lie[0], **lie[1]))
    with pytest.raises(BundleError, match=r"^(?!.*is damaged)"):
        neurovm.load(wrong, check="sha256")


def test_doubled_ports_and_unknown_profiles_are_refused(path: Path, tmp_path: Path) -> None:
    outputs = json.loads(bundle.read(path).manifest.encode())["outputs"]
    for change in ({"outputs": outputs * 2}, {"inputs": []}, {"profile": "zzz"}):
        wrong = _rewrite(path, tmp_path / "wrong.nvm", change)
        with pytest.raises(BundleError, match=r"^(?!.*is damaged)"):
            neurovm.load(wrong, check="sha256")
