# SPDX-License-Identifier: Apache-2.0
"""How far a quantised network is from its float source, layer by layer, both run by LiteRT.

Each layer is judged as it runs: its input already holds what the layers before it lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.description import ApproxLayer
from neurovm.quantization.probe import Probe, Progress, activations

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.converters.tflite_plain import PlainModel
    from neurovm.quantization.probe import Rows
    from neurovm.quantization.rewrite import Rewritten


@dataclass(slots=True)
class Gap:
    """Sums over the elements of one tensor: of the float values, and of the differences."""

    signal: float = 0.0
    noise: float = 0.0
    largest: float = 0.0

    def add(self, reference: NDArray[Any], found: NDArray[Any]) -> None:
        exact = reference.astype(np.float64)
        gap = np.abs(exact - found)
        self.signal += float(np.square(exact).sum())
        self.noise += float(np.square(gap).sum())
        self.largest = max(self.largest, float(gap.max(initial=0.0)))

    @property
    def snr_db(self) -> float | None:
        """10 log10(signal / noise); None where there is no noise, or no signal."""
        if self.noise <= 0.0 or self.signal <= 0.0:
            return None
        return 10 * math.log10(self.signal / self.noise)


@dataclass(slots=True)
class Comparison:
    """Float tensor -> its gap over all rows, and the right answers of both networks."""

    gaps: dict[int, Gap]
    rows: int = 0
    right: tuple[int, int] = (0, 0)

    @property
    def accuracy(self) -> tuple[float, float]:
        """Shares of rows whose largest element of the first output is the right one."""
        return self.right[0] / self.rows, self.right[1] / self.rows

    def judge(self, exact: NDArray[Any], found: NDArray[Any], answers: NDArray[np.int64]) -> None:
        count = len(answers)
        was = exact.reshape(count, -1).argmax(axis=1) == answers
        now = found.reshape(count, -1).argmax(axis=1) == answers
        self.right = (self.right[0] + int(was.sum()), self.right[1] + int(now.sum()))


def compare(
    model: PlainModel,
    rewritten: Rewritten,
    rows: Rows,
    *,
    answers: NDArray[np.int64] | None = None,
    timeout_s: float,
    progress: Progress,
) -> Comparison:
    """Run both on all rows, as in `observe`. answers: the right element of the first output."""
    tensors = activations(model)
    result = Comparison({i: Gap() for i in tensors})
    first = model.outputs[0]
    made = [rewritten.made[i] for i in tensors]
    with (
        Probe(model, tensors, timeout_s=timeout_s) as source,
        Probe(rewritten.model, made, timeout_s=timeout_s) as quantized,
    ):
        for batch, start, count in source.batches(rows):
            exact, codes = source.run(batch), quantized.run(batch)
            for i in tensors:
                found = real_values(rewritten, rewritten.made[i], codes[rewritten.made[i]])
                result.gaps[i].add(exact[i], found)
                if i == first and answers is not None:
                    result.judge(exact[i], found, answers[start : start + len(batch[0])])
            result.rows = start + len(batch[0])
            progress(result.rows, count)
    return result


def real_values(rewritten: Rewritten, tensor: int, codes: NDArray[Any]) -> NDArray[np.float64]:
    """What codes of a tensor of the quantised network stand for."""
    q = rewritten.model.tensors[tensor].quantization
    if q is None:
        return codes.astype(np.float64)
    return (codes.astype(np.float64) - q.zero_point[0]) * q.scale[0]


def layers(
    model: PlainModel, rewritten: Rewritten, gaps: dict[int, Gap]
) -> tuple[ApproxLayer, ...]:
    """One line an operator of the float network, of its first output."""
    return tuple(
        ApproxLayer(
            operator=op.index,
            source_op=op.name,
            tensor=model.tensors[op.outputs[0]].name,
            bits=16
            if rewritten.model.tensors[rewritten.made[op.outputs[0]]].dtype == "int16"
            else 8,
            snr_db=gaps[op.outputs[0]].snr_db,
            max_error=gaps[op.outputs[0]].largest,
        )
        for op in model.operators
        if op.outputs[0] in gaps
    )
