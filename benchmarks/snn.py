# SPDX-License-Identifier: Apache-2.0
"""Spiking networks beside the simulators one would otherwise install: one thread, ratios.

    PYTHONPATH=. python benchmarks/snn.py [--only CASE] [--peer NAME=PYTHON] [-o FILE] [--plot PNG]

A peer runs in the Python it is installed in: --peer torch=… (snntorch, norse, sinabs and
spikingjelly), --peer brian2=…, --peer nest=…; those not named are skipped, and the run says so.
Ours and the peers take turns, so that what else the machine does falls on all; figures are medians
of the rounds, with the middle half, and a ratio is formed round by round. Spike trains are compared
where the equations are the same, and a difference ends the run with exit code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import snn_cases
from snn_cases import Case

from neurovm import _kernel

PEERS = Path(__file__).parent / "snn_peers"


@dataclass
class Line:
    """One row of the table; times in µs, medians with the middle half."""

    case: str
    what: str
    """Whose time, and of what."""
    us: tuple[float, float, float]
    ratio: tuple[float, float, float] | None = None
    """The peer's time over ours."""
    target: str = ""
    note: str = ""
    more: dict[str, Any] = field(default_factory=dict)


class Peer:
    """A child that runs once for every line it is sent."""

    def __init__(self, name: str, command: list[str]) -> None:
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self.name = name
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **one_thread},
        )
        self.first = self._line()

    def run(self) -> float:
        """Microseconds a step of one more run."""
        assert self._child.stdin is not None
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        return float(self._line()["step_s"]) * 1e6

    def close(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(60)

    def _line(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"{self.name} ended with code {self._child.wait()}, saying nothing")


@contextlib.contextmanager
def open_peers(case: Case, pythons: dict[str, str]) -> Iterator[list[Peer]]:
    with contextlib.ExitStack() as stack:
        opened = []
        for name, (group, script, arguments) in case.peers.items():
            if group in pythons:
                peer = Peer(name, [pythons[group], str(PEERS / script), *arguments])
                stack.callback(peer.close)
                opened.append(peer)
        yield opened


def middle(values: list[float]) -> tuple[float, float, float]:
    """Median and the ends of the middle half."""
    if len(values) < 4:
        return statistics.median(values), min(values), max(values)
    low, median, high = statistics.quantiles(values, n=4)
    return median, low, high


def measure(case: Case, pythons: dict[str, str], rounds: int) -> tuple[list[Line], bool]:
    """The case's lines, and whether all spikes that should be equal are."""
    equal = True
    with open_peers(case, pythons) as peers:
        notes = {}
        for peer in peers:
            found = case.compare(peer.first) if case.compare else "not compared"
            equal &= not found.startswith("DIFFERENT")
            notes[peer.name] = f"{peer.first['version']}; {found}"
        ours: list[float] = []
        theirs: dict[str, list[float]] = {peer.name: [] for peer in peers}
        for _ in range(rounds):
            ours.append(case.run())
            for peer in peers:
                theirs[peer.name].append(peer.run())
    lines = [Line(case.name, f"neurovm, {case.unit}", middle(ours), target=case.target,
                  note=case.note(), more=case.more)]  # fmt: skip
    for name, times in theirs.items():
        ratios = [their / our for their, our in zip(times, ours, strict=True)]
        lines.append(Line(case.name, name, middle(times), middle(ratios), note=notes[name]))
    for name, (group, _, _) in case.peers.items():
        if group not in pythons:
            print(f"skipped: {case.name} against {name}: --peer {group}=PYTHON is not given")
    return lines, equal


def table(lines: list[Line]) -> str:
    text = "| case | who | µs | middle half | × ours | middle half | target | notes |\n"
    text += "| --- " * 8 + "|\n"
    for line in lines:
        ratio = ("", "") if line.ratio is None else (
            f"{line.ratio[0]:.1f}", f"{line.ratio[1]:.1f}–{line.ratio[2]:.1f}"
        )  # fmt: skip
        us = f"{line.us[0]:.3g}", f"{line.us[1]:.3g}–{line.us[2]:.3g}"
        text += f"| {line.case} | {line.what} | {us[0]} | {us[1]} | {ratio[0]} | {ratio[1]} | "
        text += f"{line.target} | {line.note} |\n"
    return text


def plot(lines: list[Line], target: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 0.32 * len(lines) + 1.2), layout="constrained")
    names = [f"{line.case}: {line.what}" for line in lines]
    colours = ["tab:blue" if line.ratio is None else "tab:gray" for line in lines]
    axes.barh(names, [line.us[0] for line in lines], color=colours)
    for place, line in enumerate(lines):
        if line.ratio is not None:
            axes.text(line.us[0], place, f" {line.ratio[0]:.1f}×", va="center", fontsize=8)
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_xlabel("µs (median of rounds in turns, one thread)")
    figure.savefig(target, dpi=150)


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown processor"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=sorted(snn_cases.CASES), action="append")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    pythons = dict(peer.split("=", 1) for peer in options.peer)
    lines: list[Line] = []
    equal = True
    for name in options.only or snn_cases.CASES:
        with snn_cases.opened(name) as cases:
            for case in cases:
                found, same = measure(case, pythons, options.rounds)
                lines += found
                equal &= same
                print(table(found), flush=True)
    print(table(lines))
    print(f"{processor()}, instruction set {_kernel.isa()}, {options.rounds} rounds")
    if options.output is not None:
        options.output.write_text(json.dumps([asdict(line) for line in lines], indent=1))
    if options.plot is not None:
        plot(lines, options.plot)
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
