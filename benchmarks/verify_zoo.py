# SPDX-License-Identifier: Apache-2.0
"""verify_zoo.py FOLDER...: every .tflite below against LiteRT, layer by layer, or why not.

    python scripts/zoo.py zoo --seed 1       # needs tensorflow
    python benchmarks/verify_zoo.py zoo --count 24

Each model runs in a process of its own on `count` random rows and as many steps of a walk of small
changes. Prints a line a model, a table of refusals, and the sum last; exit code 1 if anything
differs or ends otherwise.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path

TIMEOUT_S = 300
CHILD = """
import sys
import neurovm
from neurovm.verify import verify
try:
    proof = verify(sys.argv[1], count=int(sys.argv[2]), walk=int(sys.argv[2]))
except neurovm.ModelError as error:
    print("refused:", error)
else:
    tallies = (proof.predict, proof.session, proof.events, proof.oracle)
    elements = sum(t.elements for t in tallies) + sum(r.kernel.elements for r in proof.layers)
    what = "identical" if proof.identical else "DIFFERS " + str(proof.first_difference)
    print(f"{what}: {elements} elements, {len(proof.layers)} layers")
"""


def judged(path: Path, count: int) -> str:
    """One line: identical, refused with the reason, or what went wrong."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(path), str(count)],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"FAILED: no answer within {TIMEOUT_S} s"
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines and not done.returncode else f"FAILED: {done.stderr.strip()[-200:]}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=24)
    args = parser.parse_args()
    sums: Counter[str] = Counter()
    for path in sorted(p for folder in args.folders for p in folder.rglob("*.tflite")):
        line = judged(path, args.count)
        sums[line.split(":", 1)[0].split(" ", 1)[0]] += 1
        print(f"{path.name}: {line}", flush=True)
    print(", ".join(f"{n} {what}" for what, n in sums.items()))
    return int(any(what not in ("identical", "refused") for what in sums))


if __name__ == "__main__":
    sys.exit(main())
