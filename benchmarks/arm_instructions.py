# SPDX-License-Identifier: Apache-2.0
"""Instructions a step on aarch64, all inputs changed, beside LiteRT's on the same rows.

    benchmarks/arm/prepare.sh DIR
    python -m benchmarks.arm_instructions --root DIR [--functions 20] MODEL.tflite...

Both run in qemu-user on emulated processors: a Cortex-A53 and A72 (NEON) and a Cortex-A76 (NEON
with the dot product), where a plugin (benchmarks/arm/count_plugin.c) counts what is executed.
Compared are

* ours: one nvm_session_step of the cross-compiled C kernel, from the codes that the caller has to
  those that it reads; the C library included, no Python. Without calibration.
* LiteRT's: one `Interpreter.invoke()` with XNNPACK and one thread: what its library and the C and
  C++ libraries execute, without Python's own instructions and without set_tensor and get_tensor.

Instructions are not time: caches, memory and the width of a processor are not in them. Outputs are
compared too; codes that differ are an error. --functions says which of our functions execute them.
"""

from __future__ import annotations

import argparse
import bisect
import collections
import itertools
import json
import math
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import neurovm

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
CPUS = {"cortex-a53": "neon", "cortex-a72": "neon", "cortex-a76": "dotprod", "max": "i8mm"}
PYTHON = "python3.11"


@dataclass(frozen=True, slots=True)
class Count:
    """Instructions of one step of a model on a processor."""

    model: str
    cpu: str
    ours: float
    litert: float
    library: float  # of litert: what lies in its own library
    functions: dict[str, float]  # of ours, most first

    @property
    def ratio(self) -> float:
        """Ours by LiteRT's."""
        return self.ours / self.litert


def changing_rows(n: int, steps: int, seed: int) -> np.ndarray:
    """int8[steps + 1][n]: random codes, of which none is what it was a step before."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(-128, 128, (steps + 1, n)).astype(np.int8)
    for before, row in itertools.pairwise(rows):
        row[row == before] ^= 1
    return rows


def by_file(counts: Path, maps: Path) -> collections.Counter[str]:
    """Instructions by the name of the file that held them when `maps` was written."""
    held = []
    for line in maps.read_text().splitlines():
        words = line.split()
        if len(words) > 5:
            first, end = (int(word, 16) for word in words[0].split("-"))
            held.append((first, end, Path(words[5]).name))
    found: collections.Counter[str] = collections.Counter()
    for line in counts.read_text().splitlines():
        address, executions, instructions = line.split()
        at = int(address, 16)
        name = next((name for first, end, name in held if first <= at < end), "")
        found[name] += int(executions) * int(instructions)
    return found


def by_function(counts: Path, program: Path) -> collections.Counter[str]:
    """Instructions by the function of a static program that holds them, inlined ones in it."""
    listed = subprocess.run(
        ["aarch64-linux-gnu-nm", "-n", program], check=True, capture_output=True, text=True
    )
    words = [line.split() for line in listed.stdout.splitlines()]
    functions = [(int(w[0], 16), w[2]) for w in words if len(w) == 3 and w[1] in "tTwWiI"]
    functions = [(at, name) for at, name in functions if not name.startswith("$")]
    begins = [at for at, _ in functions]
    found: collections.Counter[str] = collections.Counter()
    for line in counts.read_text().splitlines():
        address, executions, instructions = line.split()
        at = bisect.bisect_right(begins, int(address, 16)) - 1
        found[functions[at][1]] += int(executions) * int(instructions)
    return found


class Machine:
    """An emulated processor with the plugin, and what prepare.sh made."""

    def __init__(self, root: Path, cpu: str) -> None:
        self.root = root
        self.cpu = cpu

    def run(self, counts: Path, options: Sequence[str], command: Sequence[str | Path]) -> str:
        """What the command printed; its counts are in `counts`."""
        plugin = f"{self.root / 'count_plugin.so'},counts={counts}"
        qemu = [self.root / "qemu/usr/bin/qemu-aarch64", "-cpu", self.cpu, "-plugin", plugin]
        done = subprocess.run(
            [*qemu, *options, *command], check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip() or f"exit code {done.returncode}"
            raise SystemExit(f"{command[0]} on {self.cpu}: {said}")
        return done.stdout

    def litert(self, calls: int, model: Path, work: Path) -> collections.Counter[str]:
        """What `calls` invocations a row take; writes work/litert.out."""
        system = self.root / "root"
        libraries = system / "usr/lib/aarch64-linux-gnu"
        options = ["-L", str(system)]
        for name, value in {
            "LD_LIBRARY_PATH": f"{libraries}/blas:{libraries}/lapack",
            "PYTHONHOME": f"{system}/usr",
            "PYTHONPATH": f"{self.root}/site",
        }.items():
            options += ["-E", f"{name}={value}"]
        script = [system / "usr/bin" / PYTHON, HERE / "arm/litert_invoke.py", str(calls), model]
        files = [work / "rows", work / "litert.out", work / "maps"]
        self.run(work / "counts", options, [*script, *files])
        return by_file(work / "counts", work / "maps")

    def ours(self, work: Path, way: str = "auto") -> collections.Counter[str]:
        """What the steps take, all layers in that way; writes work/ours.out."""
        files = [work / name for name in ("layers", "arena", "rows", "ours.out")]
        chosen = self.run(work / "counts", [], [self.root / "steps", *files, way]).strip()
        if chosen != CPUS[self.cpu]:
            raise SystemExit(f"{self.cpu}: {chosen} was chosen, not {CPUS[self.cpu]}")
        return by_function(work / "counts", self.root / "steps")


def same_codes(work: Path) -> bool:
    """Whether both gave the same; uint8 outputs are ours as int8, 128 lower."""
    ours, theirs = (np.fromfile(work / name, np.uint8) for name in ("ours.out", "litert.out"))
    return np.array_equal(ours, theirs) or np.array_equal(ours ^ 128, theirs)


def prepared(model: Path, machine: Machine) -> tuple[Path, neurovm.Model]:
    """A folder with the model's program as steps.c reads it; the model."""
    work = machine.root / "work" / f"{model.stem}.{machine.cpu}"
    work.mkdir(parents=True, exist_ok=True)
    converted = neurovm.convert_tflite(str(model), profile="xnnpack")
    (work / "layers").write_bytes(bytes(converted.content.layers))
    (work / "arena").write_bytes(bytes(converted.content.arena))
    return work, converted


def count(model: Path, machine: Machine, steps: int, seed: int) -> Count:
    """Both sides' instructions a step."""
    work, converted = prepared(model, machine)
    n = sum(port.bytes for port in converted.inputs)
    changing_rows(n, steps, seed).tofile(work / "rows")
    ours = machine.ours(work)
    theirs = machine.litert(1, model, work)
    theirs.subtract(machine.litert(0, model, work))
    if not same_codes(work):
        raise SystemExit(f"{model.name} on {machine.cpu}: the outputs differ")
    native = {name: n for name, n in theirs.items() if name != PYTHON}
    library = sum(n for name, n in native.items() if "litert" in name)
    return Count(
        model=model.stem,
        cpu=machine.cpu,
        ours=sum(ours.values()) / steps,
        litert=sum(native.values()) / steps,
        library=library / steps,
        functions={name: n / steps for name, n in ours.most_common()},
    )


def mean_ratio(counts: Sequence[Count]) -> float:
    """Geometric."""
    return math.exp(sum(math.log(found.ratio) for found in counts) / len(counts))


def table(counts: Sequence[Count], cpus: Sequence[str]) -> list[str]:
    """A row a model, three columns a processor; the geometric means below."""
    at = {(found.model, found.cpu): found for found in counts}
    names = list(dict.fromkeys(found.model for found in counts))
    width = max(14, *map(len, names))
    columns = " ".join(f"{'ours':>10} {'LiteRT':>10} {'ratio':>6}" for _ in cpus)
    lines = [
        " " * width + "".join(f" {f'{cpu} ({CPUS[cpu]})':>28}" for cpu in cpus),
        f"{'':{width}} {columns}",
    ]
    for name in names:
        row = [at[name, cpu] for cpu in cpus]
        cells = " ".join(f"{f.ours:10,.0f} {f.litert:10,.0f} {f.ratio:6.2f}" for f in row)
        lines.append(f"{name:{width}} {cells}")
    means = [mean_ratio([f for f in counts if f.cpu == cpu]) for cpu in cpus]
    lines.append(f"{'geometric mean':{width}}" + "".join(f" {mean:28.2f}" for mean in means))
    return lines


def print_functions(counts: Sequence[Count], most: int) -> None:
    """Where our instructions go."""
    for found in counts:
        print(f"\n{found.model} on {found.cpu}: {found.ours:,.0f} instructions a step")
        for name, n in list(found.functions.items())[:most]:
            print(f"  {n:10,.0f} {n / found.ours:6.1%} {name}")


def parsed() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--root", type=Path, required=True, help="what prepare.sh made")
    parser.add_argument("--cpus", nargs="+", choices=CPUS, default=list(CPUS)[:3], metavar="CPU")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--functions", type=int, default=0, metavar="N", help="of ours, the first")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    for model in arguments.models:
        if not model.is_file():
            parser.error(f"{model}: no such file")
    if arguments.steps < 1:
        parser.error(f"--steps {arguments.steps}; 1 or more")
    if not (arguments.root / "steps").is_file():
        parser.error(f"{arguments.root}: benchmarks/arm/prepare.sh has not made it")
    return arguments


def main() -> None:
    """One table; JSON and functions where asked for."""
    arguments = parsed()
    root = arguments.root.resolve()
    counts: list[Count] = []
    every = [(cpu, model) for cpu in arguments.cpus for model in arguments.models]
    for i, (cpu, model) in enumerate(every, start=1):
        found = count(model.resolve(), Machine(root, cpu), arguments.steps, arguments.seed)
        counts.append(found)
        print(f"{i}/{len(every)} {found.model} on {cpu}: {found.ratio:.2f}", file=sys.stderr)
    for line in table(counts, arguments.cpus):
        print(line)
    if arguments.functions > 0:
        print_functions(counts, arguments.functions)
    if arguments.json:
        rows = [{**asdict(found), "ratio": found.ratio} for found in counts]
        arguments.json.write_text(json.dumps({"steps": arguments.steps, "counts": rows}, indent=1))


if __name__ == "__main__":
    sys.exit(main())
