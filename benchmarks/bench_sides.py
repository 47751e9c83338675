# SPDX-License-Identifier: Apache-2.0
"""The processes that `bench.py` measures in turns: which there are, and how they are asked."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

CHILD = Path(__file__).with_name("bench_sides") / "child.py"
ROOT = Path(__file__).resolve().parents[1]
OPENING_S = 180.0
"""TVM compiles a network for half a minute."""
RUNNING_S = 60.0

MODULES = {
    "litert": "litert",
    "tflite-runtime": "litert",
    "onnxruntime": "onnx_runtime",
    "openvino": "openvino_runtime",
    "tvm": "tvm_runtime",
}
"""Name of a peer → its module of bench_sides."""


class SideError(Exception):
    """A side that cannot be started, cannot take a model, or has died; the text says why."""


@dataclass(slots=True)
class Side:
    """One process on one core. Owns it; `close` ends it. `version` once a model is open."""

    name: str
    python: str
    module: str
    core: int
    environment: dict[str, str] = field(default_factory=dict)
    version: str = ""
    _child: subprocess.Popen[bytes] | None = None

    def open(self, model: Path) -> None:
        """Another model; whatever was open is forgotten, a dead process is started anew."""
        if self._child is None or self._child.poll() is not None:
            self._start()
        self.version = self._ask("open", OPENING_S, model=str(model))["version"]

    def give(self, name: str, rows: np.ndarray) -> None:
        """Rows (n, *shape) in the model's own dtype, from now on known by this name."""
        with tempfile.NamedTemporaryFile(suffix=".npy") as file:
            np.save(file, rows)
            file.flush()
            self._ask("rows", RUNNING_S, name=name, path=file.name)

    def answers(self, name: str) -> np.ndarray:
        """(n, values) of a network that was opened anew, row after row."""
        with tempfile.NamedTemporaryFile(suffix=".npy") as file:
            self._ask("answers", RUNNING_S, name=name, path=file.name)
            return np.load(file.name)

    def time_s(self, name: str, mode: str, count: int, warm: int = 0) -> float:
        """Seconds a run, over `count` of them after `warm` that are not timed."""
        reply = self._ask("time", RUNNING_S, name=name, mode=mode, count=count, warm=warm)
        return float(reply["seconds"])

    def close(self) -> None:
        if self._child is None:
            return
        self._child.kill()
        self._child.communicate()
        self._child = None

    def _start(self) -> None:
        self.close()
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TVM_NUM_THREADS"), "1")
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
        path = {"PYTHONPATH": str(ROOT)} if self.module == "own" else {}
        plain = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        try:
            self._child = subprocess.Popen(
                [self.python, str(CHILD), self.module, str(self.core)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=plain | one_thread | quiet | path | self.environment,
                bufsize=0,
            )
        except OSError as error:
            raise SideError(f"{self.python}: {error.strerror or error}") from None

    def _ask(self, what: str, limit_s: float, **request: Any) -> dict[str, Any]:
        child = self._child
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps({"do": what, **request}).encode() + b"\n")
            ready, _, _ = select.select([child.stdout], [], [], limit_s)
            line = child.stdout.readline() if ready else None
        except BrokenPipeError:
            line = b""
        if line is None:
            self.close()
            raise SideError(f"no answer within {limit_s:g} s")
        if not line:
            code = child.wait()
            self._child = None
            raise SideError(f"the process ended with code {code}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise SideError(" ".join(reply["error"].split())[:120])
        return reply


def peers(named: dict[str, str], core: int) -> list[Side]:
    """LiteRT in this Python (or another that is named), then those that were named with one."""
    pythons = {"litert": sys.executable, **named}
    return [Side(name, python, MODULES[name], core) for name, python in pythons.items()]


def ours(core: int, isa: str | None = None) -> Side:
    name = "neurovm" if isa is None else f"neurovm, {isa} forced"
    return Side(name, sys.executable, "own", core, {} if isa is None else {"NEUROVM_ISA": isa})
