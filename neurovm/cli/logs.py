# SPDX-License-Identifier: Apache-2.0
"""`neurovm logs`: what a box, or the service, has said."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import BinaryIO

import click

from neurovm.cli import boxes, completion
from neurovm.errors import BackendError

LOOK_S = 0.1
UNIT = "neurovmd.service"


@click.command()
@click.argument("name", required=False, shell_complete=completion.boxes_of_run)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is said from now on.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="How many of the last lines.",
)
def logs(name: str | None, follow: bool, lines: int) -> None:
    """Show the log of NAME, started by `neurovm run`; without NAME the service's journal.

    \b
    Examples:
      neurovm logs hello-world
      neurovm logs -f hello-world
      neurovm logs -n 200
    """
    if name is None:
        click.get_current_context().exit(_journal(lines, follow=follow))
    box = boxes.find(name)
    _show(box.log, lines, follow=follow)


def _show(path: Path, lines: int, *, follow: bool) -> None:
    with path.open("rb") as file:
        for line in deque(file, maxlen=lines):
            _put(line)
        sys.stdout.flush()
        if follow:
            _follow(path, file)


def _follow(path: Path, file: BinaryIO) -> None:
    """Until Ctrl-C, or until the box is removed."""
    while path.exists():
        line = file.readline()
        if line:
            _put(line)
            sys.stdout.flush()
        else:
            time.sleep(LOOK_S)


def _put(line: bytes) -> None:
    click.echo(line.decode(errors="replace"), nl=False)


def _journal(lines: int, *, follow: bool) -> int:
    if shutil.which("journalctl") is None:
        raise BackendError("the service's log is in systemd's journal; there is no journalctl here")
    command = ["journalctl", "--unit", UNIT, "--lines", str(lines), "--no-pager"]
    return subprocess.run([*command, *(["--follow"] if follow else [])], check=False).returncode
