# SPDX-License-Identifier: Apache-2.0
"""python -m examples.camera.picture: what the VM of this example finds in six scenes.

Writes camera.png beside this file, with the daemon's own results. Needs matplotlib.
"""

from __future__ import annotations

from pathlib import Path

from examples.picture import figure, quiet

from .__main__ import answers, jpeg, pixels
from .scenes import LABELS, scene

TARGET = Path(__file__).with_name("camera.png")
COLOURS = dict(zip(LABELS, ("#ffd24a", "#7fe3a1", "#ff9c8a"), strict=True))


def draw(seeds: list[int], target: Path) -> None:
    """The picture of scenes of these seeds, two rows of them."""
    from matplotlib.patches import Rectangle

    seen = [scene(seed) for seed in seeds]
    results = answers([jpeg(image) for image, _ in seen])
    columns = (len(seeds) + 1) // 2
    with figure(target, 2, columns, (2.4 * columns, 3.8)) as grid:
        for axes in grid.flat:
            quiet(axes, ticks=False)
        for axes, (image, _), result in zip(grid.flat, seen, results, strict=False):
            axes.imshow(image)
            for box in result["boxes"]:
                left, top, right, bottom = pixels(box["box"])
                colour = COLOURS[box["label"]]
                size = (right - left, bottom - top)
                axes.add_patch(Rectangle((left, top), *size, fill=False, lw=2, ec=colour))
                said = f"{box['label']} {box['score']:.2f}"
                axes.text(left, top - 2, said, color=colour, fontsize=8, va="bottom")


def main() -> None:
    draw([5_000_008, 5_000_009, 5_000_011, 5_000_012, 5_000_015, 5_000_027], TARGET)


if __name__ == "__main__":
    main()
