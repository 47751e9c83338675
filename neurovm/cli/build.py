# SPDX-License-Identifier: Apache-2.0
"""`neurovm build`: neurovm.yaml and its model become a bundle that carries the manifest."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurovm import certificate, manifest
from neurovm.cli import approx, models, options, show
from neurovm.errors import ConfigError

if TYPE_CHECKING:
    from neurovm.cli.calibration import Calibrated
    from neurovm.manifest import Manifest
    from neurovm.model import Model
    from neurovm.quantization import Quantized


@click.command()
@click.argument("folder", type=options.FILE, default=".", required=False)
@click.option(
    "--to", "target", type=options.FILE, metavar="FILE", help="The bundle. [default: NAME.nvm]"
)
@click.option("--no-calibration", is_flag=True, help="Do not run the calibration samples.")
@click.option(
    "--keep-quantized",
    type=options.FILE,
    metavar="FILE",
    help="Of a float model: write the int8 .tflite made of it.",
)
@options.output()
@options.quiet
def build(
    folder: Path,
    target: Path | None,
    no_calibration: bool,
    keep_quantized: Path | None,
    form: str,
    quiet: bool,
) -> None:
    """Build the VM in FOLDER (default: here): check neurovm.yaml, convert, write NAME.nvm.

    A model beyond the manifest's budgets of neurons and synapses is refused with figures. Where the
    manifest names calibration samples they are run: with `encoding: rate` that shows how far the
    approximation agrees with the exact network, by the number of steps. A float model is quantized
    to int8 on these samples, and a table shows what each operator lost. With
    `require_certificate: true` the bundle is verified first, as `neurovm verify` does.

    \b
    Examples:
      neurovm build
      neurovm build hello-world -o json
      neurovm build --to /etc/neurovmd/vm.d/pump.nvm
    """
    found = manifest.read(folder)
    vm = found.vm
    made = _quantized(found, quiet=quiet)
    if made is not None and keep_quantized is not None:
        made = approx.keep(made, keep_quantized)
    with _convert(found, made, quiet=quiet) as model:
        check_budgets(found, model)
        _check_deployment(found, model, quiet=quiet)
        measured = None
        if vm.calibration is not None and not no_calibration:
            from neurovm.cli import calibration

            measured = calibration.run(found, model, made, quiet=quiet)
        goal = found.folder / f"{vm.name}.nvm" if target is None else target
        goal = models.destination(found.source(), goal, force=False)
        with model.with_deploy(manifest.as_deploy(vm)) as deployable:
            models.save(_certified(found, deployable, made, quiet=quiet), goal)
        result = _result(model, goal, measured)
    if not show.data(form, result) and not quiet:
        _print(result, measured)


def _quantized(found: Manifest, *, quiet: bool) -> Quantized | None:
    """A float model in int8; None for one that is int8 already."""
    from neurovm import quantization

    source, wanted = found.source(), found.vm.calibration
    if not quantization.is_float(source):
        return None
    if wanted is None:
        raise found.error(
            "calibration",
            f"none, and {source.name} is a float model",
            "samples: a file of representative rows, on which it is quantized to int8",
        )
    from neurovm.cli.calibration import samples_of

    samples = samples_of(found, wanted)
    answers = None
    if wanted.answers is not None:
        answers = found.file("calibration.answers", wanted.answers)
    return approx.of(source, samples, answers, wanted.rows, quiet=quiet)


def _convert(found: Manifest, made: Quantized | None, *, quiet: bool) -> Model:
    import neurovm

    vm, source = found.vm, found.source()
    rows = _rows_to_balance(found, made)
    if made is not None:
        return models.open_quantized(
            made,
            quiet=quiet,
            profile=vm.profile,
            coding=vm.coding,
            labels=None if vm.labels is None else found.file("labels", vm.labels),
            name=vm.name,
            steps=vm.steps,
            calibrate=rows,
        )
    labels = None if vm.labels is None else models.read_labels(found.file("labels", vm.labels))
    with show.waiting(f"converting {source.name}", quiet=quiet):
        return neurovm.convert_tflite(
            source,
            profile=vm.profile,
            coding=vm.coding,
            labels=labels,
            name=vm.name,
            steps=vm.steps,
            calibrate=rows,
        )


def _rows_to_balance(found: Manifest, made: Quantized | None) -> dict[str, Any] | None:
    """The samples of the manifest where rates are to be balanced on them."""
    if found.vm.coding != "rate" or found.vm.calibration is None:
        return None
    from neurovm.cli import calibration

    with calibration.exact_of(found, made, name=None) as model:
        return calibration.rows_of(found, model)


def check_budgets(found: Manifest, model: Model) -> None:
    """ConfigError where the model has more neurons or synapses than the manifest allows."""
    for what in ("neurons", "synapses"):
        budget = getattr(found.vm.hardware, what)
        size = getattr(model.manifest, what)
        if budget is not None and size > budget:
            raise found.error(
                f"hardware.{what}",
                f"a budget of {budget:,}",
                f"{size:,} or more ({model.manifest.source.name} has {size:,} {what})",
            )


def _certified(found: Manifest, model: Model, made: Quantized | None, *, quiet: bool) -> Model:
    """The model with the certificate that the manifest requires, if it does."""
    if not found.vm.require_certificate:
        return model
    from neurovm.verify import verify

    source = found.source()
    with tempfile.TemporaryDirectory(prefix="neurovm-") as folder:
        if made is not None:
            source = Path(folder) / made.name
            source.write_bytes(made.data)
        with show.progress(f"verifying {source.name}", quiet=quiet) as advance:
            rows = _real_rows(found, model)
            proof = verify(source, model=model, inputs=rows, progress=advance)
    if not proof.identical:
        raise found.error(
            "require_certificate", f"true, but {proof.first_difference}", "an identical model"
        )
    if lacking := certificate.fault(proof, model.manifest):
        raise found.error("require_certificate", f"true, but {lacking}", "false")
    return model.with_certificate(proof.as_dict())


def _real_rows(found: Manifest, model: Model) -> list[Any]:
    """The calibration samples, which are heard before random rows; none of a folder of files."""
    wanted = found.vm.calibration
    if wanted is None:
        return []
    from neurovm.cli.calibration import samples_of
    from neurovm.cli.verify import sample_rows

    path = samples_of(found, wanted)
    return [] if path.is_dir() else sample_rows(path, model, real=True, most=wanted.rows)


def _check_deployment(found: Manifest, model: Model, *, quiet: bool) -> None:
    """Let the daemon judge what `inputs` and `output` hold; ConfigError at the manifest's key."""
    from neurovm.cli import deployment

    error, warnings = deployment.judge(found.vm, model)
    for text in warnings:
        show.remark(f"warning: {found.folder / manifest.FILE}: {text}", quiet=quiet)
    if error is None:
        return
    if error.key.split(".")[0].split("[")[0] in ("inputs", "output"):
        raise found.error(error.key, error.found, error.accepted)
    raise ConfigError(str(found.folder / manifest.FILE), error.key, error.found, error.accepted)


def _result(model: Model, target: Path, measured: Calibrated | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": model.name,
        "file": str(target),
        "bytes": target.stat().st_size,
        "sha256": model.sha256,
        "source": model.manifest.source.name,
        "profile": model.profile,
        "coding": model.coding,
        "approx": model.approximate,
        "neurons": model.manifest.neurons,
        "synapses": model.manifest.synapses,
        "macs": model.manifest.macs,
        "session_bytes": model.manifest.limits.session_bytes,
    }
    facts["quantized_from"] = approx.as_dict(model.manifest.approx)
    if measured is not None:
        facts["calibration"] = measured.as_dict()
    return facts


def _print(result: dict[str, Any], measured: Calibrated | None) -> None:
    tables = ("calibration", "quantized_from")
    show.facts([(k.replace("_", " "), v) for k, v in result.items() if k not in tables])
    approx.print_table(result["quantized_from"])
    if measured is not None:
        click.echo("")
        measured.show()
