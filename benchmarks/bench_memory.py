# SPDX-License-Identifier: Apache-2.0
"""A small network that remembers, as streaming wake words do: two rings of frames, convolved.

Its weights are drawn; what is measured depends on shapes alone. It is made with the tests' own
writer of models (tests/memory_cases.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from case_net import scale_of
from memory_cases import Remembering

STREAMING = "streaming"
FEATURES, KEPT, CHANNELS = 40, (4, 5), (48, 16)
"""Of a frame; frames that are kept before each convolution; its output channels."""


def streaming() -> bytes:
    """The model's file: one frame a step."""
    net = Remembering(STREAMING)
    y, features = net.input((1, 1, 1, FEATURES), scale=0.1, zero_point=-3), FEATURES
    like = {"scale": 0.1, "zero_point": -3}
    for name, kept, channels in zip("ab", KEPT, CHANNELS, strict=True):
        window = _ring(net, name, y, (kept, features), like)
        y, like = _convolution(net, window, (kept + 1, features), channels)
        features = channels
    return net.case(y).model


def _ring(
    net: Remembering, name: str, x: int, shape: tuple[int, int], like: dict[str, float]
) -> int:
    """The last frames and the new one; the oldest leaves."""
    kept, features = shape
    held = net.read(
        net.variable(name, (1, kept, 1, features), **like), (1, kept, 1, features), **like
    )
    window = net.output((1, kept + 1, 1, features), **like)
    net.writer.operator("CONCATENATION", [held, x], [window], Axis=1)
    newest = net.output((1, kept, 1, features), **like)
    bounds = [net.integers("at", b) for b in ([0, 1, 0, 0], [0] * 4, [1] * 4)]
    net.writer.operator("STRIDED_SLICE", [window, *bounds], [newest], BeginMask=13, EndMask=15)
    net.assign(name, newest)
    return window


def _convolution(
    net: Remembering, window: int, shape: tuple[int, int], channels: int
) -> tuple[int, dict[str, float]]:
    rows, features = shape
    w, scales = net.weights((channels, rows, 1, features), 0)
    b = net.bias(channels, scale_of(net, window), scales, 2000)
    like = {"scale": 0.08, "zero_point": -5}
    y = net.output((1, 1, 1, channels), **like)
    net.writer.operator(
        "CONV_2D", [window, w, b], [y], Padding="VALID", StrideH=1, StrideW=1,
        DilationHFactor=1, DilationWFactor=1, FusedActivationFunction="NONE",
    )  # fmt: skip
    return y, like
