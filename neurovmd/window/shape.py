# SPDX-License-Identifier: Apache-2.0
"""How many frames a window has and how it moves on: from a VM's file and its model."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from neurovm import Window as Sliding
from neurovm import quantity
from neurovm.errors import BackendError, ShapeError
from neurovmd.refusal import MappingError
from neurovmd.window.rule import Window

if TYPE_CHECKING:
    from neurovm import Model
    from neurovm.windows import WindowPlan

MOST_US = 1 << 62
"""The longest that a window is said to last, of whatever rate."""
MOST_FRAMES = 1 << 24
MOST_ROUNDS = 8
"""Of looking for a hop that fits the strides that are kept at this very hop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A window of `size` frames of `frame` values, moved by `hop`; `rate_hz` is that of frames.

    `way`: frames are pushed and a hop costs what is new (`slide`), whole windows are compared with
    those before (`compare`), or every window is run as a whole (`whole`); `plan` as a model
    gives it, None where it has no such window, for the reason `why`. `outer` runs of `inner`
    codes of a frame lie before and after an inner time axis. `wide`: codes are int16.
    """

    size: int
    hop: int
    frame: int
    rate_hz: float | None
    way: Literal["slide", "compare", "whole"]
    plan: WindowPlan | None = field(repr=False)
    why: str
    outer: int = 1
    inner: int = 1
    wide: bool = False

    @property
    def span_us(self) -> int | None:
        """How long a window lasts."""
        if self.rate_hz is None:
            return None
        return math.ceil(min(self.size * 1e6 / self.rate_hz, MOST_US))

    @property
    def hops_hz(self) -> float | None:
        """Windows in a second."""
        return None if self.rate_hz is None else self.rate_hz / self.hop


def frames_of(rule: Window, key: str, rate_hz: float | None) -> tuple[int | None, int | None]:
    """`size` and `hop` in frames, None where the model decides; MappingError without a rate."""
    found: list[int | None] = []
    for name in ("size", "hop"):
        value = getattr(rule, name)
        if value is None or value == "auto":
            found.append(None)
        elif rule.by == "count" or (name == "hop" and value == 1 and isinstance(value, int)):
            found.append(int(value))
        else:
            found.append(_in_frames(value, f"{key}.window.{name}", rate_hz))
    return found[0], found[1]


def _in_frames(duration: str | float, key: str, rate_hz: float | None) -> int:
    if rate_hz is None:
        accepted = "a number of frames: the rate of the frames is not known (give rate_hz)"
        raise MappingError(key, repr(duration), accepted)
    exact = quantity.parse(duration, quantity.SECONDS) * rate_hz
    frames = round(exact)
    if not 1 <= frames <= MOST_FRAMES or abs(exact - frames) > 1e-6 * frames:
        accepted = f"a multiple of {1 / rate_hz:g} s, a frame at {rate_hz:g} Hz"
        raise MappingError(key, repr(duration), accepted)
    return frames


def own_size(model: Model, frame: int | None, key: str) -> int:
    """The frames of a window where nothing is said of them."""
    total = model.inputs[0].size
    if frame is not None:
        if total % frame:
            accepted = f"frames that {total} codes of the model's input are a multiple of"
            raise MappingError(key, f"frames of {frame} values", accepted)
        return total // frame
    try:
        return model.plan(Sliding()).size
    except (BackendError, ShapeError):
        first = next((n for n in model.inputs[0].shape if n > 1), 1)
        if first == total:
            accepted = "a number of frames: the shape of the model's input does not tell"
            raise MappingError(f"{key}.window.size", "nothing", accepted) from None
        return first


def shaped(
    rule: Window,
    key: str,
    model: Model,
    *,
    rows: tuple[int, int],
    hop: int | None,
    rate_hz: float | None,
    made: tuple[int, int] | None = None,
    moved: int = 1,
) -> Shape:
    """The shape of windows of `rows` (frames, values of one); MappingError where none fits.

    `made`: the rows that a front end makes of each whole window, and the values of one, where that
    is what the model is given; one more for each `moved` frames.
    """
    size, frame = rows
    count, values = made or rows
    total = model.inputs[0].size
    if count * values != total:
        accepted = f"{total} values together, as the model's input has"
        raise MappingError(f"{key}.window", f"{count} frames of {values} values", accepted)
    outer, inner = _along(rule, key, model, count, values)
    if hop is None:
        hop = _cheapest(rule, key, model, count, rate_hz)
    planned = 1 if rule.whole else max(1, hop // moved)
    plan, why = _planned(model, count, planned) if outer == 1 else (None, "inner axis")
    way: Literal["slide", "compare", "whole"] = "slide"
    if plan is None or plan.refusal is not None:
        way, why = "whole", why or (plan.refusal or "" if plan else "")
    elif rule.whole or rule.normalize != "none" or made is not None:
        way = "compare"
    return Shape(
        size=size,
        hop=size if rule.whole else hop,  # every message is one
        frame=frame,
        rate_hz=rate_hz,
        way=way,
        plan=plan,
        why=why,
        outer=outer,
        inner=inner,
        wide=model.inputs[0].wide,
    )


def _planned(model: Model, size: int, hop: int) -> tuple[WindowPlan | None, str]:
    if model.stateful:
        return None, "recurrent-restarts"  # every window is one step of the network
    try:
        return model.plan(Sliding(hop=hop, size=size)), ""
    except (BackendError, ShapeError) as error:
        return None, str(error)


def _cheapest(rule: Window, key: str, model: Model, size: int, rate_hz: float | None) -> int:
    """The smallest hop of at least the wanted period that keeps one copy of each layer."""
    wanted = 1
    if rule.period_s is not None:
        if rate_hz is None:
            accepted = "nothing: the rate of the frames is not known (give rate_hz)"
            raise MappingError(f"{key}.window.period", str(rule.period), accepted)
        wanted = max(1, math.ceil(rule.period_s * rate_hz - 1e-9))
    hop = wanted
    for _ in range(MOST_ROUNDS):
        plan, _why = _planned(model, size, hop)
        if plan is None or plan.refusal is not None:
            return wanted
        better = -(-wanted // plan.step) * plan.step
        if better == hop:
            break
        hop = better
    return hop


def _along(rule: Window, key: str, model: Model, size: int, frame: int) -> tuple[int, int]:
    """How the time axis lies in the input: runs before it, codes after it. (1, frame): outermost.

    MappingError where it is not known which axis is time, or the one given is none of `size`.
    """
    shape = model.inputs[0].shape
    places = [at for at, n in enumerate(shape) if n == size]
    if rule.axis != "auto":
        if rule.axis not in places:
            accepted = f"an axis of {size} frames, in the model's input of shape {shape}"
            raise MappingError(f"{key}.window.axis", str(rule.axis), accepted)
        places = [rule.axis]
    if size == 1 or not places:
        return 1, frame  # a flat input, or one frame at a time
    if len(places) > 1:
        accepted = f"one of {', '.join(map(str, places))}: all are {size} long"
        raise MappingError(f"{key}.window.axis", "auto", accepted)
    return math.prod(shape[: places[0]]), math.prod(shape[places[0] + 1 :])
