# SPDX-License-Identifier: Apache-2.0
"""python -m examples.activity.picture: a wearer's day, and what the VM of this example makes of it.

Writes activity.png beside this file, with the daemon's own results. Needs matplotlib.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from examples.picture import figure, quiet

from .__main__ import DAY, answers, day
from .motion import ACTIVITIES

TARGET = Path(__file__).with_name("activity.png")
COLOURS = dict(zip(ACTIVITIES, ("#9aa5b1", "#2a5d9f", "#c23b22", "#d99a2b"), strict=True))


def draw(seed: int, target: Path) -> None:
    """The picture of one wearer."""
    rows = sorted(day(seed))
    results = answers(day(seed))
    times = np.array([row.t_s for row in rows])
    told = [(r["window"]["t1_us"] / 1e6, r["top"][0]) for r in results]
    with figure(target, 2, 1, (11, 4)) as grid:
        trace, bars = grid[:, 0]
        for axis, values in zip("xyz", np.array([row.g for row in rows]).T, strict=True):
            trace.plot(times, values, lw=0.6, label=axis)
        trace.legend(loc="upper right", fontsize=8, frameon=False, ncols=3)
        trace.set_ylabel("g", fontsize=9)
        start_s = 0.0
        for name, seconds in DAY:
            bars.barh(1, seconds, left=start_s, color=COLOURS[name], height=0.7)
            bars.text(start_s + seconds / 2, 1, name, ha="center", va="center", color="white",
                      fontsize=9)  # fmt: skip
            start_s += seconds
        ends = [at_s for at_s, _ in told[1:]] + [times[-1]]
        for (at_s, top), end_s in zip(told, ends, strict=True):
            colour = COLOURS[top["label"]]
            bars.barh(0, end_s - at_s, left=at_s, color=colour, height=0.7, alpha=top["value"])
        bars.set_yticks([1, 0], ["what is done", "what is told"], fontsize=9)
        bars.set_xlabel("s", fontsize=9)
        for axes in (trace, bars):
            axes.set_xlim(0, start_s)
            quiet(axes)


def main() -> None:
    draw(100_001, TARGET)


if __name__ == "__main__":
    main()
