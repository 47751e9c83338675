# SPDX-License-Identifier: Apache-2.0
"""python -m examples.closed_loop.picture: a run with two kicks, and one without a controller.

Writes closed_loop.png beside this file: the pole's angle, the cart's place, the force. The network
is asked in this process; over MQTT it answers the same bits. Needs matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import neurovm

from .__main__ import KICKS
from .plant import FALLEN_RAD, Moment, run

HERE = Path(__file__).parent
SECONDS = 10.0
RED, BLUE, GREY = "#c23b22", "#2a5d9f", "#888888"


@contextmanager
def network() -> Iterator[Callable[[list[float]], float]]:
    """The controller of this folder, asked in this process."""
    with neurovm.convert_tflite(HERE / "pole.tflite") as model:
        info, out = model.inputs[0], model.outputs[0]

        def control(sensors: list[float]) -> float:
            codes = np.clip(np.rint(np.array(sensors) / info.scale) + info.zero_point, -128, 127)
            answer = np.asarray(model.predict(codes.astype(np.int8)[None])).reshape(-1)
            return float(out.scale * (int(answer[0]) - out.zero_point))

        yield control


def columns(moments: list[Moment]) -> np.ndarray:
    """(moments, 6): time in s, the state, the force in N."""
    return np.array([(m.t_s, *m.state, m.force_n) for m in moments])


def draw(target: Path) -> None:
    """The picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with network() as control:
        steered = columns(list(run(control, SECONDS, kicks=KICKS)))
    alone = columns(list(run(lambda _: 0.0, SECONDS)))
    fallen = int(np.argmax(np.abs(alone[:, 3]) > FALLEN_RAD))
    figure, rows = plt.subplots(3, 1, figsize=(10, 5), sharex=True, layout="constrained")
    rows[0].plot(alone[: fallen + 1, 0], alone[: fallen + 1, 3], color=GREY, label="no controller")
    for axes, column, colour, name in zip(
        rows, (3, 1, 5), (RED, BLUE, RED), ("pole, rad", "cart, m", "force, N"), strict=True
    ):
        axes.plot(steered[:, 0], steered[:, column], color=colour, linewidth=1)
        axes.axhline(0, color=GREY, linewidth=0.5)
        axes.set_ylabel(name, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        for at in KICKS:
            axes.axvline(at, color=GREY, linewidth=0.7, linestyle=":")
    rows[0].set_ylim(-0.3, 0.5)
    rows[0].legend(frameon=False, fontsize=8)
    for at, kick in KICKS.items():
        rows[0].text(at + 0.05, 0.4, f"a kick of {kick:+g} m/s", fontsize=8, color=GREY)
    rows[2].set_xlabel("s of the plant's time", fontsize=9)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def main() -> None:
    draw(HERE / "closed_loop.png")


if __name__ == "__main__":
    main()
