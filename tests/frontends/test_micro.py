# SPDX-License-Identifier: Apache-2.0
"""The front end of microcontrollers, bit for bit: against pymicro-features, and against what
TensorFlow Lite Micro made of a recorded signal.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurovm.errors import EventError
from neurovm.frontends import Micro, chain
from neurovm.frontends.fixed_fft import FixedRfft
from neurovm.frontends.micro import MicroFront, PymicroFront
from neurovm.frontends.micro_features import square_root

Array = np.ndarray[Any, Any]
FILE = Path(__file__).resolve().parent.parent / "fixtures" / "front_ends.npz"


@pytest.fixture(scope="module")
def recorded() -> dict[str, Array]:
    with np.load(FILE) as file:
        return {key: file[key] for key in file.files}


def sounds() -> Array:
    """int16: bursts of all levels, digital silence, a constant, the least and the most."""
    rng = np.random.default_rng(3)
    parts = [rng.integers(-level, level + 1, 1000) for level in (1, 3, 20, 300, 5000, 32767)]
    tone = np.rint(20000 * np.sin(np.arange(2000) ** 1.5 / 300))
    return np.concatenate(
        [*parts, np.zeros(1500), tone, np.full(1200, -32768), parts[1], parts[4] // 7]
    ).astype(np.int16)


def test_as_pymicro_features() -> None:
    pytest.importorskip("pymicro_features", reason="pymicro-features is not installed")
    from pymicro_features import MicroFrontend

    peer, rows, sound = MicroFrontend(), [], sounds()
    for at in range(0, len(sound) - 159, 160):
        features = peer.process_samples(sound[at : at + 160].astype("<i2").tobytes()).features
        if features:
            rows.append(features)
    wanted = np.array(rows)
    for front in (PymicroFront(Micro(), (), None), MicroFront(Micro(), (), None)):
        assert np.array_equal(front.whole(sound), wanted.astype(np.float32))
    counts = MicroFront(Micro(output="uint16"), (), None).whole(sound)
    assert counts.dtype == np.uint16
    assert np.array_equal(counts * 0.0390625, wanted)
    assert len(np.unique(counts)) > 200


def test_pymicro_features_computes_its_own_settings_alone() -> None:
    pytest.importorskip("pymicro_features", reason="pymicro-features is not installed")
    assert isinstance(chain([Micro()]), PymicroFront)
    assert isinstance(chain([Micro(output="int8")], (1,), 16000), PymicroFront)
    assert isinstance(chain([Micro(window_step=20)]), MicroFront)
    assert isinstance(chain([Micro()], (2,)), MicroFront)


def test_without_pymicro_features_numpy_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymicro_features", None)
    front = chain([Micro()])
    assert isinstance(front, MicroFront)
    assert front.whole(sounds()).any()


def test_as_the_audio_preprocessor_of_tflite_micro(recorded: dict[str, Array]) -> None:
    front = chain([Micro(window_step=20, constants="signal", output="int8")], rate_hz=16000)
    made = front.whole(recorded["signal"])
    assert made.dtype == np.int8
    assert np.array_equal(made, recorded["tflite_micro.micro"])
    assert len(np.unique(made)) > 100


def test_as_the_operator_of_tensorflow(recorded: dict[str, Array]) -> None:
    """Parameters that the other peers do not have, and gains that int16 does not hold."""
    front = chain(
        [
            Micro(
                sample_rate=8000, window_size=25, window_step=7, num_channels=23,
                upper_band_limit=3800.0, lower_band_limit=60.0, smoothing_bits=8,
                even_smoothing=0.1, odd_smoothing=0.02, min_signal_remaining=0.1,
                pcan_strength=0.8, pcan_offset=50.0, gain_bits=20, scale_shift=5, output="uint16",
            )
        ]
    )  # fmt: skip
    made = front.whole(recorded["signal"])
    assert np.array_equal(made, recorded["tensorflow.micro"])
    assert len(np.unique(made)) > 100


@pytest.mark.parametrize("n", [4, 8, 16, 32, 128, 256, 512])
def test_the_fixed_point_transform_is_a_transform(n: int) -> None:
    """Divided by its length, within a rounding a stage."""
    rows = np.random.default_rng(n).integers(-32768, 32768, (5, n)).astype(np.int32)
    made = FixedRfft(n)(rows)
    wanted = np.fft.rfft(rows) / n
    assert made[0] == pytest.approx(wanted.real, abs=2 + math.log2(n))
    assert made[1] == pytest.approx(wanted.imag, abs=2 + math.log2(n))


def test_roots_are_the_nearest() -> None:
    rng = np.random.default_rng(4)
    values = np.concatenate(
        [np.arange(5000), rng.integers(0, 1 << 43, 5000), np.arange(65530, 65540) ** 2 + 1]
    )
    wanted = [
        min(0xFFFF if n < 1 << 32 else n, math.isqrt(n) + (n - math.isqrt(n) ** 2 > math.isqrt(n)))
        for n in values.tolist()
    ]
    assert square_root(values).tolist() == wanted


def test_reals_are_rounded_and_held() -> None:
    sound = sounds()
    front = chain([Micro(output="uint16")])
    wanted = front.whole(sound)
    assert np.array_equal(front.whole(sound + 0.3), wanted)
    loud = np.where(sound == 32767, 1e9, np.where(sound == -32768, -1e30, sound))
    assert np.array_equal(front.whole(loud), wanted)


def test_channels_stand_beside_each_other() -> None:
    sound = sounds().astype(np.int64)
    both = chain([Micro()], (2,)).whole(np.stack([sound, sound // 3], axis=1))
    assert np.array_equal(both[:, 0], chain([Micro()]).whole(sound))
    assert np.array_equal(both[:, 1], chain([Micro()]).whole(sound // 3))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"sample_rate": 0}, "sample_rate"),
        ({"sample_rate": 10**9}, "sample_rate"),
        ({"window_size": 0}, "window_size"),
        ({"window_size": 1000}, "window_size"),
        ({"window_step": 0}, "window_step"),
        ({"num_channels": 0}, "num_channels"),
        ({"num_channels": 1000}, "num_channels"),
        ({"lower_band_limit": 8000}, "upper_band_limit"),
        ({"upper_band_limit": 8001}, "upper_band_limit"),
        ({"smoothing_bits": 40}, "smoothing_bits"),
        ({"smoothing_bits": 2}, "smoothing_bits"),
        ({"even_smoothing": 1.0}, "even_smoothing"),
        ({"odd_smoothing": math.nan}, "odd_smoothing"),
        ({"min_signal_remaining": -1}, "min_signal_remaining"),
        ({"enable_pcan": 1}, "enable_pcan"),
        ({"pcan_strength": 0}, "pcan_strength"),
        ({"pcan_offset": math.inf}, "pcan_offset"),
        ({"gain_bits": 3}, "gain_bits"),
        ({"scale_shift": 64}, "scale_shift"),
        ({"constants": "other"}, "constants"),
        ({"output": "int4"}, "output"),
    ],
)
def test_wrong_parameters_are_named(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(EventError, match=key):
        Micro(**changes)


def test_the_rate_has_to_be_that_of_the_rows() -> None:
    with pytest.raises(EventError, match="sample_rate"):
        chain([Micro()], rate_hz=44100)
    assert chain([Micro()], rate_hz=16000).rate_hz == 100
