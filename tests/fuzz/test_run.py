# SPDX-License-Identifier: Apache-2.0
"""The fuzzer itself: it finds what it is there to find, and nothing where there is nothing."""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Callable

import numpy as np
import pytest
from fuzz import run
from fuzz.bundle_mutations import damaged
from fuzz.targets import TARGETS, Target

REFUSALS = {"load": "BundleError"}


def tally(check: Callable[[bytes], str], runs: int = 60, jobs: int = 1) -> run.Tally:
    """What comes of seeds 0, 1, …, each of which becomes its own text."""
    target = Target("planted", lambda _: [b""], lambda _, seed: b"%d" % seed, check, 256 << 20)
    options = argparse.Namespace(jobs=jobs, runs=runs, seconds=0, seed=0)
    return run.Run(target, [b""], options).until_done()


def findings(check: Callable[[bytes], str]) -> list[str]:
    return tally(check).findings


def planted(seed: int, effect: Callable[[], object]) -> Callable[[bytes], str]:
    def check(data: bytes) -> str:
        if data == b"%d" % seed:
            effect()
        return "refused"

    return check


def test_where_there_is_nothing_it_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "REPORT_EVERY", 20)
    assert findings(lambda _: "accepted") == []


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_so_many_executions_are_the_same_ones_however_many_processes_share_them(jobs: int) -> None:
    found = tally(lambda data: data.decode()[-1], runs=1234, jobs=jobs)
    assert found.executions == 1234
    assert found.outcomes == {str(d): 124 if d < 4 else 123 for d in range(10)}
    assert found.findings == []


def raise_it() -> None:
    raise RuntimeError("planted")


def spin() -> None:
    started = time.thread_time()
    while time.thread_time() - started < 2 * run.SLOW_REFUSAL_S:
        pass


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (raise_it, "RuntimeError: planted"),
        (lambda: np.zeros(1 << 30, np.uint8), "MemoryError"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "the process ended with -9"),
        (spin, "of CPU time"),
        (signal.pause, "nothing was heard"),
    ],
    ids=["exception", "memory", "crash", "slow", "hang"],
)
def test_what_is_planted_is_found(
    effect: Callable[[], object], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "REPORT_EVERY", 20)
    monkeypatch.setattr(run, "HANG_S", 5.0 if effect is signal.pause else 120.0)
    monkeypatch.setattr(run, "SLOW_REFUSAL_S", 0.5)
    found = findings(planted(7, effect))
    assert len(found) == 1
    assert words in found[0]


@pytest.mark.parametrize("name", TARGETS)
def test_a_few_hundred_executions_of_each_target(name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds([])
    outcomes = {target.run(target.damage(seeds[s % len(seeds)], s)) for s in range(300)}
    refusal = "payload" if name.startswith("payload_") else REFUSALS.get(name, "ModelError")
    assert {"accepted", refusal} <= outcomes


def test_processes_count_their_own_messages() -> None:
    target = TARGETS["payload_raw"]
    options = argparse.Namespace(jobs=2, runs=400, seconds=0, seed=0)
    found = run.Run(target, target.seeds([]), options).until_done()
    assert found.executions == 400
    assert found.findings == []


def test_damage_is_what_the_seed_says() -> None:
    bundle = TARGETS["load"].seeds([])[0]
    assert damaged(bundle, 3) == damaged(bundle, 3)
    assert len({damaged(bundle, s) for s in range(20)}) > 15
