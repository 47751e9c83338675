# SPDX-License-Identifier: Apache-2.0
"""unpack: the records of a spiking program as a plan again, for what is made of it elsewhere.

Only of a program that the kernel has taken: its checks are not repeated here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from neurovm.errors import ModelError
from neurovm.spiking import plan, records
from neurovm.spiking.compressed import GAP_ONLY

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Buffer

    Array = NDArray[np.generic]

_KINDS: dict[int, plan.Kind] = {0: "input", 1: "lif", 2: "cuba"}
_FIRES: dict[int, plan.Fire] = {0: "none", 1: "one", 2: "many"}
_SIZE = 128


class Unpacked(NamedTuple):
    """Populations and projections by index; of the former `name`, `is_output`, `scale` are not."""

    populations: tuple[plan.Population, ...]
    projections: tuple[plan.Projection, ...]


def unpack(populations: Buffer, projections: Buffer, arena: Buffer) -> Unpacked:
    """The plan of records. ModelError for a chip's neurons, and for synapses that are drawn."""
    held = memoryview(arena).cast("B")
    made = tuple(_population(row, held) for row in _rows(populations))
    return Unpacked(made, tuple(_projection(row, made, held) for row in _rows(projections)))


def _rows(buffer: Buffer) -> list[bytes]:
    data = memoryview(buffer).cast("B")
    return [bytes(data[at : at + _SIZE]) for at in range(0, len(data), _SIZE)]


def _array(arena: memoryview, offset: int, dtype: str, *shape: int) -> NDArray[np.generic]:
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(arena, dtype, count, offset).reshape(shape)


def _population(row: bytes, arena: memoryview) -> plan.Population:
    kind, fire, reset, _, n, group, arrays, v_min, _, refractory, _, *offsets = (
        records._POPULATION.unpack(row)  # noqa: SLF001 - the other direction of the same record
    )
    if kind not in _KINDS:
        names = {number: name for name, number in records.KINDS.items()}
        raise ModelError(f"neurons of {names[kind]} are registers of that chip, in no real units")
    if kind == 0:
        return plan.Population("", n, "input")

    def values(name: str, dtype: str = "<i4", rows: int = 0) -> NDArray[np.generic]:
        k = records.PARAMETERS.index(name)
        entries = n if arrays >> k & 1 else 1
        shape = (rows, entries) if rows else (entries,)
        return _array(arena, offsets[k], dtype, *shape)

    cuba = kind == 2
    neurons = plan.Neurons(
        theta=values("theta"),  # type: ignore[arg-type] # int32, as is all that follows
        reset_to=values("reset_to"),  # type: ignore[arg-type] # as above
        leak=values("leak", "<u4", plan.LEAK_POWERS),  # type: ignore[arg-type] # as above
        gain=values("gain"),  # type: ignore[arg-type] # as above
        bias=values("bias"),  # type: ignore[arg-type] # as above
        initial=values("initial"),  # type: ignore[arg-type] # as above
        leak_current=values("leak_current", "<u4", plan.LEAK_POWERS) if cuba else None,  # type: ignore[arg-type] # as above
        coupling=values("coupling") if cuba else None,  # type: ignore[arg-type] # as above
        fire=_FIRES[fire],
        reset="subtract" if reset == records.RESETS["subtract"] else "value",
        refractory=refractory,
        v_min=v_min,
    )
    return plan.Population("", n, _KINDS[kind], neurons, group)


def _projection(
    row: bytes, populations: tuple[plan.Population, ...], arena: memoryview
) -> plan.Projection:
    f = records._PROJECTION.unpack(row)  # noqa: SLF001 - the other direction of the same record
    kind, flags, delay, source, target, n_delays = f[:6]
    shape, groups, window, pad, low, high = f[6:12], f[12], f[13:19], f[19:21], f[21], f[22]
    weights, rows, delays = f[26:29]
    n_in, n_out = populations[source].n, populations[target].n
    if kind in (0, 1):
        dtype, lanes = ("|i1", 64) if kind == 0 else ("<i2", 32)
        wide = -(-n_out // lanes) * lanes
        made: plan.Synapses = plan.Dense(_array(arena, weights, dtype, n_in, wide)[:, :n_out])  # type: ignore[arg-type] # int8 or int16
    elif kind == 2:
        made = _sparse(arena, (weights, rows, delays), n_in, n_delays)
    elif kind in (3, 4):
        dtype = "|i1" if kind == 3 else "<i2"
        k_h, k_w = window[:2]
        kernel = _array(arena, weights, dtype, k_h, k_w, shape[2] // groups, shape[5])
        made = plan.Convolution(
            kernel, shape[:3], shape[3:], window[2:4], pad, window[4:6], groups, bool(flags & 1)  # type: ignore[arg-type] # as above
        )  # fmt: skip
    elif kind == 5:
        made = plan.SumPool(
            shape[:3], shape[3:], window[:2], window[2:4], pad, low, bool(flags & 1)
        )
    elif kind == 6:
        made = plan.Wires(
            _array(arena, rows, "<i4", n_in),  # type: ignore[arg-type] # int32
            _array(arena, weights, "<i2", n_in if high else 1),  # type: ignore[arg-type] # int16
        )
    else:
        raise ModelError("synapses that are drawn from a seed are written down nowhere")
    return plan.Projection(source, target, made, delay)


def _sparse(
    arena: memoryview, offsets: tuple[int, int, int], n_in: int, n_delays: int
) -> plan.Sparse:
    """Segments, row by row and delay by delay: gaps of 16 bits, then weights, to an even length."""
    at, rows, delays = offsets
    ends = _array(arena, rows, "<u8", n_in * n_delays + 1).astype(np.int64)
    known = _array(arena, delays, "<u2", n_delays)
    targets, weights, late = [], [], []
    counts = np.zeros(n_in, np.int64)
    for k in range(n_in * n_delays):
        size = int(ends[k + 1] - ends[k])
        begin = at + int(ends[k])
        gaps = _array(arena, begin, "<u2", size // 3).astype(np.int64)
        own = _array(arena, begin + 2 * gaps.size, "|i1", gaps.size)
        kept = gaps != GAP_ONLY
        targets.append(np.cumsum(gaps)[kept])
        weights.append(own[kept])
        late.append(np.full(int(kept.sum()), known[k % n_delays], np.uint16))
        counts[k // n_delays] += int(kept.sum())
    row = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64)
    return plan.Sparse(
        row,
        np.concatenate([np.zeros(0, np.int64), *targets]).astype(np.uint32),
        np.concatenate([np.zeros(0, np.int8), *weights]).astype(np.int8),
        np.concatenate([np.zeros(0, np.uint16), *late]).astype(np.uint16),
    )
