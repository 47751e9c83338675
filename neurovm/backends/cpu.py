# SPDX-License-Identifier: Apache-2.0
"""The C kernel of this package on the box's own processor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import UNSET

from neurovm import _kernel, cpus, prepared
from neurovm.backends.base import Memory
from neurovm.costs import BUDGET_S
from neurovm.errors import BundleError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from neurovm.bundle import Bundle
    from neurovm.costs import Calibrated
    from neurovm.description import Manifest, Way


class CpuProgram:
    """A checked program on the kernel; it keeps the bundle's buffers alive."""

    __slots__ = ("_program", "_threads")

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self._threads = threads
        self._program = _kernel.Program(bundle.layers, bundle.arena, threads=threads)
        _check(bundle.manifest, self._program)

    @property
    def costs(self) -> Calibrated:
        """What its layers cost, and where that is measured."""
        return self._program

    @property
    def memory(self) -> Memory:
        """What it takes on this machine."""
        program = self._program
        return Memory(
            program.pack_bytes,
            program.session_bytes,
            program.dense_session_bytes,
            program.scratch_bytes,
        )

    @property
    def sliding(self) -> _kernel.Program:
        """What a sliding window runs (`neurovm.windows`)."""
        return self._program

    def prepare(self, content: Bundle, *, calibrate: bool, write: bool = True) -> None:
        """Pack the weights and measure what ways cost, or take both from the file that keeps them.

        Before the first session. Whatever is wrong with the file, the program is ready after. With
        `write` false nothing is written, nor moved.
        """
        alone = self._threads == 1  # as costs in files are measured
        where = prepared.folder()
        key = b"" if where is None else _key(content.manifest)
        where = where if key else None
        found = None if where is None else prepared.read(where, key, keep=write)
        if where is not None and found is not None and not self._take(found, calibrate and alone):
            if write:
                prepared.set_aside(where, key)
            self._program = _kernel.Program(content.layers, content.arena, threads=self._threads)
            found = None
        if found is not None and (not calibrate or (found.costs and alone)):
            return
        costs = self._program.calibrate(BUDGET_S) if calibrate else b""
        if where is None or not write or (found is not None and not alone):
            return
        if not prepared.write(where, key, self._program.packed(), costs if alone else b""):
            return
        found = prepared.read(where, key)
        if found is not None:  # as all others that load it: their memory is ours
            mapped = CpuProgram(content, self._threads)
            if mapped._take(found, calibrate=False):
                mapped._program.use_costs(costs or None)
                self._program = mapped._program

    def _take(self, found: prepared.Prepared, calibrate: bool) -> bool:
        """Use what a file held; False where the kernel refuses it."""
        try:
            self._program.adopt(found.pack)
            if calibrate and found.costs:
                self._program.use_costs(found.costs)
        except BundleError:
            return False
        return True

    def session(self, counters: Buffer | None = None, way: Way = "auto") -> _kernel.Session:
        """A new session; `counters`: a writable buffer of five uint64 that the kernel fills."""
        return _kernel.Session(self._program, counters, way=way)

    def predict(self, codes: Buffer, out: Buffer, rows: int) -> None:
        """`rows` independent dense runs from rows of codes to rows of codes, as bytes."""
        self._program.predict(codes, out, rows)

    def step_sessions(
        self, sessions: Sequence[_kernel.Session], codes: Buffer, out: Buffer | None = None
    ) -> Buffer:
        """One step of each of its sessions, a row of codes each; a row of outputs each."""
        return _kernel.step_sessions(sessions, codes, out)


def _key(manifest: Manifest) -> bytes:
    """What its file is called by; b"" where this kernel's own file is gone, as in an upgrade."""
    try:
        return prepared.key_of(manifest, _kernel.isa(), Path(_kernel.__file__))
    except OSError:
        return b""


def _check(manifest: Manifest, program: _kernel.Program) -> None:
    """BundleError where the manifest names other ports or layers than the program has.

    The exact tail of a rate-coded program reads its codes from an input of its own.
    """
    tail = manifest.rate is not UNSET and manifest.rate.tail
    inputs = len(manifest.inputs) + tail, sum(t.bytes for t in manifest.inputs)
    outputs = len(manifest.outputs), sum(t.bytes for t in manifest.outputs)
    named = (inputs[0], tail or inputs[1], *outputs, len(manifest.layers))
    found = (
        program.n_inputs,
        tail or program.bytes_in,
        program.n_outputs,
        program.bytes_out,
        program.n_layers,
    )
    if named != found:
        raise BundleError(
            f"{manifest.name}: the manifest names {named} (inputs, their bytes, outputs, theirs, "
            f"layers), the program has {found}"
        )
    wanted = "graded" if manifest.coding == "rate" else manifest.coding
    if program.coding != wanted or (manifest.coding == "rate") != (manifest.rate is not UNSET):
        raise BundleError(
            f"{manifest.name}: the manifest names coding {manifest.coding}, the program sends "
            f"{program.coding} spikes{'' if manifest.rate is UNSET else ' in time steps'}"
        )
    if program.memory != (manifest.state_bytes > 0):
        raise BundleError(
            f"{manifest.name}: the manifest names {manifest.state_bytes} bytes of state, the "
            f"program keeps {'some' if program.memory else 'none'}"
        )


def instruction_set() -> str:
    """The instruction set that programs loaded now run: NEUROVM_ISA, else the best there is.

    BackendError where NEUROVM_ISA names one that this build or this machine has not.
    """
    _kernel.choose_isa(os.environ.get("NEUROVM_ISA") or None, "NEUROVM_ISA")
    return _kernel.isa()


class CpuBackend:
    """Backend `cpu`."""

    name = "cpu"
    kind = "cpu"

    def load(self, bundle: Bundle, *, threads: int = 1) -> CpuProgram:
        """No more threads than this process may keep busy (`neurovm.cpus`): more would only wait
        for each other.

        ValueError beyond 1 to 64.
        """
        if not 1 <= threads <= _kernel.MAX_THREADS:
            raise ValueError(f"threads {threads}; accepted: 1 to {_kernel.MAX_THREADS}")
        instruction_set()
        return CpuProgram(bundle, threads if threads == 1 else min(threads, cpus.usable()))


BACKEND = CpuBackend()
