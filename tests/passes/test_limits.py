# SPDX-License-Identifier: Apache-2.0
"""Small files that state large networks: refused from their shapes, with figure and limit."""

import numpy as np
import pytest
from tflite_writer import ModelWriter

from neurovm.converters import tflite
from neurovm.errors import ModelError
from neurovm.passes import prepare


def broadcast(rows: int, columns: int) -> bytes:
    """Every pair of a column and a row, added."""
    w = ModelWriter()
    a = w.tensor("a", (1, rows, 1), scale=0.1)
    b = w.tensor("b", (1, 1, columns), scale=0.1)
    y = w.tensor("y", (1, rows, columns), scale=0.1)
    w.operator("ADD", [a, b], [y])
    return w.model(inputs=[a, b], outputs=[y])


def product(size: int) -> bytes:
    """A matrix by itself."""
    w = ModelWriter()
    x = w.tensor("x", (1, size, size), scale=0.1)
    y = w.tensor("y", (1, size, size), scale=0.9)
    w.operator("BATCH_MATMUL", [x, x], [y])
    return w.model(inputs=[x], outputs=[y])


def convolution(size: int) -> bytes:
    """3 × 3 over a square image of four channels."""
    w = ModelWriter()
    x = w.tensor("x", (1, size, size, 4), scale=0.1)
    weights = np.ones((4, 3, 3, 4), np.int8)
    kernel = w.constant("w", weights, scale=[0.1] * 4, zero_point=[0] * 4)
    bias = w.constant("b", np.zeros(4, np.int32), scale=[0.01] * 4, zero_point=[0] * 4)
    y = w.tensor("y", (1, size, size, 4), scale=0.5)
    w.operator(
        "CONV_2D", [x, kernel, bias], [y], Padding="SAME", StrideH=1, StrideW=1,
        DilationHFactor=1, DilationWFactor=1,
    )  # fmt: skip
    return w.model(inputs=[x], outputs=[y])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (broadcast(4096, 4096), "16777216 activations in one tensor; at most 8388608"),
        (broadcast(2049, 2048), "8392704 elements of broadcast inputs; at most 8388608"),
        (product(4096), "16777216 activations in one tensor; at most 8388608"),
        (product(2200), "10648000000 multiplications; at most 8589934592"),
        (convolution(2048), "16777216 activations in one tensor; at most 8388608"),
        (convolution(4096), "134217728 activations; at most 33554432"),
    ],
    ids=["broadcast", "maps", "product", "multiplications", "image", "images"],
)
def test_what_no_box_runs_is_refused_from_its_shapes(model: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        prepare(tflite.read(model))


@pytest.mark.parametrize("model", [broadcast(1024, 1024), product(1024), convolution(512)])
def test_what_a_box_may_run_passes(model: bytes) -> None:
    assert prepare(tflite.read(model)).operators
