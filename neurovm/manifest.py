# SPDX-License-Identifier: Apache-2.0
"""`neurovm.yaml`: what a VM is, in one file beside its model.

`read` gives a `VmManifest` or one ConfigError with file, line, column, key, what was found and what
is accepted. `neurovm build` turns it into a bundle that carries it (`deploy`), `neurovm run` and
fleets turn that into the daemon's VM file (`vm_settings`).

What `inputs`, `output`, `time`, `actuators` and `home_assistant` hold is the daemon's own schema (a
VM file has the same keys): here they are mappings, and `neurovm build` lets `neurovmd check` judge
them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from neurovm import document, quantity
from neurovm.decode import Layered, convert, similar
from neurovm.description import ProfileName
from neurovm.errors import ConfigError
from neurovm.regular import open_regular

FILE = "neurovm.yaml"
RUNTIME = (1, 3, 0)
"""The newest `runtime.version`: what a manifest may rely on; raised with every new key or value."""
RESERVED_NAMES = frozenset({"availability", "info", "main"})
"""Levels of the daemon's own topics."""
DEFAULT_STEPS = 64
MOST_STEPS = 1024

# Linux capabilities(7), without CAP_, in the order of their numbers from 0.
CAPABILITIES: tuple[str, ...] = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
    "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
    "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
    "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
    "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
    "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
)  # fmt: skip

NAME = "1 to 64 of A-Z a-z 0-9 _ . - and a letter or digit first"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
VmName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description=NAME)]
Version = Annotated[
    str,
    Meta(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}$", description='a version such as "1.0.0"'),
]
FileName = Annotated[str, Meta(min_length=1, max_length=4096, description="the path of a file")]
Count = Annotated[int, Meta(ge=1, le=1 << 40)]
Quantity = str | float
CapabilityName = Annotated[str, Meta(extra_json_schema={"enum": list(CAPABILITIES)})]


def check_capabilities(names: Sequence[str]) -> None:
    """ValueError where a name is none of `CAPABILITIES`."""
    for name in names:
        if name not in CAPABILITIES:
            near = similar(name.upper().removeprefix("CAP_"), CAPABILITIES)
            hint = f"{near} (did you mean this?); " if near else ""
            raise ValueError(
                f"capabilities: found {name[:60]!r}; "
                f"accepted: {hint}names of capabilities(7) without CAP_"
            )


class Runtime(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to run it. A newer `version` than this neurovm serves is refused."""

    type: Literal["neurovm"] = "neurovm"
    version: Version = ".".join(map(str, RUNTIME))

    def __post_init__(self) -> None:
        wanted = tuple(int(part) for part in self.version.split("."))
        if wanted[0] != RUNTIME[0] or wanted > RUNTIME:
            newest = ".".join(map(str, RUNTIME))
            raise ValueError(
                f"version: found {self.version!r}; accepted: {RUNTIME[0]}.0.0 to {newest} "
                f"(this neurovm serves {newest})"
            )


class Hardware(Struct, frozen=True, forbid_unknown_fields=True):
    """Budgets. A model with more neurons or synapses is refused by `build`; `power_limit` (watts)
    bounds what is attributed to the VM.
    """

    neurons: Count | None = None
    synapses: Count | None = None
    power_limit: Quantity | None = None

    def __post_init__(self) -> None:
        if self.power_limit is not None:
            quantity.parse(self.power_limit, quantity.WATTS, key="power_limit")


class Network(Struct, frozen=True, forbid_unknown_fields=True):
    """`graded`, `bitplane` and `ttfs` are exact; `rate` runs `steps` time steps of IF neurons,
    approximately. With `bitplane` layers may send the first `planes` of a code's 8 bit planes.
    """

    type: Literal["spiking"] = "spiking"
    encoding: Literal["graded", "bitplane", "ttfs", "rate"] = "graded"
    steps: Annotated[int, Meta(ge=1, le=MOST_STEPS)] | None = None
    planes: Annotated[int, Meta(ge=1, le=8)] | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and self.encoding != "rate":
            raise ValueError(
                f"steps: found {self.steps} with encoding: {self.encoding}; "
                f"accepted: a number of steps with encoding: rate, nothing otherwise"
            )
        if self.planes is not None and self.encoding != "bitplane":
            raise ValueError(
                f"planes: found {self.planes} with encoding: {self.encoding}; "
                f"accepted: 1 to 8 with encoding: bitplane, nothing otherwise"
            )


class Resources(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of the VM's process: `memory` in bytes (`128Mi`), `cpu` as a share of one CPU."""

    memory: Quantity | None = None
    cpu: Quantity | None = None

    def __post_init__(self) -> None:
        if self.memory is not None:
            quantity.parse(self.memory, quantity.BYTES, key="memory")
        if self.cpu is not None and quantity.parse(self.cpu, quantity.CPUS, key="cpu") > 1:
            raise ValueError(
                f"cpu: found {self.cpu!r}; accepted: above 0 to 1, or 1m to 1000m "
                f"(a VM computes on one thread)"
            )


class Security(Struct, frozen=True, forbid_unknown_fields=True):
    """With `sandbox` the VM's process drops all capabilities but those listed."""

    sandbox: bool = True
    capabilities: list[CapabilityName] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        check_capabilities(self.capabilities)


class Calibration(Struct, frozen=True, forbid_unknown_fields=True):
    """Rows that `build` runs the model on: `samples` as `neurovm predict` reads them, `answers` the
    right class of each, one number a line; `rows` of them are used, spread over
    all.
    """

    samples: FileName
    answers: FileName | None = None
    rows: Annotated[int, Meta(ge=1, le=100_000)] = 256


class VmManifest(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `neurovm.yaml`. Paths are relative to the file."""

    version: Literal["1.0"]
    name: VmName
    runtime: Runtime = Runtime()
    hardware: Hardware = Hardware()
    network: Network = Network()
    resources: Resources = Resources()
    security: Security = Security()
    source: (
        Annotated[
            str,
            Meta(
                pattern=r"^[^\x00]*[^/\x00]\.tflite$",
                max_length=4096,
                description="the path of a .tflite file",
            ),
        ]
        | None
    ) = None
    labels: FileName | None = None
    calibration: Calibration | None = None
    profile: ProfileName = "xnnpack"
    require_certificate: bool = False
    backend: Literal["cpu"] = "cpu"
    inputs: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=64)] | None = None
    output: dict[str, Any] | None = None
    time: dict[str, Any] | None = None
    actuators: Annotated[list[dict[str, Any]], Meta(max_length=64)] | None = None
    home_assistant: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.name in RESERVED_NAMES:
            raise ValueError(
                f"name: found {self.name!r}; accepted: a name that the daemon does not use itself"
            )
        if self.require_certificate and self.network.encoding == "rate":
            raise ValueError(
                "require_certificate: found true with encoding: rate, which only approaches its "
                "source; accepted: true with encoding: graded"
            )

    @property
    def coding(self) -> str:
        """The coding of the bundle."""
        return self.network.encoding

    @property
    def steps(self) -> int:
        """Time steps of `encoding: rate`."""
        return self.network.steps or DEFAULT_STEPS


def check_level(name: str) -> None:
    """ValueError unless `name` may be a level of a topic, such as a node."""
    if not _NAME.match(name):
        raise ValueError(f"found the name {name!r}; accepted: {NAME}")


def level_of(text: str) -> str:
    """`text` as one level of a topic: what no name may hold becomes a hyphen; 64 characters."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text)[:64].lstrip("_.-") or "node"


def host_level(host: str) -> str:
    """The node that a host is where nothing else names it: the first part of its name."""
    return level_of(host.split(".", maxsplit=1)[0])


def check_name(name: str) -> None:
    """ValueError unless `name` may be a VM's."""
    if not _NAME.match(name) or name in RESERVED_NAMES:
        raise ValueError(f"found the name {name!r}; accepted: {NAME}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as read: its settings, and where each key stands."""

    vm: VmManifest
    layers: Layered
    folder: Path

    def error(self, key: str, found: str, accepted: str) -> ConfigError:
        """A ConfigError at `key`, or at the nearest key above it that the file has."""
        return self.layers.error(key, found, accepted)

    def path(self, name: str) -> Path:
        """A path named in the manifest."""
        return self.folder / Path(name).expanduser()

    def file(self, key: str, name: str) -> Path:
        """A file that the key `key` names, which can be read; ConfigError at the key else."""
        path = self.path(name)
        try:
            open_regular(path).close()
        except (OSError, ValueError, RuntimeError) as error:  # also a NUL, a ~ of nobody
            reason = getattr(error, "strerror", None) or str(error)
            raise self.error(key, f"{str(path)[:200]} ({reason})", "a readable file") from None
        return path

    def source(self) -> Path:
        """The model: `source`, else the only .tflite in the folder; ConfigError where neither."""
        if self.vm.source is not None:
            return self.file("source", self.vm.source)
        found = sorted(self.folder.glob("*.tflite"))
        if len(found) != 1:
            names = ", ".join(path.name for path in found[:8]) or "no .tflite file"
            raise self.error("source", f"{names} in {self.folder}", "the path of one .tflite file")
        return found[0]


def read(path: Path) -> Manifest:
    """Read `neurovm.yaml` (or the one in a folder); ConfigError says what is wrong and where."""
    file = path / FILE if path.is_dir() else path
    return _checked(document.read(file), file.parent)


def parse(text: str, file: str = FILE) -> Manifest:
    """Read a manifest from text; `file` is what errors call it."""
    return _checked(document.parse(text, file), Path(file).parent)


def _checked(found: document.Document, folder: Path) -> Manifest:
    layered = Layered.merge([found])
    layered.anchor(found.file)
    return Manifest(convert(layered, VmManifest), layered, folder)


def as_deploy(vm: VmManifest) -> dict[str, Any]:
    """The manifest as the JSON that a bundle carries in `deploy`: every key, defaults too."""
    found: dict[str, Any] = msgspec.to_builtins(vm)
    return found


def from_deploy(deploy: Mapping[str, Any], where: str) -> VmManifest:
    """The manifest that a bundle carries; ConfigError names the bundle."""
    layered = Layered(value=dict(deploy), files=[where])
    return convert(layered, VmManifest)


def vm_settings(
    vm: VmManifest, model: str, inputs: int = 1, *, spiking: bool = False
) -> dict[str, Any]:
    """The daemon's VM file (`vm.d/<name>.yaml`) for a bundle at `model` with so many inputs.

    Without `inputs` each input tensor is heard whole, as a JSON list (a spiking network: as packed
    events), on `<prefix>/<node>/<vm>/in/<stream>` (several inputs: `…/in/<stream>/<number of the
    input>`).
    """
    settings: dict[str, Any] = {
        "model": model,
        "profile": vm.profile,
        "backend": vm.backend,
        "require_certificate": vm.require_certificate,
        "inputs": vm.inputs or _whole_inputs(inputs, spiking=spiking),
    }
    if vm.output is not None:
        settings["output"] = vm.output
    if vm.time is not None:
        settings["time"] = vm.time
    if vm.actuators is not None:
        settings["actuators"] = vm.actuators
    if vm.home_assistant is not None:
        settings["home_assistant"] = vm.home_assistant
    if vm.resources.memory is not None:
        settings["memory"] = int(quantity.parse(vm.resources.memory, quantity.BYTES))
    if vm.resources.cpu is not None:
        settings["cpu"] = quantity.parse(vm.resources.cpu, quantity.CPUS)
    if vm.hardware.power_limit is not None:
        settings["power_limit"] = quantity.parse(vm.hardware.power_limit, quantity.WATTS)
    if vm.network.planes is not None:
        settings["planes"] = vm.network.planes
    settings["sandbox"] = vm.security.sandbox
    settings["capabilities"] = vm.security.capabilities
    return settings


def _whole_inputs(count: int, *, spiking: bool) -> list[dict[str, Any]]:
    topic = "{prefix}/{node}/{vm}/in/{stream}"
    return [
        {
            "topic": topic if count == 1 else f"{topic}/{number}",
            "payload": {"format": "aer"} if spiking else {"format": "json", "field": ""},
            "to": {"tensor": number},
        }
        for number in range(count)
    ]
