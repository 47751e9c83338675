# SPDX-License-Identifier: Apache-2.0
"""What the exact ways of every layer cost on this machine: measured when a model is loaded.

The kernel chooses between them in every step; whatever it goes by, answers are the same codes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer

BUDGET_S = 0.03
"""How long measuring takes at most, about; layers beyond it keep the kernel's estimates."""

OFF = ("0", "no", "off", "false")
VARIABLE = "NEUROVM_CALIBRATE"
"""Set to one of `OFF` in the environment: models are loaded without being measured."""


class LayerCost(NamedTuple):
    """What the choice of one layer goes by, in nanoseconds.

    `full_ns`: a full run; `keep_ns`: one after which events can follow; `one_ns`: one change, by
    events; `even`: how many of its first input's codes must change anywhere for a full run to be
    the cheaper (0: all do not). `measured`: here, or else estimated. Zeros where
    there is nothing to choose.
    """

    full_ns: float
    keep_ns: float
    one_ns: float
    even: float
    measured: bool


class Calibrated(Protocol):
    """A program whose ways can be measured."""

    @property
    def n_layers(self) -> int: ...
    def calibrate(self, budget_s: float) -> bytes: ...
    def use_costs(self, costs: Buffer | None) -> None: ...
    def cost(self, index: int) -> tuple[float, float, float, float, bool]: ...


def is_wanted(asked: bool | None) -> bool:
    """Whether a model that is loaded is measured: as asked, else unless the environment says no."""
    return os.environ.get(VARIABLE, "").lower() not in OFF if asked is None else asked


def costs_of(program: Calibrated) -> tuple[LayerCost, ...]:
    """By layer, in the order they run."""
    return tuple(LayerCost(*program.cost(i)) for i in range(program.n_layers))
