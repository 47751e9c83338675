# SPDX-License-Identifier: Apache-2.0
"""What the process of a worker may take and do: its control group, capabilities, memory."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

from neurovmd import landlock, log, sandbox
from neurovmd.assignment import Assignment
from neurovmd.config import Deployment


def enter(work: Assignment) -> str:
    """Confine this process as its VM asks, first thing; what could not be kept, in words.

    OSError where the system refuses.
    """
    if work.group is not None:
        work.group.add(os.getpid())  # first: what is allocated from here on is counted there
    remark = _give_up_privileges(work.deployment)
    if work.deployment.vm.sandbox:
        _confine_writes(work)
    if "memory" not in work.held:
        _limit_memory(work.deployment)
    return remark


def _give_up_privileges(deployment: Deployment) -> str:
    """Keep only the capabilities that the VM lists; what could not be kept, in words."""
    if not deployment.vm.sandbox:
        return ""
    remark = str(sandbox.enter(deployment.vm.capabilities))
    if remark:
        log.warning("worker.capabilities", reason=remark)
    return remark


def _confine_writes(work: Assignment) -> None:
    """Write to nothing but the daemon's own folders, whoever this process runs as."""
    config = work.settings.config
    with contextlib.suppress(OSError):  # what is not there cannot be allowed
        Path(config.state_dir).mkdir(parents=True, exist_ok=True)
    reason = landlock.confine_writes((Path(config.state_dir), Path(config.cache_dir)))
    if reason:
        # Not told as the VM's trouble: an older kernel is nobody's fault, and nothing fails.
        log.info("worker.not_confined", reason=reason)


def _limit_memory(deployment: Deployment) -> None:
    """Bound what this process may allocate of its own (mapped files do not count)."""
    limit = deployment.vm.memory_bytes
    if limit is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def out_of_memory(deployment: Deployment, error: BaseException) -> str:
    """Why a worker ends that got no memory; saying so needs some."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    reason = str(error) or "out of memory"
    if deployment.vm.memory is None:
        return reason
    return f"{reason}; memory is limited to {deployment.vm.memory_text}"
