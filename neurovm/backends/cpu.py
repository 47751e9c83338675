# SPDX-License-Identifier: Apache-2.0
"""The C kernel of this package on the box's own processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurovm import _kernel
from neurovm.errors import BundleError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from neurovm.bundle import Bundle


class CpuProgram:
    """A checked program on the kernel; it keeps the bundle's buffers alive."""

    __slots__ = ("_program",)

    def __init__(self, bundle: Bundle) -> None:
        self._program = _kernel.Program(bundle.layers, bundle.arena)
        manifest = bundle.manifest
        wanted = (
            (len(manifest.inputs), sum(t.size for t in manifest.inputs)),
            (len(manifest.outputs), sum(t.size for t in manifest.outputs)),
            len(manifest.layers),
        )
        found = (
            (self._program.n_inputs, self._program.codes_in),
            (self._program.n_outputs, self._program.codes_out),
            self._program.n_layers,
        )
        if wanted != found:
            raise BundleError(
                f"{manifest.name}: the manifest names {wanted} (inputs, their codes; outputs, "
                f"theirs; layers); the program has {found}"
            )

    def session(self, counters: Buffer | None = None) -> _kernel.Session:
        """A new session; `counters`: a writable buffer of five uint64 that the kernel fills."""
        return _kernel.Session(self._program, counters)

    def predict(self, codes: Buffer, out: Buffer, rows: int) -> None:
        """`rows` independent dense runs from int8 codes to int8 codes."""
        self._program.predict(codes, out, rows)


class CpuBackend:
    """Backend `cpu`."""

    name = "cpu"
    kind = "cpu"

    def load(self, bundle: Bundle) -> CpuProgram:
        return CpuProgram(bundle)


BACKEND = CpuBackend()
