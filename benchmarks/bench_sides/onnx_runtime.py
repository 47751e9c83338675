# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on what tf2onnx makes of the .tflite (QDQ). One thread."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import onnxruntime

OPSET = "13"


class Side:
    def __init__(self, model):
        self.version = f"onnxruntime {onnxruntime.__version__}"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            _converted(model), options, providers=["CPUExecutionProvider"]
        )
        info = self._session.get_inputs()[0]
        self._name = info.name
        self._shape = [n if isinstance(n, int) else 1 for n in info.shape]

    def prepare(self, rows):
        return [{self._name: np.ascontiguousarray(row.reshape(self._shape))} for row in rows]

    def run(self, mode, rows, at, count):
        del mode
        run = self._session.run
        at %= len(rows)
        for row in islice(cycle(rows), at, at + count):
            run(None, row)

    def answers(self, rows):
        return np.stack([self._session.run(None, row)[0].reshape(-1) for row in rows])


def _converted(model):
    """The bytes of the model as ONNX; RuntimeError with the converter's last line."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "model.onnx")
        command = [sys.executable, "-m", "tf2onnx.convert", "--tflite", model, "--output", target]
        done = subprocess.run(
            [*map(str, command), "--opset", OPSET], capture_output=True, text=True, check=False
        )
        if done.returncode or not target.exists():
            words = [line for line in done.stderr.splitlines() if line.strip()]
            raise RuntimeError(f"tf2onnx: {words[-1] if words else 'no reason given'}")
        return target.read_bytes()
