# SPDX-License-Identifier: Apache-2.0
"""`neurovm export`: a spiking network for other simulators and chips."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from msgspec import UNSET

from neurovm.cli import options, show
from neurovm.cli.exits import CannotCreateError
from neurovm.errors import ModelError


@click.command()
@click.argument("model", type=options.FILE)
@click.option("--nir", "target", type=options.FILE, required=True, help="The .nir file to write.")
@options.output()
@options.quiet
def export(model: Path, target: Path, form: str, quiet: bool) -> None:
    """Write the spiking network MODEL (.nvm) as a NIR file.

    What is written is what runs: the integers' real values. What NIR has no words for, as several
    spikes in a tick, is printed as options of `neurovm convert` that read the file as it runs here;
    what it cannot say at all is refused by name.

    \b
    Examples:
      neurovm export gesture.nvm --nir gesture.nir
    """
    if target.exists() and target.samefile(model):
        raise click.UsageError(f"--nir {target} is MODEL itself")
    import neurovm
    from neurovm.converters import nir_writer

    with neurovm.load(model) as opened:
        spiking = opened.manifest.spiking
        if spiking is UNSET:
            raise ModelError(f"{model}: no spiking network; NIR describes nothing else")
        try:
            decisions = nir_writer.write(opened.content, target)
        except OSError as error:
            raise CannotCreateError(f"{target}: cannot be written: {error.strerror}") from error
    dt_s = spiking.dt_us / 1e6
    given = "".join(f" --decide {key}={str(v).lower()}" for key, v in decisions.items())
    result = {
        "file": str(target),
        "bytes": target.stat().st_size,
        "dt_s": dt_s,
        "decisions": decisions,
        "read_with": f"neurovm convert {shlex.quote(str(target))} --dt {dt_s!r}{given}",
    }
    if not show.data(form, result) and not quiet:
        show.facts([(k.replace("_", " "), result[k]) for k in ("file", "bytes", "read_with")])
