# SPDX-License-Identifier: Apache-2.0
"""OpenVINO reading the .tflite itself. One thread."""

from __future__ import annotations

from itertools import cycle, islice

import numpy as np
import openvino

SETTINGS = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}


class Side:
    def __init__(self, model):
        self.version = f"openvino {openvino.__version__.partition('-')[0]}"
        core = openvino.Core()
        network = core.read_model(model)
        shape = network.inputs[0].partial_shape
        network.reshape([1 if size.is_dynamic else size.get_length() for size in shape])
        compiled = core.compile_model(network, "CPU", SETTINGS)
        self._shape = list(compiled.inputs[0].shape)
        self._request = compiled.create_infer_request()

    def prepare(self, rows):
        return [[np.ascontiguousarray(row.reshape(self._shape))] for row in rows]

    def run(self, mode, rows, at, count):
        del mode
        infer = self._request.infer
        at %= len(rows)
        for row in islice(cycle(rows), at, at + count):
            infer(row)

    def answers(self, rows):
        return np.stack([self._request.infer(row)[0].reshape(-1).copy() for row in rows])
