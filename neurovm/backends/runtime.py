# SPDX-License-Identifier: Apache-2.0
"""Another runtime as the dense reference, in a process of its own.

LiteRT (or tflite-runtime) answers for profile `xnnpack`, TensorFlow Lite Micro (or tflite-runtime's
reference kernels) for `tflm`. No interpreter ever runs in the caller's process: there are models
that corrupt its heap. A crash, a hang or a refusal is a BackendError that says so.

Inner tensors: LiteRT from 2.3 on keeps them all when asked. The others are given a copy of the
model in which the inner tensors are outputs; should that change the model's own answers, a copy for
each tensor.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from neurovm.backends.child import Child
from neurovm.errors import BackendError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

LITERT, TFLITE_RUNTIME = "ai-edge-litert", "tflite-runtime"
MICRO, TFLITE_RUNTIME_REF = "tflite_micro", "tflite-runtime BUILTIN_REF"
CANDIDATES = {"xnnpack": (LITERT, TFLITE_RUNTIME), "tflm": (MICRO, TFLITE_RUNTIME_REF)}
"""What may answer for a profile; the first that can be imported does."""

ARENA_BYTES = 64 << 20
"""For TensorFlow Lite Micro, which crashes where it is too small; untouched pages cost nothing."""

WithOutputs = Callable[[Sequence[int]], bytes]
"""The model with these tensors as its outputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A tensor of the interpreter: its index in the flatbuffer, name, shape and NumPy type name."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape without the batch axis of 1."""
        return self.shape[1:] if self.shape[:1] == (1,) else self.shape


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What came out of `rows` runs: one array an output, one a kept tensor, rows first.

    `refused` rows, on which the runtime ended with an error (its `words`), are left out.
    """

    outputs: tuple[NDArray[np.generic], ...]
    kept: dict[int, NDArray[np.generic]]
    refused: tuple[int, ...] = ()
    words: str = ""

    def without(self, rows: Sequence[int]) -> Answer:
        """The same without some of the rows that were answered."""
        import numpy as np

        kept = {i: np.delete(values, rows, axis=0) for i, values in self.kept.items()}
        return replace(
            self, outputs=tuple(np.delete(x, rows, axis=0) for x in self.outputs), kept=kept
        )


class Runtime:
    """One model in one child process. Owns the process; `close` (or `with`) ends it.

    wanted: inner tensors, none of them a resource, that are to be read layer by layer. copy: makes
    the copies for runtimes that need them; without it they give outputs only. python: another
    interpreter in which the runtime is installed. ports: the indices of the inputs and outputs,
    for TensorFlow Lite Micro, which does not tell. arena_bytes: TensorFlow Lite Micro's memory.

    `name` and `version` are the runtime's; `inputs` and `outputs` are its ports; `kept` are those
    of the wanted tensors that can be read; `method` is how: "preserved", "outputs" (all in one
    copy), "one at a time" or "none"; `delegated` are the tensors that a delegate computes, None
    where the runtime does not tell.
    """

    def __init__(
        self,
        model: Path,
        *,
        profile: str = "xnnpack",
        wanted: Sequence[int] = (),
        copy: WithOutputs | None = None,
        python: str | None = None,
        ports: tuple[Sequence[int], Sequence[int]] | None = None,
        arena_bytes: int = ARENA_BYTES,
        timeout_s: float = 60.0,
    ) -> None:
        self._model = model
        self._arena_bytes = arena_bytes
        self._given_ports = ports
        self._wanted = list(wanted)
        self._copy = copy
        self._follows = False
        self._child = Child(model.name, timeout_s, python)
        try:
            self._open(CANDIDATES[profile])
        except BaseException:
            self.close()
            raise

    def _open(self, candidates: Sequence[str]) -> None:
        request = {
            "do": "open",
            "path": os.fspath(self._model),
            "candidates": list(candidates),
            "wanted": self._wanted,
            "arena_bytes": self._arena_bytes,
            "ports": None if self._given_ports is None else [*map(list, self._given_ports)],
        }
        self._child.name = " or ".join(candidates)
        reply, _ = self._child.ask(request)
        self.name, self.version = reply["runtime"], reply["version"]
        self._child.name = f"{self.name} {self.version}"
        self.inputs = _ports(reply["inputs"])
        self.outputs = _ports(reply["outputs"])
        self.kept = _ports(reply["kept"])
        plain = self.name in (MICRO, TFLITE_RUNTIME_REF)
        self.delegated: list[int] | None = [] if plain else reply["delegated"]
        self.method = "preserved" if self.kept else "none"
        if not self.kept and self._wanted and self._copy is not None:
            self._keep_by_copies([self._wanted], "outputs")

    def _keep_by_copies(self, groups: Sequence[Sequence[int]], method: str) -> None:
        """Let the child open a copy of the model for each group of tensors."""
        if self._copy is None:
            raise BackendError(f"{self._child.name}: no copy of {self._model.name} can be made")
        with tempfile.TemporaryDirectory(prefix="neurovm-") as folder:
            copies = []
            for number, tensors in enumerate(groups):
                path = Path(folder) / f"{number}.tflite"
                path.write_bytes(self._copy(tensors))
                copies.append({"path": os.fspath(path), "tensors": list(tensors)})
            reply, _ = self._child.ask({"do": "keep", "copies": copies})
        self.kept = _ports(reply["kept"])
        self.method = method if self.kept else "none"

    def run(self, rows: Sequence[NDArray[np.generic]], *, anew: bool = False) -> Answer:
        """One array (n, *shape[1:]) of the source's type an input -> the answers, row by row.

        Rows are consecutive steps: a network that keeps state carries it on, also from one call to
        the next. anew: it goes back to its start first.
        """
        count, payload = self._payload(rows)
        reply, data = self._child.ask({"do": "run", "rows": count, "anew": anew}, payload)
        self._follows = self._follows or anew
        if not reply["same"]:
            if self.method != "outputs" or (self._follows and not anew):
                raise BackendError(
                    f"{self._child.name} answers otherwise once an inner tensor of "
                    f"{self._model.name} is an output: its layers cannot be read"
                )
            self._keep_by_copies([[port.index] for port in self.kept], "one at a time")
            return self.run(rows, anew=anew)
        refused = tuple(reply["refused"])
        arrays = _split(data, (*self.outputs, *self.kept), count - len(refused))
        n = len(self.outputs)
        kept = {port.index: a for port, a in zip(self.kept, arrays[n:], strict=True)}
        return Answer(tuple(arrays[:n]), kept, refused, reply["words"])

    def alone(self, rows: Sequence[NDArray[np.generic]]) -> tuple[NDArray[np.generic], ...]:
        """The outputs of each row as the first step of a network that was just opened.

        The stream that `run` follows is not disturbed.
        """
        count, payload = self._payload(rows)
        _, data = self._child.ask({"do": "alone", "rows": count}, payload)
        return tuple(_split(data, self.outputs, count))

    def time_s(self, rows: Sequence[NDArray[np.generic]], repeats: int) -> float:
        """Seconds the interpreter takes for `repeats` times set, invoke and get."""
        count, payload = self._payload(rows)
        reply, _ = self._child.ask({"do": "time", "rows": count, "repeats": repeats}, payload)
        return float(reply["seconds"])

    def close(self) -> None:
        """End the child; safe to call twice."""
        self._child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _payload(self, rows: Sequence[NDArray[np.generic]]) -> tuple[int, bytes]:
        if len(rows) != len(self.inputs):
            raise BackendError(
                f"{self._model.name}: {len(rows)} arrays for {len(self.inputs)} inputs"
            )
        blocks = []
        for port, block in zip(self.inputs, rows, strict=True):
            if block.dtype.name != port.dtype or block.size != len(block) * port.size:
                raise BackendError(
                    f"{self._model.name}: input {port.name!r} takes {port.dtype} "
                    f"{list(port.shape)} a row, found {block.dtype.name} {list(block.shape[1:])}"
                )
            blocks.append(block.tobytes())
        return len(rows[0]), b"".join(blocks)


def _ports(described: list[dict[str, Any]]) -> tuple[Port, ...]:
    return tuple(
        Port(index=d["index"], name=d["name"], shape=tuple(d["shape"]), dtype=d["dtype"])
        for d in described
    )


def _split(data: bytes, ports: Sequence[Port], count: int) -> list[NDArray[np.generic]]:
    import numpy as np

    arrays = []
    at = 0
    for port in ports:
        n = count * port.size
        block = np.frombuffer(data, port.dtype, n, at)
        at += block.nbytes
        arrays.append(block.reshape(count, *port.row_shape))
    return arrays
