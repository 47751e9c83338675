# SPDX-License-Identifier: Apache-2.0
"""python -m examples.vibration.picture: three machines as the VM of this example hears them.

Writes vibration.png beside this file: the front end's bands over time, and when the VM raised its
alarm. Needs matplotlib.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from examples.picture import BLUE, RED, figure, quiet
from examples.vm_file import front

from .__main__ import GROWS_S, HEALTHY_S, MACHINES, life, watch
from .train import VM

TARGET = Path(__file__).with_name("vibration.png")


def draw(seed: int, target: Path) -> None:
    """The picture of three machines."""
    alarms = watch(MACHINES, seed)
    end_s = HEALTHY_S + GROWS_S
    with figure(target, len(MACHINES), 1, (10, 1.7 * len(MACHINES))) as grid:
        for at, (axes, (name, fault)) in enumerate(zip(grid[:, 0], MACHINES.items(), strict=True)):
            bands = np.asarray(front(VM).whole(life(fault, seed + at))).T
            axes.imshow(
                bands, origin="lower", aspect="auto", extent=(0, end_s, 0, len(bands)), cmap="Greys"
            )
            axes.axvline(HEALTHY_S, color=BLUE, lw=1, ls=":")
            for turn, at_s, score in alarms[name]:
                if turn == "new":
                    axes.axvline(at_s, color=RED, lw=1.5)
                    axes.text(at_s + 0.3, len(bands) * 0.94, f"alarm, {score:.0f} deviations",
                              color=RED, fontsize=9, va="top")  # fmt: skip
            grows = "stays healthy" if fault == "none" else f"{fault}: grows from the dotted line"
            axes.set_title(f"{name}, {grows}", loc="left", fontsize=9)
            axes.set(yticks=[])
            quiet(axes)
            if at < len(MACHINES) - 1:
                axes.set_xticks([])
        grid[-1, 0].set_xlabel("s", fontsize=9)


def main() -> None:
    draw(20_000, TARGET)


if __name__ == "__main__":
    main()
