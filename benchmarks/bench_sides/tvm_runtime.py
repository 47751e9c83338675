# SPDX-License-Identifier: Apache-2.0
"""TVM: compiled for this processor by LLVM, schedules as they come (not tuned). One thread."""

from __future__ import annotations

import os
from itertools import cycle, islice
from pathlib import Path

os.environ["TVM_NUM_THREADS"] = "1"

import numpy as np
import tflite
import tvm
from tvm import relax
from tvm.relax.frontend.tflite import from_tflite


class Side:
    def __init__(self, model):
        self.version = f"apache-tvm {tvm.__version__}, not tuned"
        source = tflite.Model.GetRootAs(Path(model).read_bytes(), 0)
        module = relax.get_pipeline("zero")(from_tflite(source))
        compiled = tvm.compile(module, tvm.target.Target.from_device("cpu"))
        self._main = relax.VirtualMachine(compiled, tvm.cpu())["main"]
        graph = source.Subgraphs(0)
        self._shape = [int(n) for n in graph.Tensors(graph.Inputs(0)).ShapeAsNumpy()]

    def prepare(self, rows):
        return [tvm.runtime.tensor(np.ascontiguousarray(row.reshape(self._shape))) for row in rows]

    def run(self, mode, rows, at, count):
        del mode
        main = self._main
        at %= len(rows)
        for row in islice(cycle(rows), at, at + count):
            _first(main(row)).numpy()

    def answers(self, rows):
        return np.stack([_first(self._main(row)).numpy().reshape(-1) for row in rows])


def _first(found):
    return found if hasattr(found, "numpy") else found[0]
