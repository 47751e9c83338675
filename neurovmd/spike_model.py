# SPDX-License-Identifier: Apache-2.0
"""What the daemon needs of a spiking network, and whether a model is one."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from neurovm import Model


class Tensor(Protocol):
    """An input or output of a network."""

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def labels(self) -> tuple[str, ...] | None: ...


class SpikeSession(Protocol):
    """The state of one stream."""

    def advance_ticks(
        self, ticks: array[int], addresses: array[int], until: int
    ) -> tuple[array[int], array[int]]:
        """Run all ticks before `until` with these events; the output spikes, in order."""

    @property
    def potentials(self) -> memoryview:
        """int32, one an output."""

    def reset(self) -> None: ...


class SpikeModel(Protocol):
    """A spiking network."""

    @property
    def dt_us(self) -> float: ...
    @property
    def inputs(self) -> tuple[Tensor, ...]: ...
    @property
    def outputs(self) -> tuple[Tensor, ...]: ...
    @property
    def readouts(self) -> tuple[bool, ...]:
        """By output tensor, whether it never fires: its answer is its potential."""

    @property
    def potential_scales(self) -> tuple[tuple[float, float], ...]:
        """By output tensor, what a real potential is of v: scale · v + offset."""

    def session(self, *, counters: memoryview | None = None) -> SpikeSession: ...


def spiking(model: Model) -> SpikeModel | None:
    """The model as a spiking network; None where it is none."""
    return cast(SpikeModel, model) if getattr(model, "timed", False) else None
