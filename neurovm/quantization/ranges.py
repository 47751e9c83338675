# SPDX-License-Identifier: Apache-2.0
"""Calibration: the range of real values that each tensor takes on representative rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.quantization.probe import Probe, Progress, activations

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.converters.tflite_plain import PlainModel
    from neurovm.quantization.probe import Rows


@dataclass(frozen=True, slots=True)
class Span:
    """All values seen lie in [low, high]; low ≤ 0 ≤ high, since 0.0 must have a code."""

    low: float = 0.0
    high: float = 0.0

    def including(self, low: float, high: float) -> Span:
        """The smallest span with both."""
        return Span(min(self.low, low), max(self.high, high))


def span_of(values: NDArray[Any]) -> Span:
    """The span of an array; an empty one has [0, 0]."""
    if values.size == 0:
        return Span()
    return Span().including(float(values.min()), float(values.max()))


def observe(
    model: PlainModel, rows: Rows, *, timeout_s: float, progress: Progress
) -> dict[int, Span]:
    """Tensor -> its span over all rows, for inputs and activations.

    rows: one array (n, *shape[1:]) an input. ModelError where the float network itself gives NaN or
    infinities, with operator and row.
    """
    spans = {
        i: span_of(r)
        for i, r in zip(model.inputs, rows, strict=True)
        if model.tensors[i].dtype == "float32"
    }
    with Probe(model, activations(model), timeout_s=timeout_s) as probe:
        for batch, start, count in probe.batches(rows):
            for index, values in probe.run(batch).items():
                _check_finite(model, index, values, start)
                found = span_of(values)
                spans[index] = spans.get(index, Span()).including(found.low, found.high)
            progress(start + len(batch[0]), count)
    return spans


def _check_finite(model: PlainModel, tensor: int, values: NDArray[Any], start: int) -> None:
    finite = np.isfinite(values)
    if finite.all():
        return
    row = start + int(np.argwhere(~finite)[0][0])
    maker = next(op for op in model.operators if tensor in op.outputs)
    raise model.error(
        maker, f"NaN or an infinity in the float network itself, on calibration row {row}"
    )
