# SPDX-License-Identifier: Apache-2.0
"""Post-training quantisation: a float .tflite and representative rows -> an int8 .tflite.

The result is an approximation that its user chose; what it costs is measured, layer by layer, and
goes with it (`ApproxInfo`). From there on everything is exact: the int8 file converts like any
other, bit for bit what LiteRT answers for it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.converters import tflite_plain, tflite_writer
from neurovm.description import ApproxInfo, SourceInfo
from neurovm.errors import ModelError, ShapeError
from neurovm.quantization import accepted, constants, ranges, report, rewrite
from neurovm.quantization.limits import check_size
from neurovm.quantization.mixed import Choice, choose
from neurovm.quantization.rows import digest, input_infos, rows_of
from neurovm.quantization.scales import Scales
from neurovm.quantization.unpack import number_format, unpack

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from neurovm.converters.tflite_plain import PlainModel
    from neurovm.description import TensorInfo
    from neurovm.quantization.probe import Progress, Rows
    from neurovm.quantization.unpack import FloatFormat, Unpacked

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """An int8 .tflite, and where it came from. `name` is its file name until it is given one."""

    data: bytes
    name: str
    info: ApproxInfo


def is_float(source: str | os.PathLike[str] | bytes) -> bool:
    """Whether a .tflite needs quantising. False also for files that only `tflite.read` judges."""
    try:
        return number_format(tflite_plain.read(source)) is not None
    except ModelError:
        return False


def inputs(source: str | os.PathLike[str] | bytes) -> tuple[TensorInfo, ...]:
    """What rows a float .tflite takes; ModelError as `quantize`."""
    return input_infos(_float_model(source)[0])


def _float_model(source: str | os.PathLike[str] | bytes) -> tuple[PlainModel, FloatFormat]:
    model = tflite_plain.read(source)
    kind = number_format(model)
    if kind is None:
        raise ModelError(
            f"{model.source.name}: it is quantized already; calibration rows are for float networks"
        )
    return model, kind


def quantize(
    source: str | os.PathLike[str] | bytes,
    calibrate: Any,
    *,
    answers: Sequence[int] | NDArray[np.int64] | None = None,
    mixed: float | None = None,
    timeout_s: float = TIMEOUT_S,
    progress: Progress = lambda _done, _total: None,
) -> Quantized:
    """Quantise a float32, float16-stored or hybrid .tflite to int8.

    calibrate: rows of real values as the network takes them in use: an array (n, *shape[1:]), or a
    mapping by input name; a hundred rows that show the range of the data are worth more than
    thousands alike. answers: the right element of the first output for each row, where known; they
    are only counted. mixed: the share of the network's work (0 … 1) that may stay at 16-bit
    activations, where 8 bit costs most. timeout_s: for one answer of LiteRT, which runs the float
    network in a child process.

    Weights become int8, symmetric, one scale a channel; activations int8 over the range they took;
    inputs and outputs stay float32. ModelError for a file that is no float network, or too large,
    UnsupportedOperatorError for an operator without an int8 form, ShapeError for rows that do not
    fit, BackendError where LiteRT is missing or fails.
    """
    model, kind = _float_model(source)
    check_size(model, source if isinstance(source, bytes) else Path(source).read_bytes())
    rows = rows_of(calibrate, input_infos(model))
    unpacked = _folded(unpack(model), rows, timeout_s)
    steps = _Steps(progress)
    spans = ranges.observe(unpacked.model, rows, timeout_s=timeout_s, progress=steps.part(0))
    scales = Scales.choose(unpacked.model, spans)
    chosen = Choice(frozenset(), 0.0)
    if mixed is not None:
        chosen = choose(unpacked, scales, rows, mixed, timeout_s=timeout_s, progress=steps.part(1))
    made = rewrite.rewrite(unpacked, scales, chosen.wide)
    right = None if answers is None else _answers(answers, len(rows[0]))
    found = report.compare(
        unpacked.model, made, rows, answers=right, timeout_s=timeout_s, progress=steps.part(2)
    )
    data = tflite_writer.write(made.model)
    return Quantized(
        data=data,
        name=f"{Path(model.source.name).stem}_{'int8' if mixed is None else 'mixed'}.tflite",
        info=ApproxInfo(
            source=SourceInfo(**dataclasses.asdict(model.source)),
            number_format=kind,
            sha256=hashlib.sha256(data).hexdigest(),
            rows=len(rows[0]),
            rows_sha256=digest(rows),
            wide_share=chosen.share,
            layers=report.layers(unpacked.model, made, found.gaps),
            accuracy=None if right is None else found.accuracy,
        ),
    )


def _folded(unpacked: Unpacked, rows: Rows, timeout_s: float) -> Unpacked:
    """The network that is left once its constants are folded, all of whose operators have rules."""
    accepted.check_names(constants.without_constants(unpacked.model))
    model = constants.fold(unpacked.model, rows, timeout_s=timeout_s)
    accepted.check(model)
    return dataclasses.replace(unpacked, model=model)


def _answers(given: Sequence[int] | NDArray[np.int64], count: int) -> NDArray[np.int64]:
    array = np.asarray(given)
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise ShapeError(
            f"answers: {array.dtype} of shape {array.shape}; {count} whole numbers are needed"
        )
    return array.astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Steps:
    """Three parts of the work as one progress, in percent."""

    progress: Progress

    def part(self, number: int) -> Progress:
        return lambda done, total: self.progress(100 * number + 100 * done // max(1, total), 300)


__all__ = ["Quantized", "inputs", "is_float", "quantize"]
