# SPDX-License-Identifier: Apache-2.0
"""Invocations of LiteRT between the marks of count_plugin.c; runs on the emulated processor.

    litert_invoke.py CALLS MODEL ROWS OUTPUTS MAPS

ROWS: int8 input codes, one step after the other. CALLS of invoke() are counted for all rows but the
first: 1, or 0 for what the marks themselves take. MAPS is written: where the process holds which
file.
"""

import contextlib
import os
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

MARK = 0x6E766D
WRITE, BEGIN, PAUSE = 0, 1, 2


def mark(what: int) -> None:
    """A system call that the kernel refuses, and the plugin sees."""
    with contextlib.suppress(OSError):
        os.getpriority(MARK, what)


def main(calls: str, model: str, rows: str, outputs: str, maps: str) -> None:
    """One interpreter, one thread, all rows."""
    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    info = interpreter.get_input_details()[0]
    out = interpreter.get_output_details()[0]["index"]
    codes = np.fromfile(rows, np.int8).reshape(-1, *info["shape"])
    found = []
    for i, row in enumerate(codes):
        interpreter.set_tensor(info["index"], row)
        if i == 0 or calls == "0":
            interpreter.invoke()
        if i > 0:
            mark(BEGIN)
            if calls != "0":
                interpreter.invoke()
            mark(PAUSE)
        found.append(interpreter.get_tensor(out))
    mark(WRITE)
    np.stack(found).tofile(outputs)
    Path(maps).write_text(Path("/proc/self/maps").read_text())


main(*sys.argv[1:])
