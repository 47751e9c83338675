# SPDX-License-Identifier: Apache-2.0
"""Tensors that tests of output steps stand on, without a model."""

from __future__ import annotations

import math

from neurovm.description import TensorInfo


def tensor(*shape: int, name: str = "y", labels: tuple[str, ...] | None = None) -> TensorInfo:
    """A float32 tensor of 256 steps from 0 to 1."""
    return TensorInfo(
        name=name, shape=shape, dtype="float32", scale=1 / 256, zero_point=-128, labels=labels
    )


def vector(size: int) -> tuple[TensorInfo, ...]:
    """The outputs of a classifier: labels a, b, c, …"""
    labels = tuple(chr(97 + at) if at < 26 else f"c{at}" for at in range(size))
    return (tensor(1, size, labels=labels),)


def is_fine(value: object) -> bool:
    """Whether all numbers of a result are finite."""
    if isinstance(value, dict):
        return all(map(is_fine, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(is_fine, value))
    return not isinstance(value, float) or math.isfinite(value)
