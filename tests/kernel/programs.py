# SPDX-License-Identifier: Apache-2.0
"""Programs made by hand, record by record, and their NumPy models; nothing here lowers or packs
anything for the package, so it can judge the kernel and its binding.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from neurovm import _kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECORD = struct.Struct("<4B I 2I I 6I 6H 2h I 4b 6I i i I I 2I 12x")
ALIGN = 64


@dataclass
class Programming:
    """Layer records and arena, appended to."""

    records: list[bytes] = field(default_factory=list)
    arena: bytearray = field(default_factory=bytearray)

    def put(self, array: NDArray[np.generic]) -> int:
        """Offset of the array in the arena."""
        offset = len(self.arena)
        data = np.ascontiguousarray(array).tobytes()
        self.arena += data + bytes(-len(data) % ALIGN)
        return offset

    def add(
        self,
        kind: str,
        n: int,
        *,
        neuron: str = "SD",
        requant: str = "NONE",
        flags: tuple[str, ...] = (),
        inputs: tuple[int, ...] = (),
        shape_in: tuple[int, int, int] = (0, 0, 0),
        shape_out: tuple[int, int, int] = (0, 0, 0),
        window: tuple[int, ...] = (0, 0, 0, 0, 0, 0, 0, 0),
        groups: int = 0,
        zeros: tuple[int, int] = (0, 0),
        offsets: dict[str, int] | None = None,
        theta: int = 0,
        reset: str = "ZERO",
        leak_q16: int = 0,
    ) -> int:
        """Append a layer; its index."""
        names = ("weights", "bias", "scale", "shift", "table0", "table1")
        self.records.append(
            RECORD.pack(
                _kernel.KINDS[kind],
                _kernel.NEURONS[neuron],
                _kernel.REQUANTS[requant],
                sum(_kernel.FLAGS[flag] for flag in flags),
                len(inputs),
                *(*inputs, 0, 0)[:2],
                n,
                *shape_in,
                *shape_out,
                *window,
                groups,
                *zeros,
                -128,
                127,
                *((offsets or {}).get(name, 0) for name in names),
                theta,
                0,
                _kernel.RESETS[reset],
                leak_q16,
                0,
                0,
            )
        )
        return len(self.records) - 1

    def buffers(self) -> tuple[bytes, bytes]:
        return b"".join(self.records), bytes(self.arena) or bytes(ALIGN)

    def program(self) -> _kernel.Program:
        return _kernel.Program(*self.buffers())


@dataclass(frozen=True)
class Convolution:
    """One SD convolution, stride 1, padded by 1, requantised by FP32: its weights and its model."""

    weights: NDArray[np.int8]
    """[3, 3, in, out]"""
    bias: NDArray[np.int32]
    scale: NDArray[np.float32]
    zeros: tuple[int, int]

    def add(self, made: Programming, source: int, side: int, flags: tuple[str, ...]) -> int:
        _, _, inputs, outputs = self.weights.shape
        offsets = {name: made.put(getattr(self, name)) for name in ("weights", "bias", "scale")}
        return made.add(
            "CONV",
            side * side * outputs,
            requant="FP32",
            flags=flags,
            inputs=(source,),
            shape_in=(side, side, inputs),
            shape_out=(side, side, outputs),
            window=(3, 3, 1, 1, 1, 1, 1, 1),
            groups=1,
            zeros=self.zeros,
            offsets=offsets,
        )

    def model(self, codes: NDArray[np.int8]) -> NDArray[np.int8]:
        """codes [side, side, in] -> [side, side, out], by the equation."""
        side = codes.shape[0]
        padded = np.pad(codes.astype(np.int64) - self.zeros[0], ((1, 1), (1, 1), (0, 0)))
        acc = np.broadcast_to(self.bias, (side, side, self.bias.size)).astype(np.int64)
        for i in range(3):
            for j in range(3):
                acc = acc + padded[i : i + side, j : j + side] @ self.weights[i, j].astype(np.int64)
        scaled = np.rint(acc.astype(np.int32).astype(np.float32) * self.scale)
        return np.clip(scaled + self.zeros[1], -128, 127).astype(np.int8)


def random_convolution(rng: np.random.Generator, inputs: int, outputs: int) -> Convolution:
    return Convolution(
        weights=rng.integers(-128, 128, (3, 3, inputs, outputs), np.int8),
        bias=rng.integers(-3000, 3000, outputs, np.int32),
        scale=(rng.uniform(0.5, 2, outputs) / (60 * np.sqrt(9.0 * inputs))).astype(np.float32),
        zeros=(int(rng.integers(-128, 128)), int(rng.integers(-128, 128))),
    )


def identity(n: int, flags: tuple[str, ...] = ("OUTPUT",)) -> Programming:
    """One input of n codes at zero point 7 and a port that shows them (a MAP)."""
    made = Programming()
    made.add("INPUT", n, zeros=(0, 7))
    each = np.arange(n, dtype=np.int32)
    offsets = {
        "table0": made.put(each),
        "table1": made.put(np.arange(n + 1, dtype=np.uint32)),
        "weights": made.put(each.astype(np.uint32)),
    }
    made.add("MAP", n, inputs=(0,), flags=flags, offsets=offsets)
    return made
