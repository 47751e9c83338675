# SPDX-License-Identifier: Apache-2.0
"""How fast this machine loads what a run of a spiking network reads (loads.c)."""

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
STATE_BYTES = 8
"""Of a neuron: its potential and its drive, int32 each."""


class Loads:
    """One run's loads and stores, again and again."""

    def __init__(
        self,
        counts: np.ndarray,
        layers: Sequence[tuple[int, int, list[np.ndarray]]],
        folder: Path,
    ) -> None:
        """`counts` come in, uint8[steps, n_in]; a layer has so many rows, so many neurons, which
        are the int8 weights of a row, and row indices of every step.
        """
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
        starts = [w.ctypes.data + -w.ctypes.data % LINE for w in self._weights]
        self._counts = np.ascontiguousarray(counts, np.uint8)
        sizes = [-(-STATE_BYTES * neurons // LINE) * LINE for _, neurons, _ in layers]
        self._state = [np.zeros(size, np.uint8) for size in sizes]
        self._arguments = (
            ctypes.c_size_t(len(layers)),
            ctypes.c_size_t(self._steps),
            ctypes.c_void_p(self._counts.ctypes.data),
            ctypes.c_size_t(self._counts.shape[1]),
            (ctypes.c_void_p * len(layers))(*starts),
            (ctypes.c_size_t * len(layers))(*widths),
            (ctypes.c_void_p * len(layers))(*(rows.ctypes.data for rows in self._rows)),
            ctypes.c_void_p(self._begin.ctypes.data),
            (ctypes.c_void_p * len(layers))(*(state.ctypes.data for state in self._state)),
            (ctypes.c_size_t * len(layers))(*sizes),
        )

    def step_us(self) -> float:
        """Microseconds a step for loads and stores, and nothing else."""
        begun = time.perf_counter()
        self._read(*self._arguments)
        return (time.perf_counter() - begun) / self._steps * 1e6
