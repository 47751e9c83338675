# SPDX-License-Identifier: Apache-2.0
"""`neurovm verify`: the proof, layer by layer, that a model answers what its source answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurovm.cli import models, options, show
from neurovm.cli.exits import Exit

if TYPE_CHECKING:
    from neurovm.certificate import Certificate, Tally
    from neurovm.model import Model


@click.command()
@click.argument("source", type=options.FILE)
@click.option(
    "--model",
    "bundle",
    type=options.FILE,
    metavar="FILE",
    help="The .nvm to judge. [default: SOURCE converted now]",
)
@click.option(
    "--inputs",
    type=options.FILE,
    multiple=True,
    metavar="FILE",
    help="Rows of your own besides the random ones, as for predict; may be given several times.",
)
@click.option("--real", is_flag=True, help="The rows of --inputs are real values; quantise them.")
@click.option(
    "--count", type=click.IntRange(min=0), default=1000, show_default=True, help="Random rows."
)
@click.option(
    "--walk",
    type=click.IntRange(min=0),
    default=500,
    show_default=True,
    help="Steps that change a few elements of the step before.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Longest wait for one answer of LiteRT.",
)
@click.option(
    "--save",
    type=options.FILE,
    metavar="FILE",
    help="Write the bundle with this certificate in it, if nothing differs.",
)
@options.profile
@options.coding
@options.output()
@options.quiet
def verify(
    source: Path,
    bundle: Path | None,
    inputs: tuple[Path, ...],
    real: bool,
    count: int,
    walk: int,
    seed: int,
    timeout_s: float,
    save: Path | None,
    profile: str,
    coding: str,
    form: str,
    quiet: bool,
) -> None:
    """Compare a converted model with its SOURCE (.tflite) in LiteRT, element by element.

    LiteRT runs in a process of its own. Compared are whole rows (predict), a session that computes
    only what changes, the codes of every layer after every step, and the NumPy reference. The rows
    are --inputs, then random ones, then a walk of small changes. Layer by layer needs LiteRT 2.3;
    an older one, or tflite-runtime, gives outputs only, and the report says so.

    Exit code 0: nothing differs. 1: something does, and the first such operator is named.

    \b
    Examples:
      neurovm verify model.tflite
      neurovm verify model.tflite --inputs recorded.npy --count 5000
      neurovm verify model.tflite --model model.nvm -o json
      neurovm verify model.tflite --save model.nvm
    """
    if save is not None:
        save = models.destination(source, save, force=False)
    with _model(source, bundle, profile, coding, quiet=quiet) as model:
        proof = _prove(
            source, model, inputs, real=real, quiet=quiet,
            count=count, walk=walk, seed=seed, timeout_s=timeout_s,
        )  # fmt: skip
        if save is not None and proof.identical:
            models.save_certified(model, proof.as_dict(), save)
    result = {**proof.as_dict(), "saved": str(save) if save and proof.identical else None}
    if not show.data(form, result):
        _print(proof, save)
    if not proof.identical:
        click.get_current_context().exit(Exit.DIFFERENT)


def _model(source: Path, bundle: Path | None, profile: str, coding: str, *, quiet: bool) -> Model:
    import neurovm

    if bundle is not None:
        model = neurovm.load(bundle)
        if model.approximate:
            raise click.UsageError(
                f"{bundle} is rate-coded and approximates its source on purpose; "
                f"`neurovm build` shows how far it agrees"
            )
        return model
    if not models.is_tflite(source):
        raise click.UsageError(
            f"{source} is no .tflite: SOURCE is the original, --model the .nvm to judge"
        )
    return models.open_model(source, quiet=quiet, profile=profile, coding=coding)


def _prove(
    source: Path,
    model: Model,
    inputs: tuple[Path, ...],
    *,
    real: bool,
    quiet: bool,
    **settings: Any,
) -> Certificate:
    from neurovm.verify import verify as prove

    rows = [row for path in inputs for row in _rows(path, model, real=real)]
    with show.progress(f"verifying {source.name}", quiet=quiet) as advance:
        return prove(source, model=model, inputs=rows, progress=advance, **settings)


def _rows(path: Path, model: Model, *, real: bool) -> list[Any]:
    """A file of samples as the arrays that `neurovm.verify` takes."""
    from neurovm.cli.samples import open_samples
    from neurovm.cli.typed_rows import quantize

    infos = model.inputs
    with open_samples(path, infos, form=None, real=real) as batches:
        return [
            {
                info.name: quantize(x, info, model.profile) if real else x
                for info, x in zip(infos, batch, strict=True)
            }
            for batch in batches
        ]


def _print(proof: Certificate, save: Path | None) -> None:
    rows = [
        [r.operator, r.source_op, *_tally(r.kernel, there=r.layer is not None), *_tally(r.oracle)]
        for r in proof.layers
    ]
    columns = ["#", "operator", "elements", "differing", "max Δ", "oracle", "differing", "max Δ"]
    if rows:
        show.table(columns, rows, left=["operator"], whole=["operator"])
    for what in ("predict", "session", "events", "oracle"):
        tally: Tally = getattr(proof, what)
        click.echo(f"{what}: {tally.differing:,} of {tally.elements:,} output elements differ")
    counts = ", ".join(f"{n:,} {name}" for name, n in proof.rows.items())
    click.echo(
        f"rows: {counts} (seed {proof.seed}); "
        f"session: {proof.sops:,} SOPs for {proof.dense_macs:,} dense MACs"
    )
    for remark in proof.remarks:
        click.echo(f"note: {remark}")
    against = f"{proof.runtime} {proof.version} ({proof.machine}), profile {proof.profile}"
    if proof.identical:
        click.echo(f"identical to {against}")
        if save is not None:
            click.echo(f"saved {save}")
    else:
        click.echo(f"DIFFERENT from {against}: {proof.first_difference}")


def _tally(tally: Tally, *, there: bool = True) -> list[object]:
    if not there:
        return [None, None, None]
    return [tally.elements, tally.differing, tally.max_delta]
