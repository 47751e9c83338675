# SPDX-License-Identifier: Apache-2.0
"""Published networks fed with packets of samples: every hop answers as a run of its window does."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import shared_files
from window_rig import Rig

import neurovm
from neurovm.frontends import AnyFrontEnd, Micro, chain
from neurovm.model import Model

PCM = {"format": "pcm", "rate_hz": 16000}


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise under tones that come and go, of a loudness that changes."""
    t = np.arange(int(16000 * seconds)) / 16000
    tones = np.sin(2 * np.pi * 440 * t * (1 + 0.3 * np.sin(3 * t))) * (np.sin(5 * t) > 0)
    noise = np.random.default_rng(seed).normal(0, 0.2, len(t))
    return ((tones + noise) * 8000 * (0.5 + 0.5 * np.sin(t))).astype("<i2")


def answers(rig: Rig, samples: np.ndarray, packet: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for at in range(0, len(samples), packet):
        found += rig.send(samples[at : at + packet].tobytes())
    return found


def codes(model: Model, frames: np.ndarray) -> np.ndarray:
    info = model.inputs[0]
    if frames.dtype == np.int8:
        return frames
    real = np.rint(frames.astype(np.float64) / info.scale) + info.zero_point
    return np.clip(real, -128, 127).astype(np.int8)


def frames_of(front_ends: list[AnyFrontEnd], samples: np.ndarray) -> np.ndarray:
    """All frames of one push."""
    return np.asarray(chain(front_ends, (), 16000.0).push(samples))


@shared_files.needed
@pytest.mark.parametrize("packet", [160, 333, 4096])
def test_micro_speech_hears_packets(packet: int) -> None:
    model = neurovm.convert_tflite(shared_files.model("micro_speech_quantized"))
    micro = Micro(output="int8", window_step=20, constants="signal")
    front_end = {"kind": "micro", "output": "int8", "window_step": 20, "constants": "signal"}
    rig = Rig(model, {"hop": 2}, source={"payload": PCM, "front_end": [front_end]})
    samples = sound(2.5)
    found = answers(rig, samples, packet)
    frames = frames_of([micro], samples)
    ends = range(49, len(frames) + 1, 2)
    windows = np.stack([frames[e - 49 : e].ravel() for e in ends])
    wanted = np.asarray(model.predict(windows))
    assert [r["values"] for r in found] == wanted.tolist()
    assert found[-1]["sops"] < 0.3 * model.manifest.macs
    us = [r["window"]["t1_us"] for r in found]
    assert all(abs(after - before - 40_000) <= 1 for before, after in pairwise(us))


@shared_files.needed
@pytest.mark.parametrize("name", ["okay_nabu", "vad"])
def test_networks_with_a_state_take_a_window_as_a_step(name: str) -> None:
    path = shared_files.ROOT / f"models/microwakeword/{name}.tflite"
    model = neurovm.convert_tflite(path)
    size = model.inputs[0].shape[1]
    window = {"size": size, "hop": size}
    rig = Rig(model, window, source={"payload": PCM, "front_end": [{"kind": "micro"}]})
    assert rig.inputs.shape.why == "recurrent-restarts"
    samples = sound(2.0)
    found = answers(rig, samples, 1000)
    frames = frames_of([Micro()], samples)
    session, wanted = model.session(), []
    for end in range(size, len(frames) + 1, size):
        session.step(codes(model, frames[end - size : end]).ravel())
        wanted.append(session.output.tolist())
    assert [r["values"] for r in found] == wanted


@shared_files.needed
def test_a_gap_resets_the_state_of_a_network() -> None:
    path = shared_files.ROOT / "models/microwakeword/okay_nabu.tflite"
    model = neurovm.convert_tflite(path)
    window = {"size": 3, "hop": 3, "gap_after": "500 ms"}
    rig = Rig(model, window, source={"payload": PCM, "front_end": [{"kind": "micro"}]})
    samples = sound(1.0)
    first = answers(rig, samples, 1600)
    rig.ns += 5 * 10**9
    again = answers(rig, samples, 1600)
    assert [r["values"] for r in first] == [r["values"] for r in again]
    assert rig.slot.gaps == 1


@shared_files.needed
def test_the_wake_word_streams_at_the_cost_of_what_is_new() -> None:
    model = neurovm.convert_tflite(shared_files.model("str_ww_ref_model"))
    front_end: list[dict[str, Any]] = [
        {"kind": "scale", "scale": 1 / 32768},
        {"kind": "pre_emphasis", "coefficient": 1 - 2**-5},
        {"kind": "log_mel", "frame_length": 1024, "frame_step": 512, "window": "hamming",
         "gain": 1 / 1024, "fmin": 0, "fmax": 8000, "log": "db"},
        {"kind": "scale", "scale": 1 / 64, "offset": 52 / 64},
    ]  # fmt: skip
    rig = Rig(model, {"hop": 1}, source={"payload": PCM, "front_end": front_end})
    samples = sound(3.0)
    found = answers(rig, samples, 512)
    frames = codes(model, frames_of(rig.vm.inputs[0].front_end, samples))
    ends = range(30, len(frames) + 1)
    windows = np.stack([frames[e - 30 : e] for e in ends]).reshape(-1, *model.inputs[0].shape[1:])
    wanted = np.asarray(model.predict(windows)).reshape(len(windows), -1)
    assert [r["values"] for r in found] == wanted.tolist()
    assert sum(r["sops"] for r in found[1:]) < 0.1 * model.manifest.macs * (len(found) - 1)
