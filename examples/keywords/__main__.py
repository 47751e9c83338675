# SPDX-License-Identifier: Apache-2.0
"""python -m examples.keywords [RECORDING.wav...]: words out of packets of sound.

Starts a broker and `neurovmd` with the VM of this folder, sends each recording (16 kHz mono WAV) in
packets of 20 ms and prints the words it hears. Without recordings it lets a simulated speaker say
some. With --model, the int8 keyword network of MLPerf Tiny, each WAV is one clip with one word in
its first second.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from examples.box import Box, NoAnswerError, serving

HERE = Path(__file__).parent
RATE_HZ, PACKET = 16_000, 320
CLIP_BYTES = 2 * RATE_HZ


class Heard(NamedTuple):
    """A word, the score of its moment, and when in the sound it was said (s)."""

    word: str
    score: float
    at_s: float


def samples(path: Path) -> bytes:
    """Little-endian int16 of a 16 kHz mono WAV; ValueError for another."""
    with wave.open(str(path)) as file:
        found = (file.getframerate(), file.getnchannels(), 8 * file.getsampwidth())
        if found != (RATE_HZ, 1, 16):
            shown = "{} Hz, {} channels, {} bits".format(*found)
            raise ValueError(f"{path}: found {shown}; accepted: 16000 Hz mono of 16 bits")
        return file.readframes(file.getnframes())


def packets(sound: bytes) -> Iterator[bytes]:
    """Packets of 20 ms; the last one filled with silence."""
    size = 2 * PACKET
    for at in range(0, len(sound), size):
        yield sound[at : at + size].ljust(size, b"\0")


def listen(sounds: Sequence[bytes]) -> list[list[Heard]]:
    """What the VM hears in each, as one microphone after the other."""
    with serving({"words": HERE / "vm.yaml"}, [HERE / "words.tflite"]) as box:
        return [_listen(box, f"mic/{at}/pcm", sound) for at, sound in enumerate(sounds)]


def _listen(box: Box, topic: str, sound: bytes) -> list[Heard]:
    box.send(topic, packets(sound))
    return [
        Heard(each["keyword"]["label"], each["score"], each["seq"] * PACKET / RATE_HZ)
        for each in box.all_results()
    ]


def names(model: Path, clips: Sequence[bytes]) -> list[str]:
    """The word of each clip, as the network of MLPerf Tiny in `model` names it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "kws_ref_model.tflite"
        shutil.copy(model, copy)
        with serving({"clips": HERE / "clips.yaml"}, [copy]) as box:
            return [_name(box, clip) for clip in clips]


def _name(box: Box, clip: bytes) -> str:
    box.send("clip/any/pcm", packets(clip[:CLIP_BYTES].ljust(CLIP_BYTES, b"\0")))
    return str(box.result()["top"][0]["label"])


def _demo(seed: int) -> list[tuple[str, bytes]]:
    from .speech import recording

    words = ["ahoy", "open", "unknown", "close", "higher", "unknown", "lower", "ahoy"]
    sound, said = recording(words, seed)
    for at_s, word in said:
        print(f"{at_s:6.2f} s  said   {word}")
    return [("a simulated speaker", sound.astype("<i2").tobytes())]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="*", metavar="RECORDING", help="16 kHz mono WAV")
    parser.add_argument("--model", type=Path, help="kws_ref_model.tflite: one word a file")
    parser.add_argument("--seed", type=int, default=5, help="without recordings: which speech")
    args = parser.parse_args()
    if args.model and not args.files:
        parser.error("--model needs recordings")
    try:
        if args.model:
            found = names(args.model, [samples(path) for path in args.files])
            for path, word in zip(args.files, found, strict=True):
                print(f"{path}: {word}")
            return
        sounds = [(str(path), samples(path)) for path in args.files] or _demo(args.seed)
        for (name, _), heard in zip(sounds, listen([s for _, s in sounds]), strict=True):
            print(f"{name}:")
            for word, score, at_s in heard:
                print(f"{at_s:6.2f} s  heard  {word} ({score:.2f})")
    except (NoAnswerError, ValueError, OSError, EOFError, wave.Error) as error:
        raise SystemExit(f"keywords: {error}") from None


if __name__ == "__main__":
    main()
