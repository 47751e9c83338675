# SPDX-License-Identifier: Apache-2.0
"""What all output steps share: typed parameters, what they take and give, the state of a stream."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, ClassVar, get_args

import msgspec
from msgspec import Meta

from neurovm.errors import StepError
from neurovm.steps.forms import ClassForm, Named, ValueForm

MOST_WORK = 1 << 20
"""Numbers that one step may look at for one result."""
MOST_SECONDS = 86400 * 366

Seconds = Annotated[float, Meta(ge=0, le=MOST_SECONDS)]
Number = Annotated[float, Meta(ge=-1e30, le=1e30)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1, le=1 << 16)]
Label = Annotated[str, Meta(min_length=1, max_length=256)]


class StepStream(ABC):
    """The state of one step in one stream; used by one thread."""

    @abstractmethod
    def push(self, t_us: int, value: Any) -> Any:
        """What the step gives for the next value; None: nothing to say, and later steps are not
        asked. `t_us` never goes back.
        """

    def reset(self) -> None:  # noqa: B027  # many have no state
        """As before the first value."""


class Mapped(StepStream):
    """A step without state: a function of the value."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def push(self, t_us: int, value: Any) -> Any:  # noqa: ARG002  # time does not matter
        return self._function(value)


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Values with ranges: StepError, a ValueError, where one is beyond what its annotation says, or
    not finite.
    """

    def __post_init__(self) -> None:
        for part in parts_of(type(self)):
            value = getattr(self, part.name)
            _check_finite(part.name, value)
            try:
                msgspec.convert(value, part.type)
            except msgspec.ValidationError as error:
                raise StepError(part.name, f"{value!r:.60} ({error})", _range(part.type)) from None
        self._check()

    def _check(self) -> None:
        """StepError where parameters do not fit one another."""


class Step(Parameters, frozen=True, tag_field="kind"):
    """The parameters of a step; equal where all of them are."""

    takes: ClassVar[tuple[type[ValueForm], ...]] = ()
    """Forms of value it can be given."""
    reads_inputs: ClassVar[bool] = False
    """Whether it looks at the network's inputs."""

    @property
    def kind(self) -> str:
        """Its name in a file."""
        return str(type(self).__struct_config__.tag)

    def gives(self, given: ValueForm) -> ValueForm:
        """What comes of values of a form that it takes; StepError where nothing can."""
        raise NotImplementedError  # each step has its own

    def stream(self, given: ValueForm) -> StepStream:
        """The state of a stream, from its beginning, of values of the form `given`."""
        raise NotImplementedError  # each step has its own


@cache
def parts_of(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The parameters of a struct."""
    return msgspec.structs.fields(kind)


def _check_finite(key: str, value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise StepError(key, repr(value), "a finite number")
    if isinstance(value, (list, tuple)):
        for each in value:
            _check_finite(key, each)


def _range(annotation: Any) -> str:
    """What an annotation accepts, in short."""
    parts = (annotation, *get_args(annotation))
    metas = [part.__metadata__[0] for part in parts if hasattr(part, "__metadata__")]
    ends = metas[0] if metas else Meta()
    low = ends.gt if ends.ge is None else ends.ge
    if low is None or ends.le is None:
        return "what docs/steps.md says"
    return f"{'above ' if ends.ge is None else ''}{low:g} to {ends.le:g}"


def one_of(step: Step, *keys: str) -> None:
    """StepError unless exactly one of the parameters is given."""
    given = [key for key in keys if getattr(step, key) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        raise StepError("", f"{found}", f"one of {', '.join(keys)}")


def check_work(key: str, count: int, what: str) -> None:
    """StepError where one result would take too many numbers."""
    if count > MOST_WORK:
        raise StepError(key, f"{count} {what}", f"at most {MOST_WORK}")


def place_of(form: Named, size: int, name: str | int, key: str) -> int:
    """Where the element of a label or number stands; StepError where there is none."""
    numbers = form.numbers or range(size)
    known = form.labels or ()
    if isinstance(name, int) and name in numbers:
        return numbers.index(name)
    if isinstance(name, str) and name in known:
        return known.index(name)
    names = known if known and isinstance(name, str) else [str(number) for number in numbers]
    shown = ", ".join(names[:12]) + (f", … ({size} in all)" if size > 12 else "")
    raise StepError(key, repr(name), shown)


def index_of(names: tuple[str, ...], name: str | int, key: str) -> int:
    """The number of a tensor by name or number; StepError where there is none."""
    return place_of(ClassForm(labels=names), len(names), name, key)
