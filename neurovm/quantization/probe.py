# SPDX-License-Identifier: Apache-2.0
"""Inner values of a network, from LiteRT in its child process.

Their shapes are those of a run: what a file says of them is a guess where shapes are computed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurovm.backends.runtime import Runtime
from neurovm.converters import tflite_writer
from neurovm.converters.tflite_outputs import with_outputs
from neurovm.errors import BackendError

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self

    from neurovm.converters.tflite_plain import PlainModel

    Rows = Sequence[NDArray[Any]]

Progress = Callable[[int, int], None]
"""progress(rows done, rows in all)"""

BATCH_BYTES = 8 << 20
"""No batch of inner values holds more."""


class Probe:
    """One network whose tensors can be read. Owns a child process and a file; use it with `with`.

    `tensors` are indices in the model; a batch gives {tensor: array (n, *row shape)}.
    """

    def __init__(self, model: PlainModel, tensors: Sequence[int], *, timeout_s: float) -> None:
        self._tensors = tuple(dict.fromkeys(tensors))
        self._name = model.source.name
        row_bytes = sum(4 * model.tensors[i].size for i in (*self._tensors, *model.inputs))
        self.batch_rows = max(1, min(64, BATCH_BYTES // max(1, row_bytes)))
        self._folder = tempfile.TemporaryDirectory(prefix="neurovm-")
        path = Path(self._folder.name) / self._name
        data = tflite_writer.write(model)
        path.write_bytes(data)
        try:
            self._lite = Runtime(
                path,
                wanted=self._tensors,
                copy=lambda inner: with_outputs(self._name, data, inner),
                timeout_s=timeout_s,
            )
        except BaseException:
            self._folder.cleanup()
            raise
        self._inputs = [model.inputs.index(port.index) for port in self._lite.inputs]

    @property
    def runtime(self) -> str:
        """LiteRT's name and version."""
        return f"{self._lite.name} {self._lite.version}"

    @property
    def shapes(self) -> dict[int, tuple[int, ...]]:
        """The shape of each tensor in a run."""
        return {port.index: port.shape for port in self._lite.kept}

    def run(self, rows: Rows) -> dict[int, NDArray[Any]]:
        """The tensors after each row; rows (n, *shape[1:]) an input of the model."""
        answer = self._lite.run([rows[i] for i in self._inputs])
        kept = answer.kept
        if answer.refused:
            raise BackendError(f"{self._name}: {self.runtime} stops at a row: {answer.words}")
        if any(index not in kept for index in self._tensors):
            raise BackendError(f"{self._name}: {self.runtime} does not give all tensors asked for")
        return {index: kept[index] for index in self._tensors}

    def batches(self, rows: Rows) -> Iterator[tuple[Rows, int, int]]:
        """(rows of a batch, number of the first, rows in all)."""
        count = len(rows[0])
        for start in range(0, count, self.batch_rows):
            yield [r[start : start + self.batch_rows] for r in rows], start, count

    def close(self) -> None:
        self._lite.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def activations(model: PlainModel) -> tuple[int, ...]:
    """The float32 tensors that operators make, in their order."""
    return tuple(
        i
        for op in model.operators
        for i in op.outputs
        if model.tensors[i].dtype == "float32" and model.tensors[i].size
    )
