# SPDX-License-Identifier: Apache-2.0
"""`neurovm plot`: a run of a spiking network as rasters, membrane traces and rates."""

from __future__ import annotations

from pathlib import Path

import click

from neurovm.cli import models, options
from neurovm.cli.exits import CannotCreateError
from neurovm.errors import BackendError, ShapeError

SUFFIXES = (".png", ".svg", ".pdf")


@click.command()
@click.argument("model", type=options.FILE)
@click.argument("spikes", type=options.FILE)
@click.option(
    "--to",
    "target",
    type=options.FILE,
    metavar="FILE",
    help="Where to draw: .png, .svg or .pdf. [default: SPIKES with .png]",
)
@click.option(
    "--population",
    "names",
    multiple=True,
    metavar="NAME",
    help="Draw these, inputs among them. [default: inputs and outputs]",
)
@click.option(
    "--traces",
    type=click.IntRange(min=0),
    default=4,
    show_default=True,
    metavar="N",
    help="Potentials of how many neurons of each: those that fired most.",
)
@click.option("--row", type=click.IntRange(min=0), default=0, help="Of several trains, which.")
@click.option(
    "--ticks",
    type=click.IntRange(min=1),
    metavar="T",
    help="Go on for T ticks in all, without input after the last spike.",
)
@options.quiet
def plot(
    model: Path,
    spikes: Path,
    target: Path | None,
    names: tuple[str, ...],
    traces: int,
    row: int,
    ticks: int | None,
    quiet: bool,
) -> None:
    """Run the spiking network MODEL (.nvm) on SPIKES and draw what happened.

    SPIKES: counts as .npy (ticks × inputs, or rows × ticks × inputs), spikes as .csv (t_us,address)
    or a recording of events (.aer, .bin, .aedat4). Of each population a raster with its rate, and
    the potentials of the neurons that fired most, in real units; a dashed line is the threshold.
    Needs matplotlib: pip install 'neurovm[plot]'.

    \b
    Examples:
      neurovm plot net.nvm trains.npy
      neurovm plot net.nvm digit.bin --population hidden --traces 6 --to digit.svg
    """
    target = spikes.with_suffix(".png") if target is None else target
    if target.suffix not in SUFFIXES:
        raise click.UsageError(f"--to {target}: {', '.join(SUFFIXES)} are accepted")
    if target.exists() and target.samefile(spikes):
        raise click.UsageError(f"--to {target} is SPIKES itself")
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise BackendError("plot needs matplotlib: pip install 'neurovm[plot]'") from error
    from neurovm.cli import spiking_picture, trains
    from neurovm.spiking_model import SpikingModel

    mpl.use("Agg")
    with models.open_model(model, quiet=quiet) as opened:
        if not isinstance(opened, SpikingModel):
            raise BackendError(
                f"{model} is no network of spiking neurons; `neurovm explain --plot` draws it"
            )
        rows = trains.read(spikes, opened)
        if row >= len(rows):
            raise ShapeError(f"{spikes}: row {row} of {len(rows)}")
        recorded = spiking_picture.record(opened, rows[row], names, ticks)
    figure = spiking_picture.draw(recorded, traces=traces)
    try:
        figure.savefig(target, dpi=130)
    except OSError as error:
        raise CannotCreateError(f"{target}: cannot be written: {error.strerror}") from error
    if not quiet:
        click.echo(f"{target}: {recorded.summary()}", err=True)
