# SPDX-License-Identifier: Apache-2.0
"""Damaged manifests by the thousand: each must give one located error or a valid result.

    PYTHONPATH=.:tests python benchmarks/manifest_mutations.py [COUNT] [SEED]

COUNT is 10,000 where none is given. Exit code 1 where an error was not located or took a second.
"""

from __future__ import annotations

import collections
import random
import sys
import time

from manifest.mutations import judge, located, mutated


def main(count: int = 10_000, seed: int = 1) -> int:
    """Judge `count` manifests; 1 where one had no located error, crashed or took a second."""
    rng = random.Random(seed)
    tally: collections.Counter[str] = collections.Counter()
    slowest_s = 0.0
    start_s = time.perf_counter()
    for _ in range(count):
        data = mutated(rng)
        before_s = time.perf_counter()
        error = judge(data)
        slowest_s = max(slowest_s, time.perf_counter() - before_s)
        kind = "valid" if error is None else "located error" if located(error) else "UNLOCATED"
        tally[kind] += 1
        if kind == "UNLOCATED":
            print(error)
    total_s = time.perf_counter() - start_s
    print(f"{count} manifests, seed {seed}: {dict(tally)}; {total_s:.1f} s, ", end="")
    print(f"slowest {1e3 * slowest_s:.1f} ms")
    return int(tally["UNLOCATED"] > 0 or slowest_s > 1)


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
