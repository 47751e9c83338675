# SPDX-License-Identifier: Apache-2.0
"""Records: a plan becomes what the kernel reads, 128 bytes a population or projection and an arena.

Records are `nvm_population` and `nvm_projection` of core_c/include/nvm_spiking.h.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from neurovm.bundle import ALIGN
from neurovm.errors import ModelError
from neurovm.spiking.compressed import compress
from neurovm.spiking.plan import (
    Convolution,
    Dense,
    LoihiNeurons,
    Neurons,
    Sparse,
    SumPool,
    TrueNorthNeurons,
    Wires,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neurovm.spiking.plan import Plan, Population, Projection, Synapses

_POPULATION = struct.Struct("<4B 3I 2i H B x 4x 9Q 24x")
_PROJECTION = struct.Struct("<2B H 2I I 7I 6H 2h 2i I 2H 4x 3Q Q 16x")

KINDS = {"input": 0, "lif": 1, "cuba": 2, "loihi": 3, "truenorth": 4}
FIRES = {"none": 0, "one": 1, "many": 2}
RESETS = {"value": 1, "subtract": 2}
PARAMETERS = (
    "theta", "reset_to", "leak", "gain", "bias", "initial", "leak_current", "coupling", "floor",
)  # fmt: skip
_OUTPUT = 1
_CHW = 1
_DENSE_S8, _DENSE_S16, _SPARSE, _CONV_S8, _CONV_S16, _POOL, _WIRES, _PROCEDURAL = range(8)


class Packed(NamedTuple):
    """What `_kernel.SpikingProgram` takes."""

    populations: bytes
    projections: bytes
    arena: bytes


class _Arena:
    """Constants at offsets that are multiples of ALIGN; the same array is stored once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0
        self._seen: dict[tuple[int, str], int] = {}
        self._kept: list[NDArray[np.generic]] = []

    def place(self, array: NDArray[np.generic]) -> int:
        """Where the array stands, in C order and little-endian."""
        key = id(array), array.dtype.str
        if key not in self._seen:
            self._seen[key] = self._length
            self._kept.append(array)  # its id stays its own
            data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
            self._parts.append(data)
            self._parts.append(bytes(-len(data) % ALIGN))
            self._length += len(data) + -len(data) % ALIGN
        return self._seen[key]

    def bytes(self) -> bytes:
        return b"".join(self._parts) or bytes(ALIGN)


def pack(plan: Plan) -> Packed:
    """The records and the arena of a plan; ModelError where a number has no room in them."""
    arena = _Arena()
    try:
        populations = [_population(p, arena) for p in plan.populations]
        projections = [_projection(p, plan, arena) for p in plan.projections]
    except struct.error as error:
        raise ModelError(f"a number of the network that the kernel cannot hold: {error}") from error
    return Packed(b"".join(populations), b"".join(projections), arena.bytes())


# ---- populations ---------------------------------------------------------------------------------


def _population(population: Population, arena: _Arena) -> bytes:
    neurons = population.neurons
    fire = reset = refractory = floor_mode = v_min = exponent = 0
    if isinstance(neurons, Neurons):
        fire, reset = FIRES[neurons.fire], RESETS[neurons.reset]
        refractory, v_min = neurons.refractory, neurons.v_min
    elif isinstance(neurons, LoihiNeurons):
        exponent = neurons.weight_exponent
    elif isinstance(neurons, TrueNorthNeurons):
        reset, floor_mode = neurons.reset_mode, neurons.floor_mode
    arrays = 0
    offsets = dict.fromkeys(PARAMETERS, 0)
    for name, values in _parameters(population).items():
        n = values.shape[-1]
        if n not in (1, population.n):
            raise ModelError(
                f"population {population.name!r}, {name}: found {n} entries; accepted: 1 or "
                f"{population.n}"
            )
        arrays |= (n != 1) << PARAMETERS.index(name)
        offsets[name] = arena.place(values)
    return _POPULATION.pack(
        KINDS[population.kind],
        fire,
        reset,
        _OUTPUT * population.is_output,
        population.n,
        population.group or population.n,
        arrays,
        v_min,
        exponent,
        refractory,
        floor_mode,
        *offsets.values(),
    )


def _parameters(population: Population) -> dict[str, NDArray[np.generic]]:
    """By the kernel's names; leaks are (32, entries)."""
    neurons = population.neurons
    if isinstance(neurons, Neurons):
        leaks = {"leak": neurons.leak, "leak_current": neurons.leak_current}
        values = {
            "theta": neurons.theta,
            "reset_to": neurons.reset_to,
            "gain": neurons.gain,
            "bias": neurons.bias,
            "initial": neurons.initial,
            "coupling": neurons.coupling,
        }
    elif isinstance(neurons, LoihiNeurons):
        leaks = {}
        values = {
            "theta": neurons.threshold,
            "leak": neurons.voltage_decay,
            "bias": neurons.bias,
            "leak_current": neurons.current_decay,
        }
    elif isinstance(neurons, TrueNorthNeurons):
        leaks = {}
        values = {
            "theta": neurons.threshold,
            "reset_to": neurons.reset_to,
            "leak": neurons.leak,
            "floor": neurons.negative_threshold,
        }
    else:
        return {}
    found: dict[str, NDArray[np.generic]] = {}
    found |= {k: np.asarray(v, np.int32) for k, v in values.items() if v is not None}
    found |= {k: np.asarray(v, np.uint32) for k, v in leaks.items() if v is not None}
    return found


# ---- projections ---------------------------------------------------------------------------------


class _Fields(NamedTuple):
    """The fields of a projection that only some kinds name."""

    kind: int
    flags: int = 0
    n_delays: int = 0
    shape: tuple[int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0)
    groups: int = 0
    window: tuple[int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0)
    pad: tuple[int, int] = (0, 0)
    low: int = 0
    high: int = 0
    fan_out: int = 0
    delay_low: int = 0
    delay_high: int = 0
    weights: int = 0
    rows: int = 0
    delays: int = 0
    seed: int = 0


def _projection(projection: Projection, plan: Plan, arena: _Arena) -> bytes:
    source, target = (plan.populations[i] for i in (projection.source, projection.target))
    f = _fields(projection, source.n, target.n, arena)
    return _PROJECTION.pack(
        f.kind,
        f.flags,
        projection.delay,
        projection.source,
        projection.target,
        f.n_delays,
        *f.shape,
        f.groups,
        *f.window,
        *f.pad,
        f.low,
        f.high,
        f.fan_out,
        f.delay_low,
        f.delay_high,
        f.weights,
        f.rows,
        f.delays,
        f.seed & 0xFFFFFFFFFFFFFFFF,
    )


def _fields(projection: Projection, n_in: int, n_out: int, arena: _Arena) -> _Fields:
    s: Synapses = projection.synapses
    if isinstance(s, Dense):
        _expect(s.weights.shape, (n_in, n_out), projection, "weights")
        wide = s.weights.dtype == np.int16
        lanes = ALIGN // s.weights.dtype.itemsize
        rows = np.zeros((n_in, -(-n_out // lanes) * lanes), s.weights.dtype)
        rows[:, :n_out] = s.weights
        return _Fields(_DENSE_S16 if wide else _DENSE_S8, weights=arena.place(rows))
    if isinstance(s, Sparse):
        _expect(s.row.shape, (n_in + 1,), projection, "row")
        packed = compress(s, n_out)
        return _Fields(
            _SPARSE,
            n_delays=len(packed.delays),
            weights=arena.place(packed.entries),
            rows=arena.place(packed.rows),
            delays=arena.place(packed.delays),
        )
    if isinstance(s, Convolution):
        k_h, k_w = s.weights.shape[:2]
        shape = (k_h, k_w, s.source_shape[2] // s.groups, s.target_shape[2])
        _expect(s.weights.shape, shape, projection, "weights")
        return _Fields(
            _CONV_S16 if s.weights.dtype == np.int16 else _CONV_S8,
            flags=_CHW * s.transposed_input,
            shape=(*s.source_shape, *s.target_shape),
            groups=s.groups,
            window=(k_h, k_w, *s.stride, *s.dilation),
            pad=s.pad,
            weights=arena.place(s.weights),
        )
    if isinstance(s, SumPool):
        return _Fields(
            _POOL,
            flags=_CHW * s.transposed_input,
            shape=(*s.source_shape, *s.target_shape),
            window=(*s.window, *s.stride, 1, 1),
            pad=s.pad,
            low=s.weight,
        )
    if isinstance(s, Wires):
        _expect(s.target.shape, (n_in,), projection, "target")
        each = s.weight.size != 1
        if each:
            _expect(s.weight.shape, (n_in,), projection, "weight")
        targets, weights = np.asarray(s.target, np.int32), np.asarray(s.weight, np.int16)
        return _Fields(
            _WIRES, high=int(each), weights=arena.place(weights), rows=arena.place(targets)
        )
    return _Fields(
        _PROCEDURAL,
        low=s.low,
        high=s.high,
        fan_out=s.fan_out,
        delay_low=s.delay_low,
        delay_high=s.delay_high,
        seed=s.seed,
    )


def _expect(
    found: tuple[int, ...], accepted: tuple[int, ...], projection: Projection, what: str
) -> None:
    if found != accepted:
        raise ModelError(
            f"projection from population {projection.source} to {projection.target}, {what}: found "
            f"shape {found}; accepted: {accepted}"
        )
