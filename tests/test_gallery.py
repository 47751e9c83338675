# SPDX-License-Identifier: Apache-2.0
"""The examples with sound, motion and pictures: from what sensors send, through broker and daemon,
to what a user reads; and that every example is whole.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import neurovm
from examples.keywords import speech

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/__main__.py"))
WITH_PICTURES = sorted(
    path.parent.name
    for path in (ROOT / "examples").glob("*/picture.py")
    if path.parent.name != "pump"
)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_has_a_page_a_command_and_a_test(name: str) -> None:
    page = (ROOT / "examples" / name / "README.md").read_text()
    assert f"python -m examples.{name}" in page or "make demo" in page
    tests = [path.read_text() for path in (ROOT / "tests").glob("test_*.py")]
    assert any(f"examples.{name}" in text for text in tests)
    asked = subprocess.run(
        [sys.executable, "-m", f"examples.{name}", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    assert "usage:" in asked.stdout


@pytest.mark.parametrize("name", WITH_PICTURES)
def test_a_page_shows_its_picture(name: str) -> None:
    folder = ROOT / "examples" / name
    pictures = list(folder.glob("*.png"))
    assert pictures
    assert all(f"]({path.name})" in (folder / "README.md").read_text() for path in pictures)
    assert all(path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for path in pictures)
    importlib.import_module(f"examples.{name}.picture")


def pcm(words: list[str], seed: int) -> tuple[bytes, list[tuple[float, str]]]:
    sound, said = speech.recording(words, seed)
    return sound.astype("<i2").tobytes(), said


def test_words_are_heard_once_each_and_in_order() -> None:
    from examples.keywords.__main__ import listen

    words = ["open", "unknown", "higher", "close", "lower", "unknown", "ahoy"]
    (sound, said), (silence, _) = pcm(words, 40), pcm([], 41)
    heard, nothing = listen([sound, silence])
    meant = [(at_s, word) for at_s, word in said if word != "unknown"]
    assert [each.word for each in heard] == [word for _, word in meant]
    for each, (at_s, _) in zip(heard, meant, strict=True):
        assert at_s < each.at_s < at_s + 1.2
    assert nothing == []


def test_the_wake_word_wakes_and_others_do_not() -> None:
    from examples.wake_word.__main__ import listen

    sound, said = pcm(["lower", "ahoy", "unknown", "open", "ahoy", "higher"], 50)
    (heard,) = listen([sound])
    meant = [at_s for at_s, word in said if word == "ahoy"]
    assert [each.turn for each in heard] == ["new", "end"] * len(meant)
    for each, at_s in zip(heard[::2], meant, strict=True):
        assert at_s < each.at_s < at_s + 1.2


def test_two_machines_go_wrong_and_one_does_not() -> None:
    from examples.vibration.__main__ import HEALTHY_S, MACHINES, watch

    found = watch(MACHINES, 30_000)
    assert found.pop("fan") == []
    for alarms in found.values():
        assert [each.turn for each in alarms] == ["new"]
        assert HEALTHY_S < alarms[0].at_s < HEALTHY_S + 10


def test_things_on_the_belt_are_found_where_they_are() -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    from examples.camera.__main__ import answers, hits, jpeg
    from examples.camera.scenes import scene

    seen = [scene(8_000_000 + at) for at in range(12)]
    results = answers([jpeg(image) for image, _ in seen])
    there = sum(len(on_it) for _, on_it in seen)
    found = sum(hits(result, on_it) for result, (_, on_it) in zip(results, seen, strict=True))
    assert found >= 0.9 * there
    assert sum(len(result["boxes"]) for result in results) <= 1.1 * there


def test_a_day_is_told_as_it_was() -> None:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    from examples.activity.__main__ import answers, day, truth

    plan = (("walking", 5), ("resting", 5), ("running", 5), ("stairs", 6))
    results = answers(day(200_000, plan))
    told = [(each["window"]["t1_us"] / 1e6, each["top"][0]["label"]) for each in results]
    # Windows of two seconds that saw one thing alone, and the smoothing after them.
    steady = [
        (at_s, label)
        for at_s, label in told
        if truth(at_s - 2, plan) == truth(at_s, plan) == truth(at_s - 3, plan)
    ]
    assert len(steady) >= 8
    assert all(label == truth(at_s, plan) for at_s, label in steady)


def test_the_daemon_hears_what_the_library_hears(tmp_path: Path) -> None:
    """Front end and window through the daemon give the codes of one whole window offline."""
    import json

    from examples.box import serving
    from examples.keywords.__main__ import HERE, packets
    from examples.vm_file import front

    clip = speech.clip("higher", 60)
    rows = np.asarray(front(HERE / "vm.yaml").whole(clip))
    with neurovm.convert_tflite(HERE / "words.tflite") as model:
        info = model.inputs[0]
        codes = np.clip(np.rint(rows / info.scale) + info.zero_point, -128, 127).astype(np.int8)
        wanted = np.asarray(model.predict(codes.reshape(info.shape))).reshape(-1).tolist()
    vm = tmp_path / "vm.yaml"
    text = (HERE / "vm.yaml").read_text()
    vm.write_text(text[: text.index("output:")] + "output: {on: always, form: {values: codes}}\n")
    with serving({"words": vm}, [HERE / "words.tflite"]) as box:
        box.send("mic/one/pcm", packets(clip.astype("<i2").tobytes()))
        heard = json.loads(box.heard()[1])
    assert heard["values"] == wanted


def test_a_failed_vm_is_told_at_once(tmp_path: Path) -> None:
    from examples.box import NoAnswerError, serving
    from examples.intent.__main__ import HERE

    vm = tmp_path / "vm.yaml"
    vm.write_text((HERE / "vm.yaml").read_text().replace("features: 256", "features: 255"))
    with (
        pytest.raises(NoAnswerError, match="features: found 255; accepted: 256"),
        serving({"intent": vm}, [HERE / "intent.tflite"]),
    ):
        pass


def test_a_recording_of_another_rate_is_named(tmp_path: Path) -> None:
    import wave

    path = tmp_path / "phone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(32))
    ran = subprocess.run(
        [sys.executable, "-m", "examples.keywords", str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 1
    assert "found 8000 Hz, 2 channels, 16 bits; accepted: 16000 Hz mono" in ran.stderr


def test_the_readme_shows_the_vm_file_of_the_words() -> None:
    text = (ROOT / "examples" / "keywords" / "vm.yaml").read_text()
    body = text[text.index("model:") :]
    assert f"# examples/keywords/vm.yaml\n{body}```" in (ROOT / "README.md").read_text()
