# SPDX-License-Identifier: Apache-2.0
"""The last configuration that was right, in a folder of the state: for a start when none is.

It is a layer like any other: main file, VMs, models by content. References stay references, so no
secret is written. A new one is written beside the old one and takes its place by one rename.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from neurovm import document
from neurovm.errors import ConfigError
from neurovmd import config, layers, log, models, places
from neurovmd.config import MQTT_PATHS, PATHS, Origins, Settings
from neurovmd.identity import config_hash
from neurovmd.layers import Source

NAME = "last_good"
_FILE = re.compile(r"(?<!\$)\$\{file:([^{}\n]*)\}")


def folder(state_dir: Path) -> Path:
    return state_dir / NAME


def save(settings: Settings) -> None:
    """Keep a copy; a copy that cannot be written is logged, the old one stays."""
    import shutil

    state_dir = Path(settings.config.state_dir)
    link = folder(state_dir)
    target = state_dir / f"{NAME}-{config_hash(settings)[:16]}"
    try:
        if link.is_symlink() and link.resolve() == target.resolve() and target.exists():
            return
        scratch = state_dir / f"{NAME}.{os.getpid()}"
        shutil.rmtree(scratch, ignore_errors=True)
        _write(settings, scratch, link)
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
        _sync(state_dir)
        scratch.symlink_to(target.name)
        scratch.replace(link)
        _sync(state_dir)
        for other in state_dir.glob(f"{NAME}-*"):
            if other != target:
                shutil.rmtree(other, ignore_errors=True)
    except OSError as error:
        log.warning("last_good.not_written", folder=link, error=error)


def _write(settings: Settings, target: Path, before: Path) -> None:
    (target / "vm.d").mkdir(parents=True)
    (target / models.STORE).mkdir(parents=True)
    _put(target / layers.MAIN, _main(settings))
    for deployment in settings.deployments:
        digest = models.digest(deployment.model)
        name = Path(models.STORE) / f"{digest}{deployment.model.suffix}"
        if not (target / name).exists():
            _copy(deployment.model, target / name, before / name)
        raw = _absolute(deployment.origins)
        raw["model"] = f"{models.PREFIX}{digest}"
        _put(target / "vm.d" / f"{deployment.name}.yaml", raw)
    for path in (*target.rglob("*"), target):
        _sync(path)


def _sync(path: Path) -> None:
    """See a file or folder reach the disk: a power cut must leave the old copy or the new one."""
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _main(settings: Settings) -> dict[str, Any]:
    raw = _absolute(settings.origins)
    hides = settings.origins.expansion.hides
    raw["node"] = settings.node
    raw.pop("vm_dir", None)
    for key in PATHS[1:]:
        if not hides(key):
            raw[key] = getattr(settings.config, key)
    for key in MQTT_PATHS:
        path = getattr(settings.config.mqtt, key)
        if path is not None and not hides(f"mqtt.{key}"):
            raw["mqtt"][key] = path
    return raw


def _absolute(origins: Origins) -> dict[str, Any]:
    """The document before its references were replaced, files named by their whole path."""
    raw = copy.deepcopy(origins.raw)
    pending: list[tuple[Any, str]] = [(raw, "")]
    while pending:
        value, path = pending.pop()
        for step, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
            key = f"{path}[{step}]" if isinstance(value, list) else f"{path}.{step}".lstrip(".")
            if isinstance(inner, (dict, list)):
                pending.append((inner, key))
            elif isinstance(inner, str) and key in origins.expansion.keys:
                value[step] = _named_whole(inner, origins.layered.resolve(key, "x").parent)
    return raw


def _named_whole(text: str, base: Path) -> str:
    return _FILE.sub(lambda found: f"${{file:{base / Path(found[1]).expanduser()}}}", text)


def _put(path: Path, value: object) -> None:
    """JSON is YAML."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value)) + b"\n")


def _copy(source: Path, target: Path, before: Path) -> None:
    """The model: one file with the last copy where that has it, never with the source, which may be
    written over.
    """
    import shutil

    with contextlib.suppress(OSError):
        os.link(before, target)
        return
    shutil.copyfile(source, target)


def find(
    source: Source,
    *,
    where: places.Places | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings | None:
    """The copy that a configuration which is wrong may be replaced by; None: there is none, or it
    does not say `on_invalid: last_good`.
    """
    around = os.environ if environ is None else environ
    here = where or places.here()
    copied = folder(_state_dir(source, here, around))
    if not copied.is_dir():
        return None
    try:
        settings = config.load(Source(folders=(copied,)), where=here, environ=around)
        for deployment in settings.deployments:
            models.verify(deployment.vm.model, deployment.model, str(deployment.file))
    except ConfigError as error:
        log.error("last_good.unusable", reason=error)
        return None
    return settings if settings.config.on_invalid == NAME else None


def _state_dir(source: Source, where: places.Places, environ: Mapping[str, str]) -> Path:
    """The state folder as far as a configuration that is wrong can tell."""
    found = where.state_dir
    with contextlib.suppress(ConfigError):
        for _, path in layers.common_files(source.layers(where)):
            with contextlib.suppress(ConfigError):
                given = document.read(path).value.get("state_dir")
                if isinstance(given, str) and "${" not in given:
                    found = path.parent / Path(given).expanduser()
    return Path(environ.get(f"{config.ENVIRONMENT_PREFIX}STATE_DIR", found)).absolute()
