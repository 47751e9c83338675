# SPDX-License-Identifier: Apache-2.0
"""Windows that slide over a stream of frames, at the cost of what is new, exactly.

After every hop a session holds what a dense run of its whole window would give, bit for bit; how
time runs through the layers, and what may be kept, is said in core_c/include/nvm_stream.h.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from neurovm import _kernel
from neurovm.description import Counters
from neurovm.errors import BackendError, ShapeError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from neurovm._kernel import Flow
    from neurovm.description import Manifest

MOST_BYTES = 64 << 20
"""Of one session, unless more is asked for."""
MOST_WORK = 0.9
"""Above this share of a full run a window is not worth sliding."""

_REFUSALS = {
    "flattened": "flattened-at-input",
    "attention": "attention-over-time",
    "rational": "rational-stride",
    "strides": "stride-mismatch",
    "inner": "time-axis-inner",
    "spanned": "flattened-at-input",
}
"""By why time ends at the first layer where it does."""


class Window(NamedTuple):
    """A window of `size` frames (None: as the model has them) that moves by `hop` frames.

    `most_bytes`: where a session would take more, nothing is kept from window to window.
    """

    hop: int = 1
    size: int | None = None
    most_bytes: int = MOST_BYTES


class WindowPlan(NamedTuple):
    """What a window costs, before it is deployed.

    Each hop of `hop` frames of `frame` codes applies `macs` of the `dense_macs` weights of a full
    run; without padding along time it would be `uncut_macs`. `state_bytes` of codes are kept;
    `session_bytes` is all that a session takes. `refusal` names why sliding gains nothing (None:
    it does); the answers are exact in any case. `flows`: layer by layer, as `Model.explain` has
    them.
    """

    size: int
    hop: int
    frame: int
    refusal: str | None
    macs: int
    dense_macs: int
    uncut_macs: int
    state_bytes: int
    session_bytes: int
    flows: tuple[Flow, ...]

    @property
    def share(self) -> float:
        """Of the weights of a full run, in one hop."""
        return self.macs / self.dense_macs if self.dense_macs else 1.0

    @property
    def step(self) -> int:
        """The most frames between two rows of a layer; multiples of it are the cheapest hops."""
        return max((flow.step for flow in self.flows if flow.is_kept), default=1)


def sliding(executable: object, name: str) -> _kernel.Program:
    """What of a model made ready to run slides; BackendError where nothing does."""
    found: _kernel.Program | None = getattr(executable, "sliding", None)
    if found is None:
        raise BackendError(f"{name}: windows slide on exact models of backend cpu alone")
    return found


def plan(program: _kernel.Program, manifest: Manifest, window: Window) -> WindowPlan:
    """How a window slides; ShapeError where it does not fit, BackendError where none can.

    Both name what is missing: `recurrent-restarts`, `several-inputs`, `time-axis-unknown`.
    """
    size = window.size if window.size is not None else own_size(program, manifest)
    session_bytes, flows = _plan(program, manifest, size, window.hop)
    refusal = _refusal(flows, size, window.hop, program.macs)
    if session_bytes > window.most_bytes:
        refusal = "state-limit"
        session_bytes, flows = _plan(program, manifest, size, size)
    layers = manifest.layers
    return WindowPlan(
        size=size,
        hop=window.hop,
        frame=program.codes_in // size,
        refusal=refusal,
        macs=sum(flow.macs for flow in flows),
        dense_macs=program.macs,
        uncut_macs=sum(_uncut(flow, layer.macs) for flow, layer in zip(flows, layers, strict=True)),
        state_bytes=sum(flow.bytes for flow in flows if flow.is_kept),
        session_bytes=session_bytes,
        flows=tuple(flows),
    )


def _plan(
    program: _kernel.Program, manifest: Manifest, size: int, hop: int
) -> tuple[int, list[Flow]]:
    if manifest.state_bytes > 0:
        raise BackendError(
            f"{manifest.name}: recurrent-restarts: the network carries a state of its own from "
            f"step to step, and every step is one of time; give it single frames with step"
        )
    if len(manifest.inputs) != 1:
        raise BackendError(
            f"{manifest.name}: several-inputs: found {len(manifest.inputs)}; a window is one input"
        )
    return _kernel.stream_plan(program, size, hop)


def own_size(program: _kernel.Program, manifest: Manifest) -> int:
    """The frames of a window as the model has them: what its first window over the input says,
    else the first axis of the input. ShapeError where neither does (`time-axis-unknown`).
    """
    found = _kernel.stream_frames(program)
    shape = manifest.inputs[0].shape if len(manifest.inputs) == 1 else ()
    if not found:
        found = next((n for n in shape if n > 1), 0)
        if found == math.prod(shape):
            found = 0
    if not found:
        raise ShapeError(
            f"{manifest.name}: time-axis-unknown: input of shape {shape}; say how many frames a "
            f"window has (size)"
        )
    return found


def _refusal(flows: list[Flow], size: int, hop: int, macs: int) -> str | None:
    if hop >= size:
        return "no-overlap"
    if any(flow.is_kept for flow in flows[1:]):
        worth = sum(flow.macs for flow in flows) <= MOST_WORK * macs
        return None if worth else "not-worth-it"
    why = next((flow.why for flow in flows[1:] if flow.why != "const"), "runs")
    return _REFUSALS.get(why, "not-worth-it" if why in ("runs", "cones") else "time-axis-unknown")


def _uncut(flow: Flow, macs: int) -> int:
    """Weights of the rows that a hop brings anew, with no padding at either end."""
    if not flow.is_kept:
        return flow.macs
    new = flow.dirty - (flow.rows - (flow.end - flow.first))
    return macs * new // flow.rows


class WindowSession:
    """The state of one stream whose frames go into a sliding window.

    At first the window is full of the input's zero point. It is used by one thread at a time (a
    second one gets RuntimeError). `Model.session(window=…)` makes one.
    """

    __slots__ = ("_stream", "misses", "plan", "push")

    def __init__(
        self,
        program: _kernel.Program,
        plan: WindowPlan,
        counters: Buffer | None = None,
    ) -> None:
        hop = plan.size if plan.refusal == "state-limit" else plan.hop
        self._stream = _kernel.Stream(program, plan.size, hop, counters)
        self.plan = plan
        self.misses = 0
        """Whole windows that were no continuation of the one before, and were run densely."""
        self.push = self._stream.push
        """push(frames) → memoryview: the window moves on by these frames' int8 codes, oldest first.

        One frame or more, of `plan.frame` codes each; any number at a time. Returns its
        own read-only int8 view of all outputs. ShapeError where they are no whole frames; nothing
        has changed then."""

    def step(self, codes: Buffer) -> memoryview:
        """A whole window. By how much it moved is found by comparing all of it with the one
        before, so any window may be given. ShapeError where the length does not fit.
        """
        self.misses += self._stream.step(codes) < 0
        return self.output

    @property
    def output(self) -> memoryview:
        """The output codes as the last call left them."""
        return self._stream.output

    @property
    def changed(self) -> bool:
        """Whether the last call changed any output code."""
        return self._stream.changed

    @property
    def counters(self) -> Counters:
        """Totals since it was opened; `sops` are weights applied, no events are counted."""
        return Counters(*self._stream.counters)

    def reset(self) -> None:
        """Back to a window full of the zero point. Counters are kept."""
        self._stream.reset()

    def layer(self, index: int) -> memoryview:
        """The codes of layer `index` for the window as it stands; the view is good until the next
        call.
        """
        return self._stream.layer(index)[0]
