# SPDX-License-Identifier: Apache-2.0
"""Streams of the real world for `bench.py`: what public models meet, frame after frame.

`STREAMS` names the streams of a model; each prepares codes, (steps, elements), from a data folder:

    streaming_ww/short_wav_easy10s.wav   ten seconds of sound: windows of 30 frames, hop 1
    speech_commands_test/*/*.wav         clips: 49 × 10 MFCC each, or one after the other as frames
                                         of 40 micro features, 3 a step (pymicro-features)
    ad01/*.bin                           windows of 5 consecutive frames of a machine, hop 1
    cifar10_jpg/**/*.jpg                 one picture after the other (Pillow)
    video/*.mp4                          a video, reduced to the input's size (av)
    mnist/t10k-images-idx3-ubyte.gz      one digit after the other

Whatever is missing (a file, a package) raises, and the table names it.
"""

from __future__ import annotations

import gzip
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
from accuracy import _features, clips
from verify_models import anomaly_windows, mfcc, pictures, quantized
from verify_models import clip as one_second

import neurovm

Rows = np.ndarray
MOST = 300
"""Steps of a stream: enough for means, and a round stays short."""
PICTURES = 100
FIRST_CLIPS = 48


def wake_word(data: Path, info: neurovm.TensorInfo) -> Rows:
    """Windows of 30 frames of 40 mels: frames of 1024 samples every 512, Hamming, 10 log10."""
    with wave.open(str(data / "streaming_ww/short_wav_easy10s.wav")) as file:
        samples = np.frombuffer(file.readframes(-1), "<i2").reshape(-1, file.getnchannels())
    sound = samples[:, 0].astype(np.float64)
    sound /= max(1.0, float(np.abs(sound).max()))
    sound = np.append(sound[:1], sound[1:] - (1 - 2**-5) * sound[:-1])
    frames = np.lib.stride_tricks.sliding_window_view(sound, 1024)[::512]
    power = np.abs(np.fft.rfft(frames * np.hamming(1024))) ** 2 / 1024
    level = 10 * np.log10(np.maximum(power @ mel_triangles(40, 8000, 513), 1e-30))
    values = np.clip((level + 52) / 64, 0, 1)
    windows = np.stack([values[i : i + 30] for i in range(len(values) - 29)])
    return quantized(windows, info)


def mel_triangles(count: int, top_hz: int, bins: int) -> Rows:
    """(bins, count) from 0 to `top_hz`, the constant bin dropped."""

    def mel(hertz: Rows) -> Rows:
        return 1127 * np.log1p(hertz / 700)

    edges = np.linspace(0.0, float(mel(np.float64(top_hz))), count + 2)
    places = mel(np.arange(bins) * 8000 / (bins - 1))[:, None]
    rising = (places - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - places) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0, np.minimum(rising, falling))
    triangles[0] = 0
    return triangles


def sound(data: Path, info: neurovm.TensorInfo) -> Rows:
    """Frames of micro features, 3 a step, of some clips of every word."""
    chosen = clips(data)[:: max(1, len(clips(data)) // 12)]
    return quantized(np.concatenate([_features(path) for path in chosen]), info)


def words(data: Path, info: neurovm.TensorInfo) -> Rows:
    """One clip after the other."""
    chosen = clips(data)[:: max(1, len(clips(data)) // FIRST_CLIPS)]
    return quantized(np.stack([mfcc(one_second(path)) for path in chosen]), info)


def sliding_words(data: Path, info: neurovm.TensorInfo) -> Rows:
    """Words one after the other, seconds of them every 20 ms (one frame of the 49 is new)."""
    whole = np.concatenate([one_second(path) for path in clips(data)[::60][:4]])
    starts = range(0, len(whole) - 16000 + 1, 320)
    return quantized(np.stack([mfcc(whole[i : i + 16000]) for i in starts]), info)


def video(data: Path, info: neurovm.TensorInfo) -> Rows:
    """The frames of the first video, reduced to the size of the input, minus 128."""
    import av

    path = min((data / "video").glob("*.mp4"), default=data / "video/*.mp4")
    _, height, width, _ = info.shape
    frames = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            frames.append(frame.reformat(width, height, "rgb24").to_ndarray())
            if len(frames) == PICTURES:
                break
    return (np.stack(frames).astype(np.int16) - 128).astype(np.int8)


def photographs(data: Path, info: neurovm.TensorInfo) -> Rows:
    return pictures(data, info)[:PICTURES]


def digits(data: Path, info: neurovm.TensorInfo) -> Rows:
    raw = gzip.decompress((data / "mnist/t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    return quantized(np.frombuffer(raw, np.uint8)[: 784 * 64].reshape(-1, 28, 28) / 255, info)


STREAMS: dict[str, dict[str, Callable[[Path, neurovm.TensorInfo], Rows]]] = {
    "kws_ref_model": {"clips": words, "a second of sound every 20 ms": sliding_words},
    "pretrainedResnet_quant": {"pictures": photographs, "video": video},
    "ad01_int8": {"a machine's sound": anomaly_windows},
    "str_ww_ref_model": {"windows of sound, hop 1": wake_word},
    "okay_nabu": {"sound, 3 frames a step": sound},
    "vad": {"sound, 3 frames a step": sound},
    "trained_lstm_int8": {"digits": digits},
}


def real(model: str, data: Path, info: neurovm.TensorInfo) -> tuple[dict[str, Rows], list[str]]:
    """Codes (steps, elements) by stream, and why the others are missing."""
    found, missing = {}, []
    for name, prepare in STREAMS.get(model, {}).items():
        try:
            found[name] = prepare(data, info)[:MOST].reshape(-1, info.size).astype(np.int64)
        except (OSError, ImportError, ValueError) as error:
            missing.append(f"{model}, {name}: {type(error).__name__}: {error}")
    return found, missing
