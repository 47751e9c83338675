# SPDX-License-Identifier: Apache-2.0
"""The list of commands, and what becomes of an error: one line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

import neurovm
from neurovm.cli.exits import Exit, code_of, text_of

COMMANDS = {
    "create": "neurovm.cli.create",
    "build": "neurovm.cli.build",
    "run": "neurovm.cli.run",
    "ps": "neurovm.cli.ps",
    "top": "neurovm.cli.ps",
    "logs": "neurovm.cli.logs",
    "tap": "neurovm.cli.tap",
    "init": "neurovm.cli.init",
    "record": "neurovm.cli.record",
    "replay": "neurovm.cli.record",
    "stop": "neurovm.cli.lifecycle",
    "start": "neurovm.cli.lifecycle",
    "restart": "neurovm.cli.lifecycle",
    "rm": "neurovm.cli.lifecycle",
    "reload": "neurovm.cli.reload",
    "convert": "neurovm.cli.convert",
    "export": "neurovm.cli.export",
    "inspect": "neurovm.cli.inspect",
    "explain": "neurovm.cli.explain",
    "verify": "neurovm.cli.verify",
    "predict": "neurovm.cli.predict",
    "plot": "neurovm.cli.plot",
    "bench": "neurovm.cli.bench",
    "events": "neurovm.cli.events",
    "info": "neurovm.cli.info",
    "check": "neurovm.cli.daemon",
    "config": "neurovm.cli.daemon",
    "schema": "neurovm.cli.schema",
    "service": "neurovm.cli.service",
    "completion": "neurovm.cli.completion",
}
"""Command -> module; the module's attribute of the same name is the click command."""

NAME = "neurovm"
COMPLETION = "_NEUROVM_COMPLETE"
# A command of several, called without one of them; click before 8.2 prints its help itself.
_NO_ARGUMENTS: tuple[type[click.UsageError], ...] = tuple(
    filter(None, [getattr(click.exceptions, "NoArgsIsHelpError", None)])
)

HELP = """Exact, event-driven spiking networks from TFLite models.

A trained int8 .tflite becomes a .nvm bundle: a spiking network that computes what changed, and
answers bit for bit what LiteRT answers.

\b
Examples:
  neurovm create hello-world               a folder with a VM that works
  neurovm build hello-world                check its manifest, write hello-world.nvm
  neurovm run hello-world/hello-world.nvm  serve it here; neurovm ps shows it
  neurovm convert model.tflite             write model.nvm beside it
  neurovm verify model.tflite              compare with LiteRT, layer by layer
  neurovm explain model.nvm                what became of every operator
  neurovm predict model.nvm samples.csv    the answers for every row
  neurovm bench model.nvm                  this model on this machine
  neurovm plot spiking.nvm trains.npy      rasters and potentials of a spiking network

Every reading command takes -o json or -o yaml. NEUROVM_DEBUG=1 shows the traceback of an error.

\b
Exit codes: 0 done, 1 verify found differences, 64 usage, 65 bad model or data,
66 missing file, 69 unavailable, 70 internal, 73 cannot create, 74 input/output,
77 permission, 78 configuration, 124 timeout, 130 interrupted.
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        return command


@click.group(cls=LazyGroup, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(neurovm.__version__, "-V", "--version", message="neurovm %(version)s")
def cli() -> None: ...


def run(argv: Sequence[str] | None) -> int:
    """Run the command; never raises, never prints a traceback unless NEUROVM_DEBUG is set."""
    if sys.stdout is None:
        _complain("standard output is closed; results need somewhere to go")
        return Exit.IO
    if COMPLETION in os.environ:
        cli.main(prog_name=NAME, complete_var=COMPLETION)
    try:
        code = _invoke(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - each gets a line and a code
        return _fail(error)


def _invoke(args: list[str]) -> int:
    """What `click.Group.main` does, without its own ideas of exit codes."""
    if not args:
        click.echo(cli.get_help(click.Context(cli, info_name=NAME)), err=True)
        return Exit.USAGE
    try:
        with cli.make_context(NAME, args) as context:
            cli.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    return Exit.OK


def _fail(error: BaseException) -> int:
    if os.environ.get("NEUROVM_DEBUG"):
        traceback.print_exception(error)
    if isinstance(error, _NO_ARGUMENTS):
        click.echo(error.format_message(), err=True)
    elif not isinstance(error, BrokenPipeError):  # the reader has seen enough
        _complain(text_of(error))
    _silence_stdout()
    return code_of(error)


def _complain(text: str) -> None:
    # A closed or full stderr must not turn one error into another.
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            print(f"neurovm: {text}", file=sys.stderr, flush=True)


def _silence_stdout() -> None:
    """Flush what there is; let the interpreter's own flush at exit go nowhere if that fails."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)
