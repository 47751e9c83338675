# SPDX-License-Identifier: Apache-2.0
"""Damage valid .tflite files without end and read them: only ModelError may leave the reader.

    python tests/fuzz/fuzz_tflite.py --runs 20000 [--seed 0] [MODEL.tflite …]

Prints `seed model exception` for every other outcome and ends with 1 if there was one. The address
space is limited, so that a claim of memory shows as a failure.
"""

from __future__ import annotations

import argparse
import collections
import resource
import sys
import time
import traceback
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from fuzz.tflite_mutations import mutate  # noqa: E402  after the path is set
from operator_cases import CASES  # noqa: E402

from neurovm.converters import tflite  # noqa: E402
from neurovm.errors import ModelError  # noqa: E402
from neurovm.passes import prepare  # noqa: E402

SLOW_S = 2.0


def outcome(data: bytes) -> str:
    """What reading gave: `read`, the class of a ModelError, or the traceback of anything else."""
    try:
        prepare(tflite.read(data, name="fuzz.tflite"))
    except ModelError as e:
        return type(e).__name__
    except Exception:  # noqa: BLE001  what else leaves is what is looked for
        return traceback.format_exc()
    return "read"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory-mb", type=int, default=2048)
    parser.add_argument("models", nargs="*", type=Path)
    options = parser.parse_args()
    limit = options.memory_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    models = [p.read_bytes() for p in options.models]
    models = models or [c.model for c in CASES if c.name.endswith("-NONE")] + [
        c.model for c in {c.operator: c for c in CASES}.values()
    ]
    counts: collections.Counter[str] = collections.Counter()
    bad = 0
    for seed in range(options.seed, options.seed + options.runs):
        started = time.monotonic()
        result = outcome(mutate(models[seed % len(models)], seed))
        took_s = time.monotonic() - started
        if "Traceback" in result or took_s > SLOW_S:
            bad += 1
            print(f"{seed} model {seed % len(models)} took {took_s:.1f} s: {result}")
        counts[result.split(maxsplit=1)[0]] += 1
    print(dict(counts))
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
