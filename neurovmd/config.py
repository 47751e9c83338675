# SPDX-License-Identifier: Apache-2.0
"""Reading the configuration: the files that make it, in order.

`neurovmd.yaml`, then `conf.d/*.yaml` beside it in lexical order (later wins), then
`NEUROVMD__MQTT__SERVER=…` in the environment. One file a VM in `vm_dir`; its name is the VM's.
Relative paths are relative to the file that names them. Whatever is wrong is a ConfigError.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from neurovm import document
from neurovm.decode import Layered, convert
from neurovm.errors import ConfigError
from neurovmd import places, topics
from neurovmd.payload import DEFAULT_FORMAT
from neurovmd.schema import LEVEL, Config, Vm

ENVIRONMENT_PREFIX = "NEUROVMD__"
# What stands where a VM's name would stand in a topic or a client id.
RESERVED_NAMES = frozenset({"availability", "info", "main"})


@dataclass(frozen=True, slots=True)
class Deployment:
    """One VM as configured: its name, the file that says so, its settings, its model's path."""

    name: str
    file: Path
    vm: Vm
    model: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything in effect: paths absolute, node named, VMs in order of name."""

    config: Config
    node: str
    deployments: tuple[Deployment, ...]
    files: tuple[Path, ...]

    def names(self, vm: str) -> dict[str, str]:
        """What `{prefix}`, `{node}` and `{vm}` stand for in a topic."""
        return {"prefix": self.config.prefix, "node": self.node, "vm": vm}


def load(
    file: Path | None = None,
    *,
    where: places.Places | None = None,
    environ: Mapping[str, str] | None = None,
    host: str | None = None,
) -> Settings:
    """Read the configuration; ConfigError says what is wrong and where.

    `file` None means the usual place, which may be missing. The other arguments stand in for
    this process' places, environment and host name.
    """
    settings, errors = examine(file, where=where, environ=environ, host=host)
    if errors:
        raise errors[0]
    return settings


def examine(
    file: Path | None = None,
    *,
    where: places.Places | None = None,
    environ: Mapping[str, str] | None = None,
    host: str | None = None,
) -> tuple[Settings, list[ConfigError]]:
    """As `load`, but with every VM's error beside the settings of those that are right.

    An error in the main file is still raised: nothing after it can be judged.
    """
    where = where or places.here()
    layers, files = _layers(file, where)
    layered = Layered.merge(layers)
    layered.override(ENVIRONMENT_PREFIX, os.environ if environ is None else environ)
    config = _with_paths(convert(layered, Config), layered, where)
    node = config.node or _host_level(host or socket.gethostname())
    vm_files = _vm_files(config, layered)
    deployments: list[Deployment] = []
    errors: list[ConfigError] = []
    for path in vm_files:
        try:
            deployments.append(_deployment(path, config, node))
        except ConfigError as error:  # each file is judged for itself
            errors.append(error)
    return Settings(config, node, tuple(deployments), (*files, *vm_files)), errors


def _layers(
    file: Path | None, where: places.Places
) -> tuple[list[document.Document], tuple[Path, ...]]:
    main = file or where.config_file
    drop_ins = sorted((main.parent / "conf.d").glob("*.yaml"))
    present = [main] if file or main.exists() else []
    files = tuple(path.absolute() for path in (*present, *drop_ins))
    return [document.read(path) for path in files], files


def _vm_files(config: Config, layered: Layered) -> tuple[Path, ...]:
    """The VMs' files in order of name; none where the folder is not there."""
    try:
        return tuple(sorted(Path(config.vm_dir).glob("*.yaml")))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        found = f"a path that cannot be used ({reason})"
        raise layered.error("vm_dir", found, "the path of a folder") from None


def _with_paths(config: Config, layered: Layered, where: places.Places) -> Config:
    """`config` with absolute paths; keys that no file gives take this process' places."""
    changes: dict[str, Any] = {}
    for key in ("vm_dir", "cache_dir", "state_dir", "socket"):
        given = layered.gives(key)
        changes[key] = str(
            layered.resolve(key, getattr(config, key)) if given else getattr(where, key)
        )
    mqtt: dict[str, Any] = {
        key: str(layered.resolve(f"mqtt.{key}", getattr(config.mqtt, key)))
        for key in ("password_file", "ca_file")
        if getattr(config.mqtt, key) is not None
    }
    if mqtt:
        changes["mqtt"] = msgspec.structs.replace(config.mqtt, **mqtt)
    return msgspec.structs.replace(config, **changes)


def _host_level(host: str) -> str:
    """The host's name as one topic level."""
    level = re.sub(r"[^A-Za-z0-9_.-]", "-", host.split(".", maxsplit=1)[0])[:64].lstrip("_.-")
    return level or "node"


def _deployment(path: Path, config: Config, node: str) -> Deployment:
    name = path.stem
    if not re.match(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z", name):
        raise ConfigError(str(path), "", f"the VM name {name!r}", LEVEL)
    layered = Layered.merge([document.read(path)])
    layered.anchor(str(path))
    layered.default_tag("inputs", "payload", "format", DEFAULT_FORMAT)
    vm = convert(layered, Vm)
    if name in RESERVED_NAMES:
        raise ConfigError(str(path), "", f"the VM name {name!r}", "a name the daemon does not use")
    deployment = Deployment(name, path, vm, layered.resolve("model", vm.model))
    _check_loops(deployment, layered, {"prefix": config.prefix, "node": node, "vm": name})
    return deployment


def _check_loops(deployment: Deployment, layered: Layered, names: Mapping[str, str]) -> None:
    """Refuse a VM that would hear its own results."""
    output = topics.fill(deployment.vm.output.topic, names).split("/")
    for number, source in enumerate(deployment.vm.inputs):
        if topics.parse_input(source.topic, names).matches(output):
            raise layered.error(
                f"inputs[{number}].topic",
                f"{source.topic!r}, which matches the VM's own results",
                "a topic apart from output.topic",
            )
