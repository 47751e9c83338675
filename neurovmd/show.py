# SPDX-License-Identifier: Apache-2.0
"""The configuration for people: in effect, changed from the defaults, or with every value's origin.

Secrets are shown as `…`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TextIO

import msgspec

from neurovmd.config import Origins, Settings
from neurovmd.schema import Config, Input, Vm
from neurovmd.variables import HIDDEN

DEFAULT = "default"
# The node's name where no file gives one.
HOST = "host name"


def effective(settings: Settings) -> dict[str, Any]:
    """Every key with its value, defaults included."""
    config = {**msgspec.to_builtins(settings.config), "node": settings.node}
    vms = {
        each.name: _hidden(msgspec.to_builtins(each.vm), each.origins)
        for each in settings.deployments
    }
    return {**_hidden(config, settings.origins), "vms": vms}


def write_effective(settings: Settings, out: TextIO) -> None:
    write_data(effective(settings), "yaml", out)


def write_data(value: Any, form: str, out: TextIO) -> None:
    """Plain values as `json` or `yaml`."""
    if form == "json":
        out.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")
        return
    import yaml

    yaml.safe_dump(value, out, sort_keys=False, allow_unicode=True)


def as_data(settings: Settings, form: str) -> Any:
    """What `effective`, `diff` or `origin` shows, as plain values."""
    if form == "effective":
        return effective(settings)
    return [
        {
            "key": key,
            "value": value,
            "default": None if default is msgspec.UNSET else default,
            "origin": origin,
        }
        for key, value, default, origin in _rows(settings)
        if form == "origin" or _differs(value, default, origin)
    ]


def write_origin(settings: Settings, out: TextIO) -> None:
    """A line a value: `mqtt.server: "mqtt://a"  # FILE:LINE`."""
    rows = _rows(settings)
    out.writelines(f"{key}: {_text(value)}  # {origin}\n" for key, value, _, origin in rows)


def write_diff(settings: Settings, out: TextIO) -> None:
    """A line a value that is not the default: `key: default -> value  # FILE:LINE`."""
    for key, value, default, origin in _rows(settings):
        if _differs(value, default, origin):
            before = _text(default) if default is not msgspec.UNSET else "nothing"
            out.write(f"{key}: {before} -> {_text(value)}  # {origin}\n")


def _differs(value: Any, default: Any, origin: str) -> bool:
    return bool(origin != DEFAULT and value != default)


def _rows(settings: Settings) -> Iterator[tuple[str, Any, Any, str]]:
    """Key, value, default and origin of every value."""
    defaults = msgspec.to_builtins(Config())
    values = {**msgspec.to_builtins(settings.config), "node": settings.node}
    for key, value, default, origin in _document(values, defaults, settings.origins):
        yield key, value, default, HOST if key == "node" and origin == DEFAULT else origin
    for each in settings.deployments:
        plain = Vm(model=each.vm.model, inputs=[Input(topic="x") for _ in each.vm.inputs])
        values, defaults = msgspec.to_builtins(each.vm), msgspec.to_builtins(plain)
        defaults.pop("model")
        for source in defaults["inputs"]:
            source.pop("topic")
        for key, value, default, origin in _document(values, defaults, each.origins):
            yield f"vms.{each.name}.{key}", value, default, origin


def _document(
    values: Mapping[str, Any], defaults: Mapping[str, Any], origins: Origins
) -> Iterator[tuple[str, Any, Any, str]]:
    known = dict(_leaves(defaults))
    for key, value in _leaves(_hidden(values, origins)):
        yield key, value, known.get(key, msgspec.UNSET), origin_of(origins, key)


def origin_of(origins: Origins, key: str) -> str:
    """`FILE:LINE` of a key, `environment variable X`, or `default`."""
    origin = origins.layered.origins.get(key)
    if origin is None:
        return DEFAULT
    return origin.file if origin.line is None else f"{origin.file}:{origin.line}"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The scalars, empty lists and empty mappings of a tree with their paths."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]")
    else:
        yield path, value


def _hidden(value: Any, origins: Origins, path: str = "") -> Any:
    """The tree with secrets as `…`."""
    if isinstance(value, Mapping):
        return {
            name: _hidden(inner, origins, f"{path}.{name}" if path else str(name))
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_hidden(each, origins, f"{path}[{i}]") for i, each in enumerate(value)]
    return HIDDEN if path in origins.expansion.secret_keys else value


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
