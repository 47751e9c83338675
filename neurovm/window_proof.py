# SPDX-License-Identifier: Apache-2.0
"""A stream through a sliding window, every layer of every window against dense runs.

The stream is long enough that each copy of each layer has been filled, moved on and wrapped around:
as many hops as the window has frames, as the steps of all layers have in common, and as the longest
layer has rows. Irregular hops, a gap longer than the window and whole windows are among them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from neurovm.certificate import WindowResult
from neurovm.windows import Window

if TYPE_CHECKING:
    from neurovm.model import Model
    from neurovm.windows import WindowPlan

MOST_HOPS = 4096
MOST_MACS = 20_000_000_000
"""Of dense runs in one proof: a network that needs more is compared on fewer hops, two of them at
least irregular."""
LEAST_HOPS = 16


def prove_window(model: Model, hop: int, seed: int = 0, size: int | None = None) -> WindowResult:
    """Compare windows that slide by `hop` frames with dense runs of the same windows.

    size: frames of the window (None: as the model has them). The frames are random codes from
    `seed`. Differences are no error: the result holds them. Raises ShapeError or BackendError
    where the model has no such window.
    """
    session, dense = model.session(window=Window(hop, size)), model.session(way="dense")
    plan, layers = session.plan, model.explain()
    needed = hops_needed(plan)
    count = max(LEAST_HOPS, min(needed, MOST_HOPS, MOST_MACS // max(plan.dense_macs, 1)))
    result = WindowResult(
        hop=hop, size=plan.size, refusal=plan.refusal, hops_needed=max(needed, LEAST_HOPS)
    )
    rng = np.random.default_rng(seed)
    window = np.frombuffer(bytes(session.layer(0)), np.int8).reshape(plan.size, plan.frame)
    for i, moved in enumerate(_hops(plan, count, rng)):
        new = rng.integers(-128, 128, (moved, plan.frame)).astype(np.int8)
        window = np.concatenate([window, new])[-plan.size :]
        given = session.push(new.data) if i % 3 != 2 else session.step(window.data)
        wanted = dense.step(window.data)
        result.hops += 1
        result.outputs.add(np.frombuffer(given, np.int8), np.frombuffer(wanted, np.int8))
        for layer in layers:
            ours = np.frombuffer(session.layer(layer.index), np.int8)
            theirs = np.frombuffer(dense.layer(layer.index).codes, np.int8)
            before = result.layers.differing
            result.layers.add(ours, theirs)
            if result.layers.differing > before and result.first_difference is None:
                result.first_difference = f"layer {layer.index} ({layer.op}) after hop {i}"
    return result


def hops_needed(plan: WindowPlan) -> int:
    """Hops after which every copy of every layer was filled, moved on and wrapped around."""
    common = math.lcm(*(flow.step for flow in plan.flows if flow.is_kept)) if plan.flows else 1
    return plan.size + common + max((flow.rows for flow in plan.flows), default=0)


def _hops(plan: WindowPlan, count: int, rng: np.random.Generator) -> Iterator[int]:
    """Steady hops, every eighth an irregular one, and in the middle a gap."""
    for i in range(count):
        if i == count // 2:
            yield plan.size + 1
        else:
            yield int(rng.integers(1, plan.size + 1)) if i % 8 == 5 else plan.hop
