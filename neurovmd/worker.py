# SPDX-License-Identifier: Apache-2.0
"""A worker: the process of one VM, from the fork to its exit code.

It is forked by the supervisor and tells it what happens by lines of JSON on a pipe (`ready`,
`failed` with a reason) and by its slot of the shared block. What it does in between is
`neurovmd.serving`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from neurovm import certificate, cpus
from neurovm.errors import BundleError, NeurovmError
from neurovm.loading import load
from neurovmd import confinement, log
from neurovmd.assignment import EXIT_CONFIG, EXIT_DATA, EXIT_SOFTWARE, Assignment, report
from neurovmd.config import Deployment
from neurovmd.refusal import MappingError
from neurovmd.serving import Worker
from neurovmd.shared import WorkerState

if TYPE_CHECKING:
    from neurovm import Model


def run(work: Assignment) -> int:
    """The whole life of a worker process; returns its exit code."""
    log.set_context(vm=work.deployment.name)
    work.slot.pid = os.getpid()
    work.slot.state = WorkerState.LOADING
    try:
        remark = confinement.enter(work)
        worker = Worker(work, _load(work), remark)
        return worker.serve()
    except (NeurovmError, MappingError, OSError, ValueError) as error:
        code = EXIT_CONFIG if isinstance(error, MappingError) else EXIT_DATA
        reason = str(error)
    except (MemoryError, RuntimeError) as error:  # RuntimeError: no memory for a thread
        code, reason = EXIT_SOFTWARE, confinement.out_of_memory(work.deployment, error)
    work.slot.state = WorkerState.FAILED
    report(work.report, "failed", reason)
    log.error("worker.failed", reason=reason)
    return code


def _load(work: Assignment) -> Model:
    """Open the VM's bundle. A damaged one that was converted here is set aside, to be made anew."""
    try:
        model = load(work.bundle, threads=work.deployment.vm.threads)
    except BundleError as error:
        if work.bundle == work.deployment.model:
            raise
        aside = work.bundle.with_suffix(".bad")
        work.bundle.replace(aside)
        raise BundleError(f"{error}; set aside as {aside.name}, to be converted anew") from None
    _check_certificate(work.deployment, model)
    return model


def _check_certificate(deployment: Deployment, model: Model) -> None:
    """Log the model's certificate; BundleError where one is required and does not hold."""
    asked = deployment.vm.require_certificate
    line = certificate.demand(model.manifest, str(deployment.model), asked=asked)
    log.info(
        "worker.model",
        sha256=model.sha256[:12],
        profile=model.profile,
        certificate=line,
        threads=min(deployment.vm.threads, cpus.usable()),
    )
