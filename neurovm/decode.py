# SPDX-License-Identifier: Apache-2.0
"""From layered documents to a typed struct: errors name file, line, column, key and a remedy."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec

from neurovm.document import Document, plain_scalar
from neurovm.errors import ConfigError

T = TypeVar("T")

_PLACE = re.compile(r"(?s)(.*?)(?: - at `(?:key in )?\$\.?(.*)`)?\Z")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`\Z", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`\Z", re.DOTALL)
_FOUND_ACCEPTED = re.compile(r"(?s)(?:(\w+): )?found (.*?); accepted: (.*)\Z")


class Origin(NamedTuple):
    """Where a value comes from; `line` and `column` are None outside files."""

    file: str
    line: int | None = None
    column: int | None = None


@dataclass(slots=True)
class Layered:
    """Documents laid over one another; `origins` maps a key path to the place that won."""

    value: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)

    @classmethod
    def merge(cls, documents: Sequence[Document]) -> Layered:
        """Mappings merge key by key, everything else is replaced by the later document."""
        layered = cls()
        for layer in documents:
            layered.files.append(layer.file)
            _merge(layered.value, layer.value)
            layered.origins.update(
                (path, Origin(layer.file, *place)) for path, place in layer.places.items()
            )
        return layered

    def override(self, prefix: str, environ: Mapping[str, str]) -> None:
        """Take `<prefix>A__B=value` from the environment as key `a.b`."""
        for name in sorted(environ):
            if not name.startswith(prefix):
                continue
            keys = name[len(prefix) :].lower().split("__")
            self.origins[".".join(keys)] = Origin(f"environment variable {name}")
            place = self.value
            for key in keys[:-1]:
                inner = place.get(key)
                place[key] = inner if isinstance(inner, dict) else {}
                place = place[key]
            place[keys[-1]] = plain_scalar(environ[name])

    def default_tag(self, sequence: str, member: str, tag: str, value: str) -> None:
        """Give each `sequence[i].member` that names no `tag` this value."""
        items = self.value.get(sequence)
        for item in items if isinstance(items, list) else []:
            inner = item.get(member) if isinstance(item, dict) else None
            if isinstance(inner, dict):
                inner.setdefault(tag, value)

    def anchor(self, file: str) -> None:
        """Let errors that concern no key of the file point at its beginning."""
        self.origins[""] = Origin(file, 1, 1)

    def gives(self, key: str) -> bool:
        return key in self.origins

    def resolve(self, key: str, path: str) -> Path:
        """`path` absolute: relative to the file that gave `key`, else to the working folder."""
        origin = self.origins.get(key, Origin(""))
        base = Path(origin.file).parent if origin.line is not None else Path()
        return (base / Path(path).expanduser()).absolute()

    def error(self, key: str, found: str, accepted: str) -> ConfigError:
        """A ConfigError at the nearest key that a file gives."""
        place = key
        while place and place not in self.origins:
            place = re.sub(r"(\.[^.\[\]]*|\[\d+\]|^[^.\[\]]*)\Z", "", place)
        default = self.files[-1] if self.files else "built-in defaults"
        origin = self.origins.get(place, Origin(default))
        return ConfigError(
            origin.file, key, found, accepted, line=origin.line, column=origin.column
        )


def convert(layered: Layered, kind: type[T]) -> T:
    """The struct; ConfigError where a key is unknown, missing, or has a wrong type or value."""
    try:
        return msgspec.convert(layered.value, kind)
    except msgspec.ValidationError as error:
        raise _explain(str(error), layered, kind) from None


def _merge(under: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(key), dict):
            _merge(under[key], value)
        else:
            under[key] = value


def _explain(message: str, layered: Layered, kind: type) -> ConfigError:
    match = _PLACE.match(message)
    text, path = (match[1], match[2] or "") if match else (message, "")
    if unknown := _UNKNOWN.match(text):
        return _unknown_key(unknown[1], path, layered, kind)
    if missing := _MISSING.match(text):
        key = _join(path, missing[1])
        return layered.error(key, "nothing", _describe(_annotation(kind, key, layered.value)))
    if own := _FOUND_ACCEPTED.match(text):
        return layered.error(_join(path, own[1]) if own[1] else path, own[2], own[3])
    found = _shorten(_value_at(layered.value, path))
    wanted = _describe(_annotation(kind, path, layered.value))
    return layered.error(path, found, wanted or text)


def similar(name: str, known: Sequence[str]) -> str | None:
    """The known word that was probably meant: the only one that goes on as `name` begins, else the
    most alike; None where nothing is.
    """
    from difflib import get_close_matches

    longer = [word for word in known if name and word.startswith(name)]
    if len(longer) == 1:
        return longer[0]
    near = get_close_matches(name, longer or known, n=1, cutoff=0.0 if longer else 0.5)
    return near[0] if near else None


def _unknown_key(name: str, path: str, layered: Layered, kind: type) -> ConfigError:
    inner = _annotation(kind, path, layered.value) if path else kind
    known = _field_names(_meant(inner, _value_at(layered.value, path)))
    near = similar(name, known)
    hint = f"{near} (did you mean this?); " if near else ""
    accepted = f"{hint}any of {', '.join(known)}" if known else "no such key"
    return layered.error(_join(path, name), f"the unknown key {name!r}", accepted)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _steps(path: str) -> list[str | int]:
    return [
        int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path)
    ]


def _value_at(value: Any, path: str) -> Any:
    try:
        for step in _steps(path):
            value = value[step]
    except (KeyError, IndexError, TypeError):
        return None
    return value


def _shorten(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _variants(annotation: Any) -> list[Any]:
    """The alternatives of a union, without `Annotated` wrappers."""
    if get_origin(annotation) is typing.Annotated:
        return _variants(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for part in get_args(annotation) for kind in _variants(part)]
    return [annotation]


def _field_names(annotation: Any) -> list[str]:
    names: list[str] = []
    for kind in _variants(annotation):
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            tag = kind.__struct_config__.tag_field
            names += [tag] if tag else []
            names += [part.name for part in msgspec.structs.fields(kind)]
    return list(dict.fromkeys(names))


def _annotation(kind: Any, path: str, value: Any = None) -> Any:
    """The annotation of the key at `path`, or None. `value`, which is to be of `kind`, says which
    of several structs is meant.
    """
    for step in _steps(path):
        if isinstance(step, int):
            lists = [part for part in _variants(kind) if get_origin(part) is list]
            kind = get_args(lists[0])[0] if lists else None
        else:
            kind = _member(_meant(kind, value), str(step))
        value = _value_at(value, f"[{step}]" if isinstance(step, int) else step)
    return kind


def _member(kind: Any, name: str) -> Any:
    """The annotation of a field of a struct, or of several; of their tag the tags; else None."""
    inner = None
    for struct in _variants(kind):
        if isinstance(struct, type) and issubclass(struct, msgspec.Struct):
            fields = {part.name: part.type for part in msgspec.structs.fields(struct)}
            inner = inner or fields.get(name)
            if inner is None and name == struct.__struct_config__.tag_field:
                inner = typing.Literal[tuple(_tags(kind))]
    return inner


def _meant(kind: Any, value: Any) -> Any:
    """Of several structs that which the tag in `value` names, but where a wrong tag is at fault."""
    for struct in _variants(kind):
        if isinstance(struct, type) and issubclass(struct, msgspec.Struct):
            config = struct.__struct_config__
            given = value.get(config.tag_field) if isinstance(value, dict) else None
            if config.tag_field and given == config.tag:
                return struct
    return kind


def _tags(annotation: Any) -> list[str]:
    """The tags of the structs in a union."""
    structs = [part for part in _variants(annotation) if isinstance(part, type)]
    return [str(part.__struct_config__.tag) for part in structs if issubclass(part, msgspec.Struct)]


_PLAIN = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _describe(annotation: Any) -> str:
    """The accepted values of an annotation in words; empty when there is nothing to say."""
    if annotation is None:
        return ""
    words: list[str] = []
    tags = _tags(annotation)
    for kind in _alternatives(annotation):
        if kind is type(None):
            continue
        if get_origin(kind) is typing.Annotated:
            words.append(_describe_range(*get_args(kind)[:2]))
        elif get_origin(kind) is typing.Literal:
            values = get_args(kind)
            words += [_word(value, values) for value in values]
        elif get_origin(kind) in (list, tuple):
            words.append("a list")
        elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            tag = kind.__struct_config__.tag_field
            several = tag is not None and len(tags) > 1
            among = f"a mapping with {tag}: {', '.join(tags)}"
            words.append(among if several else f"a mapping of {', '.join(_field_names(kind))}")
        else:
            words.append(_PLAIN.get(kind, str(kind)))
    optional = ["or no such key"] if type(None) in _alternatives(annotation) else []
    return ", ".join(dict.fromkeys(words + optional))


def _word(value: object, values: tuple[object, ...]) -> str:
    """A literal as it is to be written: a text that reads as a number stands in quotes."""
    read = plain_scalar(str(value))
    return (
        f'"{value}"'
        if isinstance(value, str) and read != value and read not in values
        else str(value)
    )


def _alternatives(annotation: Any) -> list[Any]:
    """The members of a union as written."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for part in get_args(annotation) for kind in _alternatives(part)]
    return [annotation]


def _describe_range(kind: Any, meta: msgspec.Meta) -> str:
    """`Annotated[int, Meta(ge=1, le=9)]` as "a whole number, 1 to 9"."""
    if meta.description:
        return meta.description
    low = next((bound for bound in (meta.ge, meta.gt, meta.min_length) if bound is not None), None)
    high = next((bound for bound in (meta.le, meta.lt, meta.max_length) if bound is not None), None)
    above = "above " if meta.gt is not None else ""
    open_end = "" if above else " or more"
    limits = f"{above}{low}" + (open_end if high is None else f" to {high}")
    if get_origin(kind) in (list, tuple):
        return f"a list of {limits if low is not None else f'at most {high}'} entries"
    return f"{_PLAIN.get(kind, str(kind))}, {limits}" + (" long" if meta.min_length else "")
