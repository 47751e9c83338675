# SPDX-License-Identifier: Apache-2.0
"""What the examples' pictures share: Matplotlib without a screen, quiet axes, a file in the end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RED, BLUE, GREY = "#c23b22", "#2a5d9f", "#888888"


@contextlib.contextmanager
def figure(target: Path, rows: int, columns: int, size: tuple[float, float]) -> Iterator[Any]:
    """The axes of a grid, (rows, columns) of them; saved to `target` at the end."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    drawn, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    yield axes
    drawn.savefig(target, dpi=100)
    plt.close(drawn)


def quiet(axes: Any, *, ticks: bool = True) -> None:
    """No frame but the lower and the left line; without ticks none at all."""
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if not ticks:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
