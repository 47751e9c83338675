# SPDX-License-Identifier: Apache-2.0
"""From a manifest to the daemon's configuration: what `build` lets it check and `run` starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurovm import manifest
from neurovm.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from neurovm.manifest import VmManifest
    from neurovm.model import Model

CHECK_S = 60.0


def daemon_command(*args: str) -> list[str]:
    """How `neurovmd` is started; BackendError where it is not installed."""
    # Found, not imported: the library never imports the daemon.
    if find_spec("neurovmd") is None:
        raise BackendError("the daemon neurovmd is not installed beside this command")
    return [sys.executable, "-m", "neurovmd", *args]


def daemon_environment() -> dict[str, str]:
    """Our environment, in which the child finds the same neurovmd and neurovm as we do."""
    spec = find_spec("neurovmd")
    place = str(Path(spec.origin).parents[1]) if spec and spec.origin else ""
    paths = [place, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def write(folder: Path, name: str, settings: dict[str, Any], daemon: dict[str, Any]) -> Path:
    """Write `neurovmd.yaml` and `vm.d/<name>.yaml` into a folder; the path of the former."""
    for part in ("vm.d", "cache", "state"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    # JSON is YAML, and quotes what needs it.
    (folder / "vm.d" / f"{name}.yaml").write_text(json.dumps(settings, indent=2) + "\n")
    config = folder / "neurovmd.yaml"
    places = {
        "vm_dir": str(folder / "vm.d"),
        "cache_dir": str(folder / "cache"),
        "state_dir": str(folder / "state"),
        "socket": str(folder / "neurovmd.sock"),
    }
    config.write_text(json.dumps({**places, **daemon}, indent=2) + "\n")
    return config


def judge(vm: VmManifest, model: Model) -> tuple[ConfigError | None, list[str]]:
    """What `neurovmd check` finds wrong with a VM (None when all is well), and what it warns of."""
    with tempfile.TemporaryDirectory(prefix="neurovm-") as place:
        folder = Path(place)
        bundle = model.save(folder / f"{vm.name}.nvm")
        settings = manifest.vm_settings(vm, str(bundle), len(model.inputs))
        # The certificate is made last: what is judged here is the rest.
        settings["require_certificate"] = False
        config = write(folder, vm.name, settings, {})
        ran = subprocess.run(
            daemon_command("check", "--json", "--config", str(config)),
            capture_output=True,
            env=daemon_environment(),
            timeout=CHECK_S,
            check=False,
        )
    try:
        report = json.loads(ran.stdout)
        errors, warnings = report["errors"], report["warnings"]
    except (ValueError, KeyError):
        last = ran.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise BackendError(f"neurovmd check failed: {' '.join(last)}") from None
    file = folder / "vm.d" / f"{vm.name}.yaml"
    said = [text.removeprefix(f"{file}: ") for text in warnings]
    if not errors:
        return None, said
    first = errors[0]
    return ConfigError(first["file"], first["key"], first["found"], first["accepted"]), said
