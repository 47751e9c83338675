# SPDX-License-Identifier: Apache-2.0
"""What `neurovm convert` does with a .nir file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from neurovm.cli import models, show, spiking_facts

F = TypeVar("F", bound=Callable[..., Any])

_MARK = b"\x89HDF"


def reading(command: F) -> F:
    """The options that say how a .nir file is read."""
    for option in (
        click.option(
            "--decide",
            "decided",
            multiple=True,
            metavar="KEY=VALUE",
            help="A single decision in place of the dialect's: fires_at, reset, spikes, … "
            "(docs/nir.md).",
        ),
        click.option(
            "--weights",
            type=click.Choice(["auto", "int8", "int16"]),
            help="Width of a .nir file's weights. [auto]",
        ),
        click.option(
            "--dialect", metavar="NAME", help="The framework that a .nir file is from. [nir]"
        ),
        click.option("--dt", type=float, metavar="SECONDS", help="A tick of a .nir file."),
    ):
        command = option(command)
    return command


def is_nir(path: Path) -> bool:
    """Whether a file is, or by its name wants to be, a NIR file; OSError where unreadable."""
    with path.open("rb") as file:
        return file.read(len(_MARK)) == _MARK or path.suffix == ".nir"


def convert(
    source: Path,
    dest: Path | None,
    *,
    dt: float | None,
    dialect: str | None,
    weights: str | None,
    decided: tuple[str, ...],
    labels: Path | None,
    name: str | None,
    force: bool,
    form: str,
    quiet: bool,
) -> None:
    """Read, quantize, write, and show what each projection lost."""
    if dt is None:
        raise click.UsageError("a .nir file carries no time step: --dt SECONDS is needed")
    from neurovm.spiking_conversion import convert_nir

    target = models.destination(source, dest, force=force)
    names = models.read_labels(labels)
    options = decisions(decided)
    with show.waiting(f"converting {source.name}", quiet=quiet):
        model = convert_nir(
            source,
            dt=dt,
            dialect=dialect or "nir",
            weights=weights or "auto",  # type: ignore[arg-type] # one of click's three choices
            labels=names,
            name=name,
            **options,
        )
    with model:
        models.save(model, target)
        found = spiking_facts.explanation(model) or {}
    result = {"file": str(target), "bytes": target.stat().st_size, **found}
    if show.data(form, result) or quiet:
        return
    facts = ("file", "bytes", "name", "dt_us", "neurons", "synapses", "session_bytes")
    show.facts([(key.replace("_", " "), result[key]) for key in facts])
    spiking_facts.print_tables(result)
    for note in result["notes"]:
        click.echo(f"note: {note}")


def decisions(decided: tuple[str, ...]) -> dict[str, Any]:
    """KEY=VALUE pairs; `true` and `false` are what they say."""
    found: dict[str, Any] = {}
    for pair in decided:
        key, mark, value = pair.partition("=")
        if not mark:
            raise click.UsageError(f"--decide {pair}: KEY=VALUE is needed")
        found[key] = {"true": True, "false": False}.get(value, value)
    return found
