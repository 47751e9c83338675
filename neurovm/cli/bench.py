# SPDX-License-Identifier: Apache-2.0
"""`neurovm bench`: this model on this machine, beside LiteRT where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurovm.cli import models, options, show

if TYPE_CHECKING:
    from neurovm.cli.measure import Case, Measured
    from neurovm.model import Model


@click.command()
@click.argument("model", type=options.FILE)
@click.option(
    "--source",
    type=options.FILE,
    metavar="FILE",
    help="The .tflite to time in LiteRT beside a .nvm. [default: MODEL, if it is one]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="About how long to measure, all together.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="How many share the long phases of a step, at most one a processor.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--plot", type=options.FILE, metavar="PNG", help="Save a picture of the medians.")
@options.profile
@options.output()
@options.quiet
def bench(
    model: Path,
    source: Path | None,
    seconds: float,
    threads: int,
    seed: int,
    plot: Path | None,
    profile: str,
    form: str,
    quiet: bool,
) -> None:
    """Time one step of MODEL (.nvm or .tflite) when everything, a part or nothing changed.

    dense, events and auto are the ways a session may run; all, 10 %, 1 % (a block of neighbours),
    one or none of the inputs change in a step. predict is one whole row, values to values. Cases
    take turns, LiteRT (one thread, in its own process) among them, so that what else the machine
    does falls on all alike. Figures are medians, with the range of the middle half. SOPs are the
    weights a step applied, against the MACs of a dense run.

    \b
    Examples:
      neurovm bench model.tflite
      neurovm bench model.nvm --source model.tflite --seconds 20
      neurovm bench model.nvm -o json
      neurovm bench model.nvm --plot bench.png
    """
    from neurovm.cli.measure import measure
    from neurovm.verify import check_source

    if source is None and models.is_tflite(model):
        source = model
    with (
        models.open_model(model, quiet=quiet, profile=profile) as opened,
        show.progress(f"measuring {model.name}", quiet=quiet) as advance,
    ):
        shared = opened.with_threads(threads) if threads != 1 else opened
        if shared.timed:
            _spiking(shared, seconds=seconds, seed=seed, plot=plot, form=form)
            return
        if source is not None:
            check_source(shared, source.read_bytes(), source)
        measured = measure(shared, source, seconds=seconds, seed=seed, progress=advance)
    if plot is not None:
        _plot(measured, plot)
    if not show.data(form, measured.as_dict()):
        _print(measured, threads)


def _spiking(model: Model, *, seconds: float, seed: int, plot: Path | None, form: str) -> None:
    from neurovm.cli import spiking_bench
    from neurovm.spiking_model import SpikingModel

    if plot is not None or not isinstance(model, SpikingModel):
        raise click.UsageError("--plot draws the cases of layers; a spiking network has a table")
    found = spiking_bench.measure(model, seconds=seconds, seed=seed)
    if not show.data(form, found):
        spiking_bench.print_table(found)


def _print(measured: Measured, threads: int) -> None:
    dense = measured.macs
    rows: list[list[Any]] = []
    for case in measured.cases:
        share = f"{100 * case.sops / dense:.1f} %" if case.sops is not None and dense else ""
        rows.append(
            [
                case.name,
                f"{case.median_us:.1f}",
                f"{case.low_us:.1f}–{case.high_us:.1f}",
                _ratio(case),
                "" if case.sops is None else round(case.sops),
                share,
            ]
        )
    columns = ["case", "µs", "spread µs", "× LiteRT", "SOPs", "of dense"]
    show.table(columns, rows, left=["case"], whole=["case"])
    click.echo(
        f"{measured.model}: {dense:,} dense MACs a step; {measured.rounds} rounds in turns, "
        f"{threads} thread{'s' if threads > 1 else ''}, {measured.machine}"
    )
    click.echo(f"LiteRT: {measured.runtime}")


def _ratio(case: Case) -> str:
    """Median, and the middle half, of the ratios to LiteRT formed round by round."""
    if case.ratio is None or case.ratio_low is None or case.ratio_high is None:
        return ""
    return f"{case.ratio:.2f} ({case.ratio_low:.2f}–{case.ratio_high:.2f})"


def _plot(measured: Measured, target: Path) -> None:
    from neurovm.cli.exits import CannotCreateError
    from neurovm.errors import BackendError

    try:
        import matplotlib as mpl
    except ImportError as error:
        raise BackendError("--plot needs matplotlib: pip install 'neurovm[plot]'") from error
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    names = [case.name for case in measured.cases]
    medians = [case.median_us for case in measured.cases]
    spread = [
        [case.median_us - case.low_us for case in measured.cases],
        [case.high_us - case.median_us for case in measured.cases],
    ]
    axes.barh(names, medians, xerr=spread, color="tab:blue")
    axes.invert_yaxis()
    axes.set_xlabel("µs a step (median, middle half)")
    axes.set_title(f"{measured.model} on {measured.machine}")
    try:
        figure.savefig(target, dpi=150, format="png")
    except OSError as error:
        raise CannotCreateError(f"{target}: cannot be written: {error.strerror}") from error
    finally:
        plt.close(figure)
