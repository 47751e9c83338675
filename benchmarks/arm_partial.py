# SPDX-License-Identifier: Apache-2.0
"""Instructions a step on aarch64 where a part of the input changes, by the way all layers take.

    benchmarks/arm/prepare.sh DIR
    python -m benchmarks.arm_partial --root DIR MODEL.tflite...

Of our kernel alone, as benchmarks/arm_instructions.py counts them. The outputs of all ways are
compared; codes that differ are an error.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks.arm_instructions import CPUS, Machine, prepared
from benchmarks.bench_streams import Stream, drawn

WAYS = ("dense", "tiles", "events", "auto")
STREAMS = ("1 % block", "1 % random", "5 % block", "5 % random", "25 % block", "25 % random", "all")


def count(work: Path, machine: Machine, stream: Stream) -> dict[str, float]:
    """Instructions a step by way; the second half of the stream, after ways have settled."""
    rows = stream.rows.astype(np.int8)
    half = len(rows) // 2
    outputs = set()
    found = {}
    for way in WAYS:
        totals = []
        for part in (rows[: half + 1], rows):
            part.tofile(work / "rows")
            totals.append(sum(machine.ours(work, way).values()))
        outputs.add((work / "ours.out").read_bytes())
        found[way] = (totals[1] - totals[0]) / (len(rows) - 1 - half)
    if len(outputs) != 1:
        raise SystemExit(f"{work.name}, {stream.name}: the outputs differ")
    return found


def main() -> None:
    """One table a model and processor."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--root", type=Path, required=True, help="what prepare.sh made")
    parser.add_argument("--cpus", nargs="+", choices=CPUS, default=["cortex-a72", "cortex-a76"])
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for cpu in arguments.cpus:
        machine = Machine(arguments.root.resolve(), cpu)
        for model in arguments.models:
            work, converted = prepared(model.resolve(), machine)
            print(f"{model.stem} on {cpu}" + "".join(f"{way:>12}" for way in WAYS), flush=True)
            for stream in drawn(converted.inputs[0].shape[1:], (-128, 127), arguments.seed):
                if stream.name in STREAMS:
                    found = count(work, machine, stream)
                    cells = "".join(f"{found[way]:12,.0f}" for way in WAYS)
                    print(f"  {stream.name:16}{cells}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
