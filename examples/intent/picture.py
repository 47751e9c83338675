# SPDX-License-Identifier: Apache-2.0
"""python -m examples.intent.picture: what the network makes of some sentences.

Writes intent.png beside this file: sentences, and how much each intent speaks for each. Needs
matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import neurovm
from neurovm.words import hashed

from .sentences import INTENTS, sentences

HERE = Path(__file__).parent
FEATURES = 256


def shares(said: Sequence[str]) -> np.ndarray:
    """float (sentences, intents): the outputs of the network, as real values."""
    with neurovm.convert_tflite(HERE / "intent.tflite") as model:
        info, out = model.inputs[0], model.outputs[0]
        counts = np.array([hashed(text, FEATURES) for text in said])
        codes = np.clip(np.rint(counts / info.scale) + info.zero_point, -128, 127)
        answers = np.asarray(model.predict(codes.astype(np.int8)))
    return (answers.astype(float) - out.zero_point) * out.scale


def draw(said: Sequence[str], target: Path) -> None:
    """The picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    found = shares(said)
    figure, axes = plt.subplots(figsize=(10, 0.34 * len(said) + 1.2), layout="constrained")
    axes.imshow(found, cmap="Reds", vmin=0, vmax=1, aspect="auto")
    axes.set_yticks(range(len(said)), said, fontsize=9)
    axes.set_xticks(range(len(INTENTS)), [name.replace("_", "\n") for name in INTENTS], fontsize=9)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for row, shown in enumerate(found):
        at = int(shown.argmax())
        colour = "white" if shown[at] > 0.5 else "black"
        axes.text(at, row, f"{shown[at]:.2f}", ha="center", va="center", color=colour, fontsize=8)
    axes.spines[:].set_visible(False)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def main() -> None:
    said = sentences(2, seed=5)[0]
    draw([*said, "shut the roof window", "is the garage door locked"], HERE / "intent.png")


if __name__ == "__main__":
    main()
