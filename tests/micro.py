# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Lite Micro as an outside oracle: every job in a process of its own, it may abort.

`run_all(jobs)` starts one child that loads it once and forks for each job; `INSTALLED` says whether
the package `tflite_micro` is there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

INSTALLED = find_spec("tflite_micro") is not None
MISSING = "tflite_micro is not installed (pip install tflite_micro; x86_64 Linux)"

_DEADLINE_S = 300
_ARENA_BYTES = 20_000_000


@dataclass
class Job:
    """A model, its inputs, each (N, *shape), and how many outputs it has."""

    model: bytes
    inputs: list[np.ndarray]
    outputs: int


def run_all(jobs: list[Job]) -> list[list[np.ndarray] | str]:
    """For each job its outputs, each (N, *shape); or the words (or signal) of a refusal."""
    with tempfile.TemporaryDirectory() as folder:
        for i, job in enumerate(jobs):
            base = Path(folder) / f"{i}"
            base.with_suffix(".tflite").write_bytes(job.model)
            named = {f"i{j}": x for j, x in enumerate(job.inputs)}
            np.savez(base.with_suffix(".npz"), outputs=job.outputs, **named)
        subprocess.run(
            [sys.executable, __file__, folder, str(len(jobs))],
            capture_output=True, timeout=_DEADLINE_S, check=True,
        )  # fmt: skip
        return [_answer(Path(folder) / f"{i}") for i in range(len(jobs))]


def _answer(base: Path) -> list[np.ndarray] | str:
    out = base.with_suffix(".out.npz")
    if not out.exists():
        return base.with_suffix(".err").read_text()
    with np.load(out) as values:
        return [values[f"o{k}"] for k in range(len(values.files))]


def _run(base: Path) -> None:
    from tflite_micro.python.tflite_micro import runtime

    with np.load(base.with_suffix(".npz")) as job:
        inputs = [job[f"i{j}"] for j in range(len(job.files) - 1)]
        outputs: list[list[np.ndarray]] = [[] for _ in range(int(job["outputs"]))]
    model = base.with_suffix(".tflite").read_bytes()
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=_ARENA_BYTES)
    for row in zip(*inputs, strict=True):
        for j, x in enumerate(row):
            interpreter.set_input(x.reshape(interpreter.get_input_details(j)["shape"]), j)
        interpreter.invoke()
        for k, values in enumerate(outputs):
            values.append(np.array(interpreter.get_output(k)))
    named = {f"o{k}": np.stack(values) for k, values in enumerate(outputs)}
    np.savez(base.with_suffix(".out.npz"), **named)


def main(folder: str, count: int) -> None:
    """Fork for each job; what goes wrong there stands in its .err file."""
    from tflite_micro.python.tflite_micro import runtime  # noqa: F401  once, before the forks

    for i in range(count):
        base = Path(folder) / f"{i}"
        pid = os.fork()
        if pid == 0:
            try:
                _run(base)
                os._exit(0)
            except Exception as e:  # noqa: BLE001  whatever it raises is its answer
                base.with_suffix(".err").write_text(f"{type(e).__name__}: {e}")
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            base.with_suffix(".err").write_text(f"signal {os.WTERMSIG(status)}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
