# SPDX-License-Identifier: Apache-2.0
"""LiteRT with XNNPACK, as its interpreter comes; else tflite-runtime. One thread."""

from __future__ import annotations

from importlib.metadata import version
from itertools import cycle, islice

import numpy as np

try:
    from ai_edge_litert.interpreter import Interpreter

    NAME = "ai-edge-litert"
except ImportError:
    from tflite_runtime.interpreter import Interpreter

    NAME = "tflite-runtime"


class Side:
    def __init__(self, model):
        self._model = model
        self._open(None)
        self.version = f"{NAME} {version(NAME)}"

    def _open(self, rows):
        """rows: of a batch; None: as the model has it."""
        self._interpreter = Interpreter(model_path=self._model, num_threads=1)
        info = self._interpreter.get_input_details()[0]
        self._batch = rows
        if rows is not None:
            self._interpreter.resize_tensor_input(info["index"], [rows, *info["shape"][1:]])
        self._interpreter.allocate_tensors()
        self._shape = tuple(self._interpreter.get_input_details()[0]["shape"])
        self._in = info["index"]
        self._out = self._interpreter.get_output_details()[0]["index"]

    def prepare(self, rows):
        return rows, [np.ascontiguousarray(row.reshape(self._shape)) for row in rows]

    def run(self, mode, rows, at, count):
        whole, single = rows
        batch = len(whole) if mode == "batch" else None
        if batch != self._batch:
            self._open(batch)
        turn = [whole] if batch else single
        put, invoke, get = (
            self._interpreter.set_tensor, self._interpreter.invoke, self._interpreter.get_tensor,
        )  # fmt: skip
        place, out = self._in, self._out
        at %= len(turn)
        for row in islice(cycle(turn), at, at + count):
            put(place, row)
            invoke()
            get(out)

    def answers(self, rows):
        self._open(None)
        found = []
        for row in rows[1]:
            self._interpreter.set_tensor(self._in, row)
            self._interpreter.invoke()
            found.append(self._interpreter.get_tensor(self._out).reshape(-1))
        return np.stack(found)
