# SPDX-License-Identifier: Apache-2.0
"""The daemon of the demo: its configuration in a folder of its own, started and ended."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from examples.pump.children import DemoError, end, tail
from examples.pump.faults import CLASSES
from examples.pump.sensors import NAMES

ROOT = Path(__file__).resolve().parents[2]
MODEL = Path(__file__).with_name("pump.tflite")
NODE = "demo"
VM = "pump"
PREFIX = "neurovm"
SOCKET_PATH_BYTES = 107  # what Linux takes
SENSOR_TOPIC = "plant/{stream}/sensor/{element}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the broker is; `embedded` when the demo started it."""

    host: str
    port: int
    embedded: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def socket_of(folder: Path) -> Path:
    """The daemon's control socket."""
    return folder / "neurovmd.sock"


def daemon_yaml(folder: Path, server: Server, limit: str) -> str:
    """`neurovmd.yaml`. The embedded broker speaks MQTT 3.1.1 only: that saves one attempt."""
    return f"""\
# What `python -m examples.pump` runs; the same keys as in /etc/neurovmd/neurovmd.yaml.
node: {NODE}
prefix: {PREFIX}
mqtt:
  server: {json.dumps(f"mqtt://{server}")}
  protocol: {'"3.1.1"' if server.embedded else "auto"}
vm_dir: {json.dumps(str(folder / "vm.d"))}
cache_dir: {json.dumps(str(folder / "cache"))}
state_dir: {json.dumps(str(folder / "state"))}
socket: {json.dumps(str(socket_of(folder)))}
power:
  limit: {json.dumps(limit)}
  window: 10 s
"""


def vm_yaml(model: Path) -> str:
    """`vm.d/pump.yaml`: 64 topics a pump, one result on every change of an output."""
    return f"""\
model: {json.dumps(str(model))}
inputs:
  - topic: {SENSOR_TOPIC}
    qos: 0
    payload: {{format: json, field: span}}
    to: {{tensor: 0, elements: [{", ".join(NAMES)}]}}
output:
  on: change
  wait_for: all
  form: {{top_k: 1}}
"""


def convert(model: Path, folder: Path) -> Path:
    """Convert the .tflite into a .nvm with the classes' names, as `neurovm convert` does."""
    import neurovm

    if not model.is_file():
        raise DemoError(f"{model}: the model is not there; a checkout holds it")
    try:
        with neurovm.convert_tflite(model, labels=CLASSES) as converted:
            return converted.save(folder / "pump.nvm")
    except neurovm.NeurovmError as error:
        raise DemoError(f"{model}: {error}") from error


def write(folder: Path, server: Server, model: Path, limit: str) -> Path:
    """Write the whole configuration; the path of `neurovmd.yaml`."""
    if len(os.fsencode(socket_of(folder))) > SOCKET_PATH_BYTES:
        raise DemoError(f"{folder}: too long for a socket in it ({SOCKET_PATH_BYTES} bytes)")
    for name in ("vm.d", "cache", "state"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "vm.d" / f"{VM}.yaml").write_text(vm_yaml(model))
    config = folder / "neurovmd.yaml"
    config.write_text(daemon_yaml(folder, server, limit))
    return config


@contextlib.contextmanager
def daemon(config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running `neurovmd`; `log` takes what it says."""
    with log.open("wb") as sink:
        child = subprocess.Popen(
            [sys.executable, "-m", "neurovmd", "--config", str(config)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        end(child)


def check_alive(child: subprocess.Popen[bytes], log: Path) -> None:
    """DemoError with the daemon's last words when it has ended."""
    code = child.poll()
    if code is not None:
        raise DemoError(f"neurovmd ended with exit code {code}. Its last words:\n{tail(log)}")
