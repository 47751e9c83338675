# SPDX-License-Identifier: Apache-2.0
"""python -m examples.wake_word [RECORDING.wav...]: hear one word and nothing else.

Starts a broker and `neurovmd` with the VM of this folder, sends sound in packets of 20 ms and
prints when the word begins and ends. Without recordings a simulated speaker talks.
"""

from __future__ import annotations

import argparse
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from examples.box import NoAnswerError, serving
from examples.keywords import speech
from examples.keywords.__main__ import PACKET, RATE_HZ, packets, samples

HERE = Path(__file__).parent
SPOKEN = ("open", "ahoy", "unknown", "lower", "ahoy", "close", "higher", "ahoy", "unknown")


class Heard(NamedTuple):
    """`new` or `end`, and when in the sound (s)."""

    turn: str
    at_s: float


def listen(sounds: Sequence[bytes]) -> list[list[Heard]]:
    """What the VM hears in each recording, as one microphone after the other."""
    found = []
    with serving({"ahoy": HERE / "vm.yaml"}, [HERE / "ahoy.tflite"]) as box:
        for at, sound in enumerate(sounds):
            box.send(f"mic/{at}/pcm", packets(sound))
            found.append(
                [
                    Heard(event["type"], each["seq"] * PACKET / RATE_HZ)
                    for each in box.all_results()
                    for event in each["events"]
                ]
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="*", metavar="RECORDING", help="16 kHz mono WAV")
    parser.add_argument("--seed", type=int, default=3, help="without recordings: which speech")
    args = parser.parse_args()
    try:
        sounds = [(str(path), samples(path)) for path in args.files]
        if not sounds:
            sound, said = speech.recording(list(SPOKEN), args.seed)
            for at_s, word in said:
                print(f"{at_s:6.2f} s  said   {word}")
            sounds = [("a simulated speaker", sound.astype("<i2").tobytes())]
        for (name, _), heard in zip(sounds, listen([s for _, s in sounds]), strict=True):
            print(f"{name}:")
            for turn, at_s in heard:
                print(f"{at_s:6.2f} s  {'heard' if turn == 'new' else 'ended'}")
    except (NoAnswerError, ValueError, OSError, EOFError, wave.Error) as error:
        raise SystemExit(f"wake_word: {error}") from None


if __name__ == "__main__":
    main()
