# SPDX-License-Identifier: Apache-2.0
"""What quantising a float network cost: the table that `convert`, `build`, `inspect` end with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from neurovm.cli import show
from neurovm.cli.exits import CannotCreateError

if TYPE_CHECKING:
    from neurovm.description import ApproxInfo
    from neurovm.quantization import Quantized

FEW_ROWS = 16
LOW_DB = 20.0
"""Below this the noise is more than a tenth of the signal's amplitude."""


def of(
    path: Path,
    samples: Path,
    answers: Path | None,
    rows: int,
    *,
    mixed: float | None = None,
    quiet: bool,
) -> Quantized:
    """A float .tflite quantised on the rows of `samples`, with a bar for long work.

    mixed: percent of the work that may stay at 16 bit.
    """
    from neurovm import quantization
    from neurovm.cli.representative import answers_of, read_rows
    from neurovm.quantization.rows import check

    with show.waiting(f"reading {samples.name}", quiet=quiet):
        infos = quantization.inputs(path)
        found = read_rows(samples, infos, rows)
        check([found.rows[info.name] for info in infos], infos, where=str(samples))
        right = None if answers is None else answers_of(answers, found)
    if len(found.numbers) < FEW_ROWS:
        show.remark(
            f"{samples}: {len(found.numbers)} rows; a hundred that show the range are better",
            quiet=quiet,
        )
    with show.progress(f"quantizing {path.name}", quiet=quiet) as advance:
        return quantization.quantize(
            path,
            found.rows,
            answers=right,
            mixed=None if mixed is None else mixed / 100,
            progress=advance,
        )


def keep(made: Quantized, target: Path) -> Quantized:
    """Write the int8 .tflite, and name it so; CannotCreateError where that cannot be."""
    try:
        target.write_bytes(made.data)
    except OSError as error:
        raise CannotCreateError(f"{target}: cannot be written: {error.strerror}") from error
    return dataclasses.replace(made, name=target.name)


def as_dict(info: ApproxInfo | msgspec.UnsetType) -> dict[str, Any] | None:
    """Plain data, None for a network that was int8 before."""
    return None if info is msgspec.UNSET else msgspec.to_builtins(info)


def print_table(approx: dict[str, Any] | None) -> None:
    """The cost, layer by layer; nothing for a network that was int8 before."""
    if approx is None:
        return
    source = approx["source"]["name"]
    click.echo(
        f"quantized here from {source} ({approx['number_format']}) on {approx['rows']} rows; "
        f"each operator against the float network on these rows:"
    )
    rows = [
        [
            layer["operator"],
            layer["source_op"],
            layer["bits"],
            "-" if layer["snr_db"] is None else f"{layer['snr_db']:.1f}{_mark(layer['snr_db'])}",
            f"{layer['max_error']:.3g}",
        ]
        for layer in approx["layers"]
    ]
    show.table(["#", "operator", "bits", "SNR dB", "max error"], rows, left=["operator"])
    if approx["wide_share"]:
        click.echo(f"{approx['wide_share']:.1%} of the work at 16 bit, where 8 bit cost most")
    if approx["accuracy"] is not None:
        was, now = approx["accuracy"]
        click.echo(f"right answers on these rows: float {was:.2%}, quantized {now:.2%}")


def _mark(snr_db: float) -> str:
    return " low" if snr_db < LOW_DB else ""
