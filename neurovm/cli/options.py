# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share, so that they read and behave the same everywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from neurovm import quantity

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_PROFILE = "xnnpack"

FILE = click.Path(path_type=Path)
"""A path; what is wrong with it is said by the one who opens it, with the right exit code."""


def judged(check: Callable[[str], object]) -> Callable[..., str | None]:
    """A callback of an option whose value `check` raises ValueError for where it is wrong."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
        if value is not None:
            try:
                check(value)
            except ValueError as error:
                raise click.BadParameter(str(error), ctx, param) from None
        return value

    return callback


def quantity_of(units: Mapping[str, float]) -> Callable[[str], float]:
    """A number with one of these units, in the first of them; ValueError for another."""
    return lambda text: quantity.parse(text, units)


duration = judged(quantity_of(quantity.DURATIONS))
"""The callback of an option that takes a time."""


def output(*more: str) -> Callable[[F], F]:
    """`-o table|json|yaml` and what the command can print besides."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(["table", "json", "yaml", *more]),
        default="table",
        show_default=True,
        help="How to print the result.",
    )


quiet = click.option("-q", "--quiet", is_flag=True, help="No progress bars and no remarks.")


def _known_profile(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """The profiles are asked for when one is named: the list lies behind numpy."""
    if value != DEFAULT_PROFILE:
        from neurovm.arithmetic import PROFILES

        if value not in PROFILES:
            accepted = ", ".join(PROFILES)
            raise click.BadParameter(f"{value!r} is not known; accepted: {accepted}", ctx, param)
    return value


profile = click.option(
    "--profile",
    default=DEFAULT_PROFILE,
    show_default=True,
    callback=_known_profile,
    metavar="NAME",
    help="Rounding rules to be exact to: xnnpack (LiteRT's default) or tflm (TFLite Micro).",
)

coding = click.option(
    "--coding",
    type=click.Choice(["graded", "unit", "bitplane", "ttfs"]),
    default="graded",
    show_default=True,
    help="How a changed code travels: as one delta, as spikes of +1 and -1, as its bit planes, or "
    "as the time of one spike. All give the same codes.",
)

coding_or_rate = click.option(
    "--coding",
    type=click.Choice(["graded", "unit", "bitplane", "ttfs", "rate"]),
    default="graded",
    show_default=True,
    help="How a changed code travels: as one delta, as spikes of +1 and -1, as its bit planes, or "
    "as the time of one spike; all give the same codes. rate only approximates them.",
)

labels = click.option(
    "--labels",
    type=FILE,
    metavar="FILE",
    help="Text file, one name a line, for the elements of the output.",
)
