# SPDX-License-Identifier: Apache-2.0
"""The figures at the end of a run, as lines of text."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from examples.pump.recording import FaultOutcome, Recording, Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the daemon's processes used during the run; None where the system does not tell."""

    cpu_s: float | None
    pss_mib: float | None
    processes: int


def usage_of(pid: int) -> Usage:
    """CPU seconds and proportional memory of a process and its children, since their start."""
    import psutil

    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
        times = [process.cpu_times() for process in family]
        cpu_s: float | None = sum(time.user + time.system for time in times)
    except psutil.Error:
        return Usage(cpu_s=None, pss_mib=None, processes=0)
    try:
        pss: float | None = sum(process.memory_full_info().pss for process in family) / 2**20
    except (psutil.Error, AttributeError):
        pss = None
    return Usage(cpu_s=cpu_s, pss_mib=pss, processes=len(family))


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "none"


def _fault_line(outcome: FaultOutcome, recording: Recording) -> str:
    name = f"    {recording.pumps[outcome.pump]:<4} {outcome.label:<16} at {outcome.start_s:5.1f} s"
    if outcome.delay_s is None:
        return f"{name}   not seen within {outcome.length_s:.1f} s"
    plant_s = outcome.delay_s * recording.speed
    return f"{name}   seen after {outcome.delay_s:.2f} s ({plant_s:.0f} s for the plant)"


def lines(
    recording: Recording,
    result: Score,
    outcomes: list[FaultOutcome],
    usage: Usage,
    seconds: float,
    power: str,
) -> list[str]:
    """The summary of a run of `seconds`."""
    minutes = seconds * recording.speed / 60.0
    seen = sum(outcome.delay_s is not None for outcome in outcomes)
    right = _share(result.right, result.results)
    agreed = _share(result.agreed_s, result.decided_s)
    saved = _share(result.sops, result.dense_macs)
    sent, heard = recording.published, result.events
    text = [
        f"{seconds:.0f} s of {len(recording.pumps)} pumps ({minutes:.1f} min of plant time)",
        f"  events      {sent:,} sensor messages published, {heard:,} seen on the broker",
        f"  results     {result.results:,} of the daemon, {right} of them with the true state",
        f"  agreement   {agreed} of the time, {result.false_alarms} false alarms",
        f"  faults      {seen} of {len(outcomes)} seen (each begins small and grows)",
        *(_fault_line(outcome, recording) for outcome in outcomes),
        f"  work        {result.sops:,} SOPs in place of {result.dense_macs:,} dense MACs: {saved}",
        "              (dense: one run of the network for every message)",
    ]
    if recording.samples:
        last = recording.samples[-1]
        into, out = last.spikes_in, last.spikes_out
        text.append(f"  spikes      {into:,} into the network, {out:,} of its neurons")
    steps = max(sum(recording.covered), 1)
    text.append(f"  compute     {result.compute_us / steps:.1f} µs a message, mean")
    if result.latency_ms is not None:
        median, late = (f"{value:.1f} ms" for value in result.latency_ms)
        text.append(f"  latency     {median} from sensor to result, median; 95 % within {late}")
    if usage.cpu_s is not None:
        pss = "" if usage.pss_mib is None else f", {usage.pss_mib:.0f} MiB PSS"
        text.append(
            f"  daemon      {usage.cpu_s:.2f} s CPU ({usage.cpu_s / seconds:.1%} of a core)"
            f"{pss}, {usage.processes} processes"
        )
    text.append(f"  power       {power}")
    if recording.unread:
        text.append(f"  unread      {recording.unread} messages were not what was expected")
    return text


def _typed(path: str | Path) -> str:
    """The shorter of the absolute path and the one from here."""
    return min(os.path.relpath(path), str(path), key=len)


def look_further() -> list[str]:
    """Commands to go on with, as they can be typed here."""
    script = Path(sys.executable).with_name("neurovm")
    python = _typed(sys.executable)
    neurovm = _typed(script) if script.is_file() else f"{python} -m neurovm"
    model = _typed(Path(__file__).with_name("pump.tflite"))
    return [
        "look further",
        f"  {neurovm} explain {model}    what became of every operator",
        f"  {neurovm} bench {model}    this network on this machine",
        f"  {neurovm} verify {model}    against LiteRT (pip install ai-edge-litert)",
        f"  {python} -m examples.pump --help    seeds, speeds, limits, other brokers",
    ]
