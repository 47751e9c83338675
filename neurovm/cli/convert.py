# SPDX-License-Identifier: Apache-2.0
"""`neurovm convert`: a .tflite or .nir in, a .nvm bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurovm.cli import approx, approx_picture, drawing, models, nir_file, options, show
from neurovm.errors import ModelError
from neurovm.manifest import DEFAULT_STEPS

if TYPE_CHECKING:
    from neurovm.model import Model
    from neurovm.quantization import Quantized


@click.command()
@click.argument("source", type=options.FILE)
@click.argument("dest", type=options.FILE, required=False)
@options.profile
@options.coding_or_rate
@click.option(
    "--steps",
    type=click.IntRange(min=1, max=1024),
    help="Time steps an answer, with --coding rate. [default: 64]",
)
@options.labels
@click.option("--name", metavar="NAME", help="Name of the model. [default: the file's]")
@click.option("--force", is_flag=True, help="Overwrite DEST even if it is not a bundle.")
@click.option(
    "--calibrate",
    type=options.FILE,
    metavar="ROWS",
    help="Representative rows for a float SOURCE, or to balance rates on: a file as for predict, "
    "or a folder of them.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=1, max=100_000),
    default=256,
    show_default=True,
    help="How many rows to calibrate on, spread over all there are.",
)
@click.option(
    "--answers",
    type=options.FILE,
    metavar="FILE",
    help="The right class of each row, a number a line: counts how many answers stay right.",
)
@click.option(
    "--mixed",
    type=click.FloatRange(min=0, max=100, min_open=True),
    is_flag=False,
    flag_value=25.0,
    metavar="PERCENT",
    help="Keep up to this share of the work at 16-bit activations, where 8 bit costs most. "
    "[25 where no number follows]",
)
@click.option(
    "--keep-quantized",
    type=options.FILE,
    metavar="FILE",
    help="Write the int8 .tflite too; `neurovm verify FILE` proves the bundle exact to it.",
)
@click.option(
    "--plot",
    type=options.FILE,
    metavar="FILE",
    help="Draw what each operator lost: .svg, or .png (pip install neurovm[plot]).",
)
@nir_file.reading
@options.output()
@options.quiet
def convert(
    source: Path,
    dest: Path | None,
    profile: str,
    coding: str,
    steps: int | None,
    labels: Path | None,
    name: str | None,
    force: bool,
    calibrate: Path | None,
    rows: int,
    answers: Path | None,
    mixed: float | None,
    keep_quantized: Path | None,
    plot: Path | None,
    dt: float | None,
    dialect: str | None,
    weights: str | None,
    decided: tuple[str, ...],
    form: str,
    quiet: bool,
) -> None:
    """Convert a TFLite model or a NIR file SOURCE into a bundle DEST.

    Every operator becomes events, a table, a dense recomputation, or is folded away; one that has
    no exact rule is refused by name, and nothing is written. Without DEST the bundle is written
    beside SOURCE with the ending .nvm. It is written whole or not at all.

    A float SOURCE (float32, float16-stored, hybrid) is quantized to int8 first, on the
    representative rows of --calibrate. That approximates; a table shows what each operator lost,
    and the bundle carries it.

    A .nir SOURCE is a spiking network: --dt says how long a tick is, --dialect which framework it
    is from; a table shows what each projection's weights lost to int8 or int16.

    \b
    Examples:
      neurovm convert pump.tflite
      neurovm convert gesture.nir --dt 1e-3 --dialect sinabs
      neurovm convert kws.tflite /etc/neurovmd/vm.d/kws.nvm --labels words.txt
      neurovm convert kws.tflite kws.nvm -o json
      neurovm convert har_float.tflite --calibrate windows.npy --answers classes.txt
      neurovm convert kws.tflite kws.nvm --coding rate --steps 32 --calibrate rows.npy
    """
    reading: dict[str, Any] = {"dt": dt, "dialect": dialect, "weights": weights, "decided": decided}
    if nir_file.is_nir(source):
        nir_file.convert(
            source, dest, **reading, labels=labels, name=name, force=force, form=form, quiet=quiet
        )  # fmt: skip
        return
    if any(reading.values()):
        raise click.UsageError("--dt, --dialect, --weights and --decide go with a .nir file")
    if not models.is_tflite(source):
        raise ModelError(f"{source}: not a TFLite model: no identifier TFL3 at byte 4")
    if steps is not None and coding != "rate":
        raise click.UsageError("--steps goes with --coding rate")
    target = models.destination(source, dest, force=force)
    if calibrate is None or _is_balanced(source, coding):
        if any(given is not None for given in (answers, mixed, keep_quantized, plot)):
            raise click.UsageError(
                "--answers, --mixed, --keep-quantized and --plot go with --calibrate"
                f"{'' if calibrate is None else ' of a float SOURCE'}"
            )
        balance = None if calibrate is None else _rows(source, calibrate, rows, profile)
        opened = models.open_model(
            source,
            quiet=quiet,
            profile=profile,
            coding=coding,
            labels=labels,
            name=name,
            steps=steps or DEFAULT_STEPS,
            calibrate=balance,
        )
    else:
        if plot is not None:
            drawing.check(plot)
        made = approx.of(source, calibrate, answers, rows, mixed=mixed, quiet=quiet)
        if keep_quantized is not None:
            made = approx.keep(made, keep_quantized)
        opened = models.open_quantized(
            made,
            quiet=quiet,
            profile=profile,
            coding=coding,
            labels=labels,
            name=name,
            steps=steps or DEFAULT_STEPS,
            calibrate=_rows_of(made, calibrate, rows, profile) if coding == "rate" else None,
        )
    with opened as model:
        models.save(model, target)
        if plot is not None:
            approx_picture.write(made.info, plot)
        result = summary(model, target)
    if not show.data(form, result) and not quiet:
        show.facts(
            [(key.replace("_", " "), value) for key, value in result.items() if key != "approx"]
        )
        approx.print_table(result["approx"])


def _is_balanced(source: Path, coding: str) -> bool:
    """Whether rows are for rates alone: the network is of integers already."""
    from neurovm import quantization

    return coding == "rate" and not quantization.is_float(source)


def _rows(source: Path, calibrate: Path, rows: int, profile: str) -> dict[str, Any]:
    """Rows as the network at `source` takes them."""
    import neurovm
    from neurovm.cli.calibration import typed

    with neurovm.convert_tflite(source, profile=profile) as model:
        return typed(calibrate, model, rows)


def _rows_of(made: Quantized, calibrate: Path, rows: int, profile: str) -> dict[str, Any]:
    """Rows as the network takes them that was quantised here."""
    from neurovm.cli.calibration import typed
    from neurovm.convert import convert_quantized

    with convert_quantized(made, profile=profile) as model:
        return typed(calibrate, model, rows)


def summary(model: Model, target: Path) -> dict[str, Any]:
    """What a converted model is, and where it lies."""
    manifest = model.manifest
    return {
        "file": str(target),
        "bytes": target.stat().st_size,
        "name": model.name,
        "sha256": model.sha256,
        "profile": model.profile,
        "coding": model.coding,
        "source": manifest.source.name,
        "source_bytes": manifest.source.bytes,
        "operators": len(manifest.operators),
        "layers": len(manifest.layers),
        "neurons": manifest.neurons,
        "synapses": manifest.synapses,
        "macs": manifest.macs,
        "session_bytes": manifest.limits.session_bytes,
        "approx": approx.as_dict(manifest.approx),
    }
