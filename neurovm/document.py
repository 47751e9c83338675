# SPDX-License-Identifier: Apache-2.0
"""One YAML document as plain values, with the place of every key, and bounded.

A file may be damaged or hostile, so it is read event by event, never recursively: at most 256 KiB,
32 levels and 20,000 values; no tags (they can name code), no aliases (they can grow without bound),
no second document, no key twice. Scalars follow YAML 1.2's core schema, so `on:` is a key and `no`
a word; `.inf` and `.nan` stay words, as nothing here may be infinite.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml

from neurovm.errors import ConfigError
from neurovm.regular import open_regular

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_VALUES = 20_000

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# YAML 1.1 and 1.2, c-printable: everything else.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}


class Place(NamedTuple):
    """Line and column, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """`value` is made of dict, list, str, int, float, bool and None; `places` maps a key path
    (`mqtt.server`, `inputs[0].topic`) to where the key (in a list: the entry) stands.
    """

    file: str
    value: dict[str, object]
    places: dict[str, Place]


@dataclass(slots=True)
class _Builder:
    """Turns parser events into values; `open` holds the containers being filled."""

    file: str
    root: object = None
    places: dict[str, Place] = field(default_factory=dict)
    open: list[tuple[dict[str, object] | list[object], str]] = field(default_factory=list)
    key: str | None = None
    key_place: Place | None = None
    values: int = 0

    def refuse(self, place: Place, found: str, accepted: str) -> ConfigError:
        path = self.open[-1][1] if self.open else ""
        return ConfigError(self.file, path, found, accepted, line=place.line, column=place.column)

    def take(self, event: yaml.Event) -> None:
        place = _place(event)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise self.refuse(place, "an anchor or alias", "every value written out")
        if getattr(event, "tag", None) is not None:
            raise self.refuse(place, f"the tag {getattr(event, 'tag', '')}", "plain values")
        if isinstance(event, yaml.ScalarEvent):
            self.scalar(event, place)
        elif isinstance(event, yaml.MappingStartEvent):
            self.enter({}, place)
        elif isinstance(event, yaml.SequenceStartEvent):
            self.enter([], place)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self.open.pop()

    def scalar(self, event: yaml.ScalarEvent, place: Place) -> None:
        if self.open and isinstance(self.open[-1][0], dict) and self.key is None:
            self.name(event.value, place)
        else:
            plain = event.implicit[0]
            self.put(plain_scalar(event.value) if plain else event.value, place)

    def name(self, key: str, place: Place) -> None:
        container, _ = self.open[-1]
        if key in container:
            raise self.refuse(place, f"the key {key!r} a second time", "each key once")
        self.key = key
        self.key_place = place

    def enter(self, container: dict[str, object] | list[object], place: Place) -> None:
        if len(self.open) >= MAX_DEPTH:
            raise self.refuse(place, f"more than {MAX_DEPTH} levels", f"at most {MAX_DEPTH} levels")
        if self.open and isinstance(self.open[-1][0], dict) and self.key is None:
            raise self.refuse(place, "a list or mapping as a key", "a word as a key")
        self.open.append((container, self.put(container, place)))

    def put(self, value: object, place: Place) -> str:
        """Place one value in the container being filled; returns its path."""
        self.values += 1
        if self.values > MAX_VALUES:
            raise self.refuse(place, f"more than {MAX_VALUES} values", "a smaller file")
        if not self.open:
            self.root = value
            return ""
        container, path = self.open[-1]
        if isinstance(container, list):
            path = f"{path}[{len(container)}]"
            container.append(value)
        else:
            path = f"{path}.{self.key}" if path else str(self.key)
            container[str(self.key)] = value
            place = self.key_place or place
            self.key = None
        self.places[path] = place
        return path


def _place(event: yaml.Event) -> Place:
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)


def plain_scalar(text: str) -> object:
    """The value of an unquoted word: None, bool, int, float, else the word itself."""
    lowered = text.lower()
    if lowered in _WORDS:
        return _WORDS[lowered]
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text):
        number = float(text)
        return number if abs(number) != float("inf") else text
    return text


def parse(text: str, file: str) -> Document:
    """Parse `text`; ConfigError names `file` and the place of whatever is wrong."""
    if len(text) > MAX_BYTES:
        raise ConfigError(file, "", f"{len(text)} characters", f"at most {MAX_BYTES}")
    builder = _Builder(file)
    documents = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    place = _place(event)
                    raise builder.refuse(place, "a second document", "one document in a file")
            builder.take(event)
    except yaml.YAMLError as error:
        raise _syntax_error(error, file, text) from None
    value = {} if builder.root is None else builder.root
    if not isinstance(value, dict):
        found = f"a {type(value).__name__}"
        raise ConfigError(file, "", found, "a mapping of keys", line=1, column=1)
    return Document(file, value, builder.places)


def _unreadable(text: str) -> Place | None:
    """Where the first character stands that no YAML may hold."""
    found = _UNPRINTABLE.search(text)
    if found is None:
        return None
    before = text[: found.start()]
    return Place(before.count("\n") + 1, found.start() - before.rfind("\n"))


def read(path: Path) -> Document:
    """Read one file; ConfigError when it is missing, unreadable, too big or not YAML."""
    try:
        with open_regular(path) as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(str(path), "", str(error.strerror), "a readable file") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(str(path), "", f"more than {MAX_BYTES} bytes", f"at most {MAX_BYTES}")
    return parse(decode_text(data, str(path)), str(path))


def decode_text(data: bytes, file: str) -> str:
    """The bytes of a file as text; ConfigError where they are not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte {error.start} is not UTF-8"
        raise ConfigError(file, "", found, "UTF-8", line=line) from None


def _syntax_error(error: yaml.YAMLError, file: str, text: str) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    place = Place(mark.line + 1, mark.column + 1) if mark else _unreadable(text)
    return ConfigError(
        file,
        "",
        f"a syntax error ({problem})",
        "YAML",
        line=place.line if place else None,
        column=place.column if place else None,
    )
