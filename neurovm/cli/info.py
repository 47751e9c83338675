# SPDX-License-Identifier: Apache-2.0
"""`neurovm info`: what this installation is and what this machine offers it."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from neurovm.cli import options, show

PACKAGES = (
    "numpy",
    "tflite",
    "msgspec",
    "paho-mqtt",
    "ai-edge-litert",
    "tflite-runtime",
    "matplotlib",
    "amqtt",
)
"""Distributions whose versions matter when something differs."""


@click.command()
@options.output()
def info(form: str) -> None:
    """Show versions, the kernel, backends, the processor, and where configuration lies.

    \b
    Examples:
      neurovm info
      neurovm info -o json
    """
    result = facts(Path("/"))
    if not show.data(form, result):
        _print(result)


def facts(root: Path) -> dict[str, Any]:
    """Everything `info` shows; `root` is where /etc and /proc are looked for."""
    import neurovm
    from neurovm.backends import BACKENDS

    return {
        "neurovm": neurovm.__version__,
        "kernel": kernel(),
        "backends": sorted(BACKENDS),
        "profiles": profiles(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "packages": {name: version_of(name) for name in PACKAGES},
        "daemon": importlib.util.find_spec("neurovmd") is not None,
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": cpu_name(root / "proc/cpuinfo"),
        "cpus": len(os.sched_getaffinity(0)),
        "configuration": {str(path): path.exists() for path in places(root)},
    }


def kernel() -> dict[str, Any]:
    """Version and instruction sets of the C kernel: the one in use and all that could be."""
    from neurovm import _kernel  # noqa: TID251 - only asked for its version
    from neurovm.backends.cpu import instruction_set

    return {
        "version": ".".join(str(part) for part in _kernel.version()),
        "isa": instruction_set(),
        "isas": list(_kernel.isas()),
    }


def profiles() -> list[str]:
    from neurovm.arithmetic import PROFILES

    return sorted(PROFILES)


def version_of(distribution: str) -> str | None:
    """Installed version; None where it is not there."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def cpu_name(cpuinfo: Path) -> str | None:
    """The processor's name as the kernel tells it; None where it tells none."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return None
    named = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    found = {key.strip(): value.strip() for key, value in named.items()}
    return found.get("model name") or found.get("Model") or found.get("Hardware")


def places(root: Path) -> list[Path]:
    """Where the daemon looks for its configuration, as a service and for a user."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111  # expanduser() of Path raises without a home
    return [
        root / "etc/neurovmd/neurovmd.yaml",
        root / "etc/neurovmd/vm.d",
        Path(home) / "neurovm/neurovmd.yaml",
        Path(home) / "neurovm/vm.d",
    ]


def _print(result: dict[str, Any]) -> None:
    core = result["kernel"]
    show.facts(
        [
            ("neurovm", result["neurovm"]),
            ("kernel", f"{core['version']} ({core['isa']}; available: {', '.join(core['isas'])})"),
            ("backends", ", ".join(result["backends"])),
            ("profiles", ", ".join(result["profiles"])),
            ("python", f"{result['python']} ({result['executable']})"),
            ("machine", f"{result['machine']}, {result['system']}"),
            ("cpu", f"{result['cpu'] or 'unknown'}, {result['cpus']} usable"),
            ("daemon", "installed" if result["daemon"] else "not installed"),
            *((name, version or "not installed") for name, version in result["packages"].items()),
            *(
                (path, "there" if there else "not there")
                for path, there in result["configuration"].items()
            ),
        ]
    )
