# SPDX-License-Identifier: Apache-2.0
"""From the values of frames to a model's codes, by frame or by whole window."""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from neurovm.errors import EventError, ShapeError
from neurovm.frontends import AnyFrontEnd, Front, chain
from neurovmd.mapping import Port
from neurovmd.payload import Codes
from neurovmd.refusal import MappingError
from neurovmd.window.block import Flat
from neurovmd.window.frames import flat, in_rows, scaled
from neurovmd.window.normalize import normalized
from neurovmd.window.rule import Window, of_channel

if TYPE_CHECKING:
    from neurovm import Model


class Coder:
    """Scale and offset, normalisation and the front end of whole windows, then codes.

    `frame` is the shape of a frame, which comes `rate_hz` times a second from `front` (None: it is
    the row itself). MappingError for what does not fit, at `key`.
    """

    def __init__(
        self,
        rule: Window,
        key: str,
        model: Model,
        *,
        frame: tuple[int, ...],
        rate_hz: float | None,
        front: Front | None,
        initial: float,
    ) -> None:
        self._rule, self._key = rule, f"{key}.window"
        self._frame, self._rate_hz = frame, rate_hz
        self._width = math.prod(frame)
        self._port, self._initial = Port(model, 0, 0), initial
        self._tables: dict[str, bytes] = {}
        self._wide = model.inputs[0].wide
        self._inner = self._whole_front()
        self._affine = self._scales()
        last = self._inner or front
        # A front end that gives the model's own integers gives its codes.
        self._direct = last is not None and last.dtype == self._port.dtype != "float32"

    def _whole_front(self) -> Front | None:
        if not self._rule.front_end:
            return None
        key = f"{self._key}.front_end"
        return chained(self._rule.front_end, self._frame, self._rate_hz, key)

    def _scales(self) -> tuple[list[float], list[float]] | None:
        """Scale and offset of each channel; None where nothing is to be done."""
        found = []
        for name in ("scale", "offset"):
            try:
                found.append(of_channel(getattr(self._rule, name), self._width))
            except ValueError as error:
                what, _, accepted = str(error).partition("; accepted: ")
                key = f"{self._key}.{name}"
                raise MappingError(key, what.removeprefix("found "), accepted) from None
        scale, offset = found
        return None if set(scale) == {1.0} and set(offset) == {0.0} else (scale, offset)

    def rows(self, size: int) -> tuple[tuple[int, int] | None, int]:
        """(rows, values of one) that are made of a whole window of `size` frames, where the model
        is not given the frames themselves, and how many frames lie between two of these rows.
        """
        inner = self._inner
        if inner is None:
            return None, 1
        silence = array("d", bytes(8 * size * self._width))
        try:
            made = inner.whole(in_rows(silence, size, inner.takes))
        except (EventError, ShapeError) as error:
            key = f"{self._key}.front_end"
            raise MappingError(key, str(error), f"one for {size} frames") from None
        return (len(made), math.prod(inner.shape)), max(1, inner.step)

    @property
    def is_made(self) -> bool:
        """Whether the model is given something else than frames one by one."""
        return self._inner is not None or self._rule.normalize != "none"

    @property
    def front_end_bytes(self) -> int:
        """The most that the front end of whole windows keeps."""
        return 0 if self._inner is None else self._inner.state_bytes

    def prepared(self, values: Flat) -> Flat:
        """Values of frames with their scale and offset."""
        return values if self._affine is None else scaled(values, *self._affine)

    def making(self, size: int) -> Callable[[Flat], Flat] | None:
        """What is made of each whole window of a stream before it becomes codes; None: nothing."""
        rule, width, inner = self._rule.normalize, self._width, self._whole_front()
        if not self.is_made:
            return None

        def make(window: Flat) -> Flat:
            if rule != "none":
                window = normalized(window, width, rule)
            if inner is None:
                return window
            return flat(inner.whole(in_rows(window, size, inner.takes)))

        return make

    def encode(self, values: Flat) -> bytes:
        """Codes of reals, or of a front end's integers where they are the model's own."""
        if self._direct and values.typecode not in "fd":
            raw = values.tobytes() if values.itemsize == 1 else values
            return _bytes(self._port.raw(Codes(raw, self._port.dtype)))  # type: ignore[arg-type]  # of its type
        if values.itemsize == 1 and not self._wide:
            return values.tobytes().translate(self._table(values.typecode))
        reals = values if values.typecode in "fd" else array("d", values)
        return _bytes(self._port.quantize(reals))

    def _table(self, typecode: str) -> bytes:
        """The code of every value of a byte, such as a picture's: found once."""
        if typecode not in self._tables:
            reals = array("d", array(typecode, bytes(range(256))))
            self._tables[typecode] = _bytes(self._port.quantize(reals))
        return self._tables[typecode]

    def initial(self) -> Flat:
        """A frame that was not heard."""
        return array("d", [self._initial]) * self._width


def _bytes(codes: bytes | array[int] | array[float]) -> bytes:
    return codes if isinstance(codes, bytes) else codes.tobytes()


def chained(
    front_ends: Sequence[AnyFrontEnd], shape: tuple[int, ...], rate_hz: float | None, key: str
) -> Front:
    """The front end of one stream; MappingError at `key` where it does not fit."""
    # A VM computes on one thread: libraries that numpy brings would start others, with memory each.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        return chain(front_ends, shape, rate_hz)
    except EventError as error:
        found, _, accepted = str(error).partition("; accepted: ")
        raise MappingError(key, found, accepted or "front ends that fit one another") from None
    except ImportError as error:
        raise MappingError(key, str(error), "front ends whose packages are installed") from None
