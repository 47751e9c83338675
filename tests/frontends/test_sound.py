# SPDX-License-Identifier: Apache-2.0
"""Front ends of sound against what other libraries made of the same signal, and against their
equations, written again as plain sums.
"""

from __future__ import annotations

import cmath
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from neurovm.errors import EventError
from neurovm.frontends import (
    AnyFrontEnd,
    Frames,
    FrontEnd,
    LogMel,
    Mfcc,
    Normalize,
    PreEmphasis,
    Scale,
    Spectrum,
    chain,
)

Array = np.ndarray[Any, Any]
FILE = Path(__file__).resolve().parent.parent / "fixtures" / "front_ends.npz"
UNIT = Scale(scale=1 / 32768)
KALDI: dict[str, Any] = {
    "frame_length": 400, "frame_step": 160, "n_fft": 512, "window": "povey", "periodic": False,
    "n_mels": 23, "fmin": 20, "fmax": 7000, "log_offset": 0, "log_floor": 2.0**-23,
}  # fmt: skip
LIBROSA: dict[str, Any] = {
    "frame_length": 400, "frame_step": 160, "n_mels": 24, "fmin": 50, "mel_scale": "slaney",
    "triangles": "hertz", "mel_norm": "slaney", "log": "db", "log_offset": 0, "log_floor": 1e-10,
}  # fmt: skip
KEYWORD = Mfcc(
    frame_length=480, frame_step=320, n_fft=512, power=1, n_mels=40, fmin=20, fmax=4000, n_mfcc=10
)
# The recording, what makes it here, and how far apart: kaldi-native-fbank computes in float32.
RECORDED: list[tuple[str, list[FrontEnd], float]] = [
    ("tensorflow.mfcc", [UNIT, KEYWORD], 1e-6),
    (
        "tensorflow.log_mel",
        [
            UNIT,
            LogMel(frame_length=1024, frame_step=512, window="hamming", gain=1 / 1024, log="log10"),
        ],
        1e-6,
    ),
    ("librosa.log_mel", [UNIT, LogMel(**LIBROSA)], 1e-6),
    ("librosa.mfcc", [UNIT, Mfcc(**LIBROSA, n_mfcc=12, dct_norm="ortho")], 1e-6),
    ("kaldi.log_mel", [LogMel(**KALDI)], 2e-5),
    ("kaldi.mfcc", [Mfcc(**KALDI, n_mfcc=13, dct_norm="ortho", lifter=22)], 2e-5),
]


@pytest.fixture(scope="module")
def recorded() -> dict[str, Array]:
    with np.load(FILE) as file:
        return {key: file[key] for key in file.files}


@pytest.mark.parametrize(("name", "front_ends", "error"), RECORDED, ids=[r[0] for r in RECORDED])
def test_as_other_libraries(
    recorded: dict[str, Array], name: str, front_ends: list[FrontEnd], error: float
) -> None:
    """Within `error` of the largest value; float32 here, which alone is 6e-8."""
    front = chain(front_ends, rate_hz=16000)
    made, wanted = front.whole(recorded["signal"]), recorded[name]
    assert made.shape == wanted.shape
    assert np.abs(made - wanted).max() <= error * np.abs(wanted).max()


def test_spectrum_as_librosa(recorded: dict[str, Array]) -> None:
    front_end = Spectrum(frame_length=256, frame_step=100, window="blackman", power=1)
    made = chain([UNIT, front_end]).whole(recorded["signal"])[::8]
    wanted = recorded["librosa.spectrum"]
    assert np.abs(made - wanted).max() <= 1e-6 * wanted.max()


def test_every_recording_is_compared(recorded: dict[str, Array]) -> None:
    elsewhere = {"librosa.spectrum", "tensorflow.micro", "tflite_micro.micro"}
    assert set(recorded) == {"signal", *elsewhere, *(name for name, *_ in RECORDED)}


def window(name: str, n: int, length: int, *, periodic: bool) -> float:
    c = 2 * math.pi * n / (length if periodic else length - 1)
    return {
        "hann": math.sin(c / 2) ** 2,
        "hamming": 0.08 + 0.92 * math.sin(c / 2) ** 2,
        "blackman": 0.42 - math.cos(c) / 2 + 0.08 * math.cos(2 * c),
        "povey": abs(math.sin(c / 2)) ** 1.7,
        "rectangular": 1,
    }[name]


@pytest.mark.parametrize("name", ["hann", "hamming", "blackman", "povey", "rectangular"])
@pytest.mark.parametrize("periodic", [True, False])
def test_windows_are_their_equations(name: Any, *, periodic: bool) -> None:
    for length in (2, 3, 16, 25):
        front_end = Frames(frame_length=length, frame_step=1, window=name, periodic=periodic)
        made = chain([front_end]).push(np.ones(length))[0]
        wanted = [window(name, n, length, periodic=periodic) for n in range(length)]
        assert made == pytest.approx(wanted, abs=1e-6)


def test_a_frame_of_one_row_is_the_row() -> None:
    for periodic in (True, False):
        front_end = Frames(frame_length=1, frame_step=2, window="rectangular", periodic=periodic)
        assert chain([front_end]).push([1, 2, 3, 4, 5]).tolist() == [[1], [3], [5]]


@pytest.mark.parametrize(("length", "step", "size"), [(8, 3, None), (7, 9, 10), (5, 5, 16)])
@pytest.mark.parametrize("power", [1, 2])
def test_spectrum_is_its_sum(length: int, step: int, size: int | None, power: Any) -> None:
    rows = np.random.default_rng(length).normal(size=(30, 2))
    front_end = Spectrum(
        frame_length=length, frame_step=step, n_fft=size, power=power, gain=0.5, window="hamming"
    )
    made = chain([front_end], (2,)).whole(rows)
    n_fft = size or length
    assert made.shape == ((30 - length) // step + 1, 2, n_fft // 2 + 1)
    for k, frame in enumerate(made):
        for channel in range(2):
            for b, value in enumerate(frame[channel]):
                terms = (
                    rows[k * step + n, channel]
                    * window("hamming", n, length, periodic=True)
                    * cmath.exp(-2j * math.pi * b * n / n_fft)
                    for n in range(length)
                )
                assert value == pytest.approx(0.5 * abs(sum(terms)) ** power, abs=1e-5)


def test_channels_stand_beside_each_other() -> None:
    rows = np.random.default_rng(1).normal(size=(2000, 3))
    both = chain([KEYWORD], (3,), 16000).whole(rows)
    alone = chain([KEYWORD], (), 16000)
    assert both.shape == (5, 3, 10)
    for channel in range(3):
        assert both[:, channel].tobytes() == alone.whole(rows[:, channel]).tobytes()


def test_frames_have_a_rate() -> None:
    front = chain([PreEmphasis(), KEYWORD], (), 16000)
    assert front.rate_hz == 50
    assert (front.first, front.step, front.span) == (480, 320, 481)
    assert front.shape == (10,)
    assert front.state_bytes == 8 + 8 * 480 + 8 * 479  # what waits for a row out


def test_pre_emphasis_begins_with_the_first_row() -> None:
    front = chain([PreEmphasis(coefficient=0.5)])
    assert front.push([4, 2, -2]).tolist() == [4, 0, -3]
    assert front.push([0]).tolist() == [1]


def test_normalize_by_the_peak_of_a_window() -> None:
    front = chain([Normalize(floor=1)])
    assert front.whole([1, -4, 2]).tolist() == [0.25, -1, 0.5]
    assert front.whole([0.5, 0]).tolist() == [0.5, 0]
    assert front.whole(np.empty(0)).tolist() == []
    with pytest.raises(EventError, match="whole windows"):
        front.push([1.0])


def test_normalize_by_mean_and_variance_of_a_window() -> None:
    rows = np.random.default_rng(2).normal(3, 2, (50, 3))
    front = chain([Normalize(method="mean_variance", by_channel=True)], (3,))
    wanted = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    assert front.whole(rows) == pytest.approx(wanted, abs=1e-6)


def test_a_running_peak_falls_by_its_decay() -> None:
    front = chain([Normalize(block_length=2, decay=0.5)])
    made = front.push([1, -8, 2, 1, 1, 0.5, 8])
    assert made.tolist() == [0.125, -1, 0.5, 0.25, 0.5, 0.25]  # levels 8, 4, 2
    assert front.push([0]).tolist() == [1, 0]


def test_running_mean_and_variance_are_smoothed() -> None:
    front = chain([Normalize("mean_variance", block_length=2, decay=0.25)])
    made = front.push([0, 2, 4, 8])  # mean 1 then 4.75, variance 1 then 3.25
    assert made == pytest.approx([-1, 1, -0.75 / 3.25**0.5, 3.25 / 3.25**0.5])


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"frame_length": 0}, "frame_length"),
        ({"frame_length": 1 << 17}, "frame_length"),
        ({"frame_length": 480.5}, "frame_length"),
        ({"frame_step": 0}, "frame_step"),
        ({"frame_step": -1}, "frame_step"),
        ({"window": "hanning"}, "window"),
        ({"n_fft": 256}, "n_fft"),
        ({"n_fft": 1 << 20}, "n_fft"),
        ({"power": 3}, "power"),
        ({"gain": 0}, "gain"),
        ({"gain": math.inf}, "gain"),
        ({"log": "log2"}, "log"),
        ({"log_offset": 0}, "log_offset"),
        ({"log_offset": -1}, "log_offset"),
        ({"log_floor": math.nan}, "log_floor"),
        ({"sample_rate": 0}, "sample_rate"),
        ({"sample_rate": math.inf}, "sample_rate"),
        ({"sample_rate": 1e300}, "sample_rate"),
        ({"n_mels": 0}, "n_mels"),
        ({"n_mels": 100000}, "n_mels"),
        ({"n_fft": 65536, "n_mels": 1024}, "n_mels"),
        ({"fmin": -1}, "fmin"),
        ({"fmin": 4000}, "fmax"),
        ({"fmax": 0}, "fmax"),
        ({"mel_scale": "bark"}, "mel_scale"),
        ({"triangles": "square"}, "triangles"),
        ({"mel_norm": "l2"}, "mel_norm"),
        ({"n_mfcc": 41}, "n_mfcc"),
        ({"n_mfcc": 0}, "n_mfcc"),
        ({"dct_norm": "tf"}, "dct_norm"),
        ({"lifter": -1}, "lifter"),
    ],
)
def test_wrong_parameters_are_named(changes: dict[str, Any], key: str) -> None:
    """From a file and from Python alike."""
    settings = msgspec.to_builtins(KEYWORD) | changes
    with pytest.raises(msgspec.ValidationError, match=key):
        msgspec.convert(settings, AnyFrontEnd)
    del settings["kind"]
    with pytest.raises(EventError, match=key):
        Mfcc(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "rms"},
        {"block_length": 0},
        {"block_length": 1 << 25},
        {"decay": 0.5},
        {"decay": 1.5, "block_length": 1},
        {"decay": math.nan, "block_length": 1},
        {"by_channel": 1},
        {"floor": 0},
    ],
)
def test_wrong_normalisation_is_named(settings: dict[str, Any]) -> None:
    with pytest.raises(EventError, match=next(iter(settings))):
        Normalize(**settings)


def test_a_band_has_to_lie_below_half_the_rate() -> None:
    with pytest.raises(EventError, match=r"front end 0 \(mfcc\): fmax: found 20 to 4000 Hz"):
        chain([KEYWORD], rate_hz=4000)


def test_a_rate_has_to_be_known_and_one() -> None:
    with pytest.raises(EventError, match="sample_rate"):
        chain([KEYWORD])
    with pytest.raises(EventError, match="sample_rate: found 8000 Hz for rows of 16000 Hz"):
        chain([LogMel(sample_rate=8000, frame_length=9, frame_step=9)], rate_hz=16000)
    for rate_hz in (math.inf, math.nan, 0.0, -1.0, 1e300):
        with pytest.raises(EventError, match="rate_hz"):
            chain([KEYWORD], rate_hz=rate_hz)
    assert chain([LogMel(sample_rate=8000, frame_length=9, frame_step=4)]).rate_hz is None


def test_more_than_a_push_may_give_is_refused() -> None:
    front = chain([Spectrum(frame_length=1, frame_step=1, n_fft=65536)])
    with pytest.raises(EventError, match="16777216 values out"):
        front.push(np.zeros(600))
    assert front.push(np.ones(1)).shape == (1, 32769)


def test_frames_of_too_many_values_are_refused() -> None:
    with pytest.raises(EventError, match="frame_length: found frames of 65536 rows"):
        chain([LogMel(frame_length=65536, frame_step=1, n_mels=1)], (1024,), 16000)
