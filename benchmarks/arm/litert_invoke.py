# SPDX-License-Identifier: Apache-2.0
"""Invocations of LiteRT between the marks of count_plugin.c; runs on the emulated processor.

    litert_invoke.py MODEL ROWS OUTPUTS MAPS    ROWS: int8 input codes, one step after the other

All rows but the first are counted. MAPS is written: where the process holds which file.
"""

import contextlib
import os
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

MARK = 0x6E766D


def mark(begin: int) -> None:
    """A system call that the kernel refuses, and the plugin sees."""
    with contextlib.suppress(OSError):
        os.getpriority(MARK, begin)


def main(model: str, rows: str, outputs: str, maps: str) -> None:
    """One interpreter, one thread, all rows."""
    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    info = interpreter.get_input_details()[0]
    out = interpreter.get_output_details()[0]["index"]
    codes = np.fromfile(rows, np.int8).reshape(-1, *info["shape"])
    found = []
    for i, row in enumerate(codes):
        if i == 1:
            mark(1)
        interpreter.set_tensor(info["index"], row)
        interpreter.invoke()
        found.append(interpreter.get_tensor(out))
    mark(0)
    np.stack(found).tofile(outputs)
    Path(maps).write_text(Path("/proc/self/maps").read_text())


main(*sys.argv[1:])
