# SPDX-License-Identifier: Apache-2.0
"""Golden vectors: a few inputs and the codes the oracle answers, replayed wherever the bundle is
loaded.

The answers come from the dense NumPy reference, not from the kernel, so that loading proves the
kernel of that box equal to the oracle. Inputs come from a fixed seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from msgspec import UNSET

from neurovm import packing, reference
from neurovm.arithmetic import Codes
from neurovm.description import GoldenInfo, Way
from neurovm.operators.builder import signed_codes
from neurovm.stimuli import starts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from neurovm.arithmetic import Profile
    from neurovm.description import TensorInfo
    from neurovm.graph import Graph

MOST_PAIRS = 8
MACS_TOGETHER = 30_000_000
"""Weights that all pairs together may apply: about 50 ms on a slow core."""

WAYS: tuple[Way, ...] = ("auto", "events")
"""The ways in which pairs are replayed, by turns; those of one way are steps of one session."""

WORK_A_CODE = 16
"""Weights whose application takes the oracle as long as one code of a network without any."""


class Pair(NamedTuple):
    """Codes of all inputs, and of all outputs, concatenated, as bytes."""

    codes_in: NDArray[np.int8]
    codes_out: NDArray[np.int8]


def vectors(
    graph: Graph,
    profile: Profile,
    inputs: Sequence[TensorInfo],
    macs: int,
) -> list[Pair]:
    """Inputs of `stream` with the oracle's answers."""
    held = sum(t.size for t in graph.tensors if t.data is None)
    codes = stream(inputs, max(macs, WORK_A_CODE * held))
    # Each way has a session of its own, and what it remembers.
    answers = [
        oracle_codes(graph, profile, inputs, codes[first :: len(WAYS)])
        for first in range(min(len(WAYS), len(codes)))
    ]
    return [Pair(row, answers[i % len(WAYS)][i // len(WAYS)]) for i, row in enumerate(codes)]


def oracle_codes(
    graph: Graph, profile: Profile, inputs: Sequence[TensorInfo], codes: NDArray[np.int8]
) -> NDArray[np.int8]:
    """What the dense reference answers to N consecutive steps: (N, bytes of all inputs) to (N,
    bytes of all outputs).
    """
    known = reference.Stream(graph, profile).run(input_values(profile, inputs, codes))
    producers = {op.outputs[0]: op for op in graph.operators}
    outputs = []
    for index in graph.outputs:
        last = producers.get(index)
        decoded = last is not None and last.name in ("Decode", "Dequantize")
        held = last.inputs[0] if last is not None and decoded else index
        rows = np.ascontiguousarray(signed_codes(known[held])).reshape(len(codes), -1)
        outputs.append(rows.view(np.int8))
    return np.concatenate(outputs, axis=1)


def input_values(
    profile: Profile, inputs: Sequence[TensorInfo], codes: NDArray[np.int8]
) -> list[NDArray[np.generic]]:
    """Codes of all inputs, (N, bytes), as values of each input's own dtype, (N, *shape)."""
    parts = packing.unpack(inputs, codes)
    return [_values(p, info, profile) for p, info in zip(parts, inputs, strict=True)]


def _values(
    codes: NDArray[np.signedinteger], info: TensorInfo, profile: Profile
) -> NDArray[np.generic]:
    """Codes as values of the input's own dtype, (N, *shape)."""
    shaped = np.ascontiguousarray(codes).reshape(len(codes), *info.shape)
    if info.thresholds is not UNSET:
        return starts(info)[shaped.astype(np.int16) + 128]
    if info.dtype == "float32":
        meaning = Codes(info.scale, info.zero_point, "int16" if info.wide else "int8")
        return profile.dequantize(shaped, meaning)
    if info.dtype == "uint8":
        return shaped.view(np.uint8) ^ 0x80
    return shaped.astype(info.dtype)


def _reached(info: TensorInfo) -> NDArray[np.int64]:
    """int64[256]: the code that the value of each code has."""
    if info.thresholds is UNSET:
        return np.arange(-128, 128)
    steps = np.array(info.thresholds, np.uint32).view(np.float32)
    reached: NDArray[np.int64] = (starts(info)[:, None] >= steps[None, :]).sum(axis=1) - 128
    return reached


def stream(inputs: Sequence[TensorInfo], macs: int) -> NDArray[np.int8]:
    """One stream: the zero point, random codes, then steps that change a few of them.

    `macs`: weights that one answer applies; the more, the fewer rows.
    """
    count = max(2, min(MOST_PAIRS, MACS_TOGETHER // max(1, macs)))
    rng = np.random.default_rng(2026)
    wide = np.concatenate([np.full(t.size, t.wide) for t in inputs])

    def drawn(places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Random codes for these elements."""
        codes = rng.integers(-128, 128, places.size)
        if wide.any():
            low = rng.integers(0, 256, places.size)
            codes = np.where(wide[places], 256 * codes + low, codes)
        return codes

    zero = np.concatenate([np.full(t.size, t.zero_point, np.int64) for t in inputs])
    rows = [zero, drawn(np.arange(zero.size))]
    while len(rows) < count:
        row = rows[-1].copy()
        touched = rng.integers(0, row.size, max(1, row.size // 16))
        row[touched] = drawn(touched)
        rows.append(row)
    ends = np.cumsum([t.size for t in inputs])[:-1]
    parts = np.split(np.stack(rows[:count]), ends, axis=1)
    parts = [
        part if t.thresholds is UNSET else _reached(t)[part + 128]
        for t, part in zip(inputs, parts, strict=True)
    ]
    return packing.pack(inputs, parts)


def tensors(pairs: Sequence[Pair]) -> dict[str, memoryview]:
    """The pairs as tensors of a bundle, by name."""
    named = {}
    for i, pair in enumerate(pairs):
        named[f"golden.{i}.in"] = memoryview(_padded(pair.codes_in))
        named[f"golden.{i}.out"] = memoryview(_padded(pair.codes_out))
    return named


def _padded(codes: NDArray[np.int8]) -> bytes:
    return codes.tobytes() + bytes(-codes.size % 64)


def infos(pairs: Sequence[Pair]) -> tuple[GoldenInfo, ...]:
    """What the manifest says of them: every second one is forced to run by events."""
    return tuple(
        GoldenInfo(input=f"golden.{i}.in", output=f"golden.{i}.out", way=WAYS[i % len(WAYS)])
        for i in range(len(pairs))
    )
