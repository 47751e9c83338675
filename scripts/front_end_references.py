# SPDX-License-Identifier: Apache-2.0
"""Record what other libraries make of one signal: tests/fixtures/front_ends.npz.

    python scripts/front_end_references.py tensorflow    # each in an interpreter that has it
    python scripts/front_end_references.py librosa
    python scripts/front_end_references.py kaldi         # kaldi-native-fbank
    python scripts/front_end_references.py tflite_micro audio_preprocessor_int8.tflite

Each replaces its own arrays, `LIBRARY.CASE`, and leaves the others'. The signal and the parameters
of the cases are stated here and, as front ends, in tests/frontends/test_sound.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "front_ends.npz"
Arrays = dict[str, Any]


def signal() -> Any:
    """int16[6400]: 0.4 s at 16 kHz, a rising tone that begins after silence, in noise."""
    at = np.arange(6400) / 16000
    tone = np.where(at > 0.1, np.sin(2 * np.pi * (300 + 4000 * at) * at), 0)
    noise = np.random.default_rng(20260101).normal(0, 0.02, at.size)
    return np.rint((0.6 * tone + noise * (at > 0.05)) * 32767).astype(np.int16)


def tensorflow(sound: Any) -> Arrays:
    import tensorflow as tf

    wide = tf.constant(sound / 32768, tf.float64)

    def bands(**how: Any) -> Any:
        spectrum = tf.abs(
            tf.signal.stft(wide, how["length"], how["step"], how["n_fft"], how["window"])
        )
        weights = tf.signal.linear_to_mel_weight_matrix(
            40, how["n_fft"] // 2 + 1, 16000, how["fmin"], how["fmax"], tf.float64
        )
        return tf.tensordot(spectrum ** how["power"], weights, 1)

    keyword = bands(
        length=480, step=320, n_fft=512, window=tf.signal.hann_window, power=1, fmin=20, fmax=4000
    )
    wake = bands(
        length=1024, step=512, n_fft=1024, window=tf.signal.hamming_window, power=2, fmin=0,
        fmax=8000,
    )  # fmt: skip
    mfcc = tf.signal.mfccs_from_log_mel_spectrograms(tf.math.log(keyword + 1e-6))
    return {
        "log_mel": np.log10(wake.numpy() / 1024 + 1e-6),
        "mfcc": mfcc.numpy()[:, :10],
        "micro": _microfrontend(tf.constant(sound)),
    }


def _microfrontend(sound: Any) -> Any:
    from tensorflow.lite.experimental.microfrontend.python.ops import audio_microfrontend_op

    rows = audio_microfrontend_op.audio_microfrontend(
        sound, sample_rate=8000, window_size=25, window_step=7, num_channels=23,
        upper_band_limit=3800.0, lower_band_limit=60.0, smoothing_bits=8, even_smoothing=0.1,
        odd_smoothing=0.02, min_signal_remaining=0.1, pcan_strength=0.8, pcan_offset=50.0,
        gain_bits=20, scale_shift=5,
    )  # fmt: skip
    return rows.numpy()


def librosa(sound: Any) -> Arrays:
    import librosa as peer

    wide = sound / 32768
    mel = peer.feature.melspectrogram(
        y=wide, sr=16000, n_fft=400, hop_length=160, n_mels=24, fmin=50, center=False
    )
    db = 10 * np.log10(np.maximum(mel, 1e-10))
    magnitude = np.abs(peer.stft(wide, n_fft=256, hop_length=100, window="blackman", center=False))
    mfcc = peer.feature.mfcc(S=db, n_mfcc=12, norm="ortho")
    return {"log_mel": db.T, "spectrum": magnitude.T[::8], "mfcc": mfcc.T}


def kaldi(sound: Any) -> Arrays:
    import kaldi_native_fbank as peer

    def rows(options: Any, online: Any) -> Any:
        frames = options.frame_opts
        frames.dither, frames.preemph_coeff, frames.remove_dc_offset = 0, 0, False
        frames.window_type, frames.snip_edges = "povey", True
        options.mel_opts.num_bins, options.mel_opts.low_freq = 23, 20
        options.mel_opts.high_freq = 7000
        options.use_energy = False
        stream = online(options)
        stream.accept_waveform(16000, (sound.astype(np.float32)).tolist())
        stream.input_finished()
        return np.stack([stream.get_frame(i) for i in range(stream.num_frames_ready)])

    mfcc = peer.MfccOptions()
    mfcc.num_ceps, mfcc.cepstral_lifter = 13, 22
    return {
        "log_mel": rows(peer.FbankOptions(), peer.OnlineFbank),
        "mfcc": rows(mfcc, peer.OnlineMfcc),
    }


def tflite_micro(sound: Any) -> Arrays:
    """The front end of TensorFlow Lite Micro's micro_speech example, a network of operators."""
    from tflite_micro.python.tflite_micro import runtime

    network = runtime.Interpreter.from_file(sys.argv[2])
    rows = []
    for at in range(0, len(sound) - 480 + 1, 320):
        network.set_input(sound[None, at : at + 480], 0)
        network.invoke()
        rows.append(network.get_output(0).ravel().copy())
    return {"micro": np.stack(rows)}


LIBRARIES = {
    "tensorflow": tensorflow,
    "librosa": librosa,
    "kaldi": kaldi,
    "tflite_micro": tflite_micro,
}


def main() -> None:
    library = sys.argv[1]
    made = LIBRARIES[library](signal())
    kept: Arrays = {}
    if FILE.exists():
        with np.load(FILE) as file:
            kept = {key: file[key] for key in file.files if not key.startswith(f"{library}.")}
    kept |= {f"{library}.{key}": np.asarray(value) for key, value in made.items()}
    kept["signal"] = signal()
    np.savez_compressed(FILE, allow_pickle=False, **dict(sorted(kept.items())))
    print({key: value.shape for key, value in kept.items()})


if __name__ == "__main__":
    main()
