# SPDX-License-Identifier: Apache-2.0
"""What a configuration is called: a hash of what it says, not of where it stands."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from neurovmd import models
from neurovmd.config import MQTT_PATHS, PATHS, Origins, Settings

_FOLDER = re.compile(r"\$\{file:[^{}]*/")


@dataclass(frozen=True, slots=True)
class Standing:
    """Which configuration serves: `state` is `current`, or `last_good` while the one on the disk is
    wrong; `reason` says why.
    """

    config_hash: str
    state: str = "current"
    reason: str = ""


def config_hash(settings: Settings) -> str:
    """sha256 of settings and models. Paths do not count, and a secret counts as its reference."""
    config = _plain(msgspec.to_builtins(settings.config), settings.origins)
    for key in PATHS:
        config.pop(key)
    for key in MQTT_PATHS:
        config["mqtt"][key] = config["mqtt"][key] is not None
    vms = {}
    for each in settings.deployments:
        vms[each.name] = _plain(msgspec.to_builtins(each.vm), each.origins)
        vms[each.name]["model"] = models.digest(each.model)
    whole = {"config": {**config, "node": settings.node}, "vms": vms}
    return hashlib.sha256(msgspec.json.encode(whole, order="sorted")).hexdigest()


def _plain(value: Any, origins: Origins, path: str = "") -> Any:
    """The tree with references in place of secrets."""
    if isinstance(value, dict):
        return {
            name: _plain(inner, origins, f"{path}.{name}".lstrip("."))
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_plain(inner, origins, f"{path}[{i}]") for i, inner in enumerate(value)]
    if path in origins.expansion.secret_keys:
        return _FOLDER.sub("${file:", origins.expansion.keys[path])
    return value
