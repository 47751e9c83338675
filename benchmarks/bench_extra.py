# SPDX-License-Identifier: Apache-2.0
"""What `bench.py` measures beside Python calls: memory of whole processes, steps from C."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_models import FAST, ROOT, Network
from bench_report import Row, Spread

from neurovm.packing import pack

if TYPE_CHECKING:
    import numpy as np

PROCESSES = 3
TRIES = 6
RUNS = 9
OWN = """
import sys, neurovm
session = neurovm.load(sys.argv[1]).session()
codes = open(sys.argv[2], "rb").read()
size = len(codes) // int(sys.argv[3])
for i in range(0, len(codes), size):
    session.step(codes[i : i + size])
"""
LITERT = """
import sys, numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
place = interpreter.get_input_details()[0]
out = interpreter.get_output_details()[0]["index"]
codes = open(sys.argv[2], "rb").read()
size = len(codes) // int(sys.argv[3])
for i in range(0, len(codes), size):
    row = np.frombuffer(codes[i : i + size], place["dtype"]).reshape(place["shape"])
    interpreter.set_tensor(place["index"], row)
    interpreter.invoke()
    interpreter.get_tensor(out)
"""
PEAK = """
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print(line.split()[1])
"""
"""KiB, the most that was ever resident."""


def measure(networks: list[Network], core: int, folder: Path) -> dict[str, Any]:
    """`memory`: KiB of processes by network, where /proc tells; `rows`: the fast network from C."""
    found: dict[str, Any] = {"rows": [], "memory": {}}
    for network in networks:
        if Path("/proc/self/status").exists():
            found["memory"][network.name] = peaks(network, folder)
        if network.name == FAST:
            found["rows"] += from_c(network, core, folder)
    return found


def peaks(network: Network, folder: Path) -> dict[str, float]:
    """KiB at most of a process that loads a network and steps it on buffers, and of LiteRT's."""
    stream = next(each for each in network.streams if each.kind == "all")
    bundle = network.model.save(folder / f"{network.name}.nvm")
    own, other = folder / "codes", folder / "values"
    codes = pack(network.model.inputs, [stream.rows])
    own.write_bytes(codes.tobytes())
    other.write_bytes(network.values(stream).tobytes())
    count = str(len(stream.rows))
    sizes = {"neurovm": _peak(OWN, [str(bundle), str(own), count])}
    with contextlib.suppress(subprocess.CalledProcessError):
        sizes["litert"] = _peak(LITERT, [str(network.path), str(other), count])
    return sizes


def _peak(program: str, arguments: list[str]) -> float:
    found = [
        float(subprocess.run(
            [sys.executable, "-c", program + PEAK, *arguments],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.split()[-1])
        for _ in range(PROCESSES)
    ]  # fmt: skip
    return statistics.median(found)


def from_c(network: Network, core: int, folder: Path) -> list[Row]:
    """Microseconds a step of a C program (tests/c/steps.c) with nothing of Python in it."""
    row = Row(network.name, "all", "all", "neurovm", "from C")
    if shutil.which("make") is None or shutil.which("cc") is None:
        row.note = "not run: no make, or no cc"
        return [row]
    subprocess.run(["make", "-s", "-C", ROOT / "tests/c", "build/steps"], check=True)
    stream = next(each for each in network.streams if each.kind == "all")
    files = write_program(network, stream.rows, folder)
    pinned = ["taskset", "-c", str(core)] if shutil.which("taskset") else []
    command = [*pinned, str(ROOT / "tests/c/build/steps"), "-", "auto", *files, "3000"]
    row.us = Spread.of([_undisturbed_ns(command) / 1000 for _ in range(RUNS)])
    return [row]


def _undisturbed_ns(command: list[str]) -> float:
    """Nanoseconds a step of a run during which nothing else had the core, if one of TRIES is."""
    best = (float("inf"), 0.0)
    for _ in range(TRIES):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        spent, used = (float(each.split()[0]) for each in done.stdout.split(",")[:2])
        best = min(best, (spent - used, spent))
        if spent - used <= 0.02 * spent:
            break
    return best[1]


def write_program(network: Network, rows: np.ndarray, folder: Path) -> list[str]:
    """Layers, arena and rows of codes as files, in the order that `steps` takes them."""
    tensors = network.model.content.tensors
    codes = pack(network.model.inputs, [rows]).tobytes()
    files = []
    for name, data in (("layers", tensors["layers"]), ("arena", tensors["arena"]), ("rows", codes)):
        path = folder / f"{network.name}.{name}"
        path.write_bytes(bytes(data))
        files.append(str(path))
    return files
