# SPDX-License-Identifier: Apache-2.0
"""Damage valid files without end: only the errors that are promised may leave reader and loader.

    python tests/fuzz/run.py read convert load --seconds 40 [--jobs 2] [--seed 0]
    python tests/fuzz/run.py read --runs 1000000 --models *.tflite

Every target runs for the time given (0: without end) or for so many executions, which are the same
ones in every run with the same first seed, however many processes share them. What else leaves, a
crash of the process, more memory than the target may take, a refusal that takes longer than a
second and a hang are findings: each is printed with the seed that repeats it (--runs 1 --seed N),
and any makes the exit code 1.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import multiprocessing as mp
import os
import resource
import sys
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from fuzz.targets import TARGETS, Target  # noqa: E402  after the path is set

SLOW_REFUSAL_S = 1.0
HANG_S = 60.0
REPORT_EVERY = 500
SHOWN_EVERY_S = 5.0
MOST_FINDINGS = 20


@dataclass(slots=True)
class Worker:
    """One process and what it said: which seed it is at, since when, and whether it is done."""

    process: Any
    pipe: Connection
    seed: int
    since: float
    ended: bool = False


@dataclass(slots=True)
class Tally:
    executions: int = 0
    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    findings: list[str] = field(default_factory=list)


def work(target: Target, seeds: list[bytes], pipe: Connection, share: Iterable[int]) -> None:
    """Execute a share of the seeds; say after how many what came of them."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = used * os.sysconf("SC_PAGE_SIZE") + target.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    outcomes: collections.Counter[str] = collections.Counter()
    reported = time.monotonic()
    for seed in share:
        data = target.damage(seeds[seed % len(seeds)], seed)
        started = time.thread_time()
        try:
            outcome = target.run(data)
        except Exception:  # noqa: BLE001  what else leaves is what is looked for
            pipe.send(("finding", seed, traceback.format_exc()))
            outcome = "FINDING"
        took_s = time.thread_time() - started
        if outcome != "accepted" and took_s > SLOW_REFUSAL_S:
            pipe.send(("finding", seed, f"{outcome} after {took_s:.1f} s of CPU time"))
        outcomes[outcome] += 1
        if outcomes.total() >= REPORT_EVERY or time.monotonic() - reported > 1:
            pipe.send(("done", seed, dict(outcomes)))
            outcomes.clear()
            reported = time.monotonic()
    pipe.send(("end", 0, dict(outcomes)))


class Run:
    """One target, fuzzed by several processes."""

    def __init__(self, target: Target, seeds: list[bytes], options: argparse.Namespace) -> None:
        self.target, self.seeds, self.options = target, seeds, options
        self.jobs = min(options.jobs, options.runs or options.jobs)
        self.tally = Tally()
        self.workers = [self._start(options.seed + i) for i in range(self.jobs)]

    def _start(self, seed: int) -> Worker:
        """One process for each `jobs`-th seed from this one on, to the end of the runs if any."""
        ours, theirs = mp.Pipe(duplex=False)
        end = self.options.seed + self.options.runs
        share = (
            range(seed, end, self.jobs) if self.options.runs else itertools.count(seed, self.jobs)
        )
        arguments = (self.target, self.seeds, theirs, share)
        process = mp.get_context("fork").Process(target=work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        return Worker(process, ours, seed, time.monotonic())

    def until_done(self) -> Tally:
        started = shown = time.monotonic()
        while not self._enough(time.monotonic() - started):
            for pipe in wait([w.pipe for w in self.workers if not w.ended], timeout=0.5):
                index = next(i for i, w in enumerate(self.workers) if w.pipe is pipe)
                self._hear(index)
            self._end_hangs()
            if time.monotonic() - shown > SHOWN_EVERY_S:
                shown = time.monotonic()
                self._show(shown - started)
        for worker in self.workers:
            worker.process.kill()
        self._show(time.monotonic() - started)
        return self.tally

    def _enough(self, passed_s: float) -> bool:
        if len(self.tally.findings) >= MOST_FINDINGS:
            return True
        if self.options.runs:
            return all(worker.ended for worker in self.workers)
        return 0 < self.options.seconds <= passed_s

    def _hear(self, index: int) -> None:
        worker = self.workers[index]
        try:
            what, seed, told = worker.pipe.recv()
        except EOFError:
            worker.process.join()
            self._restart(index, f"the process ended with {worker.process.exitcode}")
            return
        worker.since = time.monotonic()
        if what == "finding":
            self._find(seed, told)
            return
        worker.seed, worker.ended = seed + self.jobs, what == "end"
        self.tally.outcomes.update(told)
        self.tally.executions += sum(told.values())

    def _end_hangs(self) -> None:
        for index, worker in enumerate(self.workers):
            if not worker.ended and time.monotonic() - worker.since > HANG_S:
                worker.process.kill()
                self._restart(index, f"nothing was heard for {HANG_S:.0f} s")

    def _restart(self, index: int, why: str) -> None:
        """Which of the seeds since the last word it was is found by repeating them."""
        seed = self.workers[index].seed
        self._find(
            seed, f"{why}, at this seed or one of the next {REPORT_EVERY} of step {self.jobs}"
        )
        self.workers[index] = self._start(seed + REPORT_EVERY * self.jobs)

    def _find(self, seed: int, text: str) -> None:
        self.tally.findings.append(text)
        print(f"\nFINDING {self.target.name} seed {seed}: {text}", flush=True)

    def _show(self, passed_s: float) -> None:
        rate = self.tally.executions / max(passed_s, 1e-9)
        print(
            f"{self.target.name}: {self.tally.executions} executions in {passed_s:.0f} s "
            f"({rate:.0f}/s), {dict(self.tally.outcomes)}, {len(self.tally.findings)} findings",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="+", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--models", nargs="*", type=Path, default=[], help="more seeds")
    parser.add_argument("--runs", type=int, default=0, help="executions of each target")
    parser.add_argument("--seconds", type=float, default=0, help="time for each target")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    options = parser.parse_args()
    if unknown := [name for name in options.targets if name not in TARGETS]:
        parser.error(f"found {', '.join(unknown)}; accepted: {', '.join(TARGETS)}")
    findings = 0
    for name in options.targets:
        seeds = TARGETS[name].seeds(options.models)
        print(f"{name}: {len(seeds)} files to damage, {options.jobs} processes", flush=True)
        findings += len(Run(TARGETS[name], seeds, options).until_done().findings)
    print(f"{findings} findings")
    return int(findings > 0)


if __name__ == "__main__":
    sys.exit(main())
