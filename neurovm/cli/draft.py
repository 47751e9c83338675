# SPDX-License-Identifier: Apache-2.0
"""From patterns to a VM file that `neurovmd check` accepts once its model is there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from neurovm.cli.patterns import Pattern
from neurovm.description import TensorInfo

PLACEHOLDER = "name-your-model.nvm"
MOST_SHOWN = 20
MOST_NAMES_SHOWN = 64
# A configuration file may have 256 KiB and 20,000 values.
MOST_ELEMENTS = 10_000
MOST_CHARACTERS = 150_000
WIDE = 100


@dataclass(slots=True)
class Entry:
    """One entry of `inputs`: a pattern with the roles of its levels, for one input tensor.

    `is_unordered`: as many names were heard as the input has elements, but nobody said which is
    which. A wrong order would give wrong answers that look right, so none is guessed.
    """

    pattern: Pattern
    tensor: int = 0
    roles: dict[int, str] = field(default_factory=dict)
    dtype: str = "float32"
    notes: list[str] = field(default_factory=list)
    elements: tuple[str, ...] | None = None
    is_unordered: bool = False

    @property
    def topic(self) -> str:
        return self.pattern.topic(self.roles)

    def missing(self) -> list[str]:
        """What has to be filled in by hand."""
        order = [f"the order of the {len(self.names())} names heard"] if self.is_unordered else []
        return [f"input {self.tensor}: {note}" for note in (*self.notes, *order)]

    def names(self) -> tuple[str, ...]:
        """The names of elements that were heard: levels of the topic, or keys of the object."""
        at = next((at for at, role in self.roles.items() if role == "element"), None)
        return self.pattern.reading.names if at is None else self.pattern.varying[at]


@dataclass(slots=True)
class Draft:
    """The text of a VM file; `missing` is what its model needs and was not heard."""

    text: str
    missing: list[str]
    entries: list[Entry]


def write(
    patterns: Sequence[Pattern],
    heard: str,
    model: str | None,
    inputs: Sequence[TensorInfo] = (),
    orders: Mapping[int, Sequence[str]] | None = None,
) -> Draft | None:
    """A VM file for the busiest pattern, or for those that fit a model's inputs best.

    `orders` are the names of an input's elements in the model's order, by input, where known. None
    where no pattern was found.
    """
    if not patterns:
        return None
    entries = [_without_model(patterns[0])]
    if model is not None:
        entries = _for_model(patterns, inputs, orders or {})
    missing = [note for each in entries for note in each.missing()]
    lines = [f"# Drafted by `neurovm init` from {heard}."]
    lines += [] if model else ["# Name the model below; `neurovm init --model FILE` fits the rest."]
    lines += [f"# Missing: {clean(note)}" for note in (missing if model else [])]
    lines += [f"model: {quoted(model or PLACEHOLDER)}", "inputs:"]
    for entry in entries:
        lines += _entry(entry, known=model is not None)
    lines += ["output: {on: change, form: {top_k: 1}}"]
    lines += _others([each for each in patterns if all(each is not e.pattern for e in entries)])
    return Draft("\n".join(lines) + "\n", missing if model else [], entries)


def _without_model(pattern: Pattern) -> Entry:
    return Entry(pattern, roles=roles(pattern, None))


def _for_model(
    patterns: Sequence[Pattern], inputs: Sequence[TensorInfo], orders: Mapping[int, Sequence[str]]
) -> list[Entry]:
    """For each input tensor the pattern that fits it best, each pattern once where possible."""
    entries: list[Entry] = []
    for tensor, info in enumerate(inputs):
        used = {id(entry.pattern) for entry in entries}
        left = [each for each in patterns if id(each) not in used] or list(patterns)
        order = orders.get(tensor, info.labels or ())
        candidates = [_fitted(pattern, tensor, info, order) for pattern in left]
        # `min` keeps the first of equals, and the busiest stands first.
        entries.append(min(candidates, key=lambda entry: 2 * len(entry.notes) + entry.is_unordered))
    return entries


def _fitted(pattern: Pattern, tensor: int, info: TensorInfo, order: Sequence[str]) -> Entry:
    """A pattern as the source of one input tensor; its notes say what does not fit."""
    reading = pattern.reading
    entry = Entry(pattern, tensor, roles(pattern, info.size, order))
    if reading.form == "raw":
        if reading.size == info.bytes and info.dtype in ("int8", "uint8", "int16"):
            entry.dtype = info.dtype
        elif reading.size != 4 * info.size:
            entry.notes.append(f"{reading.size} bytes heard, {info.size} values needed")
        return entry
    if reading.form == "list":
        if reading.size != info.size:
            entry.notes.append(f"lists of {reading.size} heard, {info.size} values needed")
        return entry
    names = entry.names()
    if reading.form == "number" and "element" not in entry.roles.values():
        if info.size != 1:
            entry.notes.append(f"one number heard, {info.size} elements needed")
    elif reading.form == "number" and _are_numbers(names, info.size):
        if len(names) < info.size:
            entry.notes.append(f"{len(names)} of {info.size} elements heard (by number)")
    elif len(names) > MOST_ELEMENTS or sum(map(len, names)) > MOST_CHARACTERS:
        entry.notes.append(f"{len(names)} names, more than a VM file holds")
    elif len(names) == info.size:
        entry.elements = tuple(order) if set(order) == set(names) else None
        entry.is_unordered = entry.elements is None
    else:
        entry.notes.append(f"{len(names)} of {info.size} elements heard")
    return entry


def _are_numbers(names: Sequence[str], size: int) -> bool:
    plain = all(name.isascii() and name.isdigit() and len(name) < 10 for name in names)
    return bool(names) and plain and max(map(int, names)) < size


def roles(pattern: Pattern, size: int | None, order: Sequence[str] = ()) -> dict[int, str]:
    """What each varying level stands for; `size` and `order` are those of the model's input, where
    known.

    The last level that varies is the element of a number, unless only another has the model's own
    names, or as many names as the input has elements. A tensor's only varying level is its stream.
    """
    varying = list(pattern.varying)
    if pattern.reading.form != "number" or size == 1:
        return {varying[0]: "stream"} if varying else {}
    fitting = [at for at in varying if set(pattern.varying[at]) == set(order)] or [
        at for at in varying if len(pattern.varying[at]) == size
    ]
    last = len(pattern.levels) - 1
    element = fitting[-1] if fitting else (varying[-1] if varying else None)
    if len(varying) == 1 and not fitting and varying[0] != last:
        element = None  # plant/p1/temperature: what stands before the last level is a thing
    return {at: "element" if at == element else "stream" for at in varying}


def _entry(entry: Entry, *, known: bool) -> list[str]:
    reading = entry.pattern.reading
    if reading.form == "raw":
        payload = f"{{format: raw, dtype: {entry.dtype}}}"
    else:
        payload = f"{{format: json, field: {quoted(reading.path)}}}"
    lines = [
        f"  # {clean(summary(entry.pattern))}",
        f"  - topic: {quoted(entry.topic)}",
        f"    payload: {payload}",
        "    to:",
        f"      tensor: {entry.tensor}",
    ]
    if entry.elements is not None:
        return [
            *lines,
            "      # In the model's order, as it says itself.",
            *_elements(entry.elements),
        ]
    names = entry.names()
    if names and not _are_numbers(names, 1 << 30):
        why = "the model needs all of its own, in order"
        if known:
            why = "as many as the model needs; put them in its order, and take the # away"
            why = why if entry.is_unordered else "not as many as the model needs"
        lines.append(f"      # Heard; {why}:")
        # What only has to be put in order is there whole.
        shown = names if entry.is_unordered else names[:MOST_NAMES_SHOWN]
        lines += [f"      # {clean(line[6:])}" for line in _elements(shown)]
        if len(names) > len(shown):
            lines.append(f"      # and {len(names) - len(shown)} more")
    if reading.form == "raw" and not known:
        lines.append(f"      # {reading.size} bytes: int8 or uint8 where the model's input is.")
    return lines


def _elements(names: Sequence[str]) -> list[str]:
    """`elements: [a, b, …]`, broken to the width of a page."""
    lines = ["      elements: ["]
    shown = [quoted(name) for name in names]
    for at, name in enumerate(shown):
        part = name + (", " if at < len(shown) - 1 else "]")
        if len(lines[-1]) + len(part) > WIDE and not lines[-1].endswith("["):
            lines[-1] = lines[-1].rstrip()
            lines.append("        ")
        lines[-1] += part
    return lines


def _others(patterns: Sequence[Pattern]) -> list[str]:
    if not patterns:
        return []
    lines = ["", "# Also heard:"]
    lines += [
        f"#   {clean(each.topic(roles(each, None)))}: {clean(summary(each))}"
        for each in patterns[:MOST_SHOWN]
    ]
    left = len(patterns) - MOST_SHOWN
    return [*lines, f"#   and {left} more"] if left > 0 else lines


def summary(pattern: Pattern) -> str:
    """What a pattern carries, in words."""
    reading = pattern.reading
    where = f" at {reading.path}" if reading.path else ""
    what = {
        "number": f"a number{where}",
        "list": f"a list of {reading.size} numbers{where}",
        "object": f"{len(reading.names)} numbers by name{where}",
        "raw": f"{reading.size} bytes",
    }[reading.form]
    span = "" if pattern.low is None else f", {pattern.low:.6g} to {pattern.high:.6g}"
    return f"{what}{span}; {pattern.topics:,} topics, {pattern.messages:,} messages"


def quoted(text: str) -> str:
    """A scalar that YAML reads as this text, and this text alone."""
    if text.replace("_", "a").replace("-", "a").replace(".", "a").isalnum() and text.isascii():
        plain = text[0].isalpha() and text.lower() not in ("true", "false", "null")
        if plain:
            return text
    # JSON is YAML; what YAML calls unprintable is escaped, beyond 16 bits as YAML writes it.
    return json.dumps(text, ensure_ascii=False) if text.isprintable() else _escaped(text)


def _escaped(text: str) -> str:
    inner = "".join(
        json.dumps(letter, ensure_ascii=False)[1:-1]
        if letter.isprintable()
        else f"\\U{ord(letter):08X}"
        for letter in text
    )
    return f'"{inner}"'


def clean(text: str) -> str:
    """For comments and terminals: nothing that moves a cursor or ends a line."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)
