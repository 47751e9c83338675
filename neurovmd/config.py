# SPDX-License-Identifier: Apache-2.0
"""Reading the configuration: the files that make it, in order.

The layers of `neurovmd.layers`, lowest first: in each `neurovmd.yaml`, then `conf.d/*.yaml` in
lexical order, then `nodes/NODE.yaml` (later wins); at last `NEUROVMD__MQTT__SERVER=…` in the
environment. One file a VM; its name is the VM's. References (`neurovmd.variables`) are replaced in
the values that won. Relative paths are relative to the file that names them. Whatever is wrong is a
ConfigError, and no secret is in it.
"""

from __future__ import annotations

import copy
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from neurovm import document
from neurovm.decode import Layered, convert
from neurovm.document import plain_scalar
from neurovm.errors import ConfigError
from neurovm.manifest import host_level
from neurovmd import layers, models, places, topics
from neurovmd.layers import Layer, Source
from neurovmd.payload import DEFAULT_FORMAT
from neurovmd.schema import LEVEL, Config, Vm
from neurovmd.variables import HIDDEN, Expansion, Unresolved, Variables, expand, expand_all

ENVIRONMENT_PREFIX = "NEUROVMD__"
# What stands where a VM's name would stand in a topic or a client id.
RESERVED_NAMES = frozenset({"availability", "info", "main", "sparkplug", "stats"})
PATHS = ("vm_dir", "cache_dir", "state_dir", "socket")
MQTT_PATHS = ("password_file", "ca_file")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Origins:
    """A document as it was read: before references were replaced, where each key comes from, and
    which keys hold secrets.
    """

    layered: Layered = field(default_factory=Layered)
    raw: dict[str, Any] = field(default_factory=dict)
    expansion: Expansion = field(default_factory=Expansion)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One VM as configured: its name, the file that says so, its settings, its model's path."""

    name: str
    file: Path
    vm: Vm
    model: Path
    origins: Origins = field(default_factory=Origins, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything in effect: paths absolute, node named, VMs in order of name."""

    config: Config
    node: str
    deployments: tuple[Deployment, ...]
    files: tuple[Path, ...]
    origins: Origins = field(default_factory=Origins, compare=False, repr=False)

    def names(self, vm: str) -> dict[str, str]:
        """What `{prefix}`, `{node}` and `{vm}` stand for in a topic."""
        return {"prefix": self.config.prefix, "node": self.node, "vm": vm}

    def secrets(self) -> frozenset[str]:
        """The texts that no line of ours may hold."""
        documents = (self.origins, *(each.origins for each in self.deployments))
        return frozenset(secret for each in documents for secret in each.expansion.secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What stands around the files: this process' places, environment and host name by default."""

    where: places.Places
    environ: Mapping[str, str]
    host: str
    variables: Variables


def load(
    file: Path | Source | None = None,
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
    file: Path | Source | None = None,
    *,
    where: places.Places | None = None,
    environ: Mapping[str, str] | None = None,
    host: str | None = None,
    variables: Variables | None = None,
) -> tuple[Settings, list[ConfigError]]:
    """As `load`, but with every VM's error beside the settings of those that are right.

    An error in the main files is still raised: nothing after it can be judged.
    """
    source = file if isinstance(file, Source) else Source(file)
    around = os.environ if environ is None else environ
    reader = Reader(
        where=where or places.here(),
        environ=around,
        host=host or socket.gethostname(),
        variables=variables or Variables(around),
    )
    stack = source.layers(reader.where)
    node = _node(stack, reader)
    files = layers.files(stack, node)
    layered = _merged(files, reader)
    variables = Variables(around, node, reader.variables.serial)
    config, origins = _convert(layered, Config, variables)
    config = _with_paths(config, layered, reader.where, stack)
    if config.node is not None and config.node != node:
        found = f"{config.node!r} in the overlay of {node!r}"
        raise layered.error("node", found, "the node's name in neurovmd.yaml or conf.d")
    vm_files = _vm_files(stack, config, layered, node)
    deployments: list[Deployment] = []
    errors: list[ConfigError] = []
    for path in vm_files:
        try:
            deployments.append(_deployment(path, config, variables, stack))
        except ConfigError as error:  # each file is judged for itself
            errors.append(error)
    deployments.sort(key=lambda each: each.name)
    main = tuple(path.absolute() for path in files)
    return Settings(config, node, tuple(deployments), (*main, *vm_files), origins), errors


def _merged(files: list[Path], reader: Reader) -> Layered:
    layered = Layered.merge([document.read(path.absolute()) for path in files])
    layered.override(ENVIRONMENT_PREFIX, reader.environ)
    return layered


def _node(stack: tuple[Layer, ...], reader: Reader) -> str:
    """The node's name, which says which overlay to read: from all but the overlays."""
    layered = _merged([path for _, path in layers.common_files(stack)], reader)
    given = layered.value.get("node")
    if given is None:
        return host_level(reader.host)
    try:
        text = str(given)
        name, _ = expand(text, reader.variables, layered.resolve("node", "x").parent)
    except Unresolved as error:
        raise layered.error("node", error.found, error.accepted) from None
    if not re.match(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z", name) or not isinstance(given, str):
        raise layered.error("node", repr(given)[:80], LEVEL)
    return name


def _convert(layered: Layered, kind: type[T], variables: Variables) -> tuple[T, Origins]:
    """The struct with references replaced; no secret is in an error."""
    raw = copy.deepcopy(layered.value)
    expansion = expand_all(layered, variables)
    origins = Origins(layered, raw, expansion)
    numbers = sorted(expansion.whole)
    while True:
        try:
            return convert(layered, kind), origins
        except ConfigError as error:
            if error.key not in numbers:
                raise discreet(error, expansion) from None
            numbers.remove(error.key)
            if not _read_scalar(layered.value, error.key):
                raise discreet(error, expansion) from None


def _read_scalar(value: Any, key: str) -> bool:
    """Let the text at `key` be the number or word that it reads as; whether that changed it."""
    steps: list[Any] = [
        int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", key)
    ]
    for step in steps[:-1]:
        value = value[step]
    before = value[steps[-1]]
    value[steps[-1]] = plain_scalar(before) if isinstance(before, str) else before
    return value[steps[-1]] is not before


def discreet(error: ConfigError, expansion: Expansion) -> ConfigError:
    """The error without a secret."""
    found, accepted = error.found, error.accepted
    if expansion.hides(error.key):
        found = HIDDEN
    for secret in sorted(expansion.secrets, key=len, reverse=True):
        found, accepted = found.replace(secret, HIDDEN), accepted.replace(secret, HIDDEN)
    return ConfigError(error.file, error.key, found, accepted, line=error.line, column=error.column)


def _vm_files(
    stack: tuple[Layer, ...], config: Config, layered: Layered, node: str
) -> tuple[Path, ...]:
    """The VMs' files that hold, in order of name; none where no folder is there."""
    giver = _giver(stack, layered)
    folders: list[tuple[Layer, Path]] = []
    for layer in stack:
        folders.append((layer, Path(config.vm_dir) if layer is giver else layer.vm_dir()))
        folders.append((layer, layer.node_vm_dir(node)))
    try:
        found = [path for _, path in layers.effective(folders)]
    except (ConfigError, OSError, ValueError) as error:
        if isinstance(error, ConfigError) and not (
            layered.gives("vm_dir") and error.file == config.vm_dir
        ):
            raise
        reason = error.found if isinstance(error, ConfigError) else str(error)
        unusable = f"a path that cannot be used ({reason})"
        raise layered.error("vm_dir", unusable, "the path of a folder") from None
    return tuple(sorted(found, key=lambda path: path.name))


def _giver(stack: tuple[Layer, ...], layered: Layered) -> Layer | None:
    """The layer whose VMs stand in `vm_dir`: that which gives it, else the configuration's own."""
    own = next((layer for layer in stack if layer.own), None)
    origin = layered.origins.get("vm_dir")
    if origin is None:
        return own
    inside = [layer for layer in stack if Path(origin.file).is_relative_to(layer.folder)]
    if origin.line is not None and inside:
        return max(inside, key=lambda layer: len(layer.folder.parts))
    return own or stack[-1]


def _with_paths(
    config: Config, layered: Layered, where: places.Places, stack: tuple[Layer, ...]
) -> Config:
    """`config` with absolute paths; keys that no file gives take this process' places, `vm_dir`
    the folder of the configuration itself.
    """
    changes: dict[str, Any] = {}
    for key in PATHS:
        given = layered.gives(key)
        changes[key] = str(
            layered.resolve(key, getattr(config, key)) if given else getattr(where, key)
        )
    if not layered.gives("vm_dir"):
        own = next((layer for layer in stack if layer.own), stack[-1])
        changes["vm_dir"] = str(own.vm_dir())
    mqtt: dict[str, Any] = {
        key: str(layered.resolve(f"mqtt.{key}", getattr(config.mqtt, key)))
        for key in MQTT_PATHS
        if getattr(config.mqtt, key) is not None
    }
    if mqtt:
        changes["mqtt"] = msgspec.structs.replace(config.mqtt, **mqtt)
    return msgspec.structs.replace(config, **changes)


def _deployment(
    path: Path, config: Config, variables: Variables, stack: tuple[Layer, ...]
) -> Deployment:
    name = path.stem
    if not re.match(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z", name):
        raise ConfigError(str(path), "", f"the VM name {name!r}", LEVEL)
    layered = Layered.merge([document.read(path)])
    layered.anchor(str(path))
    layered.default_tag("inputs", "payload", "format", DEFAULT_FORMAT)
    vm, origins = _convert(layered, Vm, variables)
    if name in RESERVED_NAMES:
        raise ConfigError(str(path), "", f"the VM name {name!r}", "a name the daemon does not use")
    if models.is_reference(vm.model):
        beside = path.parent.parent  # `models` stands beside `vm.d`
        model = models.find(vm.model, [*(layer.folder for layer in stack), beside][::-1])
    else:
        model = layered.resolve("model", vm.model)
    deployment = Deployment(name, path, vm, model, origins)
    names = {"prefix": config.prefix, "node": variables.node or "", "vm": name}
    try:
        _check_loops(deployment, layered, names)
    except ConfigError as error:
        raise discreet(error, origins.expansion) from None
    return deployment


def _check_loops(deployment: Deployment, layered: Layered, names: Mapping[str, str]) -> None:
    """Refuse a VM that would hear its own results or what it tells an actuator."""
    vm = deployment.vm
    said = {"output.topic": vm.output.topic}
    if vm.output.senml is not None:
        said["output.senml.topic"] = vm.output.senml.topic
    said |= {f"actuators[{at}].topic": each.topic for at, each in enumerate(vm.actuators)}
    for number, source in enumerate(vm.inputs):
        pattern = topics.parse_input(source.topic, names)
        for key, topic in said.items():
            if pattern.matches(topics.fill(topic, names).split("/")):
                own = "the VM's own results" if key == "output.topic" else key
                raise layered.error(
                    f"inputs[{number}].topic",
                    f"{source.topic!r}, which matches {own}",
                    f"a topic apart from {key}",
                )
