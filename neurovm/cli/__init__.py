# SPDX-License-Identifier: Apache-2.0
"""The `neurovm` command: one file a command, loaded when it is called.

app.py        the list of commands, and what becomes of an error
exits.py      exception -> exit code (sysexits) and one line of text
options.py    options that several commands share
show.py       tables, JSON, YAML and progress bars
models.py     a .nvm or .tflite named on the command line -> Model
samples.py    a file of samples -> batches of rows (text_rows.py, typed_rows.py)
measure.py    what bench measures
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (default: the process's own) and return its exit code."""
    try:
        from neurovm.cli.app import run

        return run(argv)
    except KeyboardInterrupt:  # while the command was being imported
        sys.stderr.write("neurovm: interrupted\n")
        return 130
