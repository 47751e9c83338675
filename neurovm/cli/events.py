# SPDX-License-Identifier: Apache-2.0
"""`neurovm events`: recordings of event cameras."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from neurovm.cli import options, show
from neurovm.cli.exits import CannotCreateError
from neurovm.events import Recording, read, write


def _sensor(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", value)
    if found is None:
        raise click.BadParameter(f"found {value!r}; accepted: WIDTHxHEIGHT, as 240x180", ctx, param)
    return int(found[1]), int(found[2])


_size = click.option(
    "--size",
    callback=_sensor,
    metavar="WxH",
    help="The sensor's pixels, for a .bin that is not of N-MNIST (34x34).",
)


@click.group()
def events() -> None:
    """Look into recordings of event cameras, and turn them into one another.

    A network takes an event at address (p · height + y) · width + x, its time in microseconds. What
    the files hold, and how they are sent to a VM, is told in docs/events.md.

    \b
    Examples:
      neurovm events inspect digit.bin
      neurovm events convert davis.aedat4 davis.aer
    """


@events.command()
@click.argument("file", type=options.FILE)
@_size
@options.output()
def inspect(file: Path, size: tuple[int, int] | None, form: str) -> None:
    """Show what a recording holds: events, time, sensor, rates. It is read whole and checked.

    \b
    Examples:
      neurovm events inspect digit.bin
      neurovm events inspect caltech.bin --size 240x180 -o json
    """
    facts = _facts(file, read(file, size=size))
    if not show.data(form, facts):
        _print(facts)


@events.command()
@click.argument("source", type=options.FILE)
@click.argument("target", type=options.FILE)
@_size
def convert(source: Path, target: Path, size: tuple[int, int] | None) -> None:
    """Write a recording in another format: .bin (N-MNIST) or .aer (packed events).

    An .aer file is what a VM takes as one message: mosquitto_pub -f does.

    \b
    Examples:
      neurovm events convert davis.aedat4 davis.aer
      neurovm events convert digit.bin digit.aer && mosquitto_pub -t camera/eye/events -f digit.aer
    """
    recording = read(source, size=size)
    try:
        write(target, recording)
    except OSError as error:
        raise CannotCreateError(f"{target}: {error.strerror}") from None
    click.echo(f"{target}: {len(recording)} events, {target.stat().st_size} bytes")


def _facts(file: Path, recording: Recording) -> dict[str, Any]:
    """Everything `inspect` shows, as plain data."""
    count, span_us = len(recording), recording.duration_us
    brighter = sum(recording.p)
    pixels = len(set(zip(recording.x, recording.y, strict=True)))
    return {
        "file": str(file),
        "bytes": file.stat().st_size,
        "events": count,
        "width": recording.width,
        "height": recording.height,
        "addresses": 2 * recording.width * recording.height,
        "first_us": recording.times_us[0] if count else None,
        "last_us": recording.times_us[-1] if count else None,
        "duration_us": span_us,
        "events_per_s": round(count * 1e6 / span_us, 1) if span_us else None,
        "brighter": brighter,
        "darker": count - brighter,
        "pixels_seen": pixels,
    }


def _print(facts: dict[str, Any]) -> None:
    width, height = facts["width"], facts["height"]
    share = facts["pixels_seen"] / (width * height)
    click.echo(f"{facts['file']}: {facts['events']} events, {facts['bytes']} bytes")
    click.echo(f"sensor    {width} × {height} pixels, {facts['addresses']} addresses")
    if not facts["events"]:
        return
    rate = facts["events_per_s"]
    told = "" if rate is None else f", {rate:g} events a second"
    click.echo(f"time      {facts['duration_us'] / 1e6:g} s from {facts['first_us']} µs{told}")
    click.echo(f"polarity  {facts['brighter']} brighter, {facts['darker']} darker")
    click.echo(f"pixels    {facts['pixels_seen']} seen ({share:.0%})")
