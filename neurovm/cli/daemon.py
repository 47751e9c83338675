# SPDX-License-Identifier: Apache-2.0
"""`neurovm check` and `neurovm config`: the daemon answers, as a process of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import click

from neurovm.errors import BackendError

_PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True}


@click.command(context_settings=_PASS_ON)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def check(ctx: click.Context, args: tuple[str, ...]) -> None:
    """Check the daemon's configuration and every model it names.

    Says which file and key is wrong, what was found and what is accepted; exit code 78 then.
    Arguments go to `neurovmd check` as they are.

    \b
    Examples:
      neurovm check
      neurovm check --config ./neurovmd.yaml -o json
    """
    ctx.exit(run("check", args))


@click.command(context_settings=_PASS_ON)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def config(ctx: click.Context, args: tuple[str, ...]) -> None:
    """Show the daemon's configuration as it takes effect.

    Arguments go to `neurovmd config` as they are.

    \b
    Examples:
      neurovm config
      neurovm config show --origin          which file and line gives each value
      neurovm config show --diff            what is not the default
      neurovm config --config ./neurovmd.yaml -o json
    """
    ctx.exit(run("config", args))


def run(what: str, args: tuple[str, ...]) -> int:
    """Run `neurovmd WHAT ARGS` with our own streams and return its exit code."""
    if importlib.util.find_spec("neurovmd") is None:
        raise BackendError("the daemon neurovmd is not installed beside this command")
    return subprocess.run([sys.executable, "-m", "neurovmd", what, *args], check=False).returncode
