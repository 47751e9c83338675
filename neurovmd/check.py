# SPDX-License-Identifier: Apache-2.0
"""`neurovmd check`: the configuration judged without running it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurovm import certificate, cpus
from neurovm.errors import ConfigError, NeurovmError
from neurovmd import broker, config, models, sandbox
from neurovmd.binding import inputs_of
from neurovmd.config import Deployment, Settings
from neurovmd.conversion import cached_bundle
from neurovmd.layers import Source
from neurovmd.refusal import MappingError
from neurovmd.schema import Vm
from neurovmd.window.cost import WindowCost, cost_of
from neurovmd.window.inputs import FrameInputs

if TYPE_CHECKING:
    from neurovm.model import Model


LEAST_MEMORY_BYTES = 32 << 20
"""What a worker with a small model allocates of its own, with some room."""


@dataclass(slots=True)
class Report:
    """`errors` keep the daemon (or a VM) from running; `warnings` do not. `windows`: what those of
    each VM cost, where its model is at hand; `unconverted`: the models of VMs where it is not.
    """

    settings: Settings | None = None
    errors: list[ConfigError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    windows: dict[str, WindowCost] = field(default_factory=dict)
    unconverted: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": not self.errors,
            "errors": [
                {
                    "file": error.file,
                    "line": error.line,
                    "column": error.column,
                    "key": error.key,
                    "found": error.found,
                    "accepted": error.accepted,
                }
                for error in self.errors
            ],
            "warnings": self.warnings,
            "files": [str(path) for path in self.settings.files] if self.settings else [],
            "windows": {
                name: {**cost._asdict(), "most_bytes": cost.most_bytes}
                for name, cost in self.windows.items()
            },
            "vms": [vm.name for vm in self.settings.deployments] if self.settings else [],
            "not_compared": list(self.unconverted),
        }

    def lines(self, *, quiet: bool) -> list[str]:
        """What people read."""
        said = [str(error) for error in self.errors]
        said += [f"warning: {warning}" for warning in self.warnings]
        if not self.errors and not quiet and self.settings:
            names = ", ".join(vm.name for vm in self.settings.deployments) or "none"
            said.append(f"the configuration is right; VMs: {names}")
            said += [f"{name}: {cost}" for name, cost in self.windows.items()]
            said += [
                f"{name}: not compared with {model}, which is converted when the VM first starts"
                for name, model in self.unconverted.items()
            ]
        return said


def examine(file: Path | Source | None) -> Report:
    """Judge all files; ConfigError where the main file itself is wrong."""
    settings, errors = config.examine(file)
    report = Report(settings, errors)
    for deployment in settings.deployments:
        _examine_model(deployment, settings, report)
        _examine_capabilities(deployment, report)
    if not errors:
        report.warnings += remarks(settings)
    report.errors += broker.examine_files(settings)
    return report


def remarks(settings: Settings) -> list[str]:
    """What is no error, but hardly meant: no VM at all, a VM's file that is not read."""
    folder = Path(settings.config.vm_dir)
    try:
        ignored = sorted(folder.glob("*.yml"))
    except OSError:
        ignored = []
    said = [f"{path}: not read; accepted: *.yaml" for path in ignored]
    http = settings.config.http
    if not http.is_local:
        what = "answers and infers for" if http.infer else "answers"
        said.append(f"http.listen: {http.listen} {what} other machines too, whoever asks")
    if not settings.deployments:
        there = "no VM is configured (*.yaml)" if folder.is_dir() else "there is no such folder"
        said.append(f"{folder}: {there}")
    return said


def _examine_capabilities(deployment: Deployment, report: Report) -> None:
    """Warn of capabilities that this process does not hold, as its workers would not either."""
    if deployment.vm.sandbox:
        warning = str(sandbox.judge(deployment.vm.capabilities, sandbox.held()))
        report.warnings += [f"{deployment.file}: {warning}"] if warning else []


def _hardly_meant(vm: Vm, model: Model) -> list[str]:
    """What a VM asks for that its model has not, or that no worker can keep to."""
    said = []
    wanted, there = vm.output.form.top_k, model.outputs[0].size
    if wanted is not None and wanted > there:
        said.append(f"output.form.top_k: found {wanted}; the model has {there} outputs")
    if vm.memory_bytes is not None and vm.memory_bytes < LEAST_MEMORY_BYTES:
        least = f"{LEAST_MEMORY_BYTES >> 20} MiB"
        said.append(f"memory: found {vm.memory_text}; a worker needs some {least} to start")
    if vm.threads > cpus.usable():
        said.append(f"threads: found {vm.threads}; here no more than {cpus.usable()} are used")
    return said


def _examine_model(deployment: Deployment, settings: Settings, report: Report) -> None:
    """A bundle is opened and its inputs are compared; a .tflite must be there to be converted, and
    is compared where that was done.
    """
    where, bundle = str(deployment.file), deployment.model
    try:
        models.verify(deployment.vm.model, deployment.model, where)
    except ConfigError as error:
        report.errors.append(error)
        return
    if deployment.model.suffix != ".nvm":
        if deployment.vm.require_certificate:
            found = f"true with {deployment.model.name}, which cannot hold one"
            accepted = f"true with a .nvm; {certificate.NEEDED}"
            report.errors.append(ConfigError(where, "require_certificate", found, accepted))
            return
        try:
            bundle = cached_bundle(deployment, Path(settings.config.cache_dir))
            is_there = bundle.exists()
        except (OSError, ValueError) as error:
            report.errors.append(ConfigError(where, "model", str(error), "a model file"))
            return
        if not is_there:
            report.unconverted[deployment.name] = deployment.model.name
            return
    import neurovm

    try:
        threads = deployment.vm.threads
        with neurovm.load(bundle, check="sha256") as model:
            if model.timed and threads > 1:
                accepted = "1: a spiking network runs on one thread"
                report.errors.append(ConfigError(where, "threads", str(threads), accepted))
            inputs = inputs_of(deployment.vm, settings.names(deployment.name), model)
            if isinstance(inputs, FrameInputs):
                report.windows[deployment.name] = cost_of(inputs, model)
            report.warnings += [f"{where}: {text}" for text in _hardly_meant(deployment.vm, model)]
            asked = deployment.vm.require_certificate
            certificate.demand(model.manifest, str(deployment.model), asked=asked)
    except MappingError as error:
        wrong = ConfigError(where, error.key, error.found, error.accepted)
        report.errors.append(config.discreet(wrong, deployment.origins.expansion))
    except (NeurovmError, OSError, ValueError) as error:
        report.errors.append(ConfigError(where, "model", str(error), "an undamaged model file"))
