# SPDX-License-Identifier: Apache-2.0
"""What a window costs, before it is deployed: bytes of a stream, weights a hop and a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from neurovm import Model
    from neurovmd.window.inputs import FrameInputs


class WindowCost(NamedTuple):
    """Of one stream. `session_bytes` are the network's; `front_end_bytes`, `sample_bytes`: the most
    that the front end and samples that wait take, `window_bytes` frames that are kept as they are.

    A hop applies `macs` of the `dense_macs` weights of a full run; `why` it slides no further
    (empty: it does). `hops_hz`: hops in a second, None where the rate of samples is not known.
    """

    size: int
    frame: int
    hop: int
    way: str
    why: str
    macs: int
    dense_macs: int
    hops_hz: float | None
    session_bytes: int
    window_bytes: int
    sample_bytes: int
    front_end_bytes: int

    @property
    def most_bytes(self) -> int:
        """All of a stream's."""
        front = self.front_end_bytes
        return self.session_bytes + self.window_bytes + self.sample_bytes + front

    def __str__(self) -> str:
        share = self.macs / self.dense_macs if self.dense_macs else 1.0
        text = f"window of {self.size} frames of {self.frame} values, hop {self.hop}: "
        text += f"{share:.3f} of a full run a hop"
        text += f" ({self.why})" if self.why else ""
        if self.hops_hz is not None:
            weights = self.macs * self.hops_hz / 1e6
            text += f", {self.hops_hz:.4g} hops and {weights:.3g} M weights a second"
        return f"{text}; at most {self.most_bytes:,} bytes a stream"


def cost_of(inputs: FrameInputs, model: Model) -> WindowCost:
    """What the windows of a VM cost with its model."""
    shape, plan = inputs.shape, inputs.shape.plan
    slides = shape.way == "slide" and plan is not None
    kept = shape.size * shape.frame
    session = plan.session_bytes if plan and shape.way != "whole" else _session_bytes(model)
    # Reals of 8 bytes where whole windows are made something else of, codes else; pending, too.
    each = 8 if inputs.coder.is_made else 2 if shape.wide else 1
    return WindowCost(
        size=shape.size,
        frame=shape.frame,
        hop=shape.hop,
        way=shape.way,
        why=shape.why,
        macs=plan.macs if slides and plan else model.manifest.macs,
        dense_macs=model.manifest.macs,
        hops_hz=shape.hops_hz,
        session_bytes=session,
        window_bytes=kept * each * (1 if slides else 2),
        sample_bytes=inputs.course.most_bytes,
        front_end_bytes=inputs.front_end_bytes,
    )


def _session_bytes(model: Model) -> int:
    memory = model.memory()
    return model.manifest.limits.session_bytes if memory is None else memory.session
