# SPDX-License-Identifier: Apache-2.0
"""python -m examples.keywords.picture: words as they are said, and as the VM of this example hears
them.

Writes keywords.png beside this file, with the daemon's own results. Needs matplotlib.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from examples.picture import BLUE, GREY, RED, figure, quiet
from neurovm.frontends import LogMel

from .__main__ import RATE_HZ, listen
from .speech import recording

TARGET = Path(__file__).with_name("keywords.png")
WORDS = ["ahoy", "open", "unknown", "close", "higher", "unknown", "lower", "ahoy"]
STEP = 160


def draw(words: list[str], seed: int, target: Path) -> None:
    """The picture of these words of a simulated speaker."""
    sound, said = recording(words, seed)
    heard = listen([sound.astype("<i2").tobytes()])[0]
    bands = LogMel(frame_length=480, frame_step=STEP, n_mels=64, fmax=5000, log_offset=1)
    mel = np.asarray(bands.stream((), float(RATE_HZ)).whole(sound)).T
    with figure(target, 2, 1, (11, 4.2)) as grid:
        wave, sonogram = grid[:, 0]
        seconds = np.arange(len(sound)) / RATE_HZ
        wave.plot(seconds[::8], sound[::8] / 32768, lw=0.4, color=GREY)
        for at_s, word in said:
            wave.text(at_s, 0.95, word, color=BLUE, fontsize=9, va="top")
        wave.set(xlim=(0, seconds[-1]), ylim=(-1, 1), xticks=[], yticks=[])
        wave.set_title("said", loc="left", fontsize=9, color=BLUE)
        quiet(wave)
        ends = (0, mel.shape[1] * STEP / RATE_HZ, 0, mel.shape[0])
        sonogram.imshow(mel, origin="lower", aspect="auto", extent=ends, cmap="Greys")
        for word, score, at_s in heard:
            sonogram.axvline(at_s, color=RED, lw=1)
            sonogram.text(at_s + 0.05, mel.shape[0] * 0.97, f"{word}\n{score:.2f}", color=RED,
                          fontsize=9, va="top")  # fmt: skip
        sonogram.set(yticks=[], xlim=(0, seconds[-1]))
        sonogram.set_xlabel("s", fontsize=9)
        sonogram.set_title("heard", loc="left", fontsize=9, color=RED)
        quiet(sonogram)


def main() -> None:
    draw(WORDS, 5, TARGET)


if __name__ == "__main__":
    main()
