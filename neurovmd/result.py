# SPDX-License-Identifier: Apache-2.0
"""The result of a VM as JSON: what it says is fixed once, what it found is added each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from neurovm.codec import codes_of
from neurovmd.schema import Form

if TYPE_CHECKING:
    from neurovm import Answer, Model
    from neurovm.description import TensorInfo
    from neurovmd.stepping import News

Found = dict[str, Any]


@dataclass(slots=True)
class Cost:
    """What the steps since the last result took."""

    sops: int = 0
    dense_macs: int = 0
    compute_ns: int = 0


class ResultWriter:
    """Writes results of one VM: `write` gives the payload."""

    def __init__(self, vm: str, model: Model, form: Form) -> None:
        self._vm = vm
        self._fixed: Found = {
            "model": model.sha256[:12],
            "profile": model.profile,
            "backend": model.backend,
            "kind": model.kind,
            "neuron": model.neuron,
            "coding": model.coding,
        }
        if model.approximate:
            self._fixed["approx"] = True
        self._find = finder(model, form)
        self._first = model.outputs[0]
        self._is_class = form.top_k == 1 and self._first.size > 1
        self._encode = msgspec.json.Encoder().encode

    def write(
        self,
        stream: str,
        first: int,
        last: int,
        t_us: int,
        codes: memoryview,
        cost: Cost,
        answer: Answer | None = None,
        said: Found | None = None,
        window: Found | None = None,
    ) -> bytes:
        """The result after message `last` of `stream`, covering all from `first` on.

        `t_us` is the time of day in microseconds, `codes` all outputs as a session gives them.
        `answer`, where not all planes were sent, says how far from the final one it can be; `said`
        is what output steps make of the codes, where there are any; `window` what is said of the
        window that it follows.
        """
        head: Found = {"vm": self._vm, "stream": stream, "seq": last}
        if first != last:
            head["seq_first"] = first
        head["t_us"] = t_us
        if window is not None:
            head["window"] = window
        head.update(self._fixed)
        if said is None:
            said = self._find(codes) if answer is None else self._bounded(answer)
        head.update(said)
        head["sops"] = cost.sops
        head["dense_macs"] = cost.dense_macs
        head["compute_us"] = cost.compute_ns // 1000
        return self._encode(head)

    def write_event(self, stream: str, seq: int, t_us: int, news: News) -> bytes:
        """What an alert rule tells after message `seq` of `stream`."""
        head: Found = {"vm": self._vm, "stream": stream, "seq": seq, "t_us": t_us}
        head["model"] = self._fixed["model"]
        return self._encode({**head, "alert": news.alert, **news.change.fields()})

    def _bounded(self, answer: Answer) -> Found:
        """The best estimate; an approximation unless what the form asks for is final."""
        found = self._find(answer.codes)
        final = answer.certified if self._is_class else answer.exact
        said: Found = {"planes": answer.planes, "certified": answer.certified}
        if not final:
            said["approx"] = True
        if not answer.exact:
            said["low"], said["high"] = self._ends(found, answer)
        return {**said, **found}

    def _ends(self, found: Found, answer: Answer) -> tuple[Any, Any]:
        """Between which values the first of `found` ends, or all of them, in the same form."""
        if "values" in found:
            low, high = (self._find(end)["values"] for end in (answer.low, answer.high))
            return low, high
        at, info = found["top"][0]["index"], self._first
        ends = (
            codes_of(info, end.cast("B")[: info.bytes])[at] for end in (answer.low, answer.high)
        )
        low, high = (info.real(code) for code in ends)
        return low, high


def finder(model: Model, form: Form) -> Callable[[memoryview], Found]:
    """How output codes become the part of the result that `form` asks for."""
    if form.top_k is not None:
        return _top(model, form.top_k)
    return _values(model.outputs, real=form.values == "real")


def _top(model: Model, k: int) -> Callable[[memoryview], Found]:
    """The k largest codes of the first output; equal codes in the order of their indices."""
    info = model.outputs[0]
    labels = info.labels or ()
    names = [{"label": label} for label in labels] or [{}] * info.size

    def find(codes: memoryview) -> Found:
        best = model.top_k(codes.cast("B")[: info.bytes], k)
        return {
            "top": [
                {"index": at, **names[at], "value": info.real(code), "code": code}
                for at, code, _ in best
            ]
        }

    return find


def _values(outputs: tuple[TensorInfo, ...], *, real: bool) -> Callable[[memoryview], Found]:
    """All values: a list, or lists by name where there are several outputs."""

    def find(codes: memoryview) -> Found:
        found: dict[str, list[int] | list[float]] = {}
        start, raw = 0, codes.cast("B")
        for info in outputs:
            part = codes_of(info, raw[start : start + info.bytes]).tolist()
            found[info.name] = [info.real(code) for code in part] if real else part
            start += info.bytes
        return {"values": found if len(outputs) > 1 else found[outputs[0].name]}

    return find
