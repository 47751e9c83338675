# SPDX-License-Identifier: Apache-2.0
"""`neurovm stop`, `start`, `restart` and `rm`: what was started by `neurovm run`, or one VM of the
service.
"""

from __future__ import annotations

import os
import signal
import time

import click

from neurovm.cli import boxes, completion, control, fleet, options, runner, show
from neurovm.cli.boxes import Box
from neurovm.cli.fleet import Seen, one
from neurovm.cli.run import claim_node, spawn
from neurovm.errors import BackendError

END_S = 20.0
LOOK_S = 0.02

NAMES = click.argument(
    "names", metavar="NAME...", nargs=-1, required=True, shell_complete=completion.vms
)
BOXES = click.argument(
    "names", metavar="NAME...", nargs=-1, required=True, shell_complete=completion.boxes_of_run
)


@click.command()
@NAMES
@options.quiet
def stop(names: tuple[str, ...], quiet: bool) -> None:
    """Stop VMs: what was accepted is answered first (up to 10 s).

    \b
    Examples:
      neurovm stop hello-world
    """
    for name in names:
        _stop(one(name))
        show.remark(f"{name} is stopped", quiet=quiet)


@click.command()
@NAMES
@options.quiet
def start(names: tuple[str, ...], quiet: bool) -> None:
    """Start VMs that were stopped.

    \b
    Examples:
      neurovm start hello-world
    """
    for name in names:
        _start(one(name))
        show.remark(f"{name} is ready", quiet=quiet)


@click.command()
@NAMES
@options.quiet
def restart(names: tuple[str, ...], quiet: bool) -> None:
    """Stop VMs and start them again.

    \b
    Examples:
      neurovm restart hello-world
    """
    for name in names:
        seen = one(name)
        if seen.state != fleet.STOPPED:
            _stop(seen)
        _start(one(name))
        show.remark(f"{name} is ready", quiet=quiet)


@click.command()
@BOXES
@click.option("-f", "--force", is_flag=True, help="Stop it first where it runs.")
@options.quiet
def rm(names: tuple[str, ...], force: bool, quiet: bool) -> None:
    """Remove stopped boxes of `neurovm run`: their folder, log and state.

    The bundle they were started from stays. VMs of the service are files below /etc/neurovmd/vm.d.

    \b
    Examples:
      neurovm rm hello-world
      neurovm rm --force hello-world
    """
    for name in names:
        box = boxes.find(name)
        if box.runner() is not None or boxes.daemon_of(box) is not None:
            if not force:
                raise click.UsageError(f"{name} is running; neurovm stop {name}, or --force")
            _end(box)
        with box.claim():
            box.remove()
        show.remark(f"{name} is removed", quiet=quiet)


def _stop(seen: Seen) -> None:
    if seen.state == fleet.STOPPED:
        return
    if seen.box is not None:
        _end(seen.box)
    else:
        control.ask(seen.socket, "stop", vm=seen.name, timeout_s=END_S)
        _await(seen.name, (fleet.STOPPED,))


def _start(seen: Seen) -> None:
    if seen.state != fleet.STOPPED:
        return
    if seen.box is not None:
        with seen.box.claim() as lock, claim_node(seen.box.name, seen.box.settings()):
            spawn(seen.box, lock)
    else:
        control.ask(seen.socket, "start", vm=seen.name)
        status = _await(seen.name, ("ready", "failed")).status
        if status is not None and status["state"] == "failed":
            raise BackendError(f"{seen.name} failed: {status['reason']}")


def _await(name: str, states: tuple[str, ...]) -> Seen:
    """The service's VM once it is in one of the states; TimeoutError where it stays in another."""
    deadline_s = time.monotonic() + END_S
    while time.monotonic() < deadline_s:
        seen = one(f"{fleet.SERVICE}/{name}")
        if seen.state in states:
            return seen
        time.sleep(LOOK_S)
    raise TimeoutError(f"{name} did not change its state within {END_S:g} s")


def _end(box: Box) -> None:
    """End the runner, or the daemon whose runner has died; TimeoutError where it stays."""
    process = box.runner() or boxes.daemon_of(box)
    if process is None:
        return
    os.kill(process, signal.SIGTERM)
    deadline_s = time.monotonic() + END_S
    while time.monotonic() < deadline_s:
        if box.runner() is None and runner.status_of(box) is None:
            return
        time.sleep(LOOK_S)
    raise TimeoutError(f"{box.name} did not end within {END_S:g} s")
