# SPDX-License-Identifier: Apache-2.0
"""A drawing of rectangles, lines and text, written as SVG or, by matplotlib, as PNG.

Coordinates are pixels from the upper left corner. SVG needs no package; what it holds is escaped,
as names come from files of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Literal

import click

from neurovm.cli.exits import CannotCreateError
from neurovm.errors import BackendError

Anchor = Literal["start", "middle", "end"]
_FONT = "Inter, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
_SCALE = 2.0
"""Pixels of a PNG for one of the drawing."""
_INCH_PX = 100.0


@dataclass(frozen=True, slots=True)
class Rectangle:
    x: float
    y: float
    width: float
    height: float
    fill: str
    radius: float = 0.0
    stroke: str = "none"


@dataclass(frozen=True, slots=True)
class Line:
    """Straight through two points; through four, a cubic Bézier curve."""

    points: tuple[tuple[float, float], ...]
    stroke: str
    width: float = 1.5
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """`y` is the base line; `size` in pixels."""

    x: float
    y: float
    text: str
    size: float
    fill: str
    anchor: Anchor = "start"
    bold: bool = False


Shape = Rectangle | Line | Text


@dataclass(slots=True)
class Drawing:
    """Shapes in the order they are drawn, on a ground of one colour."""

    width: float
    height: float
    ground: str
    title: str
    shapes: list[Shape] = field(default_factory=list)

    def add(self, *shapes: Shape) -> None:
        self.shapes += shapes


def clean(text: str) -> str:
    """Without what has no place in a picture or in XML: control characters and the like."""
    return "".join(letter if letter.isprintable() else "·" for letter in text)


def shortened(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """The text, cut where it would be wider than `width` pixels in this size."""
    most = max(1, int(width / ((0.66 if bold else 0.56) * size)))
    text = clean(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def check(path: Path) -> None:
    """UsageError unless the file's name ends as a picture that can be written."""
    if path.suffix not in (".svg", ".png"):
        raise click.UsageError(f"--plot {path.name}: .svg or .png is accepted")


def write(drawing: Drawing, path: Path) -> None:
    """As the name of the file ends. BackendError where matplotlib is missing for a .png."""
    check(path)
    try:
        if path.suffix == ".svg":
            path.write_text(svg(drawing), "utf-8")
        else:
            _png(drawing, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotCreateError(f"{path}: cannot be written: {reason}") from error


def svg(drawing: Drawing) -> str:
    """The whole file."""
    size = f'width="{drawing.width:g}" height="{drawing.height:g}"'
    view = f'viewBox="0 0 {drawing.width:g} {drawing.height:g}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} font-family="{_FONT}">',
        f"<title>{escape(clean(drawing.title))}</title>",
        f'<rect width="100%" height="100%" fill="{drawing.ground}"/>',
        *(_element(shape) for shape in drawing.shapes),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _element(shape: Shape) -> str:
    if isinstance(shape, Rectangle):
        return (
            f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" '
            f'height="{shape.height:.1f}" rx="{shape.radius:g}" fill="{shape.fill}" '
            f'stroke="{shape.stroke}"/>'
        )
    if isinstance(shape, Line):
        dash = ' stroke-dasharray="4 4"' if shape.dashed else ""
        return (
            f'<path d="{_path(shape.points)}" fill="none" stroke="{shape.stroke}" '
            f'stroke-width="{shape.width:g}" stroke-linecap="round"{dash}/>'
        )
    weight = ' font-weight="600"' if shape.bold else ""
    look = f'font-size="{shape.size:g}" fill="{shape.fill}" text-anchor="{shape.anchor}"{weight}'
    return f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" {look}>{escape(clean(shape.text))}</text>'


def _path(points: Sequence[tuple[float, float]]) -> str:
    start, *rest = (f"{x:.1f} {y:.1f}" for x, y in points)
    return f"M {start} {'C' if len(rest) == 3 else 'L'} {' '.join(rest)}"


def _png(drawing: Drawing, path: Path) -> None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BackendError(
            "a .png needs matplotlib: pip install 'neurovm[plot]'; a .svg needs nothing"
        ) from error
    size = (drawing.width / _INCH_PX, drawing.height / _INCH_PX)
    figure = Figure(figsize=size, dpi=_INCH_PX * _SCALE, facecolor=drawing.ground)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, drawing.width)
    axes.set_ylim(drawing.height, 0)
    axes.set_axis_off()
    for shape in drawing.shapes:
        _draw(axes, shape)
    figure.savefig(path, format="png", facecolor=drawing.ground)


def _draw(axes: Any, shape: Shape) -> None:
    from matplotlib.patches import FancyBboxPatch, PathPatch
    from matplotlib.patches import Rectangle as Box
    from matplotlib.path import Path as Outline

    px = 72 / _INCH_PX
    if isinstance(shape, Rectangle):
        place, size = (shape.x, shape.y), (shape.width, shape.height)
        if shape.radius:
            style = f"round,pad=0,rounding_size={shape.radius}"
            patch: Any = FancyBboxPatch(place, *size, boxstyle=style, mutation_aspect=1)
        else:
            patch = Box(place, *size)
        patch.set(facecolor=shape.fill, edgecolor=shape.stroke, linewidth=px)
        axes.add_patch(patch)
    elif isinstance(shape, Line):
        curve = [Outline.CURVE4] * 3 if len(shape.points) == 4 else [Outline.LINETO]
        outline = Outline(shape.points, [Outline.MOVETO, *curve])
        dash = (0, (3, 3)) if shape.dashed else "solid"
        axes.add_patch(
            PathPatch(
                outline, fill=False, edgecolor=shape.stroke, linewidth=shape.width * px,
                linestyle=dash, capstyle="round",
            )
        )  # fmt: skip
    else:
        axes.text(
            shape.x, shape.y, clean(shape.text).replace("$", r"\$"), fontsize=shape.size * px,
            color=shape.fill, fontweight="bold" if shape.bold else "normal",
            ha={"start": "left", "middle": "center", "end": "right"}[shape.anchor], va="baseline",
        )  # fmt: skip
