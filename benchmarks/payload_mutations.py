# SPDX-License-Identifier: Apache-2.0
"""Damaged payloads of every format through a VM: what becomes of them, and how long each takes.

    PYTHONPATH=.:tests python benchmarks/payload_mutations.py [COUNT] [FORMAT …]

COUNT (100,000) messages of each format, the same ones every time, each in its seed: reading,
mapping, steps and result, in CPU time of the one thread. Exit code 1 where anything but a counted
refusal left a message, or one took longer than a second.
"""

from __future__ import annotations

import collections
import sys
import time
import traceback
from array import array

from fuzz.payload_targets import VARIANTS, damaged, fed, seeds

LIMIT_MS = 1000.0
MOST_FINDINGS = 5


def run(form: str, count: int) -> tuple[collections.Counter[str], array[float], list[str]]:
    """What became of `count` messages, the milliseconds each took, and what should not happen."""
    outcomes: collections.Counter[str] = collections.Counter()
    took_ms: array[float] = array("d")
    findings: list[str] = []
    valid, change, feed = seeds(form)(()), damaged(form), fed(form)
    for seed in range(count):
        data = change(valid[seed % len(valid)], seed)
        start_ns = time.thread_time_ns()
        try:
            outcomes[feed(data)] += 1
        except Exception:  # noqa: BLE001  # whatever it is, it is a finding
            findings.append(f"{form} seed {seed}: {traceback.format_exc()}")
        took_ms.append((time.thread_time_ns() - start_ns) / 1e6)
        if took_ms[-1] > LIMIT_MS:
            findings.append(f"{form} seed {seed}: {took_ms[-1]:.0f} ms, {len(data)} bytes")
        if len(findings) >= MOST_FINDINGS:
            break
    return outcomes, took_ms, findings


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    forms = sys.argv[2:] or list(VARIANTS)
    heads = ("messages", "taken", "refused", "p50 µs", "p99 µs", "max ms")
    print("format      " + "".join(f"{head:>9}" for head in heads))
    failed = False
    for form in forms:
        outcomes, took_ms, findings = run(form, count)
        ordered = sorted(took_ms)
        taken = outcomes.pop("accepted", 0)
        quantiles = [1000 * ordered[int(q * (len(ordered) - 1))] for q in (0.5, 0.99)]
        print(
            f"{form:12}{len(ordered):9}{taken:9}{outcomes.total():9}{quantiles[0]:9.0f}"
            f"{quantiles[1]:9.0f}{ordered[-1]:9.1f}  "
            + ", ".join(f"{reason} {number}" for reason, number in outcomes.most_common())
        )
        failed |= bool(findings)
        print(*findings, sep="\n", end="\n" if findings else "")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
