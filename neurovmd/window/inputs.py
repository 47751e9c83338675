# SPDX-License-Identifier: Apache-2.0
"""A VM's inputs with windows, bound to its model: what is wrong is said before anything runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neurovm.frontends import Front
from neurovmd.mapping import check_plain, check_planes
from neurovmd.payload import ImageFormat
from neurovmd.refusal import MappingError, RefusedError, UnsettingError
from neurovmd.routes import Router, filters
from neurovmd.schema import Input, Vm
from neurovmd.shared import DropReason
from neurovmd.window.block import MOST_MADE, MOST_MADE_ROWS, Ticks
from neurovmd.window.coder import Coder, chained
from neurovmd.window.reading import Piece, RowBinding
from neurovmd.window.rule import Window
from neurovmd.window.shape import Shape, frames_of, own_size, shaped
from neurovmd.window.timeline import Course

if TYPE_CHECKING:
    from neurovm import Model


@dataclass(frozen=True, slots=True)
class Heard:
    """What one message holds for a stream."""

    stream: str
    pieces: list[Piece]


class FrameInputs:
    """All `inputs` of a VM, as rows of one signal that windows are cut from.

    Built where a VM starts; loads numpy where there is a front end. MappingError for what does not
    fit. `course` and `shape` say how rows become windows, `coder` how windows become codes.
    """

    def __init__(self, vm: Vm, names: Mapping[str, str], model: Model) -> None:
        check_plain(vm)
        check_planes(vm, model)
        _check_model(model)
        _check_alike(vm.inputs)
        self._key, self._source = "inputs[0]", vm.inputs[0]
        self.rule = self._source.window or Window(size=1)
        self._outer = self.front()
        self._fit(model)
        own = None if self._outer is not None or self.rule.front_end else _real_codes(model)
        self.bindings = [
            RowBinding(each, each.pattern(names), f"inputs[{at}]", self._width, own)
            for at, each in enumerate(vm.inputs)
        ]
        self._check_bindings(model)
        self._check_pictures()
        self.stamped = self._is_stamped()
        self.course = self._course()
        self._check_gaps()
        self.expected = frozenset({0})
        self.filters = filters(self.bindings)
        self._router = Router(self.bindings)

    def _fit(self, model: Model) -> None:
        """Find frames, windows and codes that fit one another."""
        rule, key = self.rule, self._key
        rate_hz = self._outer.rate_hz if self._outer else self._rows_hz()
        size, hop = frames_of(rule, key, rate_hz)
        frame = self._known_frame()
        if rule.front_end and size is None:
            accepted = "the frames of a window, which window.front_end looks at as a whole"
            raise MappingError(f"{key}.window.size", "nothing", accepted)
        size = size or own_size(model, frame, key)
        frame = frame or max(1, model.inputs[0].size // size)
        self._width = frame if self._outer is None else self._row_width()
        self.coder = Coder(
            rule,
            key,
            model,
            frame=self._outer.shape if self._outer is not None else self._row_shape(frame),
            rate_hz=rate_hz,
            front=self._outer,
            initial=self._source.initial,
        )
        made, moved = self.coder.rows(size)
        rows = (size, frame)
        self.shape: Shape = shaped(
            rule, key, model, rows=rows, hop=hop, rate_hz=rate_hz, made=made, moved=moved
        )

    # Rows and frames

    def _payload_hz(self) -> float | None:
        """The rate of the rows in a message's packet, where its format says it."""
        found: float | None = getattr(self._source.payload, "rate_hz", None)
        return found

    def _rows_hz(self) -> float | None:
        return self.rule.rate_hz or self._payload_hz()

    def _row_width(self) -> int:
        names = self._source.to.elements
        found: int = getattr(self._source.payload, "channels", 1) or 1
        return len(names) if names is not None else found

    def _row_shape(self, width: int) -> tuple[int, ...]:
        """Single samples have none; pictures are of any size."""
        payload = self._source.payload
        if isinstance(payload, ImageFormat):
            return (0, 0, 1 if payload.colours == "grey" else 3)
        return (width,) if width > 1 or self._source.to.elements is not None else ()

    def _known_frame(self) -> int | None:
        """Values of a frame, where the model need not be asked."""
        if self._outer is not None:
            if 0 in self._outer.shape:
                found, accepted = "pictures of any size", "one of a known size (kind: resize)"
                raise MappingError(f"{self._key}.front_end", found, accepted)
            return math.prod(self._outer.shape)
        if self._source.to.elements is not None or self.rule.front_end:
            return self._row_width()
        return None

    def front(self) -> Front | None:
        """The front end of the rows of one stream."""
        if not self._source.front_end:
            return None
        payload = self._source.payload
        if isinstance(payload, ImageFormat):
            shape: tuple[int, ...] = (0, 0, payload.channels)  # pictures of any size
        else:
            shape = self._row_shape(self._row_width())
        front = chained(self._source.front_end, shape, self._rows_hz(), f"{self._key}.front_end")
        if front.needs_whole or self.rule.whole:
            found = "one of whole windows" if front.needs_whole else "one with whole: true"
            accepted = "it in window.front_end, which looks at each window by itself"
            raise MappingError(f"{self._key}.front_end", found, accepted)
        return front

    @property
    def front_end_bytes(self) -> int:
        """The most that the front ends of a stream keep."""
        own = 0 if self._outer is None else self._outer.state_bytes
        return own + self.coder.front_end_bytes

    def _course(self) -> Course:
        partial = len(self.bindings) > 1 or any(
            each.pattern.element_level is not None or each.source.to.elements is not None
            for each in self.bindings
        )
        return Course(
            rule=self.rule,
            ticks=Ticks.of(self._payload_hz(), self.rule.rate_hz),
            width=self._width,
            partial=partial and self._width > 1,
            stamped=self.stamped,
            span_us=self._span_us(),
        )

    def _span_us(self) -> int | None:
        """How long a window lasts, from the first row it depends on."""
        span_us, rows_hz, front = self.shape.span_us, self._rows_hz(), self._outer
        if span_us is None or front is None or rows_hz is None or math.isinf(front.span):
            return span_us
        return span_us + math.ceil(front.span * 1e6 / rows_hz)

    # Checks

    def _check_bindings(self, model: Model) -> None:
        own = model.inputs[0].dtype
        plain = self._outer is None and not self.rule.front_end
        for each in self.bindings:
            dtype = getattr(each.source.payload, "dtype", None)
            if plain and dtype not in (None, "float32", own):
                accepted = f"float32 (real values) or {own} (the model's own)"
                raise MappingError(f"{each.key}.payload.dtype", str(dtype), accepted)
            names = each.source.to.elements
            if names is not None and len(names) != self._width:
                accepted = f"{self._width}, one for each value of a frame"
                raise MappingError(f"{each.key}.to.elements", f"{len(names)} names", accepted)

    def _check_pictures(self) -> None:
        """Pictures of any size are no rows that others could be made of, or that are cut apart."""
        if not isinstance(self._source.payload, ImageFormat):
            return
        rule, key = self.rule, f"{self._key}.window"
        if self._outer is None and rule.front_end:
            accepted = "front_end of the input: it makes pictures of any size alike"
            raise MappingError(f"{key}.front_end", "one of pictures", accepted)
        if self._outer is not None and (rule.rate_hz is not None or rule.gap != "reset"):
            found = "rate_hz" if rule.rate_hz is not None else f"gap: {rule.gap}"
            accepted = "neither with pictures: none stands between two others"
            raise MappingError(key, found, accepted)

    def _is_stamped(self) -> bool:
        """Whether the time is that of payloads."""
        says = all(each.timed for each in self.bindings)
        key = f"{self._key}.window"
        if self.rule.time == "payload" and not says:
            accepted = "arrival, or a payload that says its time"
            raise MappingError(f"{key}.time", "payload", accepted)
        stamped = says and self.rule.time != "arrival"
        if self.rule.late is not None and not stamped:
            accepted = "nothing: by the time of their arrival no samples are late"
            raise MappingError(f"{key}.late", str(self.rule.late), accepted)
        return stamped

    def _check_gaps(self) -> None:
        rule, key = self.rule, f"{self._key}.window.gap"
        ticks = self.course.ticks
        if rule.gap != "reset" and ticks.period is None and ticks.grid is None:
            accepted = "reset: the rate of the rows is not known (give rate_hz)"
            raise MappingError(key, rule.gap, accepted)
        if rule.rate_hz is not None and rule.gap_us is not None:
            most_s = min(MOST_MADE_ROWS, MOST_MADE // self._width) / rule.rate_hz
            if rule.gap_us > most_s * 1e6:
                accepted = f"at most {most_s:g} s at {rule.rate_hz:g} Hz"
                raise MappingError(f"{key}_after", str(rule.gap_after), accepted)

    def read(self, topic: str | None, payload: bytes) -> Heard:
        """What a message holds; RefusedError where it holds nothing.

        Every entry whose topic matches takes what it finds. Only where none finds anything the
        message is refused, for the first entry's reason.
        """
        route = self._router.route(topic)
        pieces: list[Piece] = []
        refusals: list[RefusedError] = []
        for binding, element in route.parts:
            try:
                found = binding.read(topic, payload, element)
                for piece in found:
                    self._check_piece(piece)
                pieces += found
            except RefusedError as refusal:
                refusals.append(refusal)
        if not pieces:
            raise refusals[0] if refusals else UnsettingError
        return Heard(route.stream, pieces)

    def _check_piece(self, piece: Piece) -> None:
        """RefusedError where a piece cannot be put where it belongs."""
        if self.stamped and piece.t_us is None:
            raise RefusedError(DropReason.PAYLOAD, "a sample without its time")
        if piece.n > 1 and self.rule.is_timed and self.course.ticks.period is None:
            detail = f"{piece.n} rows in a message; accepted: one, as their rate is not known"
            raise RefusedError(DropReason.PAYLOAD, detail)
        if self.rule.whole and piece.n != self.shape.size:
            detail = f"{piece.n} frames; accepted: {self.shape.size}, a whole window"
            raise RefusedError(DropReason.PAYLOAD, detail)


def _check_model(model: Model) -> None:
    if len(model.inputs) != 1:
        accepted = "a model with one, where inputs have a window or a front end"
        raise MappingError("inputs", f"a model of {len(model.inputs)} inputs", accepted)


def _check_alike(sources: Sequence[Input]) -> None:
    """MappingError unless all inputs are parts of the same rows."""
    first = sources[0]
    rate_hz = getattr(first.payload, "rate_hz", None)
    for number, each in enumerate(sources):
        key = f"inputs[{number}]"
        same = (
            ("window", each.window == first.window),
            ("front_end", each.front_end == first.front_end),
            ("to.elements", each.to.elements == first.to.elements),
            ("payload.rate_hz", getattr(each.payload, "rate_hz", None) == rate_hz),
            ("initial", each.initial == first.initial),
        )
        for name, is_same in same:
            if not is_same:
                accepted = f"the same as inputs[0].{name}: all are parts of the same rows"
                raise MappingError(f"{key}.{name}", "another", accepted)
        if each.to.tensor:
            raise MappingError(f"{key}.to.tensor", str(each.to.tensor), "0")


def _real_codes(model: Model) -> list[float]:
    """What each code of the model's own dtype stands for, from the lowest on."""
    info = model.inputs[0]
    ours = range(-32768, 32768) if info.wide else range(-128, 128)
    return [info.real(code) for code in ours]
