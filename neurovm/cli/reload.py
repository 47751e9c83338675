# SPDX-License-Identifier: Apache-2.0
"""`neurovm reload`: let the service take a changed configuration over, and say what came of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from neurovm.cli import boxes, control, options, show
from neurovm.cli.exits import Exit
from neurovm.errors import BackendError

LOOK_S = 0.05
# What a daemon says of each VM of a configuration, and how it is told.
WORDS = ("changed", "added", "removed", "untouched")


@click.command()
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 3600),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the decision; models may have to be converted first.",
)
@options.output()
@options.quiet
def reload(timeout_s: float, form: str, quiet: bool) -> None:
    """Let the service of this machine take its changed configuration over, all of it or nothing.

    Waits for the decision and says which VMs changed, came, went and were not touched. A
    configuration that is wrong is refused: what serves goes on, the reason is said, exit code 78.

    \b
    Examples:
      neurovm reload
      neurovm reload -o json | jq .untouched
    """
    sockets = boxes.service_sockets()
    if not sockets:
        raise BackendError("no daemon of this machine listens; is the service started?")
    code = Exit.OK
    for socket in sockets:
        result = ask(socket, timeout_s)
        if not show.data(form, result):
            _print(result, quiet=quiet)
        if result["refused"]:
            code = Exit.CONFIG
    click.get_current_context().exit(code)


def ask(socket: Path, timeout_s: float) -> dict[str, Any]:
    """Reload one daemon and wait; TimeoutError where it does not decide in time."""
    deadline_s = time.monotonic() + timeout_s
    before = control.ask(socket, "status")["config"]["reloads"]
    control.ask(socket, "reload")
    while True:
        config = control.ask(socket, "status")["config"]
        if config["reloads"] > before:
            break
        if time.monotonic() >= deadline_s:
            raise TimeoutError(f"{socket}: no decision within {timeout_s:g} s")
        time.sleep(LOOK_S)
    changes = config.get("changes")
    return {
        "refused": "" if changes is not None else config["reason"],
        "hash": config["hash"],
        **{word: (changes or {}).get(word, []) for word in WORDS},
    }


def _print(result: dict[str, Any], *, quiet: bool) -> None:
    if result["refused"]:
        # One line for people, as every error.
        show.remark(f"neurovm: refused, what served goes on: {result['refused']}", quiet=False)
        return
    told = [f"{word}: {', '.join(result[word])}" for word in WORDS if result[word]]
    if not any(result[word] for word in WORDS[:3]):
        told = [f"no VM has changed; {told[0] if told else 'there is none'}"]
    if not quiet:
        click.echo("; ".join(told))
