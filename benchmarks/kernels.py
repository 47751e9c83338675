# SPDX-License-Identifier: Apache-2.0
"""Full runs of single layers by every instruction set, beside plain C's.

    python -m benchmarks.kernels [NAME ...]

prints, for each layer, nanoseconds of plain C and how many times as fast the others are. Times
are those of the kernel's calibration; layers are measured in turns, packed where they can be, and
the least of several rounds counts.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from neurovm import _kernel

RECORD = struct.Struct("<4B I 2I I 6I 6H 2h I 4b 6I i i I I 2I 3h H I")
ROUNDS = 3
BUDGET_S = 0.02


@dataclass
class Network:
    """Records and arena of one layer on one or two inputs."""

    wide: bool = False
    records: list[bytes] = field(default_factory=list)
    arena: bytearray = field(default_factory=lambda: bytearray(64))
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def put(self, array: np.ndarray) -> int:
        """Offset of the array in the arena."""
        offset = len(self.arena)
        data = np.ascontiguousarray(array).tobytes()
        self.arena += data + bytes(-len(data) % 64)
        return offset

    def add(self, kind: str, n: int, *, flags: tuple[str, ...] = (), **given: object) -> None:
        """One record; `given` holds tuples and numbers of its fields."""
        flags = (*flags, "WIDE") if self.wide and "NARROW" not in flags else flags
        wide = "WIDE" in flags
        ins: tuple[int, ...] = given.get("ins", ())  # type: ignore[assignment]  # by construction
        window = given.get("window", (0, 0, 0, 0, 0, 0, 0, 0))
        offsets = given.get("offsets", (0, 0, 0, 0, 0, 0))
        self.records.append(
            RECORD.pack(
                _kernel.KINDS[kind],
                _kernel.NEURONS["SD"],
                _kernel.REQUANTS[str(given.get("requant", "NONE"))],
                sum(_kernel.FLAGS[flag] for flag in flags if flag != "NARROW"),
                len(ins),
                *(*ins, 0, 0)[:2],
                n,
                *given.get("shape_in", (0, 0, 0)),  # type: ignore[misc]  # by construction
                *given.get("shape_out", (0, 0, 0)),  # type: ignore[misc]  # by construction
                *window,  # type: ignore[misc]  # by construction
                given.get("groups", 0),
                0,
                0,
                *((0, 0) if wide else (-128, 127)),
                *offsets,  # type: ignore[misc]  # by construction
                0,
                0,
                0,
                0,
                *given.get("aux", (0, 0)),  # type: ignore[misc]  # by construction
                *((0, -32768, 32767) if wide else (0, 0, 0)),
                0,
                0,
            )
        )

    def program(self) -> _kernel.Program:
        return _kernel.Program(b"".join(self.records), bytes(self.arena))


def weighted(kind: str, side: int, in_c: int, out_c: int, **how: object) -> Callable[[], Network]:
    """DENSE (side 1), CONV or DWCONV, of k x k weights and the same side."""
    k, groups = int(str(how.get("k", 1))), int(str(how.get("groups", 1)))
    wide, long = bool(how.get("wide")), bool(how.get("long"))

    def make() -> Network:
        net = Network(wide=wide)
        net.add("INPUT", side * side * in_c)
        depth = 1 if kind == "DWCONV" else in_c // groups
        weights = net.put(net.rng.integers(-127, 128, (k * k * depth, out_c)).astype(np.int8))
        bias = net.put(np.zeros(out_c, np.int64 if long else np.int32))
        if wide:
            scale = net.put(np.full(out_c, 1 << 30, np.int32))
            shift = net.put(np.full(out_c, -9, np.int32))
        else:
            scale, shift = net.put(np.full(out_c, 1e-3, np.float32)), 0
        is_dense = kind == "DENSE"
        net.add(
            kind,
            side * side * out_c,
            flags=("OUTPUT", *(("LONG",) if long else ())),
            requant="HALF16" if long else "DOUBLE" if wide else "FP32",
            ins=(0,),
            shape_in=(0, 0, in_c) if is_dense else (side, side, in_c),
            shape_out=(0, 0, out_c) if is_dense else (side, side, out_c),
            window=(0,) * 8 if is_dense else (k, k, 1, 1, 1, 1, k // 2, k // 2),
            groups=0 if is_dense else groups,
            offsets=(weights, bias, scale, shift, 0, 0),
        )
        return net

    return make


def table(n: int, tables: int = 1, run: int = 1) -> Callable[[], Network]:
    def make() -> Network:
        net = Network()
        net.add("INPUT", n)
        at = net.put(net.rng.integers(-128, 128, (tables, 256)).astype(np.int8))
        net.add(
            "TABLE", n, flags=("OUTPUT",), ins=(0,), offsets=(0, 0, 0, 0, at, 0), aux=(tables, run)
        )
        return net

    return make


def softmax(kind: str, rows: int, length: int) -> Callable[[], Network]:
    def make() -> Network:
        net = Network()
        net.add("INPUT", rows * length)
        exponents = np.exp(-0.05 * np.arange(256))
        if kind == "SOFTMAX":
            at, scale = net.put(exponents.astype(np.float32)), net.put(np.float32([1 / 256]))
        else:
            at, scale = net.put((exponents * (2**31 - 1)).astype(np.int32)), 0
        net.add(kind, rows * length, flags=("OUTPUT",), ins=(0,), shape_out=(rows, 0, length),
                offsets=(0, 0, scale, 0, at, 0))  # fmt: skip
        return net

    return make


def mean(side: int, channels: int) -> Callable[[], Network]:
    """Over all pixels, as before a classifier."""

    def make() -> Network:
        net = Network()
        net.add("INPUT", side * side * channels)
        at = net.put(np.tile(np.arange(channels, dtype=np.uint32), side * side))
        scale = net.put(np.float32([1 / side**2]))
        net.add("MEAN", channels, flags=("OUTPUT",), requant="FP32", ins=(0,),
                offsets=(0, 0, scale, 0, at, 0))  # fmt: skip
        return net

    return make


def pool(kind: str, side: int, channels: int, k: int, wide: bool = False) -> Callable[[], Network]:
    def make() -> Network:
        net, out = Network(wide=wide), side // k
        net.add("INPUT", side * side * channels)
        net.add(
            kind,
            out * out * channels,
            flags=("OUTPUT",),
            ins=(0,),
            shape_in=(side, side, channels),
            shape_out=(out, out, channels),
            window=(k, k, k, k, 1, 1, 0, 0),
            groups=1,
        )
        return net

    return make


LAYERS: dict[str, Callable[[], Network]] = {
    "table 40": table(40),
    "table 4096": table(4096),
    "table 4096, 4 tables": table(4096, 4, 1024),
    "softmax 1 x 12": softmax("SOFTMAX", 1, 12),
    "softmax 1 x 1001": softmax("SOFTMAX", 1, 1001),
    "softmax 64 x 64": softmax("SOFTMAX", 64, 64),
    "softmaxq 1 x 12": softmax("SOFTMAXQ", 1, 12),
    "softmaxq 64 x 64": softmax("SOFTMAXQ", 64, 64),
    "mean 8 x 8 x 64": mean(8, 64),
    "mean 7 x 7 x 256": mean(7, 256),
    "maxpool 2, 32 x 32 x 16": pool("MAXPOOL", 32, 16, 2),
    "maxpool 2, 32 x 32 x 3": pool("MAXPOOL", 32, 3, 2),
    "avgpool 2, 32 x 32 x 16": pool("AVGPOOL", 32, 16, 2),
    "avgpool 8, 8 x 8 x 64": pool("AVGPOOL", 8, 64, 8),
    "maxpool 2, int16, 32 x 32 x 16": pool("MAXPOOL", 32, 16, 2, wide=True),
    "dense int16 256 x 256": weighted("DENSE", 1, 256, 256, wide=True),
    "dense int16 64 x 10": weighted("DENSE", 1, 64, 10, wide=True),
    "dense int16, int64 sums, 256 x 256": weighted("DENSE", 1, 256, 256, wide=True, long=True),
    "conv int16 3 x 3, 16 x 16 x 16 to 16": weighted("CONV", 16, 16, 16, k=3, wide=True),
    "conv int16, int64 sums, the same": weighted("CONV", 16, 16, 16, k=3, wide=True, long=True),
    "dwconv int16 3 x 3, 16 x 16 x 32": weighted("DWCONV", 16, 32, 32, k=3, wide=True),
    "conv 3 x 3, 16 x 16 x 32 to 32": weighted("CONV", 16, 32, 32, k=3),
    "conv 3 x 3, 2 groups, the same": weighted("CONV", 16, 32, 32, k=3, groups=2),
    "conv 3 x 3, 4 groups, the same": weighted("CONV", 16, 32, 32, k=3, groups=4),
    "conv 3 x 3, 8 groups, the same": weighted("CONV", 16, 32, 32, k=3, groups=8),
    "conv 3 x 3, 16 groups, the same": weighted("CONV", 16, 32, 32, k=3, groups=16),
}


def full_ns(made: Network, isa: str) -> float:
    """Of the last layer, by that set."""
    _kernel.choose_isa(isa)
    program = made.program()
    program.calibrate(BUDGET_S)
    return program.cost(program.n_layers - 1)[0]


def main(wanted: list[str]) -> None:
    sets = _kernel.isas()
    print(f"{'full run of a layer':36} {'scalar ns':>10} " + " ".join(f"{s:>11}" for s in sets[1:]))
    for name, make in LAYERS.items():
        if wanted and not any(each in name for each in wanted):
            continue
        made = make()
        least = dict.fromkeys(sets, float("inf"))
        for _ in range(ROUNDS):
            for isa in sets:
                least[isa] = min(least[isa], full_ns(made, isa))
        times = " ".join(f"{least['scalar'] / least[isa]:10.2f}x" for isa in sets[1:])
        print(f"{name:36} {least['scalar']:10.0f} {times}")


if __name__ == "__main__":
    main(sys.argv[1:])
