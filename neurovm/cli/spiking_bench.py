# SPDX-License-Identifier: Apache-2.0
"""`neurovm bench` of a spiking network: ticks at several rates of input, and single spikes."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from neurovm.cli import show

if TYPE_CHECKING:
    from collections.abc import Callable

    from neurovm.spiking_model import SpikingModel

RATES = {"silence": 0.0, "1 % of inputs": 0.01, "10 % of inputs": 0.1, "all inputs": 1.0}
TICKS = 100


def measure(model: SpikingModel, *, seconds: float, seed: int) -> dict[str, Any]:
    """Medians of a tick by input rate; the cases take turns."""
    rng = np.random.default_rng(seed)
    cases: dict[str, tuple[Any, Any, Callable[[], object], int]] = {}
    for name, rate in RATES.items():
        session = model.session()
        train = (rng.random((TICKS, model.n_in)) < rate).astype(np.int8)
        cases[name] = (session, train, lambda s=session, x=train: s.run(x, ticks=TICKS), TICKS)  # type: ignore[misc] # bound at once
    if model.n_in:
        single = model.session()
        cases["one spike, event()"] = (
            single,
            None,
            lambda: [single.event(0) for _ in range(TICKS)],
            TICKS,
        )
    times: dict[str, list[float]] = {name: [] for name in cases}
    end = time.perf_counter() + seconds
    rounds = 0
    while time.perf_counter() < end or rounds < 3:
        for name, (_, _, call, ticks) in cases.items():
            start = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - start) / ticks * 1e6)
        rounds += 1
    return {
        "model": model.name,
        "rounds": rounds,
        "ticks": TICKS,
        "synapses": model.manifest.synapses,
        "cases": [_case(name, times[name], cases[name][0]) for name in cases],
    }


def _case(name: str, times: list[float], session: Any) -> dict[str, Any]:
    low, median, high = statistics.quantiles(times, n=4)
    counted = session.counters
    return {
        "name": name,
        "median_us": median,
        "low_us": low,
        "high_us": high,
        "sops": counted.sops / counted.steps,
        "spikes": counted.events_out / counted.steps,
    }


def print_table(found: dict[str, Any]) -> None:
    """Cases, a line each."""
    rows = [
        [
            case["name"],
            f"{case['median_us']:.2f}",
            f"{case['low_us']:.2f}–{case['high_us']:.2f}",
            round(case["sops"]),
            f"{case['spikes']:.1f}",
        ]
        for case in found["cases"]
    ]
    columns = ["case", "µs a tick", "spread µs", "SOPs", "spikes out"]
    show.table(columns, rows, left=["case"], whole=["case"])
    click.echo(
        f"{found['model']}: {found['synapses']:,} synapses; {found['rounds']} rounds of "
        f"{found['ticks']} ticks in turns, 1 thread"
    )
