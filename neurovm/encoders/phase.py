# SPDX-License-Identifier: Apache-2.0
"""Phase: the binary digits of a value, the most significant first, one a tick."""

from __future__ import annotations

from collections.abc import Sequence

from neurovm.encoders.base import Encoder, Spikes, Stream, spikes_of
from neurovm.encoders.ranges import check_count


class Phase(Encoder, frozen=True, tag="phase"):
    """With K = phases and q = min(max(floor(x · 2^K), 0), 2^K − 1) there is a spike in tick t of a
    sample where bit K − 1 − (t mod K) of q is set: a spike in phase k weighs 2^−(1 + k).

    phases: 1 … 32. num_steps: ticks of a sample, `phases` (where 0 is given) … 65536: the digits
    are repeated until then.

    SpikingJelly's WeightedPhaseEncoder(K) sends the same digits, in float32, and refuses what is
    outside 0 … 1 − 2^−K; here that saturates.
    Source: Kim, Kim, Huh, Lee, Choi, Deep neural networks with weighted spikes, Neurocomputing 311
    (2018) 373.
    """

    phases: int = 8
    num_steps: int = 0

    def __post_init__(self) -> None:
        check_count("phases", self.phases, 1, 32)
        if self.num_steps != 0 or type(self.num_steps) is not int:
            check_count("num_steps", self.num_steps, self.phases, 1 << 16)

    @property
    def ticks(self) -> int:
        return self.num_steps or self.phases

    def stream(self, n: int) -> Stream:
        return PhaseStream(n, self)

    def digits(self, value: float) -> int:
        """q of a value."""
        most = 1 << self.phases
        return min(int(min(max(value, 0.0), 1.0) * most), most - 1)


class PhaseStream(Stream):
    """Without state: each sample stands for itself."""

    def __init__(self, n: int, encoder: Phase) -> None:
        super().__init__(n)
        self._encoder = encoder

    def _push(self, values: Sequence[float]) -> Spikes:
        encoder, last = self._encoder, self._encoder.phases - 1
        return spikes_of(
            [
                (tick, address)
                for address, value in enumerate(values)
                for digits in (encoder.digits(value),)
                for tick in range(encoder.ticks)
                if digits >> (last - tick % encoder.phases) & 1
            ]
        )
