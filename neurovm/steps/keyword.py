# SPDX-License-Identifier: Apache-2.0
"""Keyword: from posteriors that come many times a second to each word once."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta, field

from neurovm.errors import StepError
from neurovm.steps.base import MOST_WORK, Number, Seconds, Step, StepStream, place_of
from neurovm.steps.forms import KeywordForm, Scored, ValueForm, VectorForm
from neurovm.steps.rolling import each_of, mean

MOST_RESULTS = 4096


class Keyword(Step, frozen=True, tag="keyword"):
    """p_i = mean of x_i over the results of the last `average_s` (t − average_s < t' ≤ t)

    Word k, the first largest p_i, is said when p_k ≥ threshold, there are `least` results or more
    in that time, k is not in `ignore`, the last word was said `suppress_s` ago or longer, and p_k
    has been below `release` since it was said itself. Else nothing is.

    average_s: above 0 to 60 (of at most 4096 results, 2²⁰ numbers). threshold, release: a number,
    release the threshold where not given. suppress_s: 0 … a year. least: 1 … 4096. ignore: labels
    or numbers of what is no word, such as silence and unknown.

    Source: posterior smoothing: Chen, Parada, Heigold, Small-footprint keyword spotting using deep
    neural networks, ICASSP 2014, section 2.3; averaging window, minimum count and suppression time:
    the RecognizeCommands class of TensorFlow's speech commands and micro speech examples (Warden,
    arXiv:1804.03209). Theirs says a word again only after another one; here after `release`.
    """

    takes: ClassVar[tuple[type[ValueForm], ...]] = (VectorForm,)

    threshold: Number
    average_s: Annotated[float, Meta(gt=0, le=60)] = 1.0
    suppress_s: Seconds = 1.5
    least: Annotated[int, Meta(ge=1, le=MOST_RESULTS)] = 3
    release: Number | None = None
    ignore: Annotated[list[str | int], Meta(max_length=65536)] = field(default_factory=list)

    def _check(self) -> None:
        if self.release is not None and self.release > self.threshold:
            accepted = f"at most threshold, which is {self.threshold:g}"
            raise StepError("release", f"{self.release:g}", accepted)

    def gives(self, given: ValueForm) -> ValueForm:
        assert isinstance(given, VectorForm)  # noqa: S101  # by `takes`
        if len(self._ignored(given)) == given.size:
            raise StepError("ignore", "all elements", "at least one that is not ignored")
        if self.least * given.size > MOST_WORK:
            raise StepError("least", str(self.least), f"at most {MOST_WORK // given.size}")
        return KeywordForm(labels=given.labels, numbers=given.numbers)

    def stream(self, given: ValueForm) -> StepStream:
        assert isinstance(given, VectorForm)  # noqa: S101  # by `takes`
        return _KeywordStream(self, given.size, self._ignored(given))

    def _ignored(self, given: VectorForm) -> frozenset[int]:
        return frozenset(place_of(given, given.size, name, "ignore") for name in self.ignore)


class _KeywordStream(StepStream):
    """Holds the results of the averaging time, when a word was said and which may not be yet."""

    def __init__(self, step: Keyword, size: int, ignored: frozenset[int]) -> None:
        self._step, self._ignored = step, ignored
        self._average_us = round(step.average_s * 1e6)
        self._suppress_us = round(step.suppress_s * 1e6)
        self._release = step.threshold if step.release is None else step.release
        most = max(1, min(MOST_RESULTS, MOST_WORK // size))
        self._rows: deque[tuple[int, array[float]]] = deque(maxlen=most)
        self.reset()

    def reset(self) -> None:
        self._rows.clear()
        self._said_us: int | None = None
        self._spent: set[int] = set()

    def push(self, t_us: int, value: Sequence[float]) -> Scored | None:
        rows = self._rows
        rows.append((t_us, array("d", value)))
        while rows[0][0] <= t_us - self._average_us and len(rows) > 1:
            rows.popleft()
        posteriors = each_of([row for _, row in rows], mean)
        self._spent = {at for at in self._spent if posteriors[at] >= self._release}
        score = max(posteriors)
        word = posteriors.index(score)
        if score < self._step.threshold or len(rows) < self._step.least:
            return None
        if word in self._ignored or word in self._spent:
            return None
        if self._said_us is not None and t_us - self._said_us < self._suppress_us:
            return None
        self._said_us = t_us
        self._spent.add(word)
        return Scored(word, score)
