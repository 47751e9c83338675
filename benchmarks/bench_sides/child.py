# SPDX-License-Identifier: Apache-2.0
"""child.py SIDE CORE: one side of `bench.py`, in the Python that has it installed.

SIDE is a module beside this file (`own`, `litert`, `onnx`, …) with a class `Side`:

    Side(model)                 opens a .tflite; `version` says what runs it
    prepare(rows)               rows (n, *shape) in the model's dtype, ready to be given singly
    run(mode, rows, at, count)  `count` runs, from row `at` on and round again: input in, output out
    answers(rows)               (n, values) of a fresh network, for comparison

Requests are lines of JSON on standard input, replies lines of JSON; an exception is a reply too.
The process stays on one core, and times only what `run` does.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time

import numpy as np

TRIES = 6
LOST = 0.02
"""Part of a turn that may go to other processes."""
LONG_S = 0.03
"""Longer turns are disturbed for a part of their time only, and not taken again."""


class Server:
    """The side's models, and their rows by name."""

    def __init__(self, kind):
        self._kind = kind
        self._side = None
        self._rows = {}
        self._at = {}

    def open(self, model):
        self._rows.clear()
        self._at.clear()
        self._side = self._kind(model)
        return {"version": self._side.version}

    def rows(self, name, path):
        self._rows[name] = self._side.prepare(np.load(path))
        return {}

    def answers(self, name, path):
        np.save(path, self._side.answers(self._rows[name]))
        return {}

    def time(self, name, mode, count, warm):
        """Seconds a run over `count` of them, after `warm` more that are not timed.

        Taken again where something else had the core meanwhile: seconds by the clock and of the
        processor differ then. After TRIES the one that lost least.
        """
        rows = self._rows[name]
        best = None
        for _ in range(TRIES):
            at = self._at.get((name, mode), 0)
            self._side.run(mode, rows, at, warm)
            begun, used = time.perf_counter(), time.process_time()
            self._side.run(mode, rows, at + warm, count)
            spent, used = time.perf_counter() - begun, time.process_time() - used
            self._at[name, mode] = at + warm + count
            lost = spent - used
            if best is None or lost < best[0]:
                best = lost, spent
            if lost <= LOST * spent or spent > LONG_S:
                break
        return {"seconds": best[1] / count, "lost": best[0] > LOST * best[1]}


def main():
    side, core = sys.argv[1], int(sys.argv[2])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    # What a runtime prints must not fall among the replies.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if server is None:
                server = Server(importlib.import_module(side).Side)
            reply = getattr(server, request.pop("do"))(**request)
        except Exception as error:  # noqa: BLE001 - whatever the runtime says is the answer
            reply = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
    # Some runtimes take seconds to put their threads away, and none has anything to save.
    with contextlib.suppress(OSError):
        replies.close()
    os._exit(0)


if __name__ == "__main__":
    main()
