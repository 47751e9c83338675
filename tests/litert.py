# SPDX-License-Identifier: Apache-2.0
"""LiteRT as an outside oracle: every job in a process of its own, because LiteRT may crash.

`run_all(jobs)` starts one child that loads LiteRT once and forks for each job.
`INSTALLED` says whether LiteRT is there.
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

INSTALLED = find_spec("ai_edge_litert") is not None
MISSING = "ai-edge-litert is not installed; there are wheels for x86_64 and aarch64 only"

_DEADLINE_S = 300


@dataclass
class Job:
    """A model and its inputs, each (N, *shape); the tensors whose values are wanted.

    `fused`: as everybody runs it, operators merged; then only outputs can be asked for.
    """

    model: bytes
    inputs: list[np.ndarray]
    tensors: list[int]
    fused: bool = False


@dataclass
class Answer:
    """Values by tensor index, (N, *shape); or the words (or signal) with which LiteRT refused."""

    values: dict[int, np.ndarray]
    refused: str | None = None


def run_all(jobs: list[Job]) -> list[Answer]:
    """One answer a job."""
    with tempfile.TemporaryDirectory() as folder:
        for i, job in enumerate(jobs):
            base = Path(folder) / f"{i}"
            base.with_suffix(".tflite").write_bytes(job.model)
            named = {f"i{j}": x for j, x in enumerate(job.inputs)}
            np.savez(
                base.with_suffix(".npz"), tensors=np.array(job.tensors), fused=job.fused, **named
            )
        done = subprocess.run(
            [sys.executable, __file__, folder, str(len(jobs))],
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(
                f"the LiteRT child ended with {done.returncode}: {done.stderr[-2000:]}"
            )
        return [_answer(Path(folder) / f"{i}") for i in range(len(jobs))]


def _answer(base: Path) -> Answer:
    out = base.with_suffix(".out.npz")
    if not out.exists():
        return Answer({}, base.with_suffix(".err").read_text())
    with np.load(out) as values:
        return Answer({int(k): values[k] for k in values.files})


def _run(base: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    with np.load(base.with_suffix(".npz")) as job:
        tensors = [int(t) for t in job["tensors"]]
        inputs = [job[f"i{j}"] for j in range(len(job.files) - 2)]
        preserve = not bool(job["fused"])
    interpreter = Interpreter(
        str(base.with_suffix(".tflite")),
        num_threads=1,
        experimental_preserve_all_tensors=preserve,
    )
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()
    values: dict[str, list[np.ndarray]] = {str(t): [] for t in tensors}
    for row in zip(*inputs, strict=True):
        for detail, x in zip(details, row, strict=True):
            interpreter.set_tensor(detail["index"], x.reshape(detail["shape"]))
        interpreter.invoke()
        for t in tensors:
            values[str(t)].append(np.array(interpreter.get_tensor(t)))
    np.savez(base.with_suffix(".out.npz"), **{k: np.stack(v) for k, v in values.items()})


def main(folder: str, count: int) -> None:
    """Fork for each job; what goes wrong there stands in its .err file."""
    import ai_edge_litert.interpreter  # noqa: F401  loaded once, before the forks

    for i in range(count):
        base = Path(folder) / f"{i}"
        pid = os.fork()
        if pid == 0:
            try:
                _run(base)
                os._exit(0)
            except Exception as e:  # noqa: BLE001  whatever LiteRT raises is its answer
                base.with_suffix(".err").write_text(f"{type(e).__name__}: {e}")
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            base.with_suffix(".err").write_text(f"signal {os.WTERMSIG(status)}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
