# SPDX-License-Identifier: Apache-2.0
"""Mixed precision: which operators stay at 16 bit, where 8 bit costs most, within a budget of work.

What 8 bit costs is measured, tensor by tensor: the network runs with int16 activations throughout,
and once for each tensor with that one rounded to int8; the noise this adds at the outputs is the
tensor's. Noise of small independent roundings adds up, so the noise of any choice is known without
running it. A tensor is 16 bit wide only where all that make and read it are. Starting from all
wide, operators are narrowed, the least noise for the most work first, until the budget holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.errors import ModelError
from neurovm.quantization.probe import Probe, Progress
from neurovm.quantization.report import real_values
from neurovm.quantization.rewrite import FOLLOWING, rewrite
from neurovm.quantization.rules import rule_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.converters.tflite_plain import PlainModel, PlainOperator
    from neurovm.quantization.probe import Rows
    from neurovm.quantization.scales import Scales
    from neurovm.quantization.unpack import Unpacked

DEFAULT_SHARE = 0.25
"""Of the network's work."""
ROWS = 32
"""So many of the rows are enough to tell one tensor's noise from another's."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Operators at 16 bit, and their share of the network's work."""

    wide: frozenset[int]
    share: float


def choose(
    unpacked: Unpacked,
    scales: Scales,
    rows: Rows,
    share: float,
    *,
    timeout_s: float,
    progress: Progress,
) -> Choice:
    """The operators to keep at 16 bit so that their work is at most `share` (0 … 1) of all.

    ModelError where the share is none, and where no operator has a 16-bit form.
    """
    if not 0 < share <= 1:
        raise ModelError(f"mixed: found {share:g}; accepted: above 0 to 1, a share of the work")
    model = unpacked.model
    work = {op.index: work_of(model, op) for op in model.operators if not _follows(model, op)}
    total = sum(work.values())
    able = frozenset(i for op in model.operators if (i := op.index) in work and _able(model, op))
    if not able:
        raise ModelError(f"{model.source.name}: no operator with a 16-bit form here")
    touched = _touched(model)
    few = [r[:: max(1, len(r) // ROWS)][:ROWS] for r in rows]
    noise = _noise(unpacked, scales, few, able, touched, timeout_s, progress)
    wide = _narrowed(able, work, share * total, touched, noise)
    return Choice(wide, sum(work[i] for i in wide) / total)


def work_of(model: PlainModel, op: PlainOperator) -> int:
    """Multiply-accumulates of an operator with weights; elements of the output of any other."""
    size = sum(model.tensors[i].size for i in op.outputs)
    rule = rule_of(model, op)
    if rule.kind != "weighted":
        return size
    x, w, _ = rule.data or (0, 1, 2)
    weights = model.tensors[op.inputs[w]]
    if op.name == "TRANSPOSE_CONV":
        return model.tensors[op.inputs[x]].size * weights.size // max(1, weights.shape[-1])
    return size * weights.size // max(1, weights.shape[rule.axis])


def _follows(model: PlainModel, op: PlainOperator) -> bool:
    return rule_of(model, op).kind in FOLLOWING


def _able(model: PlainModel, op: PlainOperator) -> bool:
    return rule_of(model, op).versions[1] > 0 and rule_of(model, op).kind != "index"


def _touched(model: PlainModel) -> dict[int, set[int]]:
    """Tensor -> the operators that make or read its values, through all that only moves them.

    Keyed by where the values are made: outputs of operators, and inputs of the network.
    """
    origin = {i: {i} for i in model.inputs}
    touched: dict[int, set[int]] = {i: set() for i in model.inputs}
    for op in model.operators:
        sources = set().union(*(origin.get(i, set()) for i in op.inputs))
        if _follows(model, op) and rule_of(model, op).versions[1]:
            origin.update(dict.fromkeys(op.outputs, sources))
            continue
        for tensor in sources:
            touched[tensor].add(op.index)
        for out in op.outputs:
            if model.tensors[out].dtype == "float32":
                origin[out], touched[out] = {out}, {op.index}
    return touched


def _noise(
    unpacked: Unpacked,
    scales: Scales,
    rows: Rows,
    able: frozenset[int],
    touched: Mapping[int, set[int]],
    timeout_s: float,
    progress: Progress,
) -> dict[int, float]:
    """Tensor -> relative noise at the outputs when it alone is 8 bit wide."""
    model = unpacked.model
    watched = tuple(dict.fromkeys(_watched(model, i) for i in model.outputs))
    with Probe(model, watched, timeout_s=timeout_s) as probe:
        exact = _collected(probe, rows)
    open_tensors = [t for t, ops in touched.items() if ops and ops <= able]

    def measured(narrow: int | None) -> float:
        made = rewrite(unpacked, scales, able, narrow=narrow)
        with Probe(made.model, [made.made[i] for i in watched], timeout_s=timeout_s) as probe:
            found = _collected(probe, rows)
        gaps = (
            _relative(exact[i], real_values(made, made.made[i], found[made.made[i]]))
            for i in watched
        )
        return sum(gaps)

    least = measured(None)
    noise = {}
    for done, tensor in enumerate(open_tensors):
        noise[tensor] = max(0.0, measured(tensor) - least)
        progress(done + 1, len(open_tensors))
    return noise


def _watched(model: PlainModel, output: int) -> int:
    """Where noise is judged: before a SOFTMAX or the like, which hides it where it saturates."""
    for op in model.operators:
        if output in op.outputs and rule_of(model, op).kind == "fixed":
            return op.inputs[0] if op.inputs[0] not in model.inputs else output
    return output


def _collected(probe: Probe, rows: Rows) -> dict[int, NDArray[Any]]:
    parts = [probe.run(batch) for batch, _, _ in probe.batches(rows)]
    return {i: np.concatenate([part[i] for part in parts]) for i in parts[0]}


def _relative(exact: NDArray[Any], found: NDArray[Any]) -> float:
    signal = float(np.square(exact.astype(np.float64)).sum())
    noise = float(np.square(exact.astype(np.float64) - found).sum())
    return noise / signal if signal > 0 else noise


def _narrowed(
    able: frozenset[int],
    work: Mapping[int, int],
    budget: float,
    touched: Mapping[int, set[int]],
    noise: Mapping[int, float],
) -> frozenset[int]:
    """Narrow operators until the work of the wide ones is within the budget, and then those whose
    being wide does not lower the noise.
    """
    wide = set(able)

    def price(i: int) -> float:
        """Noise that comes in where operator i is narrowed."""
        return sum(noise.get(t, 0.0) for t in _lost(wide, touched, i))

    while sum(work[i] for i in wide) > budget:
        wide.remove(min(wide, key=lambda i: (price(i) / max(1, work[i]), i)))
    while idle := [i for i in sorted(wide) if price(i) == 0.0]:
        wide.remove(idle[0])
    return frozenset(wide)


def _lost(wide: set[int], touched: Mapping[int, set[int]], i: int) -> Iterator[int]:
    """Tensors that are 16 bit wide only while operator i is."""
    return (t for t, ops in touched.items() if i in ops and ops <= wide)
