# SPDX-License-Identifier: Apache-2.0
"""One YAML document as plain values, with the line of every key, and bounded.

A configuration file may be damaged or hostile, so it is read event by event, never recursively:
at most 256 KiB, 32 levels and 20,000 values; no tags (they can name code), no aliases (they can
grow without bound), no second document, no key twice. Scalars follow YAML 1.2's core schema, so
`on:` is a key and `no` a word; `.inf` and `.nan` stay words, as nothing here may be infinite.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from neurovm.errors import ConfigError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_VALUES = 20_000

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Document:
    """`value` is made of dict, list, str, int, float, bool and None; `lines` maps a key path
    (`mqtt.server`, `inputs[0].topic`) to its line, counted from 1.
    """

    file: str
    value: dict[str, object]
    lines: dict[str, int]


@dataclass(slots=True)
class _Builder:
    """Turns parser events into values; `open` holds the containers being filled."""

    file: str
    root: object = None
    lines: dict[str, int] = field(default_factory=dict)
    open: list[tuple[dict[str, object] | list[object], str]] = field(default_factory=list)
    key: str | None = None
    values: int = 0

    def refuse(self, line: int, found: str, accepted: str) -> ConfigError:
        path = self.open[-1][1] if self.open else ""
        return ConfigError(self.file, path, found, accepted, line=line)

    def take(self, event: yaml.Event) -> None:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise self.refuse(line, "an anchor or alias", "every value written out")
        if getattr(event, "tag", None) is not None:
            raise self.refuse(line, f"the tag {getattr(event, 'tag', '')}", "plain values")
        if isinstance(event, yaml.ScalarEvent):
            self.scalar(event, line)
        elif isinstance(event, yaml.MappingStartEvent):
            self.enter({}, line)
        elif isinstance(event, yaml.SequenceStartEvent):
            self.enter([], line)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self.open.pop()

    def scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        if self.open and isinstance(self.open[-1][0], dict) and self.key is None:
            self.name(event.value, line)
        else:
            plain = event.implicit[0]
            self.put(plain_scalar(event.value) if plain else event.value, line)

    def name(self, key: str, line: int) -> None:
        container, _ = self.open[-1]
        if key in container:
            raise self.refuse(line, f"the key {key!r} a second time", "each key once")
        self.key = key

    def enter(self, container: dict[str, object] | list[object], line: int) -> None:
        if len(self.open) >= MAX_DEPTH:
            raise self.refuse(line, f"more than {MAX_DEPTH} levels", f"at most {MAX_DEPTH} levels")
        if self.open and isinstance(self.open[-1][0], dict) and self.key is None:
            raise self.refuse(line, "a list or mapping as a key", "a word as a key")
        self.open.append((container, self.put(container, line)))

    def put(self, value: object, line: int) -> str:
        """Place one value in the container being filled; returns its path."""
        self.values += 1
        if self.values > MAX_VALUES:
            raise self.refuse(line, f"more than {MAX_VALUES} values", "a smaller file")
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
            self.key = None
        self.lines[path] = line
        return path


def _line(event: yaml.Event) -> int:
    """The line of an event, from 1."""
    return event.start_mark.line + 1 if event.start_mark else 1


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
    """Parse `text`; ConfigError names `file` and the line of whatever is wrong."""
    if len(text) > MAX_BYTES:
        raise ConfigError(file, "", f"{len(text)} characters", f"at most {MAX_BYTES}")
    builder = _Builder(file)
    documents = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise builder.refuse(
                        _line(event), "a second document", "one document in a file"
                    )
            builder.take(event)
    except yaml.YAMLError as error:
        raise _syntax_error(error, file) from None
    value = {} if builder.root is None else builder.root
    if not isinstance(value, dict):
        raise ConfigError(file, "", f"a {type(value).__name__}", "a mapping of keys", line=1)
    return Document(file, value, builder.lines)


def read(path: Path) -> Document:
    """Read one file; ConfigError when it is missing, unreadable, too big or not YAML."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(str(path), "", str(error.strerror), "a readable file") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(str(path), "", f"more than {MAX_BYTES} bytes", f"at most {MAX_BYTES}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "", f"byte {error.start} is not UTF-8", "UTF-8") from None
    return parse(text, str(path))


def _syntax_error(error: yaml.YAMLError, file: str) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return ConfigError(
        file, "", f"a syntax error ({problem})", "YAML", line=mark.line + 1 if mark else None
    )
