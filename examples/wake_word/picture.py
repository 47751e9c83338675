# SPDX-License-Identifier: Apache-2.0
"""python -m examples.wake_word.picture: what is said, what the network answers, and when the VM of
this example hears its word.

Writes wake_word.png beside this file. Needs matplotlib and pymicro-features.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import neurovm
from examples.keywords.__main__ import RATE_HZ
from examples.keywords.speech import recording
from examples.picture import BLUE, GREY, RED, figure, quiet
from neurovm.frontends import Micro

from .__main__ import HERE, SPOKEN, listen

TARGET = Path(__file__).with_name("wake_word.png")


def probabilities(sound: np.ndarray) -> np.ndarray:
    """What the network answers every 30 ms, 0 … 1."""
    rows = np.asarray(Micro().stream((), float(RATE_HZ)).whole(sound))
    with neurovm.convert_tflite(HERE / "ahoy.tflite") as model:
        info = model.inputs[0]
        codes = np.clip(np.rint(rows / info.scale) + info.zero_point, -128, 127).astype(np.int8)
        session = model.session()
        steps = codes[: len(codes) // 3 * 3].reshape(-1, 3 * codes.shape[1])
        # uint8 outputs run as q − 128.
        found = np.array([session.step(step)[0] + 128 for step in steps]) / 256
        del session
    return found


def draw(words: list[str], seed: int, target: Path) -> None:
    """The picture of these words of a simulated speaker."""
    sound, said = recording(words, seed)
    heard = listen([sound.astype("<i2").tobytes()])[0]
    answers = probabilities(sound)
    with figure(target, 2, 1, (11, 3.6)) as grid:
        wave, curve = grid[:, 0]
        seconds = np.arange(len(sound)) / RATE_HZ
        wave.plot(seconds[::8], sound[::8] / 32768, lw=0.4, color=GREY)
        for at_s, word in said:
            wave.text(at_s, 0.95, word, color=RED if word == "ahoy" else BLUE, fontsize=9, va="top")
        wave.set(xlim=(0, seconds[-1]), ylim=(-1, 1), xticks=[], yticks=[])
        curve.plot(0.03 * np.arange(1, len(answers) + 1), answers, lw=1, color=GREY)
        begun = [at_s for turn, at_s in heard if turn == "new"]
        ended = [at_s for turn, at_s in heard if turn == "end"]
        for first, last in zip(begun, ended, strict=False):
            curve.axvspan(first, last, color=RED, alpha=0.3, lw=0)
        curve.set(xlim=(0, seconds[-1]), ylim=(0, 1.02), yticks=[0, 1])
        curve.set_xlabel("s", fontsize=9)
        curve.set_title("the network's answer; red: heard", loc="left", fontsize=9)
        for axes in (wave, curve):
            quiet(axes)


def main() -> None:
    draw(list(SPOKEN), 3, TARGET)


if __name__ == "__main__":
    main()
