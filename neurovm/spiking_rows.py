# SPDX-License-Identifier: Apache-2.0
"""`SpikingModel.predict`: arrays of spike trains in, arrays of spikes or potentials out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurovm.errors import ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.description import TensorInfo
    from neurovm.spiking_model import SpikingModel


def predict(model: SpikingModel, x: Any) -> Any:
    """See `SpikingModel.predict`."""
    trains, single = _trains(model, x)
    rows, ticks, _ = trains.shape
    spikes = np.empty((rows, ticks, model.n_out), np.int8)
    potentials = np.empty(spikes.shape, np.int32) if any(model.readouts) else None
    session = model.session()
    for row in range(rows):
        session.reset()
        if not ticks:
            continue
        if potentials is None:
            spikes[row] = session.run(trains[row])
        else:
            spikes[row], potentials[row] = session.run(trains[row], potentials=True)
    answers, at = {}, 0
    scales = model.potential_scales
    for info, readout, (scale, offset) in zip(model.outputs, model.readouts, scales, strict=True):
        part = slice(at, at + info.size)
        at += info.size
        found: NDArray[Any] = spikes[:, :, part]
        if readout and potentials is not None:
            found = (potentials[:, :, part] * scale + offset).astype(np.float32)
        shaped = found.reshape(rows, ticks, *info.shape)
        answers[info.name] = shaped[0] if single else shaped
    return answers[model.outputs[0].name] if len(answers) == 1 else answers


def _trains(model: SpikingModel, x: Any) -> tuple[NDArray[np.int8], bool]:
    """Counts (n, T, n_in) of all inputs, and whether x was one row."""
    if not isinstance(x, Mapping):
        x = {model.inputs[0].name: x} if len(model.inputs) == 1 else {}
    wanted = {info.name for info in model.inputs}
    if set(x) != wanted:
        raise ShapeError(f"{model.name} needs a mapping with the inputs {sorted(wanted)}")
    found = [_counts(x[info.name], info) for info in model.inputs]
    if len({(part.shape[:2], single) for part, single in found}) != 1:
        raise ShapeError("all inputs need the same number of rows and of ticks")
    return np.concatenate([part for part, _ in found], axis=2), found[0][1]


def _counts(x: Any, info: TensorInfo) -> tuple[NDArray[np.int8], bool]:
    """One input as (n, T, size), and whether it was one row."""
    array = np.asarray(x)
    for shape in (info.shape, (info.size,)):
        lead = array.ndim - len(shape)
        if lead in (1, 2) and array.shape[lead:] == shape:
            break
    else:
        raise ShapeError(
            f"{info.name!r} has shape {array.shape}; (rows, ticks, *{info.shape}) is needed"
        )
    if array.dtype.kind not in "iub" or (array.size and not 0 <= array.min() <= array.max() <= 127):
        raise ShapeError(f"{info.name!r}: whole counts of 0 to 127 spikes are accepted")
    rows, ticks = (1, *array.shape)[lead - 1 : lead + 1]
    return array.astype(np.int8).reshape(rows, ticks, info.size), lead == 1
