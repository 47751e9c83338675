# SPDX-License-Identifier: Apache-2.0
"""Certificate: what a verification compared, and what differed. Plain data, JSON in a bundle."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(slots=True)
class Tally:
    """Elements compared, how many differ, and the largest difference in codes."""

    elements: int = 0
    differing: int = 0
    max_delta: float = 0.0

    def add(self, ours: NDArray[Any], theirs: NDArray[Any], scale: float = 1.0) -> None:
        """Compare two arrays of equal size; `scale` is the value of one code."""
        ours, theirs = ours.reshape(-1), theirs.reshape(-1)
        wrong = ours != theirs
        self.elements += int(ours.size)
        count = int(wrong.sum())
        if count:
            self.differing += count
            gap = abs(ours[wrong].astype("float64") - theirs[wrong].astype("float64"))
            self.max_delta = max(self.max_delta, float(gap.max()) / scale)


@dataclass(slots=True, kw_only=True)
class LayerResult:
    """One source operator: its tensor in LiteRT against our layer and against the oracle.

    `layer` is None where no layer of ours holds that tensor; the oracle is compared all the same.
    """

    operator: int
    source_op: str
    tensor: str
    layer: int | None
    kernel: Tally = field(default_factory=Tally)
    oracle: Tally = field(default_factory=Tally)


@dataclass(slots=True, kw_only=True)
class Certificate:
    """What was compared with what, and what differed. Plain data: `as_dict` is its JSON."""

    identical: bool = True
    source: str
    source_sha256: str
    model_sha256: str
    profile: str
    coding: str
    generator: str
    runtime: str
    version: str
    machine: str
    seed: int
    rows: dict[str, int]
    predict: Tally = field(default_factory=Tally)
    session: Tally = field(default_factory=Tally)
    events: Tally = field(default_factory=Tally)
    oracle: Tally = field(default_factory=Tally)
    layers: list[LayerResult] = field(default_factory=list)
    first_difference: str | None = None
    sops: int = 0
    dense_macs: int = 0
    remarks: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
