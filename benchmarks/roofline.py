# SPDX-License-Identifier: Apache-2.0
"""How fast this machine loads the weight rows that a run of a spiking network reads (loads.c)."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).parent / "loads.c"
LINE = 64
"""Rows are padded to whole cache lines, as the kernel's are."""


class Loads:
    """The rows of all layers; `seconds` loads every one of them once."""

    def __init__(self, layers: Sequence[tuple[int, int, list[np.ndarray]]], folder: Path) -> None:
        """A layer has so many rows, bytes a row, and row indices of every step."""
        compiler = shutil.which("cc")
        if compiler is None:
            raise FileNotFoundError("cc: the load roofline is measured by a C program")
        library = folder / "loads.so"
        flags = ("-O3", "-march=native", "-shared", "-fPIC", "-Wno-psabi")
        subprocess.run([compiler, *flags, "-o", library, SOURCE], check=True)
        self._read = ctypes.CDLL(str(library)).read_steps
        self._read.restype = ctypes.c_uint64
        rng = np.random.default_rng(0)
        widths = [-(-width // LINE) * LINE for _, width, _ in layers]
        self._steps = len(layers[0][2])
        self._weights = [
            np.concatenate([rng.integers(0, 256, n * width + LINE, dtype=np.uint8)])
            for (n, _, _), width in zip(layers, widths, strict=True)
        ]
        self._rows = [np.concatenate(rows).astype(np.uint32) for _, _, rows in layers]
        begin = [np.cumsum([0, *(part.size for part in rows)]) for _, _, rows in layers]
        self._begin = np.concatenate(begin).astype(np.uint32)
        self.bytes = sum(r.size * w for r, w in zip(self._rows, widths, strict=True))
        starts = [w.ctypes.data + -w.ctypes.data % LINE for w in self._weights]
        self._arguments = (
            ctypes.c_size_t(len(layers)),
            ctypes.c_size_t(self._steps),
            (ctypes.c_void_p * len(layers))(*starts),
            (ctypes.c_size_t * len(layers))(*widths),
            (ctypes.c_void_p * len(layers))(*(rows.ctypes.data for rows in self._rows)),
            ctypes.c_void_p(self._begin.ctypes.data),
        )

    def step_us(self) -> float:
        """Microseconds a step for loading its rows, and nothing else."""
        begun = time.perf_counter()
        self._read(*self._arguments)
        return (time.perf_counter() - begun) / self._steps * 1e6
