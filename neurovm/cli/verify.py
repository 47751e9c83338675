# SPDX-License-Identifier: Apache-2.0
"""`neurovm verify`: the proof, layer by layer, that a model answers what its source answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurovm import certificate
from neurovm.cli import models, options, show
from neurovm.cli.exits import CannotCreateError, Exit

if TYPE_CHECKING:
    from neurovm.certificate import Certificate, LayerResult, Tally
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
@click.option(
    "--hop",
    "hops",
    type=click.IntRange(min=1),
    multiple=True,
    metavar="FRAMES",
    help="Also a window that slides by so many frames, every layer beside dense runs; repeatable.",
)
@click.option(
    "--frames",
    type=click.IntRange(min=2),
    metavar="N",
    help="Frames of that window, where the model does not say.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Longest wait for one answer of the runtime.",
)
@click.option(
    "--certify",
    is_flag=True,
    help="Keep the certificate, if nothing differs: in the bundle of --model, or in --save.",
)
@click.option(
    "--python",
    type=options.FILE,
    metavar="PATH",
    help="Another Python that has the runtime to compare with, such as one with tflite-runtime.",
)
@click.option(
    "--save",
    type=options.FILE,
    metavar="FILE",
    help="Where --certify writes the bundle; alone it means --certify. [default: SOURCE as .nvm]",
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
    hops: tuple[int, ...],
    frames: int | None,
    seed: int,
    timeout_s: float,
    certify: bool,
    python: Path | None,
    save: Path | None,
    profile: str,
    coding: str,
    form: str,
    quiet: bool,
) -> None:
    """Compare a converted model with its SOURCE (.tflite) in another runtime, element by element.

    Profile xnnpack is judged by LiteRT, tflm by TensorFlow Lite Micro (pip install tflite_micro),
    each in a process of its own; with --python also by tflite-runtime 2.14's reference kernels,
    where those round alike. Every operator is run by itself on that runtime's own inputs, in the
    kernel and in the NumPy reference, so the first wrong one is named; then the whole network:
    whole rows (predict), a session that computes only what changes, one that runs by events alone.
    The rows are --inputs, then random ones, then a walk of small changes; one at least is needed.

    --certify keeps the result in the bundle, whose identity does not change: `neurovm inspect`
    shows it, and `require_certificate: true` in neurovm.yaml or a VM's file asks for it.

    Exit code 0: nothing differs. 1: something does, and the first such operator is named; nothing
    is saved. 69: the runtime is missing, crashed or refused the model.

    \b
    Examples:
      neurovm verify model.tflite
      neurovm verify model.tflite --inputs recorded.npy --count 5000
      neurovm verify model.tflite --model model.nvm -o json
      neurovm verify model.tflite --model model.nvm --certify
      neurovm verify model.tflite --hop 2 --certify
      neurovm verify model.tflite --profile tflm --certify --save model.nvm
      neurovm verify model.tflite --profile tflm --python ./old/bin/python
    """
    save = _target(source, bundle, save, certify=certify, profile=profile)
    with _model(source, bundle, profile, coding, quiet=quiet) as model:
        proof = _prove(
            source, model, inputs, real=real, quiet=quiet,
            count=count, walk=walk, hops=hops, frames=frames, seed=seed, timeout_s=timeout_s,
            python=python,
        )  # fmt: skip
        if save is not None and proof.identical:
            models.save(model.with_certificate(proof.as_dict()), save)
        lacking = certificate.fault(proof, model.manifest)
    result = {**proof.as_dict(), "saved": str(save) if save and proof.identical else None}
    if not show.data(form, result):
        _print(proof, save, lacking)
    if not proof.identical:
        click.get_current_context().exit(Exit.DIFFERENT)


def _target(
    source: Path, bundle: Path | None, save: Path | None, *, certify: bool, profile: str
) -> Path | None:
    """Where the certified bundle goes; None where nothing is kept.

    Only a file that was named takes the place of a bundle of another profile.
    """
    if save is None and not certify:
        return None
    if save is None and bundle is not None:
        return bundle
    target = models.destination(source, save, force=False)
    if save is None and target.exists():
        kept = _profile_of(target)
        if kept not in ("", profile):
            raise CannotCreateError(
                f"{target}: holds the model in profile {kept}, which one of profile {profile} "
                f"would replace; --save FILE keeps both, --save {target} replaces it"
            )
    return target


def _profile_of(target: Path) -> str:
    """The profile of a bundle that is there already; "" where the file cannot be read as one."""
    import neurovm

    try:
        with neurovm.load(target, check="sha256") as model:
            return model.profile
    except (neurovm.NeurovmError, OSError):
        return ""


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

    rows = [row for path in inputs for row in sample_rows(path, model, real=real)]
    with show.progress(f"verifying {source.name}", quiet=quiet) as advance:
        return prove(source, model=model, inputs=rows, progress=advance, **settings)


def sample_rows(path: Path, model: Model, *, real: bool, most: int | None = None) -> list[Any]:
    """A file of samples as the arrays that `neurovm.verify` takes; at most the first `most` rows,
    rounded up to whole batches.
    """
    from neurovm.cli.samples import open_samples
    from neurovm.cli.typed_rows import quantize

    infos = model.inputs
    with open_samples(path, infos, form=None, real=real) as batches:
        taken: list[dict[str, Any]] = []
        count = 0
        for batch in batches:
            if most is not None and count >= most:
                break
            count += len(batch[0])
            taken.append(
                {
                    info.name: quantize(x, info, model.profile) if real else x
                    for info, x in zip(infos, batch, strict=True)
                }
            )
        return taken


def _print(proof: Certificate, save: Path | None, lacking: str) -> None:
    rows = [
        [_operators(r), r.source_op, r.layer, r.delegated, *_tally(r.kernel), *_tally(r.oracle)]
        for r in proof.layers
    ]
    figures = ["elements", "differing", "max Δ"]
    columns = ["#", "operator", "layer", "delegated", *figures, "oracle", *figures[1:]]
    if rows:
        show.table(columns, rows, left=["operator"], whole=["operator"])
    for what in ("predict", "session", "events", "oracle"):
        tally: Tally = getattr(proof, what)
        click.echo(f"{what}: {tally.differing:,} of {tally.elements:,} output elements differ")
    for window in proof.windows:
        short = "" if window.hops >= window.hops_needed else f" of {window.hops_needed:,} needed"
        dense = f"; run densely: {window.refusal}" if window.refusal else ""
        click.echo(
            f"window of {window.size}, hop {window.hop}: {window.layers.differing:,} of "
            f"{window.layers.elements:,} elements of all layers differ ({window.hops:,} hops{short}"
            f"{dense})"
        )
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
        click.echo(f"{proof.elements:,} elements of {len(proof.layers)} operators compared")
        if save is not None:
            click.echo(f"saved {save}")
            if lacking:
                click.echo(f"note: it does not count where one is required: {lacking}")
    else:
        click.echo(f"DIFFERENT from {against}: {proof.first_difference}")


def _operators(result: LayerResult) -> str:
    """The operator's number; for several in one comparison the first and the last."""
    first = min(result.covers, default=result.operator)
    return str(result.operator) if first == result.operator else f"{first}–{result.operator}"


def _tally(tally: Tally) -> list[object]:
    return [tally.elements, tally.differing, tally.max_delta]
